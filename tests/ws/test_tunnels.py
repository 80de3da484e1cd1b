"""Tunnels over real sockets, with Autobahn's own client and with clients that do what none should."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import SSL4ClientEndpoint, TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.ssl import CertificateOptions

from sessiond.core.events import Release
from sessiond.core.services import Plan
from sessiond.core.values import Clients, State
from sessiond.ports import RelayLimits
from tests.fakes.frames import BINARY, PING, TEXT, close, frame, request
from tests.reactor import within
from tests.ws.certificate import write_certificate
from tests.ws.served import Browser, Echo, Served, pause, until

Serve = Callable[..., Awaitable[Served]]
MIB = 1 << 20
LIMIT_S = 60.0


class AutobahnBrowser(WebSocketClientProtocol):
    """Autobahn's client, which keeps what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.got = bytearray()
        self.closed: tuple[bool, int, str] | None = None

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Keep it."""
        self.got += payload

    def onClose(self, wasClean: bool, code: Any, reason: Any) -> None:
        """Keep it."""
        self.closed = (wasClean, code, reason)


async def autobahn(served: Served, url: str, port: int, protocols: list[str]) -> AutobahnBrowser:
    """Open a tunnel by Autobahn's client."""
    from twisted.internet import reactor

    factory: Any = WebSocketClientFactory(url, protocols=protocols, reactor=reactor)
    factory.protocol = AutobahnBrowser
    factory.setProtocolOptions(openHandshakeTimeout=0, closeHandshakeTimeout=0, serverConnectionDropTimeout=0)
    browser: Any = await TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(factory)
    await browser.is_open
    return browser  # type: ignore[no-any-return]


@within(LIMIT_S)
@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_echo(serve: Serve, tmp_path: Path, kind: str) -> None:
    """Autobahn's client gets back from a program over TCP or a UNIX socket what it sends, also in large messages."""
    served = await serve(kind=Echo, socket_path=str(tmp_path / "s") if kind == "unix" else None)
    made = await served.reserve()
    url = f"ws://localhost:{served.port}/tunnel?token={made.token}"
    browser = await autobahn(served, url, served.port, ["binary"])
    assert browser.websocket_protocol_in_use == "binary"
    assert browser.websocket_extensions_in_use == []
    sent = os.urandom(3 * MIB)
    browser.sendMessage(b"", isBinary=True)
    browser.sendMessage(sent[:1], isBinary=True)
    browser.sendMessage(sent[1 : 2 * MIB], isBinary=True)
    browser.sendMessage(sent[2 * MIB :], isBinary=True)
    await until(lambda: len(browser.got) == len(sent))
    assert bytes(browser.got) == sent
    meters = served.tunnels.meters()
    assert (meters.open, meters.up_bytes, meters.down_bytes) == (1, len(sent), len(sent))
    assert served.broker.session(made.session.id).state is State.CONNECTED
    browser.sendClose(1000, "bye")
    await until(lambda: browser.closed is not None and served.tunnels.meters().open == 0)
    assert browser.closed == (True, 1000, "bye")
    assert served.broker.session(made.session.id).state is State.READY
    assert served.tunnels.meters().up_bytes == len(sent)


@within(LIMIT_S)
async def test_on_a_port_of_its_own(serve: Serve) -> None:
    """A listener for tunnels alone answers on any path, and refuses as the other does."""
    served = await serve(kind=Echo)
    made = await served.reserve()
    browser = await served.connect(request(f"/any/path?token={made.token}"), own=True)
    browser.wire.write(frame(BINARY, b"hello"))
    await until(lambda: browser.payload == b"hello")
    refused = await served.connect(request("/any/path?token=wrong"), own=True)
    await until(lambda: refused.status == 401)


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # Twisted 26.10 does
@within(LIMIT_S)
@pytest.mark.parametrize("kind", ["ssl", "unix"])
async def test_other_listeners(serve: Serve, tmp_path: Path, kind: str) -> None:
    """Over TLS and over a UNIX socket it is the same: early frames, both ways, a slow reader, and the end."""
    from twisted.internet import reactor

    served = await serve(limits=RelayLimits(close_s=600))  # nothing here ends by being dropped
    made = await served.reserve()
    if kind == "ssl":
        pem = write_certificate(tmp_path / "pem")
        port = await served.listen_at(f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}")
        where: Any = SSL4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port, CertificateOptions())
    else:
        await served.listen_at(f"unix:{tmp_path / 'listener'}")
        where = UNIXClientEndpoint(reactor, str(tmp_path / "listener"))
    browser = await served.connect_to(where, request(f"/?token={made.token}") + frame(BINARY, b"early "))
    await until(lambda: len(served.programs) == 1)
    (program,) = served.programs
    browser.wire.write(frame(BINARY, b"u" * MIB))
    await until(lambda: program.total == 6 + MIB)
    browser.wire.pauseProducing()
    program.wire.write(b"d" * (16 * MIB))
    await until_still(lambda: served.tunnels.meters().down_bytes)
    assert served.tunnels.meters().down_bytes < 16 * MIB
    browser.wire.resumeProducing()
    program.wire.loseConnection()
    await until(lambda: browser.closed is not None)
    assert len(browser.payload) == 16 * MIB
    browser.wire.write(close(1000))
    await until(lambda: browser.ended)


