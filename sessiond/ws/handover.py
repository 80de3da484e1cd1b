"""After the handshake: the connection goes from Autobahn to sockets of our own that read frames themselves."""

from __future__ import annotations

from typing import Any

from autobahn.websocket.xormasker import create_xor_masker  # type: ignore[attr-defined]
from twisted.protocols.policies import ProtocolWrapper

from sessiond.ports import RelayLimits
from sessiond.tunnel.frames import FrameReader
from sessiond.tunnel.socket import FrameSocket
from sessiond.ws.socket import TunnelSocket


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Unmask with Autobahn's native code, which takes some microseconds a call and hardly anything a byte."""
    clear: bytes = create_xor_masker(mask, len(payload)).process(payload)  # type: ignore[no-untyped-call]
    return clear


def take_over(shaken: TunnelSocket, limits: RelayLimits) -> FrameSocket:
    """Put a socket of our own in the place of Autobahn's, whose handshake is done and who has read nothing else."""
    channel, shaken.channel = shaken.channel, None
    # The HTTP channel's own bookkeeping, such as the listener's count of connections, goes on to the connection's end.
    lost = (lambda reason: None) if channel is None else channel.connectionLost
    socket = FrameSocket(FrameReader(unmask, limits.message_bytes), lost)
    transport: Any = shaken.transport
    # TLS lies between as a protocol of its own: the transport itself, or what it talks to.
    layers = (transport, getattr(transport, "protocol", None))
    wrapper = next((layer for layer in layers if isinstance(layer, ProtocolWrapper)), None)
    if wrapper is not None:
        wrapper.wrappedProtocol = socket
    else:
        transport.protocol = socket
    socket.makeConnection(transport)  # type: ignore[no-untyped-call]
    return socket
