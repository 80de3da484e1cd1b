"""What the dialect puts onto listeners: its routes, the two entrances of its viewers, and the bases for reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.web.resource import IResource
from twisted.web.server import Request

from sessiond.broker import Broker
from sessiond.config import Hoops
from sessiond.core.errors import Code, Refused
from sessiond.core.facts import StoredFact
from sessiond.dialects.hoops.control import Control
from sessiond.dialects.hoops.entrances import ByPort, Direct
from sessiond.dialects.hoops.entry import Entry
from sessiond.dialects.hoops.front import Front
from sessiond.dialects.hoops.reports import bases
from sessiond.dialects.hoops.spawning import Brokers, Spawning, Tutorial, Wording, broker_failure
from sessiond.web.access import Access, Face
from sessiond.web.answers import Answer
from sessiond.web.child import Base
from sessiond.web.leaf import JsonLeaf
from sessiond.ws.channel import Entrance

CONTROLS = (b"status", b"spawns", b"help", b"gc", b"shutdown")
TICKET = b"t"
"""The first word of a path whose second is a ticket: clients append their route to any base."""

Find = Callable[[Sequence[bytes], Request], IResource | None]


class HoopsFaces:
    """The dialect as listeners have it.

    :param entrance: makes what lets clients in at an entrance.
    :param new_id: makes the id of a session, which nobody can guess.
    :param shutdown: ends the daemon in order.
    """

    def __init__(
        self,
        settings: Hoops,
        broker: Broker,
        access: Access,
        entrance: Callable[[Entrance], IResource],
        new_id: Callable[[], str],
        shutdown: Callable[[], object],
    ) -> None:
        self._settings, self._access, self._entrance = settings, access, entrance
        self._front = Front(settings, broker, new_id, shutdown)
        self._direct = {tuple(path.encode().strip(b"/").split(b"/")) for path in settings.direct_paths} | {()}
        self._prefixes = {prefix.encode() for prefix in settings.proxy_prefixes}

    def hear(self, stored: StoredFact) -> None:
        """Take note of a fact."""
        self._front.hear(stored)

    def bases(self) -> list[Base]:
        """Give the places where programs report."""
        return bases(child_auth=self._settings.child_auth)

    def elsewhere(self) -> IResource:
        """Make what stands for every other path."""
        return Elsewhere()

    def paths(self, face: Face) -> Find:
        """Make what finds the resource for a path that the dialect keeps to itself."""
        entry = Entry(self._settings, self._access, face)
        brokers = Brokers(self._settings.failure_status)
        wordings: dict[tuple[bytes, ...], Wording] = {
            (b"spawn",): Tutorial(),
            (b"service",): brokers,
            (b"api", b"spawn"): brokers,
        }

        def find(path: Sequence[bytes], request: Request) -> IResource | None:
            parts, ticket = tuple(part for part in path if part), None
            if parts[:1] == (TICKET,) and len(parts) > 1:
                ticket, parts = parts[1].decode("ascii", "replace"), parts[2:]
            if parts in wordings:
                return Spawning(self._front, entry, wordings[parts], ticket)
            if parts in self._direct and request.requestHeaders.hasHeader(b"Upgrade"):
                return self._entrance(Direct(self._front, entry, ticket))
            if ticket is not None:
                return Elsewhere()
            if len(parts) > 1 and parts[0] in self._prefixes:
                return self._entrance(ByPort(self._front, entry, parts[1].decode("ascii", "replace")))
            if len(parts) == 2 and parts[0] == b"api" and parts[1] in CONTROLS:
                return Control(self._front, self._access, face, parts[1].decode("ascii"))
            return Elsewhere() if parts[:2] == (b"api", b"spawns") else None

        return find


class Elsewhere(JsonLeaf):
    """Stands for every path where nothing is."""

    isLeaf = True

    async def _serve(self, request: Request) -> Answer:
        return broker_failure(Refused(Code.NOT_FOUND, "Not Found"), 404)
