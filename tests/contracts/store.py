"""What every store does."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults

from sessiond.core.errors import StoreError
from sessiond.core.facts import Fact, FactType, History, StoredFact
from sessiond.core.services import Limits, Plan
from sessiond.core.session import Caller, Session, Tunnel, TunnelPhase
from sessiond.core.values import (
    Clients,
    Deadline,
    Exit,
    Lease,
    LeaseKind,
    Program,
    Reason,
    State,
    StopStep,
    Tcp,
    Unix,
)
from sessiond.ports import Store
from tests.reactor import within

LIMIT_S = 30.0

FULL = Session(
    id="clock-k3v9q2",
    service="clock",
    pool="pool",
    plan=Plan(limits=Limits(idle_s=600.0), clients=Clients.TAKEOVER, leases=(LeaseKind.PORT, LeaseKind.DISPLAY)),
    created_at=1000.25,
    state=State.STOPPING,
    since=1001.5,
    owner="ada ✓",
    slot=3,
    held_since=1000.5,
    step=StopStep.TERM,
    token_digest=bytes(range(224, 256)),
    nonce="nonce-7",
    child_secret="child-secret-7",
    key="key-7",
    claimed=False,
    options={"size": "1280x800", "depth": 24},
    deadlines={Deadline.STEP: 1006.5, Deadline.LIFETIME: 87400.0},
    callers=(Caller(1, 1055.0, patient=False),),
    tunnels=(Tunnel(1, TunnelPhase.OPEN), Tunnel(2, TunnelPhase.WAITING)),
    leases=(Lease(LeaseKind.PORT, 11000), Lease(LeaseKind.DISPLAY, 100)),
    program=Program(4711, 123456, "boot"),
    started=True,
    endpoint=Unix("/run/clock-k3v9q2/socket"),
    served=True,
    announced=True,
    suspect=True,
    reported_at=1001.0,
    warned_of={Deadline.LIFETIME: 1006.0},
    reason=Reason.RELEASED,
    cause="asked for",
    exit=Exit(signal=15),
    tail=("one ✓ \x00 \udc80", "two"),
    version=7,
)
"""A session in which no field has its default."""


def session(number: int = 1, version: int = 1) -> Session:
    """Make a small session."""
    return Session(
        id=f"clock-{number}",
        service="clock",
        pool="clock",
        plan=Plan(),
        created_at=1000.0,
        state=State.READY,
        since=1000.0,
        slot=number,
        endpoint=Tcp("127.0.0.1", 11000),
        version=version,
    )


def fact(number: int = 1, version: int = 1) -> Fact:
    """Make a fact about such a session."""
    return Fact(FactType.READY, f"clock-{number}", "clock", "ada", 1000.5, version, {"n": version, "why": None})


def offsets(stored: Sequence[StoredFact]) -> list[int]:
    """Give the offsets of saved facts."""
    return [one.offset for one in stored]


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[list[Session]]:
    """Have a store open; what is in it is given."""
    try:
        yield await store.open()
    finally:
        await store.close()


class MakeStore(Protocol):
    """Makes stores that stand on the same ground: the next finds what the last has kept."""

    def __call__(self, keep_facts: int = ...) -> Store:
        """Make a store that is not open yet."""


class StoreContract:
    """The port ``Store``. A subclass has a fixture ``make_store``."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Make the subject."""
        raise NotImplementedError

    @within(LIMIT_S)
    async def test_begins_empty(self, make_store: MakeStore) -> None:
        """A new store has no session and no fact."""
        store = make_store()
        async with opened(store) as found:
            assert found == []
            assert await store.facts(0, 10) == []

    @within(LIMIT_S)
    async def test_keeps_every_field(self, make_store: MakeStore) -> None:
        """A session comes back as it was, secrets and odd characters included."""
        store = make_store()
        async with opened(store):
            await store.save(FULL, [])
        async with opened(make_store()) as found:
            assert found == [FULL]
            assert found[0].token_digest == FULL.token_digest
            assert (found[0].nonce, found[0].child_secret, found[0].key) == ("nonce-7", "child-secret-7", "key-7")

    @within(LIMIT_S)
    async def test_keeps_the_last_save(self, make_store: MakeStore) -> None:
        """Of one session the last save counts, and other sessions are left alone."""
        store = make_store()
        async with opened(store):
            await store.save(session(1, version=1), [])
            await store.save(session(2, version=5), [])
            await store.save(session(1, version=2), [])
        async with opened(make_store()) as found:
            assert sorted(found, key=lambda one: one.id) == [session(1, version=2), session(2, version=5)]

    @within(LIMIT_S)
    async def test_saves_in_order_of_calls(self, make_store: MakeStore) -> None:
        """Saves that nobody waited for take effect in the order of their calls, each with its own facts."""
        store = make_store()
        async with opened(store):
            saves = [store.save(session(n % 3, version=n), [fact(n % 3, n), fact(n % 3, n)]) for n in range(1, 200)]
            stored = await gatherResults(saves)
            assert [offsets(each) for each in stored] == [[2 * n - 1, 2 * n] for n in range(1, 200)]
            kept = await store.facts(0, 1000)
            assert kept == [each for save in stored for each in save]
            assert [each.fact for each in kept] == [fact(n % 3, n) for n in range(1, 200) for _ in range(2)]
        async with opened(make_store()) as found:
            assert {one.id: one.version for one in found} == {"clock-0": 198, "clock-1": 199, "clock-2": 197}

    @within(LIMIT_S)
    async def test_close_finishes_saves(self, make_store: MakeStore) -> None:
        """Saves that wait when the store is closed are kept and told."""
        store = make_store()
        async with opened(store):
            saves = [store.save(session(n), [fact(n)]) for n in range(120)]
        assert [offsets(each) for each in await gatherResults(saves)] == [[n] for n in range(1, 121)]
        async with opened(make_store()) as found:
            assert len(found) == 120

    @within(LIMIT_S)
    async def test_forgets(self, make_store: MakeStore) -> None:
        """A forgotten session is gone, and the facts that say so stay."""
        store = make_store()
        async with opened(store):
            await store.save(session(1), [fact(1, 1)])
            await store.save(session(2), [])
            assert offsets(await store.forget("clock-1", [fact(1, 2)])) == [2]
        again = make_store()
        async with opened(again) as found:
            assert found == [session(2)]
            assert [each.fact for each in await again.facts(0, 10)] == [fact(1, 1), fact(1, 2)]

    @within(LIMIT_S)
    async def test_forgets_the_unknown(self, make_store: MakeStore) -> None:
        """Forgetting a session that is not there adds the facts all the same."""
        store = make_store()
        async with opened(store):
            assert offsets(await store.forget("clock-9", [fact(9)])) == [1]

    @within(LIMIT_S)
    async def test_saves_behind_forgetting(self, make_store: MakeStore) -> None:
        """A session saved after it was forgotten is there again."""
        store = make_store()
        async with opened(store):
            last = session(version=3)
            await gatherResults([store.save(session(), []), store.forget("clock-1", []), store.save(last, [])])
        async with opened(make_store()) as found:
            assert found == [last]

    @within(LIMIT_S)
    async def test_gives_facts_in_pieces(self, make_store: MakeStore) -> None:
        """Facts are read from behind an offset, so many at a time, with offsets that go on after a restart."""
        store = make_store()
        async with opened(store):
            await store.save(session(), [fact(1, n) for n in range(1, 8)])
            assert offsets(await store.facts(0, 3)) == [1, 2, 3]
            assert offsets(await store.facts(3, 3)) == [4, 5, 6]
            assert offsets(await store.facts(6, 3)) == [7]
            assert offsets(await store.facts(7, 3)) == []
            assert offsets(await store.facts(99, 3)) == []
            assert offsets(await store.facts(0, 0)) == []
        again = make_store()
        async with opened(again):
            assert offsets(await again.save(session(), [fact()])) == [8]
            assert offsets(await again.facts(5, 10)) == [6, 7, 8]

    @within(LIMIT_S)
    async def test_facts_after_saves(self, make_store: MakeStore) -> None:
        """Facts that are asked for behind a save are there, though nobody waited for it."""
        store = make_store()
        async with opened(store):
            saved = store.save(session(), [fact()])
            assert offsets(await store.facts(0, 10)) == [1]
            assert offsets(await saved) == [1]

    @within(LIMIT_S)
    async def test_does_not_keep_the_callers_list(self, make_store: MakeStore) -> None:
        """What the caller does to its list of facts after the call changes nothing."""
        store = make_store()
        facts = [fact(1, 1)]
        async with opened(store):
            saved = store.save(session(), facts)
            facts.append(fact(1, 2))
            assert [each.fact for each in await saved] == [fact(1, 1)]

    @within(LIMIT_S)
    async def test_history(self, make_store: MakeStore) -> None:
        """How far the history has come is told, saves that nobody waited for included; its epoch stays the same."""
        store = make_store()
        async with opened(store):
            before = await store.history()
            assert (before.oldest, before.newest) == (1, 0)
            assert before.epoch.isalnum()
            saved = store.save(session(), [fact(), fact()])
            assert await store.history() == History(before.epoch, 1, 2)
            await saved
        again = make_store()
        async with opened(again):
            assert await again.history() == History(before.epoch, 1, 2)

    @within(LIMIT_S)
    async def test_keeps_rows(self, make_store: MakeStore) -> None:
        """A shelf has rows of its own, keeps the last of each, and they outlive the store; so does their end."""
        store, odd = make_store(), bytes(range(256))
        async with opened(store):
            mine, other = store.shelf("mine"), store.shelf("other")
            puts = [
                mine.put("a", b"1"),
                other.put("a", b"2"),
                mine.put("b", odd),
                mine.put("a", b"3"),
                mine.put("", b""),
            ]
            assert await gatherResults(puts) == [None] * 5
            assert [await shelf.get("a") for shelf in (mine, other)] == [b"3", b"2"]
            await gatherResults([other.remove("a"), other.remove("unknown")])
            assert await other.get("a") is None
            await mine.put("c", b"4")
            await mine.remove("c")
        again = make_store()
        async with opened(again):
            found = [await again.shelf("mine").get(name) for name in ("a", "b", "", "c")]
            assert found == [b"3", odd, b"", None]
            assert await again.shelf("other").get("a") is None
            assert await again.shelf("mine' OR 1=1 --").get("a") is None

    @within(LIMIT_S)
    async def test_rows_stand_behind_saves(self, make_store: MakeStore) -> None:
        """What is read of a shelf has all that was put before, though nobody waited."""
        store = make_store()
        async with opened(store):
            shelf = store.shelf("mine")
            puts = [shelf.put("n", str(number).encode()) for number in range(100)]
            assert await shelf.get("n") == b"99"
            await gatherResults(puts)

    @within(LIMIT_S)
    async def test_closes_twice(self, make_store: MakeStore) -> None:
        """Closing is harmless again, at the same time, and without opening."""
        store = make_store()
        await store.close()
        await store.open()
        await gatherResults([store.close(), store.close()])
        await store.close()