@within(LIMIT_S)
async def test_frames_in_the_segment_of_the_handshake(serve: Serve) -> None:
    """A client that does not wait for the answer loses nothing."""
    served = await serve(kind=Echo)
    made = await served.reserve()
    early = frame(BINARY, b"early ") + frame(BINARY, b"bird")[:7]
    browser = await served.connect(request(f"/tunnel?token={made.token}") + early)
    await until(lambda: browser.payload.startswith(b"early "))
    browser.wire.write(frame(BINARY, b"bird")[7:])
    await until(lambda: browser.payload == b"early bird")


@within(LIMIT_S)
@pytest.mark.parametrize(
    ("offered", "answered"),
    [("binary", True), ("base64, binary", True), ("base64", False), (None, False)],
)
async def test_subprotocols(serve: Serve, offered: str | None, answered: bool) -> None:
    """``binary`` is answered where it is offered, and nothing else."""
    served = await serve()
    made = await served.reserve()
    lines = [] if offered is None else [f"Sec-WebSocket-Protocol: {offered}"]
    browser = await served.open(made.token, *lines, "Sec-WebSocket-Extensions: permessage-deflate")
    head = browser.head.lower()
    assert (b"sec-websocket-protocol: binary" in head) is answered
    assert head.count(b"sec-websocket-protocol") == answered
    assert b"extensions" not in head
    assert b"server:" not in head


@within(LIMIT_S)
async def test_text_and_size(serve: Serve) -> None:
    """Over a real connection the code of a refusal reaches the client, also while it goes on sending."""
    served = await serve(limits=RelayLimits(message_bytes=1000), plan=Plan(clients=2))
    made = await served.reserve()
    text, large = await served.open(made.token), await served.open(made.token)
    text.wire.write(frame(TEXT, b"text") + frame(BINARY, b"x" * 900) * 100)
    large.wire.write(frame(BINARY, b"x" * MIB))
    await until(lambda: text.closed is not None and large.closed is not None)
    assert text.closed is not None
    assert text.closed.code == 1003
    assert large.closed is not None
    assert large.closed.code == 1009


@within(LIMIT_S)
async def test_a_dead_client(serve: Serve) -> None:
    """A client that reads and never answers a ping is closed with 4408, then dropped."""
    served = await serve(limits=RelayLimits(ping_s=0.05, pong_s=0.05, close_s=0.1))
    made = await served.reserve()
    browser = await served.open(made.token)
    await until(lambda: browser.lost)
    assert [one.opcode for one in browser.read[:1]] == [PING]
    assert browser.closed is not None
    assert browser.closed.code == 4408
    await until(lambda: served.broker.session(made.session.id).state is State.READY)


@within(LIMIT_S)
async def test_the_program_closes(serve: Serve) -> None:
    """All that a program sent before it closed arrives, and then the reason, with a fixed endpoint 1000."""
    served = await serve()
    made = await served.reserve()
    browser = await served.open(made.token)
    (program,) = served.programs
    program.wire.write(b"x" * MIB)
    program.wire.loseConnection()
    await until(lambda: browser.closed is not None)
    assert browser.payload == b"x" * MIB
    assert browser.closed is not None
    assert browser.closed.code == 1000
    browser.wire.write(close(1000))
    await until(lambda: browser.lost)


