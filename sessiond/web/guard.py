"""What stands in front of pages and files, which nobody needs a token for: other sites get none of them."""

from __future__ import annotations

from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from sessiond.core.errors import Refused
from sessiond.web.access import Face, check_reader
from sessiond.web.answers import problem, send


class Guarded(Resource):
    """A resource, and all below it, that is given only to those who may read what the listener shows.

    :ivar behind: the resource.
    """

    def __init__(self, behind: IResource, face: Face) -> None:
        super().__init__()
        self.behind, self._face = behind, face
        self.isLeaf = behind.isLeaf

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        """Give what is below it, guarded too."""
        return Guarded(self.behind.getChildWithDefault(path, request), self._face)

    def render(self, request: Request) -> bytes | int:
        """Have the resource render, or say why not."""
        try:
            check_reader(request, self._face)
        except Refused as refused:
            send(request, problem(refused))
            return NOT_DONE_YET
        answer: bytes | int = self.behind.render(request)
        return answer
