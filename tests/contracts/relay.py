"""What every relay does: the contract of ``sessiond.ports.Relayed``, read at the two connections that it joins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, evolve, field
from twisted.internet.task import Clock

from sessiond.clock import SteadyClock
from sessiond.core.values import End
from sessiond.ports import Clock as ClockPort
from sessiond.ports import Close, Relayed, RelayLimits, RelayListener
from sessiond.tunnel.endpoint import EndpointConnection
from sessiond.tunnel.relay import HELD_PIECES
from tests.fakes.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, Frames, close, frame, payload_of
from tests.fakes.wires import Wire

EPOCH = 1000.0
LIMITS = RelayLimits(held_bytes=100, message_bytes=1000, ping_s=20, pong_s=10, stall_s=60, close_s=5)

MakeRelay = Callable[[Wire, bytes, RelayLimits, ClockPort, RelayListener], Relayed]
"""Makes a relay for a client whose handshake is done, with what was read behind it."""


@define
class Reports:
    """What a relay has reported."""

    ends: list[tuple[End, str]] = field(factory=list)
    overs: list[Close] = field(factory=list)

    def closed(self, end: End, detail: str) -> None:
        """Keep it."""
        assert not self.overs
        self.ends.append((end, detail))

    def over(self, close: Close) -> None:
        """Keep it."""
        assert self.ends
        self.overs.append(close)


class Joint:
    """A relay with the two wires that it stands between."""

    def __init__(self, make: MakeRelay, early: bytes = b"", limits: RelayLimits = LIMITS) -> None:
        self.clock = Clock()
        self.time = SteadyClock(self.clock, self.clock.seconds, EPOCH)
        self.client, self.program = Wire(self.clock), Wire(self.clock)
        self.reports = Reports()
        self.frames = Frames()
        self.relay = make(self.client, early, limits, self.time, self.reports)
        self.endpoint = EndpointConnection(self.time)
        self.endpoint.unread_bytes = lambda: self.program.unread  # type: ignore[method-assign]
        self.program.protocol = self.endpoint
        self.endpoint.makeConnection(self.program)

    def join(self) -> Joint:
        """Join the two."""
        self.relay.join(self.endpoint)
        return self

    def client_sends(self, *frames: bytes) -> None:
        """Have the client send frames, in one segment."""
        self.client.receive(b"".join(frames))

    def client_got(self) -> list[Frame]:
        """Give what the client got since this was asked last."""
        return self.frames.read(self.client.sent())

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping at each call that is due."""
        end = self.clock.seconds() + seconds
        while (calls := self.clock.getDelayedCalls()) and calls[0].getTime() <= end:
            self.clock.advance(max(0.0, calls[0].getTime() - self.clock.seconds()))
        self.clock.advance(end - self.clock.seconds())


