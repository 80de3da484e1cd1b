"""The tunnel of the dialect: which session a client means, and in what words it is closed."""

from __future__ import annotations

import pytest
from attrs import evolve
from twisted.internet.error import ConnectionDone

from sessiond.core.events import Failed, Release
from sessiond.core.values import Reason, State
from tests.dialects.nexus.house import PLAN, House, Told, logged, told
from tests.fakes.frames import BINARY, PING, PONG, TEXT, close, frame, payload_of, request
from tests.fakes.launchers import ByHand, DiesAtOnce, FailsToStart, NeverReady
from tests.fakes.wires import Wire
from tests.ws.indoors import Visitor

HELD_BYTES = 64 * 1024


def test_service_mode() -> None:
    """The first connection starts the service; the path counts for nothing, and bytes flow both ways as they are."""
    for path in ("/websockify", "/", "/any/path/at/all"):
        house = House()
        token = house.token()
        assert house.launcher.children == {}
        viewer = house.view(f"?token={token}", path=path)
        assert viewer.status == 101
        house.advance(0)
        program = house.answer_dial()
        program.receive(b"RFB 003.008\n")
        assert payload_of(viewer.look().read) == b"RFB 003.008\n"
        viewer.send(frame(BINARY, b"RFB 003.008\n"))
        assert program.sent() == b"RFB 003.008\n"
        assert house.session(token).state is State.CONNECTED


@pytest.mark.parametrize("target", [True, False])
@pytest.mark.parametrize("token", ["unknown", "a" * 300, "%ff"])
def test_an_unknown_token(target: bool, token: str) -> None:
    """It is greeted and closed, and never falls back to the fixed target."""
    house = House(target=target)
    viewer = house.view(f"?token={token}")
    assert viewer.status == 101
    assert viewer.closed == (4404, "token unknown, expired or released")
    assert house.dials == 0


def test_basic_mode() -> None:
    """Without a token each connection has a session and a connection of its own; cookies are not looked at."""
    house = House(target=True)
    token = house.token()
    for number, lines in enumerate(((), (f"Cookie: token={token}",))):
        viewer = house.view("?instance_name=X", *lines)
        assert viewer.status == 101
        assert house.dials == number + 1
        assert house.reactor.tcpClients[-1][:2] == ("127.0.0.1", 5900)
        house.answer_dial().receive(b"hello")
        assert payload_of(viewer.look().read) == b"hello"
    assert house.session(token).state is State.RESERVED
    third = house.view()
    assert third.closed == (4503, "no slot is free")


def test_basic_mode_leaves_nothing() -> None:
    """A session of a connection ends with it."""
    house = House(target=True)
    for _ in range(5):
        viewer = house.view()
        house.answer_dial()
        viewer.wire.vanish()
        house.advance(10)
    assert {session.state for session in house.broker.sessions()} == {State.ENDED}
    assert house.tunnels.meters().open == 0


def test_a_fixed_target_that_is_not_there() -> None:
    """The client hears so, and no session is left."""
    house = House(target=True)
    viewer = house.view()
    house.refuse_dial()
    house.advance(0)
    assert viewer.closed == (4502, "could not connect to the target")
    viewer.wire.vanish()
    house.advance(1)
    assert [session.state for session in house.broker.sessions()] == [State.ENDED]


def test_a_cookie() -> None:
    """Without a token and a fixed target, a cookie that names a live reservation is as good as a token."""
    house = House()
    token = house.token()
    viewer = house.view("", f"Cookie: a=b; token={token}; c=d")
    house.advance(0)
    house.answer_dial()
    assert (viewer.status, viewer.closed) == (101, None)
    assert house.session(token).state is State.CONNECTED


@pytest.mark.parametrize("lines", [(), ("Cookie: token=stale",), ("Cookie: token=",), ("Cookie: tokens=x",)])
def test_nothing_named(lines: tuple[str, ...]) -> None:
    """Who names nothing that is there, where there is no fixed target, is told so."""
    assert House().view("", *lines).closed == (4400, "no token, and no fixed target here")


