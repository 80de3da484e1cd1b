"""The outbox: what was saved goes out, at least once and in order, whatever becomes of connection and daemon."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from sessiond.bus.amqp.messages import KEY_BYTES, message_of, routing_key
from sessiond.bus.amqp.outbox import AGAIN_S, CONFIRM_S, CURSOR, PAGE, SAVE_S, WINDOW, Outbox, newest
from sessiond.bus.local import LocalBus
from sessiond.clock import SteadyClock
from sessiond.core.errors import StoreError
from sessiond.core.facts import Datum, Fact, FactType, StoredFact
from sessiond.stores.memory import MemoryStore
from tests.fakes.amqp import HeldOutlet, HeldWire
from tests.fakes.stores import UnreliableStore
from tests.reactor import LoggedFailures
from tests.results import result_of

Store = MemoryStore | UnreliableStore


class Sending:
    """A store whose facts go out over connections that the test makes and loses."""

    def __init__(self, store: Store | None = None, epoch: str = "E") -> None:
        self.time = Clock()
        self.store: Store = MemoryStore() if store is None else store
        result_of(self.store.open())
        self.bus = LocalBus()
        self.wires: list[HeldWire] = []
        self.outbox = self.start(epoch)

    def start(self, epoch: str = "E") -> Outbox:
        """Have an outbox as a daemon's start has one; the one before it is forgotten, as in a crash."""
        clock = SteadyClock(self.time, self.time.seconds, 1000.0)
        self.bus = LocalBus()
        self.outbox = Outbox(self.store, self.store.shelf("amqp"), clock, "x", epoch, "/test")
        self.bus.subscribe(self.outbox.hear)
        result_of(Deferred.fromCoroutine(self.outbox.open()))
        return self.outbox

    def save(self, count: int = 1, data: dict[str, Datum] | None = None) -> None:
        """Save facts and tell of them."""
        facts = [Fact(FactType.READY, f"s-{i}", "svc", "ada", 10.0, i, data or {}) for i in range(count)]
        saved: list[StoredFact] = result_of(self.store.forget("nobody", facts))
        self.bus.publish(saved)

    def connect(self) -> HeldOutlet:
        """Make a connection."""
        wire = HeldWire()
        wire.opened.callback(None)
        self.wires.append(wire)
        result_of(Deferred.fromCoroutine(self.outbox.begin(wire)))
        return wire.out

    def lose(self) -> None:
        """Lose it."""
        self.wires[-1].abort("lost")
        self.outbox.lost()

    def crash(self) -> None:
        """Lose the daemon: its timers and its connection go with it."""
        if self.wires:
            self.wires[-1].out.lose()
        for call in self.time.getDelayedCalls():
            call.cancel()

    def arrived(self) -> list[int]:
        """Give the offsets that arrived on any connection, each once, in the order of first arrival."""
        return list(dict.fromkeys(offset for wire in self.wires for offset in wire.out.offsets))


def test_in_order_and_no_more_than_a_window() -> None:
    """Facts go out by their offsets; unconfirmed are never more than a hundred."""
    sending = Sending()
    sending.save(5)
    out = sending.connect()
    sending.save(PAGE)
    assert out.offsets == list(range(1, WINDOW + 1))
    assert sending.outbox.count.unsent == PAGE + 5
    while out.waiting:
        out.confirm(30)
        assert len(out.waiting) <= WINDOW
    assert out.offsets == list(range(1, PAGE + 6))
    assert (sending.outbox.count.unsent, sending.outbox.count.sent) == (0, PAGE + 5)


def test_lost_before_confirmed() -> None:
    """What was not confirmed is sent again first, with the same id, and the attempt is counted."""
    sending = Sending()
    out = sending.connect()
    sending.save(4)
    out.confirm(2)
    sending.lose()
    sending.save(1)
    again = sending.connect()
    assert again.offsets == [3, 4, 5]
    assert [message.id for message in again.sent] == ["E-3", "E-4", "E-5"]
    assert [message.headers["attempt"] for message in again.sent] == [2, 2, 1]


def test_confirmed_out_of_order() -> None:
    """The place moves only as far as all is confirmed; what is confirmed beyond is not sent again."""
    sending = Sending()
    out = sending.connect()
    sending.save(3)
    out.confirm(2, at=1)
    assert sending.outbox.count.unsent == 3
    sending.lose()
    again = sending.connect()
    assert again.offsets == [1]
    again.confirm()
    sending.save(1)
    assert again.offsets == [1, 4]