@within(LIMIT_S)
async def test_the_program_half_closes(serve: Serve) -> None:
    """The end of what a program sends is its end: WebSockets have no half of one."""
    served = await serve()
    made = await served.reserve()
    browser = await served.open(made.token)
    (program,) = served.programs
    program.wire.write(b"all")
    program.wire.loseWriteConnection()
    await until(lambda: browser.closed is not None)
    assert browser.payload == b"all"
    await until(lambda: program.lost)


@within(LIMIT_S)
async def test_the_client_closes(serve: Serve) -> None:
    """All that a client sent before it closed arrives, and then the end of it."""
    served = await serve()
    made = await served.reserve()
    browser = await served.open(made.token)
    (program,) = served.programs
    browser.wire.write(frame(BINARY, b"x" * MIB) + close(1000))
    await until(lambda: program.ended)
    assert program.total == MIB
    assert not program.lost
    await until(lambda: browser.lost)
    assert browser.closed is not None
    program.wire.loseConnection()
    await until(lambda: served.tunnels.meters().open == 0)


@within(LIMIT_S)
async def test_nobody_listens(serve: Serve) -> None:
    """A client whose program can't be reached is told so after the upgrade, with 4502."""
    served = await serve()
    made = await served.reserve()
    await served._ports[0].stopListening()
    browser = await served.connect(request(f"/tunnel?token={made.token}"))
    await until(lambda: browser.closed is not None)
    assert browser.closed is not None
    assert (browser.closed.code, browser.closed.text) == (4502, "unreachable")


@within(LIMIT_S)
async def test_a_second_client(serve: Serve) -> None:
    """Where one client is allowed, the next is refused before the upgrade, and may come when the first has gone."""
    served = await serve(kind=Echo)
    made = await served.reserve()
    first = await served.open(made.token)
    second = await served.connect(request(f"/tunnel?token={made.token}"))
    await until(lambda: second.status == 409)
    assert second.problem["code"] == "already-connected"
    first.wire.abortConnection()
    await until(lambda: served.broker.session(made.session.id).state is State.READY)
    third = await served.open(made.token)
    third.wire.write(frame(BINARY, b"mine"))
    await until(lambda: third.payload == b"mine")


@within(LIMIT_S)
async def test_takeover(serve: Serve) -> None:
    """Where the newcomer wins, the old client is told 4409 and the new one is carried."""
    served = await serve(kind=Echo, plan=Plan(clients=Clients.TAKEOVER))
    made = await served.reserve()
    old = await served.open(made.token)
    new = await served.open(made.token)
    await until(lambda: old.closed is not None)
    assert old.closed is not None
    assert old.closed.code == 4409
    new.wire.write(frame(BINARY, b"mine"))
    await until(lambda: new.payload == b"mine")


@within(LIMIT_S)
async def test_released(serve: Serve) -> None:
    """When its session is ended, a client is told with 4410, and its token opens nothing any more."""
    served = await serve()
    made = await served.reserve()
    browser = await served.open(made.token)
    await served.broker.dispatch(made.session.id, Release())
    await until(lambda: browser.closed is not None)
    assert browser.closed is not None
    assert (browser.closed.code, browser.closed.text) == (4410, "released")
    again = await served.connect(request(f"/tunnel?token={made.token}"))
    await until(lambda: again.status == 401)


@within(LIMIT_S)
async def test_closing_all(serve: Serve) -> None:
    """When the daemon stops, clients are told 1001, and nobody is let in any more."""
    served = await serve(limits=RelayLimits(close_s=0.1))
    made = await served.reserve()
    browser = await served.open(made.token)
    await served.tunnels.close()
    assert browser.closed is not None
    assert browser.closed.code == 1001
    late = await served.connect(request(f"/tunnel?token={made.token}"))
    await until(lambda: late.status == 503)


class SlowBrowser(Browser):
    """A client that does not read what comes behind the handshake."""

    def dataReceived(self, data: bytes) -> None:
        """Stop reading at the first frame."""
        super().dataReceived(data)
        self.keeps = False
        self.wire.pauseProducing()


