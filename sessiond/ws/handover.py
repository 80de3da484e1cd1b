"""After the handshake: the connection goes from Autobahn to sockets of our own that read frames themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.websocket.xormasker import create_xor_masker  # type: ignore[attr-defined]
from twisted.internet.protocol import Protocol
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.server import Request

from sessiond.core.errors import Refused
from sessiond.ports import Close, RelayLimits
from sessiond.tunnel.frames import FrameReader
from sessiond.tunnel.framing import Carried, Rules, Stream
from sessiond.tunnel.messages import MessageReader, MessageSocket
from sessiond.tunnel.passthrough import RawSocket
from sessiond.tunnel.socket import FrameSocket
from sessiond.tunnel.tcp import tune
from sessiond.tunnel.text import TextSocket
from sessiond.web.answers import Answer, written
from sessiond.web.outcomes import refusal_of_cut
from sessiond.ws.socket import TunnelSocket


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Unmask with Autobahn's native code, which takes some microseconds a call and hardly anything a byte."""
    clear: bytes = create_xor_masker(mask, len(payload)).process(payload)  # type: ignore[no-untyped-call]
    return clear


def take_over(shaken: TunnelSocket, limits: RelayLimits, carries: Carried = Stream.BYTES) -> FrameSocket:
    """Put a socket of our own in the place of Autobahn's, whose handshake is done and who has read nothing else."""
    channel, shaken.channel = shaken.channel, None
    # The HTTP channel's own bookkeeping, such as the listener's count of connections, goes on to the connection's end.
    lost = (lambda reason: None) if channel is None else channel.connectionLost
    socket = _socket(carries, limits, lost)
    put_in_place(shaken.transport, socket)
    return socket


def _socket(carries: Carried, limits: RelayLimits, lost: Callable[[Failure], object]) -> FrameSocket:
    if isinstance(carries, Rules):
        return MessageSocket(MessageReader(unmask, carries), carries, lost)
    if carries is Stream.TEXT:
        return TextSocket(unmask, limits.message_bytes, lost)
    return FrameSocket(FrameReader(unmask, limits.message_bytes), lost)


def seize(request: Request, limits: RelayLimits, head: bytes, refusal: Callable[[Refused], Answer]) -> RawSocket:
    """Take a request's connection from the HTTP channel, so that the program can answer it.

    :param head: of the request that the program gets.
    :param refusal: gives what the client is answered if the program does not take its connection.
    """
    channel: Any = request.channel
    transport, channel.transport = channel.transport, None
    # The HTTP channel is the transport's producer; ours could not be registered beside it.
    transport.unregisterProducer()
    channel.requests.clear()
    added = {**dict(channel.site.headers), "Connection": "close"}

    def unanswered(close: Close) -> bytes:
        return written(refusal(refusal_of_cut(close)).having(added))

    socket = RawSocket(head, unanswered, channel.connectionLost)
    put_in_place(transport, socket)
    tune(transport, limits)
    transport.resumeProducing()
    return socket


def lines_of(request: Request) -> list[tuple[bytes, bytes]]:
    """Give the headers of a request one by one."""
    headers = request.requestHeaders.getAllRawHeaders()
    return [(name, value) for name, values in headers for value in values]


def put_in_place(transport: Any, socket: Protocol) -> None:
    """Have a connection tell a socket of ours what comes, and nobody else."""
    # TLS lies between as a protocol of its own: the transport itself, or what it talks to.
    layers = (transport, getattr(transport, "protocol", None))
    wrapper = next((layer for layer in layers if isinstance(layer, ProtocolWrapper)), None)
    if wrapper is not None:
        wrapper.wrappedProtocol = socket
    else:
        transport.protocol = socket
    socket.makeConnection(transport)
