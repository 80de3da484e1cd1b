"""Spawns by each family of clients: what they are answered, and when (spec 4)."""

import json
from typing import Any

import pytest

from sessiond.config import EndpointForm, FailureStatus, Rendering, SpawnAccess
from sessiond.core.services import Caps
from sessiond.core.values import Reason, State
from sessiond.web.access import Caller, Scope
from tests.dialects.hoops.house import PAGE, Asked, House
from tests.fakes.launchers import FailsToStart
from tests.fakes.wires import Wire

SHIPPED = "Access-Control-Allow-Origin: *"
ROUTES = ("/service", "/api/spawn")


@pytest.mark.parametrize("path", ROUTES)
def test_broker_spawns(path: str) -> None:
    """Nothing is answered before the program is ready; then it is exactly 200 and the three members."""
    house = House()
    asked = house.spawn({"class": "csr_session", "params": {}}, path=path)
    house.advance(30)
    assert asked.told is None
    assert house.report("ping").status == 200
    assert asked.told is None
    assert house.session.state is State.LAUNCHING
    house.report()
    told, session = asked.answer, house.session
    assert (told.status, told.json.keys()) == (200, {"result", "serviceId", "endpoints"})
    assert told.json["result"] == "ok"
    assert told.json["serviceId"] == session.id
    [(key, endpoint)] = told.json["endpoints"].items()
    assert key == "ws"
    assert endpoint.startswith(f"ws://localhost/session/{session.id}/ws?token=")
    assert told.headers["access-control-allow-origin"] == "http://localhost"
    assert session.service == "viewer"


def test_tutorial_spawns() -> None:
    """It is 201, with its own members."""
    house = House()
    asked = house.spawn({"rendererType": "ssr"}, path="/spawn")
    house.report(base="/liveliness/")
    told = asked.answer
    assert (told.status, told.json.keys()) == (201, {"id", "endpoint", "rendererType"})
    assert (told.json["id"], told.json["rendererType"]) == (house.session.id, "ssr")
    assert house.session.service == "painter"


def test_program_hears_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's report is answered before the page that waits for it."""
    house = House()
    asked, heard = house.spawn(), list[Wire]()
    write = Wire.write

    def note(wire: Wire, data: bytes) -> None:
        heard.append(wire)
        write(wire, data)

    monkeypatch.setattr(Wire, "write", note)
    assert house.report().status == 200
    assert asked.answer.status == 200
    assert heard[0] is not asked.wire
    assert heard[-1] is asked.wire


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/service", b"", "viewer"),
        ("/service", b"{}", "viewer"),
        ("/service", {"class": "ssr_session"}, "painter"),
        ("/service", {"class": "other", "params": None}, "viewer"),
        ("/service", {"class": "ssr_session", "params": {"readyEndpoint": "http://127.0.0.1:1/"}}, "painter"),
        ("/spawn", b"", "viewer"),
        ("/spawn", {"rendererType": "csr"}, "viewer"),
        ("/spawn", {"rendererType": "ssr"}, "painter"),
    ],
)
@pytest.mark.parametrize(
    "kind_of_body", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"]
)
def test_reads_json_by_any_name(path: str, body: object, kind: str, kind_of_body: str) -> None:
    """SSR stays SSR, whatever the type says that the body is."""
    house = House()
    house.spawn(body, *([f"Content-Type: {kind_of_body}"] if kind_of_body else []), path=path)
    assert house.session.service == kind