def test_hung() -> None:
    """A confirmation that is missing for ten seconds ends the connection."""
    sending = Sending()
    out = sending.connect()
    sending.save()
    sending.time.advance(CONFIRM_S / 2)
    sending.save()
    out.confirm(1)
    sending.time.advance(CONFIRM_S - 1)
    assert not sending.wires[-1].is_gone
    sending.time.advance(1)
    assert sending.wires[-1].why == "does not confirm within 10 s"


def test_blocked() -> None:
    """A server that has said that it takes nothing has all the time; when it takes again it has ten seconds."""
    sending = Sending()
    sending.connect()
    wire = sending.wires[-1]
    sending.save()
    wire.blocked = "low on memory"
    sending.time.pump([CONFIRM_S] * 100)
    assert not wire.is_gone
    wire.blocked, wire.unblocked_at = None, 1000.0 + sending.time.seconds()
    sending.time.advance(CONFIRM_S - 0.1)
    assert not wire.is_gone
    sending.time.pump([CONFIRM_S] * 2)
    assert wire.is_gone


def test_refused() -> None:
    """A fact that the server refuses is sent again after a second, as often as it takes."""
    sending = Sending()
    out = sending.connect()
    sending.save(2)
    out.refuse()
    out.confirm()
    assert sending.outbox.count.unsent == 2
    for _ in range(3):
        sending.time.advance(AGAIN_S)
        out.refuse()
    sending.time.advance(AGAIN_S)
    out.confirm()
    assert out.offsets == [1, 2, 1, 1, 1, 1]
    assert sending.outbox.count.unsent == 0


def test_place_is_saved() -> None:
    """The place is saved a second after a confirmation, or with the hundredth, and a start goes on behind it."""
    sending = Sending()
    out = sending.connect()
    sending.save(3)
    out.confirm()
    assert result_of(sending.store.shelf("amqp").get(CURSOR)) is None
    sending.time.advance(SAVE_S)
    assert result_of(sending.store.shelf("amqp").get(CURSOR)) == b'{"epoch": "E", "offset": 3}'
    sending.save(100)
    out.confirm()
    assert result_of(sending.store.shelf("amqp").get(CURSOR)) == b'{"epoch": "E", "offset": 103}'
    sending.save(2)
    sending.crash()
    assert sending.start().count.unsent == 2
    assert sending.connect().offsets == [104, 105]


def test_closed() -> None:
    """A close saves the place at once, and nothing is left that could come later."""
    sending = Sending()
    out = sending.connect()
    sending.save(3)
    drained = sending.outbox.drained()
    out.confirm(2)
    assert not drained.called
    out.confirm()
    result_of(drained)
    result_of(Deferred.fromCoroutine(sending.outbox.close()))
    assert result_of(sending.store.shelf("amqp").get(CURSOR)) == b'{"epoch": "E", "offset": 3}'
    sending.outbox.lost()
    assert sending.time.getDelayedCalls() == []


def test_other_history() -> None:
    """A place in another history means nothing: all that the store has goes out, with ids of its own."""
    sending = Sending()
    out = sending.connect()
    sending.save(3)
    out.confirm()
    result_of(Deferred.fromCoroutine(sending.outbox.close()))
    sending.start("F")
    assert [message.id for message in sending.connect().sent] == ["F-1", "F-2", "F-3"]


def test_gave_up() -> None:
    """Facts that the store gave up before they were sent are counted, and those that it has go out."""
    sending = Sending(MemoryStore(keep_facts=10))
    out = sending.connect()
    sending.save(2)
    out.confirm()
    sending.lose()
    sending.save(50)
    out = sending.connect()
    assert out.offsets == list(range(43, 53))
    out.confirm()
    assert (sending.outbox.count.dropped, sending.outbox.count.unsent) == (40, 0)


def test_first_start_is_no_gap() -> None:
    """A daemon that gets RabbitMQ later sends what its store still has, and misses nothing."""
    sending = Sending(MemoryStore(keep_facts=10))
    sending.save(50)
    assert sending.connect().offsets == list(range(41, 51))
    assert sending.outbox.count.dropped == 0