class KeepingContract(StoreContract):
    """What stores of the daemon do beside the port's own words. A subclass has a fixture ``make_store``."""

    @within(LIMIT_S)
    async def test_keeps_the_newest_facts(self, make_store: MakeStore) -> None:
        """The newest facts are there, the number of older ones is bounded, and no offset is given twice."""
        store = make_store(keep_facts=100)
        async with opened(store):
            for _ in range(30):
                await store.save(session(), [fact()] * 100)
            kept = offsets(await store.facts(0, 10_000))
            assert kept == list(range(kept[0], 3001))
            assert 100 <= len(kept) <= 100 + 1000 + 100
        again = make_store(keep_facts=100)
        async with opened(again):
            assert offsets(await again.save(session(), [fact()])) == [3001]

    @within(LIMIT_S)
    async def test_takes_nothing_while_it_is_closed(self, make_store: MakeStore) -> None:
        """Before it is opened and after it is closed, a store fails whatever it is asked."""
        store = make_store()
        for _ in range(2):
            shelf = store.shelf("mine")
            calls: tuple[Deferred[Any], ...] = (
                *(store.save(session(), []), store.forget("clock-1", []), store.facts(0, 1)),
                *(shelf.get("a"), shelf.put("a", b""), shelf.remove("a")),
            )
            for call in calls:
                with pytest.raises(StoreError, match=r"not open|closed"):
                    await call
            await store.open()
            await store.close()

    @within(LIMIT_S)
    async def test_opens_again(self, make_store: MakeStore) -> None:
        """The same object can be closed and opened again."""
        store = make_store()
        async with opened(store):
            await store.save(session(), [])
        async with opened(store) as found:
            assert found == [session()]
            await store.save(evolve(session(), version=2), [])
