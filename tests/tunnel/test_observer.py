"""An observer of a tunnel that carries bytes."""

from __future__ import annotations

from sessiond.ports import Clock, Direction, Relayed, RelayLimits, RelayListener
from sessiond.tunnel.frames import FrameReader
from sessiond.tunnel.relay import ByteRelay
from sessiond.tunnel.socket import FrameSocket
from tests.contracts.relay import EPOCH, Joint
from tests.fakes.frames import BINARY, PING, close, frame, payload_of
from tests.fakes.wires import Wire
from tests.reactor import LoggedFailures
from tests.tunnel.test_relay import unmask


class Watched:
    """Makes relays that one observer sees.

    :ivar seen: what it saw; ``fails`` whether it raises then.
    """

    def __init__(self, *, fails: bool = False) -> None:
        self.seen: list[tuple[Direction, bytes, float]] = []
        self.fails = fails

    def observe(self, direction: Direction, payload: bytes, at: float) -> None:
        """See something."""
        self.seen.append((direction, payload, at))
        if self.fails:
            raise RuntimeError("a mistake")

    def make(self, wire: Wire, early: bytes, limits: RelayLimits, clock: Clock, listener: RelayListener) -> Relayed:
        """Make a relay."""
        socket = FrameSocket(FrameReader(unmask, limits.message_bytes))
        wire.protocol = socket
        socket.makeConnection(wire)
        return ByteRelay(socket, limits, clock, listener, self.observe)


def test_observed() -> None:
    """It sees payload with direction and instant, what was held too, and nothing that is not carried."""
    watched = Watched()
    joint = Joint(watched.make)
    joint.client_sends(frame(BINARY, b"held"))
    joint.join()
    joint.advance(1)
    joint.client_sends(frame(PING, b"?"), frame(BINARY, b"up"))
    joint.advance(1)
    joint.program.receive(b"down")
    joint.client_sends(close(1000))
    joint.program.receive(b"late")
    assert watched.seen == [
        (Direction.UP, b"held", EPOCH),
        (Direction.UP, b"up", EPOCH + 1),
        (Direction.DOWN, b"down", EPOCH + 2),
    ]


def test_one_that_raises(logged_failures: LoggedFailures) -> None:
    """It is not asked again, and nothing of it shows at either end."""
    watched = Watched(fails=True)
    joint = Joint(watched.make).join()
    joint.client_sends(frame(BINARY, b"up"))
    joint.program.receive(b"down")
    assert joint.program.sent() == b"up"
    assert payload_of(joint.client_got()) == b"down"
    assert len(watched.seen) == 1
    assert len(logged_failures.take(RuntimeError)) == 1
