"""What the dialect puts onto listeners: the reserved paths of its HTTP port, and the tunnel of its other one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from twisted.web.resource import IResource
from twisted.web.server import Request

from sessiond.broker import Broker
from sessiond.config import Nexus
from sessiond.core.facts import StoredFact
from sessiond.dialects.nexus.ensight import EnSight
from sessiond.dialects.nexus.front import Front
from sessiond.dialects.nexus.host import LIMITS, NexusHost
from sessiond.dialects.nexus.leaf import NoSuchCall
from sessiond.dialects.nexus.rest import Rest
from sessiond.dialects.nexus.status import Status
from sessiond.dialects.nexus.viewer import is_viewer, viewer
from sessiond.ports import RelayLimits
from sessiond.web.access import Face
from sessiond.web.leaf import NotFound
from sessiond.web.static import Files
from sessiond.ws.greeting import Host

VERSIONED = re.compile(rb"v\d+")
VIEWERS = re.compile(rb"ansys(\d{3})?")
"""The install's viewer tree, by its old name and by that of each release: all are the one that is there."""

Greeter = Callable[[Host, RelayLimits], IResource]


class NexusFaces:
    """The dialect as listeners have it.

    :param greeting: makes the resource that greets clients.
    :param shutdown: ends the daemon in order.
    """

    def __init__(
        self, settings: Nexus, broker: Broker, greeting: Greeter, shutdown: Callable[[], object]
    ) -> None:
        self._front = Front(settings, broker, shutdown)
        self._status = Status(self._front)
        self._greeting = greeting

    def hear(self, stored: StoredFact) -> None:
        """Take note of a fact."""
        self._front.hear(stored)

    def may_list(self, request: Request) -> bool:
        """Say whether a request may see what is in a folder."""
        return self._front.may_list(request)

    def tunnel(self, face: Face) -> IResource:
        """Make what answers on the tunnel's own listener, whatever the path."""
        return self._greeting(NexusHost(self._front, face), LIMITS)

    def paths(self, face: Face) -> Callable[[Sequence[bytes], Request], IResource | None]:
        """Make what finds the resource for a path that the dialect keeps to itself."""
        ansys, novnc = self._front.settings.ansys, self._front.settings.novnc
        rest, ensight = Rest(self._front, self._status, face), EnSight(self._front, face)
        none, tree = NoSuchCall(face), NotFound() if ansys is None else Files(ansys)
        # An install brings a page of this name: ours takes its place only where the operator has set ours up.
        own = viewer(novnc) if ansys is None or novnc is not None else None

        def find(path: Sequence[bytes], request: Request) -> IResource | None:
            first = path[0] if path else b""
            if first == b"v1":
                return rest
            if VERSIONED.fullmatch(first):
                return none
            if first == b"ensight" and len(path) > 1 and VERSIONED.fullmatch(path[1]):
                return ensight
            if VIEWERS.fullmatch(first):
                return own if own is not None and is_viewer(path[1:]) else tree
            return None

        return find