def test_one_connection_for_a_token() -> None:
    """A second one is closed, and does no harm to the first."""
    house = House()
    token = house.token()
    first = house.view(f"?token={token}")
    house.advance(0)
    house.answer_dial()
    second = house.view(f"?token={token}")
    assert second.closed == (4409, "this token already has a connection")
    second.wire.vanish()
    house.advance(1)
    assert (first.closed, house.session(token).state) == (None, State.CONNECTED)


@pytest.mark.parametrize("before", ["the program is ready", "bytes flow"])
def test_a_lost_connection_ends_the_service(before: str) -> None:
    """One reservation is one connection's life: its token dies with it, however early that was."""
    house = House()
    token = house.token()
    house.launcher.script = NeverReady() if before == "the program is ready" else house.launcher.script
    viewer = house.view(f"?token={token}")
    session_id = house.session(token).id
    if before == "bytes flow":
        house.advance(0)
        house.answer_dial()
    viewer.wire.vanish()
    house.advance(10)
    assert house.broker.session(session_id).state is State.ENDED
    assert house.view(f"?token={token}").closed == (4404, "token unknown, expired or released")


def test_reconnect_grace() -> None:
    """With a grace of ours, a viewer that was dropped finds its session again."""
    house = House(plan=evolve(PLAN, limits=evolve(PLAN.limits, linger_s=30.0)))
    token = house.token()
    viewer = house.view(f"?token={token}")
    house.advance(0)
    house.answer_dial()
    viewer.wire.vanish()
    house.advance(29)
    again = house.view(f"?token={token}")
    house.advance(0)
    house.answer_dial()
    assert (again.status, again.closed) == (101, None)
    again.wire.vanish()
    session_id = house.session(token).id
    house.advance(45)
    assert house.broker.session(session_id).reason is Reason.LINGERED


# -- the handshake ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, None),
        ("binary", "binary"),
        ("binary, base64", "binary"),
        ("base64,  binary ", "binary"),
        ("base64", None),
        ("chat, superchat", None),
        ("Binary", None),
    ],
)
def test_subprotocols(offered: str | None, chosen: str | None) -> None:
    """The one that is spoken is answered wherever it stands, no other ever is, and all are let in."""
    house = House(target=True)
    lines = () if offered is None else (f"Sec-WebSocket-Protocol: {offered}",)
    viewer = house.view("", *lines)
    answered = [line for line in viewer.head.decode().split("\r\n") if line.startswith("Sec-WebSocket-Protocol")]
    assert viewer.status == 101
    assert answered == ([] if chosen is None else [f"Sec-WebSocket-Protocol: {chosen}"])


def test_no_compression() -> None:
    """An extension that is offered is not taken up."""
    viewer = House(target=True).view("", "Sec-WebSocket-Extensions: permessage-deflate")
    assert b"extensions" not in viewer.head.lower()


def test_unknown_subprotocols_are_logged() -> None:
    """Somebody who wonders why a browser hung up finds what it had offered."""
    with logged() as lines:
        House(target=True).view("", "Sec-WebSocket-Protocol: chat")
    assert any("subprotocols: chat" in line for line in lines)


def plain(house: House, raw: bytes) -> Told:
    """Send something to the tunnel's port, and give the answer."""
    wire = Wire(house.reactor)
    wire.protocol = house.site.buildProtocol(wire.getPeer())
    wire.protocol.makeConnection(wire)
    wire.receive(raw)
    house.advance(0)
    return told(wire.sent())


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"POST /websockify HTTP/1.1", b"GET /v1/status HTTP/1.1"])
def test_plain_http(line: bytes) -> None:
    """This port speaks WebSocket only, and says so in one line."""
    told = plain(House(), line + b"\r\nHost: localhost\r\n\r\n")
    assert (told.status, told.phrase, told.headers["upgrade"]) == (426, "Upgrade Required", "websocket")
    assert told.body == b"This port speaks WebSocket only.\n"
    assert told.headers["content-type"].startswith("text/plain")


