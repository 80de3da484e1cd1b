"""What the dialect puts onto listeners: its applications, its launchers, and the ways to what these have started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource
from twisted.web.server import Request

from sessiond.broker import Broker
from sessiond.config import Wslink
from sessiond.core.errors import Code, Refused
from sessiond.core.facts import StoredFact
from sessiond.dialects.wslink.applications import Applications
from sessiond.dialects.wslink.entrances import ID, ByPath, ByQuery, RestEntry
from sessiond.dialects.wslink.launching import Front
from sessiond.dialects.wslink.routes import Launching, OneLaunched
from sessiond.ports import Entropy
from sessiond.web.access import Face
from sessiond.web.proxy import Proxy, Ways
from sessiond.web.visits import Visits
from sessiond.ws.channel import Entrance

PROXY, REST = (b"proxy",), b"api"

Find = Callable[[Sequence[bytes], Request], IResource | None]


class WslinkFaces:
    """The dialect as listeners have it.

    :param entrance: makes what lets clients in at an entrance.
    :raises ConfigError: an application is not there, or fails when it is made.
    """

    def __init__(
        self,
        settings: Wslink,
        broker: Broker,
        entrance: Callable[[Entrance], IResource],
        visits: Visits,
        ways: Ways,
        entropy: Entropy,
        reactor: IReactorTime,
    ) -> None:
        self._applications = Applications(settings.applications, ways.clock, reactor)
        self._fronts = [Front(one, broker, entropy.nonce) for one in settings.launchers]
        self._entrance, self._visits, self._ways = entrance, visits, ways

    def start(self) -> None:
        """Have the applications begin, and the mapping files say what is."""
        self._applications.start()
        for front in self._fronts:
            front.write_mapping()

    def stop(self) -> None:
        """Let everybody go who calls an application."""
        self._applications.stop()

    def hear(self, stored: StoredFact) -> None:
        """Take note of a fact."""
        for front in self._fronts:
            front.hear(stored)

    @property
    def content(self) -> Path | None:
        """Give the folder that is served where nothing else is, if a launcher has one."""
        return next((front.settings.content for front in self._fronts if front.settings.content is not None), None)

    def passes_on(self, target: bytes) -> bool:
        """Say whether a request's body is for a program."""
        first, _, rest = unquote_to_bytes(target.partition(b"?")[0]).lstrip(b"/").partition(b"/")
        return bool(self._fronts) and first == REST and _is_id(rest.lstrip(b"/").partition(b"/")[0])

    def paths(self, face: Face) -> Find:
        """Make what finds the resource for a path that the dialect keeps to itself."""
        places = self._applications.places()
        endpoints = {tuple(path.encode().split(b"/")): one for one in self._fronts for path in one.settings.endpoints}
        rest = RestEntry(self._front_of, self._visits, face)

        def find(path: Sequence[bytes], request: Request) -> IResource | None:
            parts = tuple(part for part in path if part)
            if parts in places:
                return places[parts]
            if parts in endpoints:
                return Launching(endpoints[parts])
            if parts[:-1] in endpoints:
                return OneLaunched(endpoints[parts[:-1]], parts[-1].decode("utf-8", "replace"))
            if not endpoints:
                return None
            if parts == PROXY:
                return self._entrance(ByQuery(self._front_of))
            if parts[:1] == (REST,) and len(parts) > 1 and _is_id(parts[1]):
                session_id = parts[1].decode("ascii")
                if request.requestHeaders.hasHeader(b"Upgrade"):
                    return self._entrance(ByPath(self._front_of, session_id))
                return Proxy(rest, self._ways, session_id)
            return None

        return find

    def _front_of(self, session_id: str) -> Front:
        for front in self._fronts:
            try:
                front.session(session_id)
            except Refused:
                continue
            return front
        raise Refused(Code.UNKNOWN_SESSION)


def _is_id(part: bytes) -> bool:
    return ID.fullmatch(part.decode("ascii", "replace")) is not None
