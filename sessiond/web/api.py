"""``/api/v1``: the native REST API as a tree."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from twisted.web.resource import Resource
from twisted.web.server import Request

from sessiond.broker import Broker
from sessiond.config.values import Callers
from sessiond.config.values import Face as Served
from sessiond.web.access import NOBODY, Access, Caller, Face, check_reader
from sessiond.web.answers import Answer
from sessiond.web.api_services import Services
from sessiond.web.api_sessions import Sessions
from sessiond.web.api_tickets import CallerTickets
from sessiond.web.leaf import ApiLeaf, Branch
from sessiond.web.openapi import document


class OpenApi(ApiLeaf):
    """The description of the API; it is no secret, so nobody is asked for a token."""

    def __init__(self, access: Access, face: Face, serves: Collection[Served]) -> None:
        super().__init__(access, face)
        prefix = urlsplit(face.public_url or "").path.rstrip("/")
        self._document = document(serves, prefix, anyone=face.callers is Callers.ANYONE)

    def admit(self, request: Request, verb: str) -> Caller:
        """Let everybody read it but other sites."""
        check_reader(request, self._face)
        return NOBODY

    async def get(self, request: Request, caller: Caller) -> Answer:
        """Give it."""
        return Answer(self._document)


def api_tree(broker: Broker, access: Access, face: Face, serves: Collection[Served] = ()) -> Resource:
    """Make the tree to be mounted at ``/api/v1`` of a listener.

    :param face: how that listener presents itself; ``serves`` what it serves.
    """
    tree = Branch()
    tree.putChild(b"services", Services(broker, access, face))
    tree.putChild(b"sessions", Sessions(broker, access, face))
    if access.tickets is not None:
        tree.putChild(b"tickets", CallerTickets(access.tickets, access, face))
    tree.putChild(b"openapi.json", OpenApi(access, face, serves))
    return tree