def test_a_broken_handshake() -> None:
    """Who speaks another version learns which is spoken."""
    told = plain(House(target=True), request("/").replace(b"Version: 13", b"Version: 8"))
    assert (told.status, told.headers["sec-websocket-version"]) == (400, "13")


def test_origins() -> None:
    """All pages may connect; once the operator has named some, only those may, and programs."""
    page = "Origin: https://portal.example.org"
    assert House(target=True).view("", "Origin: https://anywhere.example").status == 101
    house = House(target=True, listener={"origins": ("https://portal.example.org",)})
    assert house.view("", page).status == 101
    assert house.view("", "Origin: https://evil.example").status == 403
    assert house.view("").status == 101


def test_added_headers() -> None:
    """What the operator adds stands in the handshake too, and in what refuses one."""
    house = House(target=True, listener={"headers": (("instance_name", "N"), ("X-Other", "1"))})
    assert b"\r\ninstance_name: N\r\n" in house.view().head + b"\r\n"
    assert plain(house, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").headers["instance_name"] == "N"


# -- what is carried -------------------------------------------------------------------------------------------------


def test_text_frames() -> None:
    """Bytes can't come as text."""
    house = House(target=True)
    viewer = house.view()
    viewer.send(frame(TEXT, b"hello"))
    closed = viewer.closed
    assert closed is not None
    assert closed[0] == 1003


def test_early_data() -> None:
    """What comes before the program is there is held, 64 KiB of it; then the client is not read any more."""
    house = House()
    house.launcher.script = ByHand()
    token = house.token()
    viewer = house.view(f"?token={token}")
    viewer.send(frame(BINARY, b"a" * (HELD_BYTES - 1)))
    assert not viewer.wire.paused
    viewer.send(frame(BINARY, b"b"))
    assert viewer.wire.paused
    child = house.program(token)
    child.start()
    child.become_ready()
    house.advance(0)
    assert house.answer_dial().sent() == b"a" * (HELD_BYTES - 1) + b"b"
    assert not viewer.wire.paused


def test_data_in_one_segment_with_the_handshake() -> None:
    """A client need not wait for the answer."""
    house = House(target=True)
    house.visit(request("/") + frame(BINARY, b"early"))
    assert house.answer_dial().sent() == b"early"


def test_pings() -> None:
    """A client is pinged every 20 seconds from the handshake on, while its program starts too."""
    house = House()
    house.launcher.script = NeverReady()
    viewer = house.view(f"?token={house.token()}")
    for count in range(1, 3):
        house.advance(20.5)
        assert [one.opcode for one in viewer.look().read] == [PING] * count
        viewer.send(frame(PONG))


def test_a_silent_client() -> None:
    """A ping that nobody answers for 60 seconds ends it."""
    house = House(target=True)
    viewer = house.view()
    house.answer_dial()
    house.advance(79)
    assert viewer.closed is None
    house.advance(2)
    closed = viewer.closed
    assert closed is not None
    assert closed[0] == 4408


# -- how it ends -----------------------------------------------------------------------------------------------------


def connected(house: House) -> tuple[str, Visitor, Wire]:
    """Give a token, its viewer and its program, with bytes flowing."""
    token = house.token()
    viewer = house.view(f"?token={token}")
    house.advance(0)
    return token, viewer, house.answer_dial()


def test_the_target_ends() -> None:
    """What it sent is delivered, then the client is closed as after any normal end."""
    house = House(target=True)
    viewer = house.view()
    program = house.answer_dial()
    program.receive(b"last words")
    program.end()
    house.advance(0)
    assert payload_of(viewer.look().read) == b"last words"
    assert viewer.closed == (1000, "closed by the application")


@pytest.mark.parametrize(
    ("code", "signal", "words"),
    [
        (3, None, "the program ended with status 3"),
        (None, 9, "the program was ended by signal 9"),
        (0, None, "the application ended with status 0"),
    ],
)
def test_the_application_ends(code: int | None, signal: int | None, words: str) -> None:
    """The client hears with what status or by which signal, and the slot is free at once."""
    house = House()
    token, viewer, _ = connected(house)
    house.program(token).exit(code, signal)
    house.advance(0)
    assert viewer.closed == (4500, words)
    viewer.wire._lose(ConnectionDone())
    house.advance(1)
    assert house.status()["local_envision"][0]["token"] == ""


def test_the_start_fails() -> None:
    """The cause reaches the client."""
    early = "the program ended with status 1 before it was ready"
    for script, words in ((FailsToStart(), None), (DiesAtOnce(), early)):
        house = House()
        house.launcher.script = script
        token = house.token()
        viewer = house.view(f"?token={token}")
        house.advance(1)
        closed = viewer.closed
        assert closed is not None
        assert closed[0] == 4503
        assert closed[1] == words or (words is None and closed[1] not in ("", "launch-failed"))


def test_the_start_takes_too_long() -> None:
    """It has its limit, however long the client would wait."""
    house = House()
    house.launcher.script = NeverReady()
    viewer = house.view(f"?token={house.token()}")
    for _ in range(6):
        house.advance(10)
        viewer.send(frame(PONG))
    house.advance(1)
    assert viewer.closed == (4504, "the start timed out")


def test_the_daemon_stops() -> None:
    """Clients are told that the server stops, greeted ones that wait for a program too."""
    house = House()
    _, viewer, _ = connected(house)
    house.launcher.script = NeverReady()
    waiting = house.view(f"?token={house.token()}")
    house.tunnels.close()
    house.advance(0)
    assert viewer.closed == waiting.closed == (1001, "Server is stopping")


def test_a_client_that_comes_while_the_daemon_stops() -> None:
    """It is greeted, and told so."""
    house = House(target=True)
    house.tunnels.close()
    assert house.view().closed == (1001, "shutting-down")


def test_the_session_ends_while_the_client_is_admitted() -> None:
    """A release that comes first wins, and the client hears of it."""
    house = House()
    token = house.token()
    session_id = house.session(token).id
    house.store.slow = True
    viewer = house.view(f"?token={token}")
    assert viewer.status == 101
    house.broker.dispatch(session_id, Release())
    house.store.flush()
    house.store.slow = False
    house.advance(1)
    closed = viewer.closed
    assert closed is not None
    assert closed[0] in (4404, 4410)


def test_a_client_that_goes_while_it_is_admitted() -> None:
    """Nothing of it is left."""
    for target in (True, False):
        house = House(target=target)
        query = "" if target else f"?token={house.token()}"
        house.store.slow = True
        viewer = house.view(query)
        viewer.send(close(1000))
        viewer.wire.vanish()
        house.store.slow = False
        house.store.flush()
        house.advance(20)
        assert {session.state for session in house.broker.sessions()} == {State.ENDED}
        assert house.tunnels.meters().open == 0


def test_nothing_can_be_recorded() -> None:
    """A connection whose session can't be recorded is closed as our fault."""
    house = House(target=True)
    house.store.broken = True
    closed = house.view().closed
    assert closed is not None
    assert closed[0] == 1011


def test_causes_are_cut() -> None:
    """A cause of any length fits a close frame, and no line break gets into it."""
    house = House()
    token, viewer, _ = connected(house)
    session_id = house.session(token).id
    house.broker.dispatch(session_id, Failed("é\n" * 100))
    house.advance(0)
    closed = viewer.closed
    assert closed is not None
    assert closed[0] == 4503
    assert len(closed[1].encode()) <= 123
    assert "\n" not in closed[1]
