"""Text between a client's WebSocket and a program: characters, wherever the program's pieces end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from sessiond.clock import SteadyClock
from sessiond.ports import Close, RelayLimits
from sessiond.tunnel.endpoint import EndpointConnection
from sessiond.tunnel.relay import ByteRelay, ClientSide
from sessiond.tunnel.text import Characters, TextSocket
from sessiond.ws.messages import TextTunnelSocket
from sessiond.ws.socket import Handing, tunnel_factory
from tests.contracts.relay import Reports
from tests.fakes.frames import BINARY, CLOSE, TEXT, Frames, frame, request
from tests.fakes.wires import Wire
from tests.tunnel.test_relay import unmask

LIMITS = RelayLimits(message_bytes=1000)


def ours(wire: Wire) -> Any:
    """Take a client over as the daemon does."""
    socket = wire.protocol = TextSocket(unmask, LIMITS.message_bytes)
    socket.makeConnection(wire)
    return socket


def reference(wire: Wire) -> Any:
    """Leave a client to Autobahn."""
    socket = wire.protocol = TextTunnelSocket()
    Handing(socket, tunnel_factory(LIMITS, wire.clock))
    socket.makeConnection(wire)
    socket.dataReceived(request("/"))
    wire.sent()
    return socket


class Joint:
    """A client and a program that speak text."""

    def __init__(self, make: Callable[[Wire], ClientSide]) -> None:
        clock = Clock()
        time = SteadyClock(clock, clock.seconds, 0.0)
        self.client, self.program, self.frames = Wire(clock), Wire(clock), Frames()
        self.relay = ByteRelay(make(self.client), LIMITS, time, Reports())
        endpoint = self.program.protocol = EndpointConnection(time)
        endpoint.makeConnection(self.program)
        self.relay.join(endpoint)

    def got(self) -> list[tuple[int, bytes]]:
        """Give what the client got since this was asked last."""
        return [(one.opcode, one.payload) for one in self.frames.read(self.client.sent())]


@pytest.fixture(params=[ours, reference])
def joint(request: pytest.FixtureRequest) -> Joint:
    """Give one of the two kinds of sockets."""
    return Joint(request.param)


def test_text_both_ways(joint: Joint) -> None:
    """A client may write either kind of message; a program's words come as text."""
    joint.client.receive(frame(TEXT, "grüß ".encode()) + frame(BINARY, b"dich\n"))
    assert joint.program.sent() == "grüß dich\n".encode()
    joint.program.receive("$ è".encode())
    assert joint.got() == [(TEXT, "$ è".encode())]


def test_a_character_in_two_pieces(joint: Joint) -> None:
    """Half a character waits for its other half; a piece that is nothing else sends nothing."""
    raw = "€".encode()
    joint.program.receive(b"1 " + raw[:1])
    joint.program.receive(raw[1:2])
    joint.program.receive(raw[2:] + b"!")
    assert joint.got() == [(TEXT, b"1 "), (TEXT, "€!".encode())]


def test_half_a_character_at_the_end(joint: Joint) -> None:
    """What never became a character is shown as such, in front of the close frame."""
    joint.program.receive("€".encode()[:2])
    joint.relay.cut(Close(4500, "exited"), 0.0)
    first, (last, _) = joint.got()
    assert first == (TEXT, "\N{REPLACEMENT CHARACTER}".encode())
    assert last == CLOSE


def test_text_of_a_client_that_is_none(joint: Joint) -> None:
    """A text message that is not UTF-8 is refused with 1007 (RFC 6455 section 8.1)."""
    joint.client.receive(frame(TEXT, b"\xff"))
    ((opcode, payload),) = joint.got()
    assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, 1007)


@given(st.binary(), st.lists(st.integers(0, 50)))
def test_any_split(data: bytes, sizes: list[int]) -> None:
    """However a program's output is cut, the same characters come out, and each piece of them is UTF-8."""
    characters, pieces, rest = Characters(), [], data
    for size in sizes:
        pieces.append(characters.take(rest[:size]).decode())
        rest = rest[size:]
    pieces.append(characters.take(rest, final=True).decode())
    assert "".join(pieces) == data.decode("utf-8", "replace")
