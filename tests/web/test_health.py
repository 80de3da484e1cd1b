"""Health, readiness, metrics and pressure over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from sessiond import __version__
from sessiond.core.errors import Code
from sessiond.core.services import Caps, Plan, Service
from sessiond.meters import Meters
from sessiond.web.access import Access, Face
from sessiond.web.health import Health, Metrics, Pressure, Readiness
from sessiond.web.leaf import Branch
from sessiond.web.wire import WebSite
from tests.broker.world import SERVICES, UNCAPPED, World, service
from tests.fakes.launchers import FailsToStart
from tests.web.http import ANYONE, TOKENS_ONLY, bearer, fetch, token


class Watched:
    """A daemon that is watched."""

    def __init__(self, face: Face = ANYONE, caps: Caps = UNCAPPED, services: Sequence[Service] = SERVICES) -> None:
        self.world = World(services, caps=caps)
        self.meters = Meters(self.world.catalogue.services, self.world.broker.clock)
        access = Access([token("eye", "read"), token("blind")])
        root = Branch()
        root.putChild(b"healthz", Health())
        root.putChild(b"readyz", Readiness(self.world.broker))
        root.putChild(b"metrics", Metrics(self.meters, self.world.broker, access, face))
        root.putChild(b"pressure", Pressure(self.meters, self.world.broker, access, face))
        self.site = WebSite(root, self.world.clock, self.meters.count_answer)


def test_health() -> None:
    """The process answers, whatever its Host is called and whatever is the matter with the store."""
    watched = Watched(TOKENS_ONLY)
    watched.world.store.broken = True
    received = fetch(watched.site, "GET", "/healthz", host="10.1.2.3")
    assert (received.status, received.json) == (200, {"status": "ok", "version": __version__})


def test_readiness() -> None:
    """The daemon is ready while it accepts sessions and can save them."""
    watched = Watched(TOKENS_ONLY)
    ready = fetch(watched.site, "GET", "/readyz")
    assert (ready.status, ready.json) == (200, {"ready": True, "accepting": True, "unsaved": 0})
    session = watched.world.ready("plain")
    watched.world.store.broken = True
    watched.world.connect(session.id)
    failing = fetch(watched.site, "GET", "/readyz")
    told = failing.refused("store-unavailable", 503)
    assert {"ready": False, "accepting": True, "unsaved": 1}.items() <= told.items()
    assert failing.headers["retry-after"] == "5"
    watched.world.store.broken = False
    watched.world.advance(2.0)
    assert fetch(watched.site, "GET", "/readyz").status == 200
    watched.world.broker.accepting = False
    told = fetch(watched.site, "GET", "/readyz").refused("shutting-down", 503)
    assert {"ready": False, "accepting": False, "unsaved": 0}.items() <= told.items()


def test_metrics() -> None:
    """The meters are written as Prometheus reads them, of what is so at that moment."""
    watched = Watched()
    watched.world.ready("plain", owner="ada")
    received = fetch(watched.site, "GET", "/metrics")
    assert received.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = received.body.decode().splitlines()
    assert 'sessiond_sessions{service="plain",state="ready"} 1' in lines
    assert 'sessiond_pool_slots_used{pool="plain"} 1' in lines
    assert "ada" not in received.body.decode()
    again = fetch(watched.site, "GET", "/metrics").body.decode()
    assert 'sessiond_requests_answered_total{status="2xx"} 1\n' in again


def pressure(watched: Watched, **more: Any) -> dict[str, Any]:
    """Ask how full everything is."""
    received = fetch(watched.site, "GET", "/pressure", **more)
    assert received.status == 200
    told: dict[str, Any] = received.json
    return told


FEW = (service("plain", Plan()), service("shared", Plan(queueing=True)))


def test_pressure() -> None:
    """Whoever asks is told whether one more session would be taken, and how full every pool is."""
    watched = Watched(caps=Caps(queue=1), services=FEW)
    told = pressure(watched)
    machine = {name: told.pop(name) for name in ("cpu", "memory")}
    assert all(isinstance(percent, int) and percent >= 0 for percent in machine.values())
    assert 0 < machine["memory"] <= 100
    assert told == {
        "is_available": True,
        "reason": None,
        "running": 0,
        "queued": 0,
        "max_concurrent": 4,
        "max_queued": 1,
        "recently_rejected": 0,
        "date": "1970-01-12T13:46:40Z",
        "pools": [
            {"name": name, "is_available": True, "reason": None, "running": 0, "queued": 0, "max_concurrent": 2,
             "max_queued": queued}
            for name, queued in (("plain", 0), ("shared", 1))
        ],
    }  # fmt: skip


def test_pressure_grows() -> None:
    """A pool without a slot and without a place in its queue takes nobody, and when none does, it is said why."""
    watched = Watched(caps=Caps(queue=1), services=FEW)
    for name in ("plain", "plain", "shared", "shared"):
        watched.world.ready(name, owner=f"for-{name}")
    told = pressure(watched)
    assert (told["is_available"], told["reason"], told["running"]) == (True, None, 4)
    assert [(pool["is_available"], pool["reason"]) for pool in told["pools"]] == [(False, "full"), (True, None)]
    watched.world.reserve("shared", owner="eve")
    told = pressure(watched)
    assert (told["is_available"], told["reason"], told["queued"]) == (False, "full", 1)


def test_pressure_of_a_cap() -> None:
    """What all services may have together is told as the most, and as full when it is reached."""
    watched = Watched(caps=Caps(sessions=1), services=FEW[:1])
    assert pressure(watched)["max_concurrent"] == 1
    watched.world.ready("plain")
    assert pressure(watched)["reason"] == "full"


def test_pressure_tells_what_is_the_matter() -> None:
    """A service that is suspended, a store that fails and a daemon that stops take nobody, each in its own words."""
    watched = Watched(services=FEW[:1])
    watched.world.launcher.script = FailsToStart()
    for _ in range(5):
        watched.world.ready("plain")
    assert pressure(watched)["reason"] == "suspended"
    watched = Watched(services=FEW[:1])
    session = watched.world.ready("plain")
    watched.world.store.broken = True
    watched.world.connect(session.id)
    assert pressure(watched)["reason"] == "store-unavailable"
    watched.world.broker.accepting = False
    assert pressure(watched)["reason"] == "shutting-down"


def test_pressure_counts_who_was_rejected() -> None:
    """Those who got no session are told for five minutes; a wrong request is none of them."""
    watched = Watched(services=FEW)
    for _ in range(3):
        watched.meters.count_refusal("plain", Code.FULL)
        watched.world.advance(100.0)
    watched.meters.count_refusal("plain", Code.BAD_OPTION)
    assert pressure(watched)["recently_rejected"] == 2
    watched.world.advance(301.0)
    assert pressure(watched)["recently_rejected"] == 0


def test_pressure_of_what_a_caller_sees() -> None:
    """It takes a token as the meters do, and speaks of the services that the caller may start only."""
    watched = Watched(TOKENS_ONLY, services=(FEW[0], evolve(FEW[1], group="designers")))
    fetch(watched.site, "GET", "/pressure").refused("unauthenticated", 401)
    fetch(watched.site, "GET", "/pressure", headers=bearer("blind")).refused("forbidden", 403)
    told = pressure(watched, headers=bearer("eye"))
    assert [pool["name"] for pool in told["pools"]] == ["plain"]
    assert told["max_concurrent"] == 2


def test_metrics_take_a_token() -> None:
    """On a listener that asks for tokens, the meters take one that may read."""
    watched = Watched(TOKENS_ONLY)
    fetch(watched.site, "GET", "/metrics").refused("unauthenticated", 401)
    fetch(watched.site, "GET", "/metrics", headers=bearer("blind")).refused("forbidden", 403)
    assert fetch(watched.site, "GET", "/metrics", headers=bearer("eye")).status == 200


def test_metrics_for_pages() -> None:
    """No other site reads the meters of a listener for anyone."""
    watched = Watched()
    fetch(watched.site, "GET", "/metrics", host="evil.test").refused("forbidden", 403)
    fetch(watched.site, "GET", "/metrics", headers={"Origin": "http://evil.test"}).refused("forbidden", 403)
