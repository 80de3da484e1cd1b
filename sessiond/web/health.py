"""What watches the daemon from outside: ``/healthz``, ``/readyz``, ``/metrics``."""

from __future__ import annotations

from twisted.web.server import Request

from sessiond import __version__
from sessiond.broker import Broker
from sessiond.meters import CONTENT_TYPE, Level, Meters, Now
from sessiond.web.access import Access, Caller, Face
from sessiond.web.answers import Answer
from sessiond.web.leaf import ApiLeaf, JsonLeaf


class Health(JsonLeaf):
    """Says that the process runs and answers, which is all that a restart could mend."""

    async def get(self, request: Request, caller: Caller) -> Answer:
        """Say so."""
        return Answer({"status": "ok", "version": __version__})


class Readiness(JsonLeaf):
    """Says whether sessions are accepted now: 200 or 503."""

    def __init__(self, broker: Broker) -> None:
        super().__init__()
        self._broker = broker

    async def get(self, request: Request, caller: Caller) -> Answer:
        """Say so, and what is in the way."""
        accepting, unsaved = self._broker.accepting, self._broker.unsaved
        ready = accepting and not unsaved
        return Answer({"ready": ready, "accepting": accepting, "unsaved": unsaved}, 200 if ready else 503)


class Metrics(ApiLeaf):
    """The meters, as Prometheus reads them; on a listener that asks for tokens they take one with ``read``."""

    def __init__(self, meters: Meters, broker: Broker, access: Access, face: Face) -> None:
        super().__init__(access, face)
        self._meters, self._broker = meters, broker

    async def get(self, request: Request, caller: Caller) -> Answer:
        """Write them down."""
        text = self._meters.text(Now(self._broker.sessions(), levels(self._broker), self._broker.unsaved))
        return Answer(text.encode(), headers={"Content-Type": CONTENT_TYPE})


def levels(broker: Broker) -> dict[str, Level]:
    """Give how every pool that a service uses stands."""
    services = broker.catalogue.services.values()
    return {broker.catalogue.pool_of(service).name: Level(*broker.usage(service)) for service in services}