@pytest.mark.parametrize("path", [*ROUTES, "/spawn"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"class=ssr_session", 400),
        (b'{"class": "ssr_session"', 400),
        (b"[]", 400),
        (b'"ssr"', 400),
        (b'{"class": 1, "rendererType": 1}', 400),
        (b"\xff", 400),
        (b"{" + b" " * (64 << 10) + b"}", 413),
    ],
)
def test_broken_bodies(path: str, body: bytes, status: int) -> None:
    """None of them ever becomes a viewer."""
    house = House(failure_status=FailureStatus.REAL)
    assert house.spawn(body, path=path).answer.status == status
    assert not house.broker.sessions()


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"model": "-x"}, 403),
        ({"model": "../secret"}, 403),
        ({"model": "a/../../b"}, 403),
        ({"model": "a\\..\\b"}, 403),
        ({"model": "/etc/passwd"}, 403),
        ({"model": "a\nb"}, 403),
        ({"model": "a;b"}, 403),
        ({"model": "a" * 257}, 403),
        ({"model": 7}, 400),
        ({"sessionToken": "-t"}, 403),
        ({"sessionToken": "a b"}, 403),
        ({"sessionToken": []}, 400),
        ({"modelSearchDirectories": ["/srv/models;/etc"]}, 403),
        ({"modelSearchDirectories": ["/etc"]}, 403),
        ({"modelSearchDirectories": ["/srv/models/../../etc"]}, 403),
        ({"modelSearchDirectories": ["srv/models"]}, 403),
        ({"modelSearchDirectories": [""]}, 403),
        ({"modelSearchDirectories": [7]}, 400),
        ({"modelSearchDirectories": "/srv/models"}, 400),
        ([], 400),
    ],
)
def test_refuses_hostile_values(params: object, status: int) -> None:
    """They never come near a command line."""
    house = House(failure_status=FailureStatus.REAL)
    told = house.spawn({"class": "csr_session", "params": params}).answer
    assert told.status == status
    assert told.json["result"] == "error"
    assert not house.launcher.launches


def test_passes_values_on() -> None:
    """What is asked for becomes the service's options; a client's folders come before the operator's."""
    house = House()
    params: Any = {"model": "micro/engine.scs", "sessionToken": "t-1", "modelSearchDirectories": ["/srv/parts/a"]}
    house.spawn({"class": "csr_session", "params": params})
    assert house.session.options == {
        "model": "micro/engine.scs",
        "session_token": "t-1",
        "directories": "/srv/parts/a;/srv/models",
    }


# -- where the viewer goes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "listener", "endpoint"),
    [
        (EndpointForm.PROXY_PORT, {}, "ws://localhost/wsproxy/11000"),
        (EndpointForm.PROXY_PORT, {"public_url": "https://v.example.org"}, "wss://v.example.org/wsproxy/11000"),
        (EndpointForm.DIRECT_PORT, {}, "ws://localhost:11000"),
        (EndpointForm.DIRECT_PORT, {"public_url": "https://v.example.org:8443"}, "ws://v.example.org:11000"),
    ],
)
def test_endpoints(form: EndpointForm, listener: dict[str, Any], endpoint: str) -> None:
    """Each form names the daemon as its operator or the request does."""
    house = House(endpoint=form, listener=listener)
    asked = house.ask("POST", "/spawn", f"Origin: {listener.get('public_url', 'http://localhost')}")
    house.report()
    assert asked.answer.json["endpoint"] == endpoint


def test_direct_port_with_a_certificate() -> None:
    """A program that has the certificate itself is reached by wss."""
    house = House(endpoint=EndpointForm.DIRECT_PORT, command=("viewer", "--ssl-certificate-file", "/c.pem"))
    assert house.ready().json["endpoints"]["ws"] == "wss://localhost:11000"


# -- pages -------------------------------------------------------------------------------------------------------------


def test_preflight() -> None:
    """A page of a listed origin may send what the shipped client sends."""
    house = House(listener={"origins": ("https://portal.example.org",)})
    for path in (*ROUTES, "/spawn"):
        asked = house.ask("OPTIONS", path, "Origin: https://portal.example.org", "Access-Control-Request-Method: POST")
        told = asked.answer
        assert (told.status, told.headers["vary"]) == (204, "Origin")
        assert told.headers["access-control-allow-origin"] == "https://portal.example.org"
        assert told.headers["access-control-allow-methods"] == "POST"
        allowed = told.headers["access-control-allow-headers"].split(", ")
        assert {"Content-Type", "Access-Control-Allow-Origin", "Access-Control-Allow-Headers"} <= set(allowed)
        assert "access-control-allow-credentials" not in told.headers
    stranger = house.ask("OPTIONS", "/service", "Origin: https://evil.example").answer
    assert "access-control-allow-origin" not in stranger.headers