def test_unfit(logged_failures: LoggedFailures) -> None:
    """A fact that can't be written as a message is logged and left out; those behind it go out."""
    sending = Sending()
    out = sending.connect()
    sending.save(1, {"x": math.nan})
    sending.save(1)
    out.confirm()
    assert out.offsets == [2]
    assert (sending.outbox.count.unfit, sending.outbox.count.unsent) == (1, 0)
    assert logged_failures.take(ValueError)


def test_store_fails() -> None:
    """A store that can't be read or written for a while is asked again each second, and nothing is lost."""

    class Unreadable(UnreliableStore):
        def facts(self, after: int, limit: int) -> Deferred[list[StoredFact]]:
            found: Deferred[list[StoredFact]] = super().facts(after, limit)
            if self.broken:
                found.addCallback(lambda _: (_ for _ in ()).throw(StoreError("disk full")))
            return found

    store = Unreadable()
    sending = Sending(store)
    sending.save(3)
    store.broken = True
    out = sending.connect()
    sending.time.pump([AGAIN_S] * 3)
    assert out.offsets == []
    store.broken = False
    sending.time.advance(AGAIN_S)
    assert out.offsets == [1, 2, 3]
    store.broken = True
    out.confirm()
    sending.time.pump([SAVE_S] * 3)
    store.broken = False
    sending.time.advance(SAVE_S)
    assert result_of(store.shelf("amqp").get(CURSOR)) == b'{"epoch": "E", "offset": 3}'


@given(kept=st.integers(0, 300), given_up=st.integers(0, 5000), after=st.integers(0, 6000))
def test_newest(kept: int, given_up: int, after: int) -> None:
    """The newest fact is found wherever one begins to look, by few reads."""
    store = MemoryStore(keep_facts=max(1, kept))
    result_of(store.open())
    facts = [Fact(FactType.READY, "s", "svc", "", 0.0, 1)] * (kept + given_up)
    result_of(store.forget("nobody", facts))
    reads = []

    class Counted:
        def facts(self, after: int, limit: int) -> Deferred[list[StoredFact]]:
            reads.append(after)
            return store.facts(after, limit)

    found = result_of(Deferred.fromCoroutine(newest(Counted(), after)))
    assert found == max(after, kept + given_up)
    assert len(reads) < 40


STEPS = st.one_of(
    st.tuples(st.just("save"), st.integers(1, 150)),
    st.tuples(st.just("confirm"), st.integers(0, 120)),
    st.tuples(st.just("refuse"), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.integers(0, 12)),
    st.tuples(st.sampled_from(["lose", "connect", "crash", "out of order"]), st.just(0)),
)


@given(steps=st.lists(STEPS, max_size=30))
def test_any_story(steps: list[tuple[str, int]]) -> None:
    """Whatever happens, in the end every fact has arrived, and first arrivals are in order."""
    sending = Sending()
    out = sending.connect()
    for step, number in [*steps, ("lose", 0), ("connect", 0)]:
        if step == "save":
            sending.save(number)
        elif step == "confirm":
            out.confirm(number)
        elif step == "out of order":
            out.confirm(1, at=2)
        elif step == "refuse":
            out.refuse(number)
        elif step == "wait":
            sending.time.advance(number)
            if sending.wires[-1].is_gone:
                sending.outbox.lost()
        elif step == "lose":
            sending.lose()
        elif step == "connect" and sending.wires[-1].is_gone:
            out = sending.connect()
        elif step == "crash":
            sending.crash()
            sending.start()
            out = sending.connect()
        assert len(out.waiting) <= WINDOW
    for _ in range(100):
        out.confirm()
        sending.time.advance(1.0)
    assert sending.outbox.count.unsent == 0
    saved = len(result_of(sending.store.facts(0, 10_000)))
    assert sending.arrived() == list(range(1, saved + 1))


@given(st.text(), st.text(), st.sampled_from(FactType))
def test_any_key_is_one(service: str, session: str, type_: FactType) -> None:
    """A routing key has five words, and fits; so the message of any fact can be written."""
    stored = StoredFact(1, Fact(type_, session, service, "", 0.0, 1))
    key = routing_key(stored.fact)
    assert len(key.encode()) <= KEY_BYTES
    assert key.count(".") <= 4
    if len(service) + len(session) < 40:
        assert key.count(".") == 4
        assert all(key.split("."))
    assert message_of(stored, "E", "/x").id == "E-1"
