"""What watches the daemon from outside: ``/healthz``, ``/readyz``, ``/metrics``, ``/pressure``."""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.server import Request

from sessiond import __version__
from sessiond.broker import Broker
from sessiond.core.errors import Code
from sessiond.core.services import Service
from sessiond.meters import CONTENT_TYPE, Level, Meters, Now, Outside
from sessiond.web.access import Access, Caller, Face
from sessiond.web.answers import Answer, problem
from sessiond.web.host import cpu_percent, memory_percent
from sessiond.web.leaf import ApiLeaf, JsonLeaf
from sessiond.web.shapes import Shape, instant


class Health(JsonLeaf):
    """Says that the process runs and answers, which is all that a restart could mend."""

    async def get(self, request: Request, caller: Caller) -> Answer:
        """Say so."""
        return Answer({"status": "ok", "version": __version__})


class Readiness(JsonLeaf):
    """Says whether sessions are accepted now: 200 or 503."""

    def __init__(self, broker: Broker, outside: Callable[[], Outside] = Outside) -> None:
        super().__init__()
        self._broker, self._outside = broker, outside

    async def get(self, request: Request, caller: Caller) -> Answer:
        """Say so, and what is in the way; a bus that is away is not."""
        accepting, unsaved, bus = self._broker.accepting, self._broker.unsaved, self._outside().standing
        told: Shape = {"ready": accepting and not unsaved, "accepting": accepting, "unsaved": unsaved}
        if bus:
            told["bus"] = bus
        if told["ready"]:
            return Answer(told)
        return problem(self._broker.refusal(Code.STORE_UNAVAILABLE if accepting else Code.SHUTTING_DOWN), **told)


class Metrics(ApiLeaf):
    """The meters, as Prometheus reads them; on a listener that asks for tokens they take one with ``read``."""

    def __init__(self, meters: Meters, broker: Broker, access: Access, face: Face) -> None:
        super().__init__(access, face)
        self._meters, self._broker = meters, broker

    async def get(self, request: Request, caller: Caller) -> Answer:
        """Write them down."""
        text = self._meters.text(Now(self._broker.sessions(), levels(self._broker), self._broker.unsaved))
        return Answer(text.encode(), headers={"Content-Type": CONTENT_TYPE})


class Pressure(ApiLeaf):
    """Says whether one more session would be taken, and how full everything is; it takes a token as the meters do.

    The answer is 200 either way: who asks wants the figures, and ``/readyz`` has the status.
    """

    def __init__(self, meters: Meters, broker: Broker, access: Access, face: Face) -> None:
        super().__init__(access, face)
        self._meters, self._broker = meters, broker

    async def get(self, request: Request, caller: Caller) -> Answer:
        """Say so, for what this caller may start."""
        broker, caps = self._broker, self._broker.catalogue.caps
        pools = pools_shape(broker, [s for s in broker.catalogue.services.values() if caller.sees(s)])
        slots = sum(pool["max_concurrent"] for pool in pools)
        totals: Shape = {
            "is_available": any(pool["is_available"] for pool in pools),
            "reason": None if any(pool["is_available"] for pool in pools) else next((p["reason"] for p in pools), None),
            "running": sum(pool["running"] for pool in pools),
            "queued": sum(pool["queued"] for pool in pools),
            "max_concurrent": slots if caps.sessions is None else min(slots, caps.sessions),
            "max_queued": sum(pool["max_queued"] for pool in pools),
            "recently_rejected": self._meters.recent_refusals(),
            "cpu": cpu_percent(),
            "memory": memory_percent(),
            "date": instant(broker.clock.now()),
        }
        return Answer({**totals, "pools": pools})


def pools_shape(broker: Broker, services: list[Service]) -> list[Shape]:
    """Tell how the pools of some services stand, and whether one more session of any of these would be taken."""
    shapes: dict[str, Shape] = {}
    for service in services:
        name, (count, used, queued) = broker.catalogue.pool_of(service).name, broker.usage(service)
        closed = broker.closed(service)
        shape = shapes.setdefault(
            name,
            {
                "name": name,
                "is_available": False,
                "reason": (closed or Code.FULL).value,
                "running": used,
                "queued": queued,
                "max_concurrent": count,
                "max_queued": 0,
            },
        )
        if closed is None:
            shape.update(is_available=True, reason=None)
        if service.plan.queueing:
            shape["max_queued"] = broker.catalogue.caps.queue
    return list(shapes.values())


def levels(broker: Broker) -> dict[str, Level]:
    """Give how every pool that a service uses stands."""
    services = broker.catalogue.services.values()
    return {broker.catalogue.pool_of(service).name: Level(*broker.usage(service)) for service in services}
