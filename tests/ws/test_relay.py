"""The relay on Autobahn's message calls."""

from sessiond.ports import Clock, Relayed, RelayLimits, RelayListener
from sessiond.tunnel.relay import ByteRelay
from sessiond.ws.socket import Handing, TunnelSocket, tunnel_factory
from tests.contracts.relay import RelayContract
from tests.fakes.frames import ACCEPT, request
from tests.fakes.wires import Wire


class TestAutobahnRelay(RelayContract):
    """The contract of relays."""

    def make(self, wire: Wire, early: bytes, limits: RelayLimits, clock: Clock, listener: RelayListener) -> Relayed:
        """Have Autobahn shake hands over the wire."""
        socket = TunnelSocket()
        Handing(socket, tunnel_factory(limits, wire.clock))
        wire.protocol = socket
        socket.makeConnection(wire)
        socket.dataReceived(request("/"))
        assert ACCEPT.encode() in wire.sent()
        relay = ByteRelay(socket, limits, clock, listener)
        if early:
            socket.dataReceived(early)
        return relay
