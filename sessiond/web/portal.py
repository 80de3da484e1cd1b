"""The daemon's own page at ``/``, and what belongs to it below ``/pages``."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from twisted.web.http import CACHED
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from sessiond.core.errors import Code, Refused
from sessiond.web.answers import Answer, problem, send
from sessiond.web.leaf import Branch
from sessiond.web.static import DOWNLOAD, TYPES

POLICY = "; ".join(
    (
        "default-src 'self'",
        # The tunnel may be on a listener of its own.
        "connect-src 'self' ws: wss:",
        # noVNC draws pictures and cursors from the program's bytes.
        "img-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""What the page may do (CSP Level 3). noVNC sets styles through the CSSOM, which takes no ``unsafe-inline``."""

HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
PAGE = "portal.html"


class Constant(Resource):
    """One file of the package, read once."""

    isLeaf = True

    def __init__(self, name: str, content: bytes) -> None:
        super().__init__()
        self._content = content
        self._type = TYPES.get(PurePosixPath(name).suffix, DOWNLOAD)
        self._tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'

    def render(self, request: Request) -> int:
        """Answer GET and HEAD."""
        if request.postpath:
            answer = problem(Refused(Code.NOT_FOUND))
        elif request.method not in (b"GET", b"HEAD"):
            answer = problem(Refused(Code.METHOD_NOT_ALLOWED)).having({"Allow": "GET, HEAD"})
        elif request.setETag(self._tag.encode()) is CACHED:
            answer = Answer(None, 304, HEADERS)
        else:
            answer = Answer(self._content, headers={**HEADERS, "Content-Type": self._type})
        send(request, answer)
        return NOT_DONE_YET


def page() -> Resource:
    """Make the page itself, to be mounted at ``/``."""
    return Constant(PAGE, (_folder() / PAGE).read_bytes())


def pages() -> Resource:
    """Make what the page is made of, to be mounted at ``/pages``."""
    tree = Branch()
    for file in _folder().iterdir():
        if file.is_file() and file.name != PAGE and not file.name.startswith("."):
            tree.putChild(file.name.encode(), Constant(file.name, file.read_bytes()))
    return tree


def _folder() -> Traversable:
    return files("sessiond.web") / "pages"