@pytest.mark.parametrize(
    ("origins", "origin", "spawns"),
    [
        ((), "http://localhost", True),
        ((), "http://localhost:8000", False),
        (("http://localhost:8000",), "http://localhost:8000", True),
        ((), "http://evil.example", False),
        ((), "null", False),
        (("https://portal.example.org",), "https://portal.example.org", True),
        (("https://portal.example.org",), "http://localhost:8000", False),
        (("https://portal.example.org",), "https://portal.example.org.evil.example", False),
    ],
)
def test_origins(origins: tuple[str, ...], origin: str, spawns: bool) -> None:
    """Listed ones and the daemon's own; others start nothing and read nothing."""
    house = House(listener={"origins": origins}, failure_status=FailureStatus.REAL)
    asked = house.ask("POST", "/service", f"Origin: {origin}")
    assert bool(house.launcher.launches) is spawns
    if not spawns:
        assert asked.answer.status == 403
        assert "access-control-allow-origin" not in asked.answer.headers


def test_names_of_others() -> None:
    """A page whose own name leads here, and so is its own origin, starts nothing."""
    house = House(failure_status=FailureStatus.REAL)
    wire = house.ask("OPTIONS", "/service").wire
    wire.sent()
    wire.receive(b"POST /service HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\r\n")
    house.advance(0)
    assert Asked(house, wire).answer.status == 403


# -- who may -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("access", "lines", "status"),
    [
        (SpawnAccess.ORIGIN, (PAGE,), None),
        (SpawnAccess.ORIGIN, (), 401),
        (SpawnAccess.ORIGIN, ("Authorization: Bearer portal",), None),
        (SpawnAccess.ORIGIN, ("Authorization: Bearer reader",), 403),
        (SpawnAccess.ORIGIN, (PAGE, "Authorization: Bearer wrong"), 401),
        (SpawnAccess.TOKEN, (PAGE,), 401),
        (SpawnAccess.TOKEN, ("Authorization: Bearer portal",), None),
        (SpawnAccess.OPEN, (), None),
        (SpawnAccess.OPEN, ("Origin: http://evil.example",), 403),
        (SpawnAccess.OPEN, ("Sec-Fetch-Site: cross-site",), 403),
    ],
)
def test_access(access: SpawnAccess, lines: tuple[str, ...], status: int | None) -> None:
    """A page of a listed origin, a token, or anybody, as the operator says."""
    house = House(access=access, failure_status=FailureStatus.REAL)
    asked = house.ask("POST", "/service", *lines)
    assert (asked.told and asked.answer.status) == status
    assert bool(house.launcher.launches) is (status is None)


def test_ticket_in_the_path() -> None:
    """It opens one spawn, and its preflight does not use it up."""
    house = House(access=SpawnAccess.TOKEN, failure_status=FailureStatus.REAL)
    caller = Caller("portal", frozenset({Scope.READ, Scope.LAUNCH}), proven=True)
    ticket = house.tickets.issue("portal", caller).ticket
    house.ask("OPTIONS", f"/t/{ticket}/service", PAGE)
    asked = house.ask("POST", f"/t/{ticket}/service", PAGE)
    assert asked.told is None
    assert house.session.owner == "portal"
    assert house.ask("POST", f"/t/{ticket}/service", PAGE).answer.status == 401


def test_each_address_is_an_owner() -> None:
    """So the usual caps bound what one address has running."""
    house = House(caps=Caps(per_owner=1), failure_status=FailureStatus.REAL)
    house.ready()
    assert house.session.owner == "hoops:127.0.0.1"
    told = house.spawn().answer
    assert told.status == 429
    assert int(told.headers["retry-after"]) >= 1


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "lines", "status"),
    [
        (FailureStatus.AUTO, (SHIPPED,), 200),
        (FailureStatus.AUTO, (), 503),
        (FailureStatus.OK, (), 200),
        (FailureStatus.REAL, (SHIPPED,), 503),
    ],
)
def test_failure_status(setting: FailureStatus, lines: tuple[str, ...], status: int) -> None:
    """The shipped client shows a reason only with 200; others get the real status and when to ask again."""
    house = House(count=1, failure_status=setting)
    house.ready()
    told = house.spawn(b"", *lines).answer
    assert told.status == status
    assert told.json == {"result": "error", "status": "failed", "reason": "No ports available"}
    assert int(told.headers["retry-after"]) >= 1
    assert told.headers["access-control-allow-origin"] == "http://localhost"
    tutorial = house.spawn(b"", *lines, path="/spawn").answer
    assert (tutorial.status, tutorial.json) == (503, {"error": "No ports available"})


