"""Health, readiness and metrics over HTTP."""

from __future__ import annotations

from sessiond import __version__
from sessiond.meters import Meters
from sessiond.web.access import Access, Face
from sessiond.web.health import Health, Metrics, Readiness
from sessiond.web.leaf import Branch
from sessiond.web.wire import WebSite
from tests.broker.world import World
from tests.web.http import ANYONE, TOKENS_ONLY, bearer, fetch, token


class Watched:
    """A daemon that is watched."""

    def __init__(self, face: Face = ANYONE) -> None:
        self.world = World()
        self.meters = Meters(self.world.catalogue.services, self.world.broker.clock)
        access = Access([token("eye", "read"), token("blind")])
        root = Branch()
        root.putChild(b"healthz", Health())
        root.putChild(b"readyz", Readiness(self.world.broker))
        root.putChild(b"metrics", Metrics(self.meters, self.world.broker, access, face))
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
    assert (failing.status, failing.json) == (503, {"ready": False, "accepting": True, "unsaved": 1})
    watched.world.store.broken = False
    watched.world.advance(2.0)
    assert fetch(watched.site, "GET", "/readyz").status == 200
    watched.world.broker.accepting = False
    assert fetch(watched.site, "GET", "/readyz").status == 503


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