class RelayContract:
    """The port ``Relayed``. A subclass makes the relay."""

    def make(self, wire: Wire, early: bytes, limits: RelayLimits, clock: ClockPort, listener: RelayListener) -> Relayed:
        """Make the subject: its client speaks over the wire and has shaken hands."""
        raise NotImplementedError

    @pytest.fixture
    def joint(self) -> Any:
        """Give a relay that waits for its endpoint; nothing of it may be left on the clock in the end."""
        joint = Joint(self.make)
        yield joint
        joint.relay.cut(Close(1000), 0.0)
        joint.advance(3 * LIMITS.close_s)
        joint.client.vanish()
        joint.program.vanish()
        assert joint.clock.getDelayedCalls() == []
        assert len(joint.reports.ends) == 1
        assert len(joint.reports.overs) == 1

    # -- bytes -------------------------------------------------------------------------------------------------------

    def test_holds_until_joined(self, joint: Joint) -> None:
        """What the client sends before the endpoint is there comes to it, in order and once."""
        joint.client_sends(frame(BINARY, b"one "), frame(BINARY, b"two "))
        joint.join()
        joint.client_sends(frame(BINARY, b"three"))
        assert joint.program.sent() == b"one two three"

    def test_reads_no_more_than_it_holds(self, joint: Joint) -> None:
        """A client whose program is not there yet is read up to the limit, and again once it is there."""
        joint.client_sends(frame(BINARY, b"x" * 99))
        assert not joint.client.paused
        joint.client_sends(frame(BINARY, b"x"))
        assert joint.client.paused
        joint.advance(10 * LIMITS.stall_s)
        assert joint.reports.ends == []
        joint.join()
        assert not joint.client.paused
        assert joint.program.sent() == b"x" * 100

    def test_holds_no_more_pieces_than_a_limit(self) -> None:
        """A client that sends its bytes one by one is read up to a number of pieces, however little they hold."""
        joint = Joint(self.make, limits=evolve(LIMITS, held_bytes=1 << 20))
        for _ in range(HELD_PIECES - 1):
            joint.client_sends(frame(BINARY, b"x"))
        assert not joint.client.paused
        joint.client_sends(frame(BINARY, b"y"))
        assert joint.client.paused
        joint.join()
        assert not joint.client.paused
        assert joint.program.sent() == b"x" * (HELD_PIECES - 1) + b"y"
        joint.relay.cut(Close(1000), 0.0)
        joint.client.vanish()
        joint.program.vanish()

    def test_takes_what_was_read_already(self) -> None:
        """Frames that came with the handshake are not lost, nor is a frame that came in part."""
        whole, part = frame(BINARY, b"early "), frame(BINARY, b"bird")
        joint = Joint(self.make, whole + part[:5])
        joint.join()
        joint.client_sends(part[5:])
        assert joint.program.sent() == b"early bird"
        joint.relay.cut(Close(1000), 0.0)
        joint.client.vanish()
        joint.program.vanish()

    def test_carries_and_counts(self, joint: Joint) -> None:
        """Bytes go both ways unchanged; each direction is counted with its last instant."""
        joint.join()
        every = bytes(range(256)) * 3
        joint.advance(2)
        joint.client_sends(frame(BINARY, every), frame(BINARY, b""))
        joint.advance(3)
        joint.program.receive(every)
        assert joint.program.sent() == every
        assert payload_of(joint.client_got()) == every
        counters = joint.relay.counters
        assert (counters.up_bytes, counters.up_at) == (768, EPOCH + 2)
        assert (counters.down_bytes, counters.down_at) == (768, EPOCH + 5)

    def test_a_ping_is_no_activity(self, joint: Joint) -> None:
        """Only bytes for the program count as the client's activity."""
        joint.join()
        joint.client_sends(frame(PING, b"hello"))
        assert joint.relay.counters.up_at == 0.0

    def test_fragments(self, joint: Joint) -> None:
        """A message in parts with a ping between them is bytes like any other, and the ping is answered."""
        joint.join()
        joint.client_sends(
            frame(BINARY, b"a", fin=False),
            frame(PING, b"there?"),
            frame(CONTINUATION, b"", fin=False),
            frame(CONTINUATION, b"b"),
        )
        assert joint.program.sent() == b"ab"
        assert joint.client_got() == [Frame(PONG, b"there?")]

    def test_a_byte_at_a_time(self, joint: Joint) -> None:
        """However the network cuts frames, the same bytes come out."""
        joint.join()
        for byte in frame(BINARY, b"x" * 130) + frame(BINARY, b"end"):
            joint.client_sends(bytes((byte,)))
        assert joint.program.sent() == b"x" * 130 + b"end"

    # -- rules of the protocol ---------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("sent", "code"),
        [
            (frame(TEXT, b"text"), 1003),
            (frame(BINARY, b"x" * 1001), 1009),
            (frame(BINARY, b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 600), 1009),
            (frame(BINARY, b"x", masked=False), 1002),
            (frame(BINARY, b"x", rsv=4), 1002),
            (frame(0x3, b"x"), 1002),
            (frame(CONTINUATION, b"x"), 1002),
            (frame(PING, b"x" * 126), 1002),
            (frame(PING, b"x", fin=False), 1002),
        ],
    )
    def test_broken_rules(self, joint: Joint, sent: bytes, code: int) -> None:
        """A client that breaks a rule is closed with the code for it; nothing that it sends then counts."""
        joint.join()
        joint.client_sends(sent, frame(BINARY, b"later"), frame(TEXT, b"again"))
        (answer,) = joint.client_got()
        assert (answer.opcode, answer.code) == (CLOSE, code)
        assert answer.text
        assert b"later" not in joint.program.sent()
        assert [end for end, _ in joint.reports.ends] == [End.CLIENT]
        assert joint.program.half_closed
        joint.client_sends(close(code))
        joint.program.end()
        joint.advance(0)
        assert joint.reports.overs[0].code == code

    def test_an_endless_frame_after_a_failure(self, joint: Joint) -> None:
        """A client that goes on sending after it was closed is read to no end but its time."""
        joint.join()
        joint.client_sends(frame(PING, b"x" * 126))
        for _ in range(10):
            joint.client_sends(b"x" * 1000)
        joint.advance(LIMITS.close_s)
        assert joint.client.gone

    def test_a_pong_that_may_take_long(self) -> None:
        """Where a pong has more time than there is between pings, the next ping does not wait for that."""
        joint = Joint(self.make, limits=evolve(LIMITS, ping_s=2, pong_s=30)).join()
        joint.advance(2)
        assert [one.opcode for one in joint.client_got()] == [PING]
        joint.client_sends(frame(PONG))
        joint.advance(2)
        assert [one.opcode for one in joint.client_got()] == [PING]
        joint.relay.cut(Close(1000), 0.0)
        joint.client.vanish()
        joint.program.vanish()

    def test_a_client_that_is_gone_is_not_dropped(self, joint: Joint) -> None:
        """Where the program does not close, only it is dropped: Twisted's TLS can't be aborted twice."""
        joint.join()
        joint.client.vanish()
        joint.advance(LIMITS.close_s)
        assert joint.program.aborted
        assert not joint.client.aborted

    # -- back-pressure -----------------------------------------------------------------------------------------------

    def test_a_program_that_refuses(self, joint: Joint) -> None:
        """While the endpoint takes nothing, the client is not read."""
        joint.join()
        joint.program.refuse()
        assert joint.client.paused
        joint.program.take()
        assert not joint.client.paused

    def test_a_client_that_refuses(self, joint: Joint) -> None:
        """While the client takes nothing, the endpoint is not read."""
        joint.join()
        joint.client.refuse()
        assert joint.program.paused
        joint.client.take()
        assert not joint.program.paused

    def test_refused_before_joined(self, joint: Joint) -> None:
        """A client that reads nothing, not even pings, is known when the endpoint comes."""
        joint.client.refuse()
        joint.join()
        assert joint.program.paused
        joint.client.take()
        assert not joint.program.paused

    def test_held_bytes_that_are_refused(self, joint: Joint) -> None:
        """The client is not read again where the endpoint does not take what was held."""
        joint.client_sends(frame(BINARY, b"x" * 100))
        write = joint.program.write
        joint.program.write = lambda data: (write(data), joint.program.refuse())[0]  # type: ignore[method-assign, func-returns-value]
        joint.join()
        assert joint.client.paused
        joint.program.take()
        assert not joint.client.paused

    def test_pings_of_a_client_that_refuses(self, joint: Joint) -> None:
        """A client that sends pings and takes no answers fills no memory; its last is answered once it takes bytes."""
        joint.join()
        joint.client.refuse()
        joint.client_sends(*[frame(PING, b"x" * 125)] * 50, frame(PING, b"last"))
        assert joint.client.sent() == b""
        joint.client.take()
        assert joint.client_got() == [Frame(PONG, b"last")]
        joint.client.refuse()
        joint.client.take()
        assert joint.client_got() == []

    def test_a_refusal_that_lasts(self, joint: Joint) -> None:
        """A client that takes no byte for too long is closed as too slow, and dropped."""
        joint.join()
        joint.client.refuse()
        joint.advance(LIMITS.stall_s - 1)
        assert joint.reports.ends == []
        joint.advance(1)
        assert joint.reports.ends == [(End.CLIENT, "the client takes no bytes")]
        joint.advance(LIMITS.close_s)
        assert joint.client.aborted
        assert joint.reports.overs[0].code == 4008

    def test_a_program_that_refuses_for_ever(self, joint: Joint) -> None:
        """An endpoint that takes no byte for too long is let go, and the client is told."""
        joint.join()
        joint.advance(5)
        joint.program.refuse()
        joint.advance(LIMITS.stall_s)
        assert joint.reports.ends == [(End.OURS, "the application takes no bytes")]
        assert joint.program.aborted
        assert not joint.client.paused
        assert joint.client_got()[-1].code == 4502

    # -- silence -----------------------------------------------------------------------------------------------------

    def test_pings_a_silent_client(self, joint: Joint) -> None:
        """A client that has been silent is pinged, also while it waits, and stays while it answers."""
        joint.advance(LIMITS.ping_s)
        joint.join()
        joint.client_sends(frame(PONG))
        for _ in range(5):
            joint.client_got()
            joint.advance(LIMITS.ping_s)
            assert [one.opcode for one in joint.client_got()] == [PING]
            joint.advance(LIMITS.pong_s - 1)
            joint.client_sends(frame(PONG))
        assert joint.reports.ends == []

    def test_any_byte_is_an_answer(self, joint: Joint) -> None:
        """Part of a large message that is on its way is a sign of life as good as a pong."""
        joint.join()
        joint.advance(LIMITS.ping_s)
        joint.advance(LIMITS.pong_s - 1)
        joint.client_sends(frame(BINARY, b"x" * 500)[:100])
        joint.advance(2)
        assert joint.reports.ends == []

    def test_no_ping_for_a_lively_client(self, joint: Joint) -> None:
        """A client that speaks is not pinged."""
        joint.join()
        for _ in range(10):
            joint.advance(LIMITS.ping_s / 2)
            joint.client_sends(frame(BINARY, b"x"))
        assert joint.client_got() == []

    @pytest.mark.parametrize("joined", [True, False])
    def test_a_dead_client(self, joint: Joint, joined: bool) -> None:
        """A client that does not answer a ping in time is given up, with a program or without."""
        if joined:
            joint.join()
        joint.advance(LIMITS.ping_s + LIMITS.pong_s)
        assert joint.reports.ends == [(End.CLIENT, "the client did not answer a ping")]
        assert joint.client_got()[-1].code == 4408
        joint.advance(LIMITS.close_s)
        assert joint.client.aborted
        assert joint.reports.overs[0].code == 4408

    def test_who_is_not_read_is_not_blamed(self, joint: Joint) -> None:
        """While the endpoint takes nothing the client can't be heard; its time begins anew after that."""
        joint.join()
        joint.advance(LIMITS.ping_s)
        joint.program.refuse()
        joint.advance(LIMITS.stall_s - 1)
        joint.program.take()
        joint.advance(LIMITS.ping_s)
        assert joint.reports.ends == []

    def test_a_daemon_that_stood_still(self, joint: Joint) -> None:
        """When the daemon itself was stopped nobody is blamed for that time."""
        joint.join()
        joint.advance(LIMITS.ping_s)
        joint.clock.advance(1000)
        assert joint.reports.ends == []

    # -- how the client ends -----------------------------------------------------------------------------------------

    def test_the_client_closes(self, joint: Joint) -> None:
        """Its last bytes are delivered, it is answered in kind, and the endpoint learns that no more comes."""
        joint.join()
        joint.client_sends(frame(BINARY, b"last words"), close(4001, "bye"))
        assert joint.program.sent() == b"last words"
        assert joint.program.half_closed
        (answer,) = joint.client_got()
        assert (answer.opcode, answer.code) == (CLOSE, 4001)
        assert [end for end, _ in joint.reports.ends] == [End.CLIENT]
        joint.program.receive(b"to nobody")
        joint.advance(0)
        assert joint.client.gone
        assert joint.reports.overs == []
        joint.program.end()
        assert joint.program.aborted
        joint.advance(0)
        assert joint.reports.overs == [Close(4001)]

    def test_the_client_closes_without_a_code(self, joint: Joint) -> None:
        """An empty close frame is answered by one."""
        joint.join()
        joint.client_sends(close())
        assert joint.client_got() == [Frame(CLOSE, b"")]
        joint.program.end()
        joint.advance(0)
        assert joint.reports.overs[0].code == 1005

    def test_the_client_vanishes(self, joint: Joint) -> None:
        """A connection that is lost without a word ends the endpoint's too."""
        joint.join()
        joint.client.vanish()
        assert [end for end, _ in joint.reports.ends] == [End.CLIENT]
        assert joint.program.half_closed
        joint.program.end()
        joint.advance(0)
        assert joint.reports.overs[0].code == 1006

    def test_the_client_sends_no_more(self, joint: Joint) -> None:
        """A client closes its direction without a word: the endpoint is told, and goes on until it ends as well."""
        joint.join()
        joint.client_sends(frame(BINARY, b"the question"))
        joint.client.end()
        assert joint.program.sent() == b"the question"
        assert joint.program.half_closed
        for _ in range(5):
            joint.advance(LIMITS.pong_s - 1)
            joint.program.receive(b"answer ")
        assert joint.reports.ends == []
        joint.program.end()
        got = joint.client_got()
        assert payload_of(got) == b"answer " * 5
        assert (got[-1].opcode, got[-1].code) == (CLOSE, 1000)
        joint.advance(0)
        assert [end for end, _ in joint.reports.ends] == [End.CLIENT]
        assert joint.client.gone
        assert joint.program.gone

    def test_the_client_sends_no_more_and_is_not_there(self, joint: Joint) -> None:
        """Most that end without a word are gone: they are written to, so that this is found out."""
        joint.join()
        joint.client.end()
        assert [one.opcode for one in joint.client_got()] == [PING]
        joint.advance(2)
        assert [one.opcode for one in joint.client_got()] == [PING, PING]
        joint.client.vanish()
        assert [end for end, _ in joint.reports.ends] == [End.CLIENT]
        joint.program.end()
        joint.advance(0)
        assert joint.reports.overs[0].code == 1006

    def test_the_client_sends_no_more_and_the_endpoint_stays(self, joint: Joint) -> None:
        """An endpoint that does not care about the end of its client, and is silent, ends the tunnel by that."""
        joint.join()
        joint.client.end()
        joint.advance(LIMITS.pong_s)
        assert [end for end, _ in joint.reports.ends] == [End.CLIENT]
        assert joint.client_got()[-1].code == 1000
        joint.advance(LIMITS.close_s)
        assert joint.program.aborted

    @pytest.mark.parametrize("flush_s", [0.0, 5.0])
    def test_cut_after_the_client_sends_no_more(self, joint: Joint, flush_s: float) -> None:
        """A cut counts for such a client as for any other, and waits for no answer."""
        joint.join()
        joint.client.end()
        joint.program.unread = 4
        joint.relay.cut(Close(4410, "released"), flush_s)
        joint.program.unread = 0
        if flush_s:
            joint.program.receive(b"last")
        got = joint.client_got()
        assert payload_of(got) == (b"last" if flush_s else b"")
        assert got[-1].code == 4410
        joint.advance(0)
        assert joint.client.gone
        assert joint.reports.ends == [(End.OURS, "released")]

    def test_the_client_sends_no_more_while_it_waits(self, joint: Joint) -> None:
        """Without an endpoint there is nothing to stay for."""
        joint.client_sends(frame(BINARY, b"x"))
        joint.client.end()
        joint.advance(0)
        assert joint.client.gone
        assert [end for end, _ in joint.reports.ends] == [End.CLIENT]

    def test_both_send_no_more(self, joint: Joint) -> None:
        """When both have closed their directions, the first end is the one that is told."""
        joint.join()
        joint.program.end()
        joint.client.end()
        joint.advance(0)
        assert [end for end, _ in joint.reports.ends] == [End.ENDPOINT]
        assert joint.client.gone
        assert joint.program.gone

    def test_the_end_instead_of_an_answer(self, joint: Joint) -> None:
        """A client that was told to close and only closes its direction is gone at once."""
        joint.join()
        joint.relay.cut(Close(1001, "shutdown"), 0.0)
        joint.client.end()
        joint.advance(0)
        assert joint.client.gone
        assert not joint.client.aborted

    def test_a_program_that_stays(self, joint: Joint) -> None:
        """An endpoint that does not close after its client is let go in the end."""
        joint.join()
        joint.client.vanish()
        joint.advance(LIMITS.close_s)
        assert joint.program.aborted
        assert joint.program.gone

    def test_the_client_leaves_while_it_waits(self, joint: Joint) -> None:
        """Without an endpoint there is nobody else to end."""
        joint.client_sends(frame(BINARY, b"x"), close(1000))
        joint.advance(0)
        assert [end for end, _ in joint.reports.ends] == [End.CLIENT]
        assert joint.reports.overs == [Close(1000, "")]

    def test_joined_too_late(self, joint: Joint) -> None:
        """An endpoint that comes for a client which has left is let go."""
        joint.client.vanish()
        joint.join()
        assert joint.program.aborted
        assert joint.program.sent() == b""

    # -- how the endpoint ends ---------------------------------------------------------------------------------------

    @pytest.mark.parametrize("way", ["end", "vanish"])
    def test_the_endpoint_ends(self, joint: Joint, way: str) -> None:
        """All that it sent is delivered; the client stays until it is cut, and is heard as long as it is."""
        joint.join()
        joint.program.receive(b"the end")
        getattr(joint.program, way)()
        joint.advance(0)
        assert [end for end, _ in joint.reports.ends] == [End.ENDPOINT]
        assert payload_of(joint.client_got()) == b"the end"
        joint.client_sends(frame(BINARY, b"more"))
        joint.advance(1)
        assert joint.program.sent() == (b"more" if way == "end" else b"")
        assert not joint.client.closing
        joint.relay.cut(Close(4500, "exited"), 5.0)
        (told,) = joint.client_got()
        assert (told.code, told.text) == (4500, "exited")
        joint.client_sends(close(4500))
        joint.advance(0)
        assert joint.program.gone
        assert joint.reports.overs == [Close(4500, "exited")]

    def test_what_was_on_its_way_as_the_client_was_cut(self, joint: Joint) -> None:
        """An endpoint that only reads gets what its client sent before that knew of the end, and then the end."""
        joint.join()
        joint.program.end()
        joint.relay.cut(Close(1000, "done"), 5.0)
        joint.client_sends(frame(BINARY, b"half a mes", fin=False))
        joint.client_sends(frame(CONTINUATION, b"sage"), close(1000), frame(BINARY, b"against the rules"))
        assert joint.program.sent() == b"half a message"
        joint.advance(0)
        assert joint.program.gone
        assert joint.reports.overs == [Close(1000, "done")]

    def test_a_control_frame_without_an_end_behind_the_cut(self, joint: Joint) -> None:
        """Behind our close frame a client can't have us gather a control frame that is too long."""
        joint.join()
        joint.program.end()
        joint.relay.cut(Close(1000, "done"), 5.0)
        for _ in range(10):
            joint.client_sends(frame(PING, b"x" * 1000))
        joint.advance(2 * LIMITS.close_s)
        assert joint.client.gone
        assert joint.program.sent() == b""

    def test_a_client_that_does_not_answer_the_cut(self, joint: Joint) -> None:
        """An endpoint that only reads is let go in time, whether its client answers or not."""
        joint.join()
        joint.program.end()
        joint.relay.cut(Close(1000, "done"), 5.0)
        joint.advance(LIMITS.close_s)
        assert joint.program.aborted
        joint.advance(LIMITS.close_s)
        assert joint.client.aborted
        assert joint.reports.overs == [Close(1000, "done")]

    def test_the_endpoint_ends_while_it_refuses(self, joint: Joint) -> None:
        """A client that is not read since the endpoint takes nothing is read once it was cut: it can be heard."""
        joint.join()
        joint.program.refuse()
        joint.program.end()
        assert [end for end, _ in joint.reports.ends] == [End.ENDPOINT]
        assert joint.client.paused
        joint.relay.cut(Close(1000, "done"), 5.0)
        assert not joint.client.paused
        joint.client_sends(frame(BINARY, b"dropped"), close(1000))
        joint.advance(LIMITS.close_s)
        assert joint.program.sent() == b""
        assert joint.reports.overs == [Close(1000, "done")]

    def test_the_endpoint_is_lost_while_it_refuses(self, joint: Joint) -> None:
        """A client that was not read is read again, so that it can be heard."""
        joint.join()
        joint.program.refuse()
        joint.program.vanish()
        assert not joint.client.paused

    def test_a_port_is_left_free(self, joint: Joint) -> None:
        """An endpoint that ends first gets a reset in the end, so that its port can be bound again at once."""
        joint.join()
        joint.program.end()
        joint.relay.cut(Close(4500, "exited"), 5.0)
        joint.client_sends(close(4500))
        assert joint.program.aborted
        assert not joint.program.half_closed

    def test_the_client_leaves_after_the_endpoint(self, joint: Joint) -> None:
        """Nobody need cut a client that goes by itself; the first end is the one that is told."""
        joint.join()
        joint.program.end()
        joint.client_sends(close(1001))
        joint.advance(0)
        assert [end for end, _ in joint.reports.ends] == [End.ENDPOINT]
        assert joint.reports.overs == [Close(1001, "")]

    # -- how the broker ends it --------------------------------------------------------------------------------------

    def test_cut_while_waiting(self, joint: Joint) -> None:
        """A client that waits is closed at once."""
        joint.relay.cut(Close(4503, "launch-failed"), 5.0)
        (told,) = joint.client_got()
        assert (told.code, told.text) == (4503, "launch-failed")
        assert joint.reports.ends == [(End.OURS, "launch-failed")]
        joint.client_sends(close(4503))
        joint.advance(0)
        assert joint.client.gone
        assert joint.reports.overs == [Close(4503, "launch-failed")]

    def test_cut_flushes(self, joint: Joint) -> None:
        """What the endpoint has sent already comes in front of the close frame."""
        joint.join()
        joint.program.unread = 6
        joint.relay.cut(Close(4500, "crashed"), 5.0)
        assert joint.client_got() == []
        joint.advance(4)
        joint.program.unread = 3
        joint.program.receive(b"the")
        joint.program.unread = 0
        joint.program.receive(b"end")
        *rest, last = joint.client_got()
        assert payload_of(rest) == b"theend"
        assert last.code == 4500
        assert [end for end, _ in joint.reports.ends] == [End.OURS]

    def test_a_flush_ends_with_the_endpoint(self, joint: Joint) -> None:
        """When the endpoint has ended there is nothing more to wait for."""
        joint.join()
        joint.program.unread = 1
        joint.relay.cut(Close(4500, "exited"), 5.0)
        joint.program.end()
        assert joint.client_got()[-1].code == 4500

    def test_a_flush_has_a_limit(self, joint: Joint) -> None:
        """A program that always sends more, or a client that takes nothing, does not put the end off for ever."""
        joint.join()
        joint.program.unread = 1
        joint.relay.cut(Close(4410, "released"), 5.0)
        joint.client_sends(frame(BINARY, b"dropped"))
        for _ in range(4):
            joint.advance(1)
            joint.program.receive(b"more")
        assert joint.reports.ends == []
        joint.advance(1)
        assert joint.client_got()[-1].code == 4410
        assert joint.program.sent() == b""

    def test_cut_twice(self, joint: Joint) -> None:
        """The first word counts."""
        joint.join()
        joint.relay.cut(Close(4410, "released"), 0.0)
        joint.relay.cut(Close(1001, "shutdown"), 0.0)
        assert [one.code for one in joint.client_got()] == [4410]

    def test_a_client_that_does_not_close(self, joint: Joint) -> None:
        """A client that was told and does not answer is dropped."""
        joint.join()
        joint.relay.cut(Close(1001, "shutdown"), 0.0)
        joint.program.end()
        joint.advance(LIMITS.close_s - 1)
        assert not joint.client.gone
        joint.advance(1)
        assert joint.client.aborted
        assert joint.reports.overs == [Close(1001, "shutdown")]

    def test_a_client_that_takes_nothing_at_the_end(self, joint: Joint) -> None:
        """A close frame that can't be delivered holds nothing up for ever."""
        joint.join()
        joint.client.refuse()
        joint.client_sends(close(1000))
        joint.advance(LIMITS.close_s)
        assert joint.client.aborted
        assert joint.client.gone

    def test_a_long_reason(self, joint: Joint) -> None:
        """A reason that would not fit in a close frame is cut between characters."""
        joint.relay.cut(Close(4500, "ä" * 100), 0.0)
        assert joint.client_got()[0].text == "ä" * 61