@pytest.mark.parametrize(
    ("code", "signal", "reason"),
    [
        (6, None, "launch failed: invalid licence, exit-code=6"),
        (7, None, "launch failed: invalid licence file, exit-code=7"),
        (0, None, "launch failed: it ended before it was ready, exit-code=0"),
        (99, None, "launch failed: unexpected exit, exit-code=99"),
        (None, 11, "launch failed: ended by signal SIGSEGV"),
        (None, 63, "launch failed: ended by signal 63"),
    ],
)
def test_exit_before_ready(code: int | None, signal: int | None, reason: str) -> None:
    """It is told at once, with what the code means, and where the output can be read."""
    house = House(failure_status=FailureStatus.REAL)
    asked = house.spawn()
    house.end(code, signal)
    told, session = asked.answer, house.session.id
    assert told.status == 500
    assert told.json["reason"] == reason
    assert (told.json["session"], told.json["log"]) == (session, f"/api/v1/sessions/{session}/log")


def test_disconnect_before_ready() -> None:
    """A program that says goodbye before it was ready has failed."""
    house = House(failure_status=FailureStatus.REAL)
    asked = house.spawn()
    house.report("disconnect")
    assert asked.answer.status == 500
    assert "disconnected" in asked.answer.json["reason"]


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("command not found: /opt/viewer", "launch failed: ENOENT"),
        ("command not executable: /opt/viewer", "launch failed: EACCES"),
        ("can't be started: Cannot allocate memory", "launch failed: ENOMEM"),
        ("/srv/secret is odd", "launch failed: it could not be started"),
        ("model: there is no such file", "launch failed: model: there is no such file"),
    ],
)
def test_cannot_start(cause: str, reason: str) -> None:
    """The name of the error is told, and no path."""
    house = House(failure_status=FailureStatus.REAL)
    house.launcher.script = FailsToStart(fails=cause)
    told = house.spawn().answer
    assert (told.status, told.json["reason"]) == (500, reason)


def test_kind_that_is_not_offered() -> None:
    """It is 403, and nothing starts."""
    house = House(renderings=(Rendering.CSR,), failure_status=FailureStatus.REAL)
    told = house.spawn({"class": "ssr_session"}).answer
    assert told.status == 403
    assert not house.launcher.launches


def test_answers_within_the_clients_time() -> None:
    """A program that is never ready: 504 by 55 s, and it is ended."""
    house = House(failure_status=FailureStatus.REAL)
    asked = house.spawn()
    house.advance(54.9)
    assert asked.told is None
    house.advance(0.2)
    assert (asked.answer.status, house.session.state) == (504, State.ENDED)
    assert house.session.reason is Reason.LAUNCH_TIMEOUT
    assert house.program.gone


def test_answers_though_the_store_hangs() -> None:
    """Whatever is stuck, the answer comes before the client gives up at 60 s, and nobody is left behind."""
    house = House(failure_status=FailureStatus.REAL)
    house.store.slow = True
    asked = house.spawn()
    house.advance(59)
    assert asked.answer.status == 504
    house.store.slow = False
    house.store.flush()
    house.advance(30)
    assert house.session.state is State.ENDED


def test_hang_up_takes_the_viewer_back() -> None:
    """A client that goes before the program is ready has it ended at once."""
    house = House()
    asked = house.spawn()
    asked.wire.vanish()
    house.advance(0)
    assert house.program.gone
    assert house.session.reason is Reason.CALLER_GONE


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
@pytest.mark.parametrize("path", [*ROUTES, "/spawn"])
def test_other_methods(method: str, path: str) -> None:
    """They start nothing."""
    house = House(failure_status=FailureStatus.REAL)
    wire = house.ask(method, path, PAGE).wire
    assert wire.sent().startswith(b"HTTP/1.1 405 ")
    assert not house.launcher.launches


def test_nothing_elsewhere() -> None:
    """Unknown paths are told in this wire's form."""
    told = House().ask("GET", "/nowhere").answer
    assert (told.status, told.json["reason"], told.json["result"]) == (404, "Not Found", "error")


def test_secrets_stay() -> None:
    """Neither the viewer's token nor the program's secret is in an answer that is not for it."""
    house = House()
    told = house.ready(body={"class": "csr_session", "params": {"sessionToken": "their-own"}})
    assert "their-own" not in json.dumps(told.json)
    assert house.session.child_secret not in json.dumps(told.json)
