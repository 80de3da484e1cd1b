"""The operators' routes: who may call them, and what they tell (spec 5)."""

import json
from datetime import datetime

import pytest

from sessiond.core.values import State
from tests.dialects.hoops.house import PAGE, House, Reporting, Told

ROUTES = {"status": "GET", "spawns": "GET", "help": "GET", "gc": "POST", "shutdown": "POST"}


def call(house: House, route: str, token: str | None, *lines: str, method: str | None = None) -> Told:
    """Call a route."""
    bearer = [] if token is None else [f"Authorization: Bearer {token}"]
    return house.ask(method or ROUTES[route.partition("?")[0]], f"/api/{route}", *bearer, *lines).answer


@pytest.mark.parametrize("route", ROUTES)
def test_take_a_token(route: str) -> None:
    """No token and a wrong one are 401, one for less is 403; no page of another origin gets anything."""
    house = House(allow_shutdown=True)
    lesser = "reader" if route in ("gc", "shutdown") else None
    assert call(house, route, None).status == 401
    told = call(house, route, "wrong")
    assert (told.status, told.headers["www-authenticate"][:6]) == (401, "Bearer")
    if lesser is not None:
        assert call(house, route, lesser).status == 403
    assert call(house, route, "root", "Origin: http://evil.example").status == 403
    told = call(house, route, "root", PAGE)
    assert told.status == 200
    assert "access-control-allow-origin" not in told.headers
    wrong = "POST" if ROUTES[route] == "GET" else "GET"
    assert call(house, route, "root", method=wrong).status == 405


@pytest.mark.parametrize("route", ROUTES)
def test_without_tokens_nothing_is_there(route: str) -> None:
    """Where nobody could prove anything, the routes are not there, on loopback neither."""
    assert call(House(tokens=False, allow_shutdown=True), route, "root").status == 404


def test_status() -> None:
    """Each viewer counts under the name of its state, and no secret is told."""
    house = House(count=10)
    house.launcher.script = Reporting(obeys=())
    house.spawn()
    house.ready()
    house.ready()
    house.report("disconnect")
    secret = house.session.child_secret
    told = call(house, "status", "reader")
    found = told.json
    counts = {"launching": 1, "ready": 1, "disconnected": 1}
    for name in ("launching", "ready", "suspect", "disconnected", "nice-killed", "killed", "zombie", "dead"):
        assert found[name] == counts.get(name, 0), name
    assert (found["status"], found["usedSpawnPorts"], found["availableSpawnPorts"]) == ("ok", 3, 61)
    assert found["config"] == {"endpoint": "session-path", "renderings": ["csr", "ssr"], "ports": ["11000-11063"]}
    assert datetime.fromisoformat(found["timestamp"]).tzinfo is not None
    assert secret.encode() not in told.body
    assert told.body.count(b"\n") > 10
    assert call(house, "status?raw=true", "reader").body.count(b"\n") == 0


def test_spawns() -> None:
    """Each is told with its state and its times, and without secrets."""
    house = House()
    house.ready()
    house.advance(3)
    house.report("ping")
    session = house.session
    [spawn] = call(house, "spawns", "reader").json["spawns"]
    assert spawn.keys() == {"id", "state", "spawnTime", "lastUpdateTime"}
    assert (spawn["id"], spawn["state"]) == (session.id, "ready")
    assert spawn["lastUpdateTime"] >= spawn["spawnTime"]
    house.end()
    [spawn] = call(house, "spawns", "reader").json["spawns"]
    assert spawn["state"] == "dead"


def test_reports_do_not_come_in_here() -> None:
    """The public listener takes no report."""
    house = House(child_auth=False)
    house.spawn()
    told = house.ask("POST", f"/api/spawns/{house.session.id}?liveliness=ready", PAGE).answer
    assert told.status == 404
    assert house.session.state is State.LAUNCHING


def test_help_and_sweep() -> None:
    """Both answer, and a sweep looks at the ports at once."""
    house = House()
    assert "GET /api/status" in call(house, "help", "reader").json["rest-commands"]
    assert call(house, "gc", "root").json == {"status": "ok"}


def test_shutdown() -> None:
    """Only where the operator allows it, and the answer comes first."""
    assert call(House(), "shutdown", "root").status == 403
    house = House(allow_shutdown=True)
    told = call(house, "shutdown", "root")
    assert told.json["status"] == "ok"
    house.advance(3)
    assert house.shutdowns == 1
    assert json.loads(told.body)["message"]
