"""The relay that reads and writes frames itself."""

from sessiond.ports import Clock, Relayed, RelayLimits, RelayListener
from sessiond.tunnel.frames import FrameReader
from sessiond.tunnel.relay import ByteRelay
from sessiond.tunnel.socket import FrameSocket
from tests.contracts.relay import RelayContract
from tests.fakes.wires import Wire


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Unmask byte by byte."""
    return bytes(byte ^ mask[at & 3] for at, byte in enumerate(payload))


class TestFrameRelay(RelayContract):
    """The contract of relays."""

    def make(self, wire: Wire, early: bytes, limits: RelayLimits, clock: Clock, listener: RelayListener) -> Relayed:
        """Take the wire over behind a handshake."""
        socket = FrameSocket(FrameReader(unmask, limits.message_bytes))
        wire.protocol = socket
        socket.makeConnection(wire)
        relay = ByteRelay(socket, limits, clock, listener)
        if early:
            socket.dataReceived(early)
        return relay