@within(LIMIT_S)
async def test_a_client_that_does_not_read(serve: Serve) -> None:
    """A program that sends without end to a client that reads nothing is held up; memory stays bounded."""
    served = await serve(limits=RelayLimits(stall_s=600))
    made = await served.reserve()
    browser = await served.connect(request(f"/tunnel?token={made.token}"), kind=SlowBrowser)
    await until(lambda: len(served.programs) == 1)
    (program,) = served.programs
    program.wire.write(b"x" * (64 * MIB))
    await until_still(lambda: served.tunnels.meters().down_bytes)
    (relay,) = [tunnel._relay for tunnel in served.tunnels._there]
    transport = relay._client.transport
    assert len(transport.dataBuffer) + transport._tempDataLen < 512 * 1024
    assert served.tunnels.meters().down_bytes < 32 * MIB
    browser.wire.resumeProducing()
    browser.dataReceived = lambda data: Browser.dataReceived(browser, data)  # type: ignore[method-assign]
    await until(lambda: browser.total > 64 * MIB)
    assert served.tunnels.meters().down_bytes == 64 * MIB


@within(LIMIT_S)
async def test_a_program_that_does_not_read(serve: Serve) -> None:
    """A client that sends without end to a program that reads nothing is held up; memory stays bounded."""
    served = await serve(limits=RelayLimits(stall_s=600))
    made = await served.reserve()
    browser = await served.open(made.token)
    (program,) = served.programs
    program.wire.pauseProducing()
    program.keeps = False
    browser.wire.write(frame(BINARY, b"x" * MIB) * 64)
    await until_still(lambda: served.tunnels.meters().up_bytes)
    (relay,) = [tunnel._relay for tunnel in served.tunnels._there]
    transport = relay._endpoint._transport
    assert len(transport.dataBuffer) + transport._tempDataLen < 512 * 1024
    assert served.tunnels.meters().up_bytes < 32 * MIB
    program.wire.resumeProducing()
    await until(lambda: program.total == 64 * MIB)


@within(LIMIT_S)
async def test_a_client_that_stalls(serve: Serve) -> None:
    """A client that takes nothing for too long loses its place."""
    served = await serve(limits=RelayLimits(stall_s=0.2, close_s=0.1))
    made = await served.reserve()
    await served.connect(request(f"/tunnel?token={made.token}"), kind=SlowBrowser)
    await until(lambda: len(served.programs) == 1)
    served.programs[0].wire.write(b"x" * (64 * MIB))
    await until(lambda: served.broker.session(made.session.id).state is State.READY)
    await until(lambda: served.tunnels.meters().open == 0)


async def until_still(value: Callable[[], int]) -> None:
    """Wait until a number has grown and then stays as it is for a while."""
    await until(lambda: value() > 0)
    before = -1
    for _ in range(100):
        if value() == before:
            return
        before = value()
        await pause(0.3)
    raise AssertionError("it goes on")


@within(LIMIT_S)
@pytest.mark.parametrize("way", ["program ends", "program resets", "client closes", "client vanishes", "released"])
async def test_a_port_can_be_taken_again(serve: Serve, way: str) -> None:
    """However a tunnel ended, the program's port can be bound at once, without SO_REUSEADDR and on every address."""
    served = await serve(limits=RelayLimits(close_s=0.2))
    made = await served.reserve()
    browser = await served.open(made.token)
    (program,) = served.programs
    browser.wire.write(frame(BINARY, b"up"))
    program.wire.write(b"down")
    await until(lambda: program.total == 2 and browser.payload == b"down")
    if way == "program ends":
        program.wire.loseConnection()
    elif way == "program resets":
        program.wire.abortConnection()
    elif way == "client closes":
        browser.wire.write(close(1000))
    elif way == "client vanishes":
        browser.wire.abortConnection()
    else:
        await served.broker.dispatch(made.session.id, Release())
    await until(lambda: program.ended)
    program.wire.loseConnection()
    await until(lambda: program.lost)
    port = served.target.port
    await maybeDeferred(served._ports[0].stopListening)
    with socket.socket(socket.AF_INET6) as both:
        both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        await until(lambda: _binds(both, port), 2.0)


def _binds(end: socket.socket, port: int | None) -> bool:
    try:
        end.bind(("::", port or 0))
    except OSError:
        return False
    return True
