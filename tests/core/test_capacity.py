"""The session table: who may have a session, who is next, and views that equal a recount."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from attrs import evolve

from sessiond.core.capacity import REMEMBERED, SessionTable, suspended_until
from sessiond.core.errors import Code, Refused
from sessiond.core.services import Caps, Plan, Pool, Service
from sessiond.core.session import Session
from sessiond.core.values import Kind, Reason, State
from tests.core.sessions import NOW, blank, walk

QUEUEING = Plan(queueing=True)
DESK = Service("desk", Kind.TCP, "process", QUEUEING, pool="desk")
POOL, OTHER = Pool("desk", 2), Pool("lab", 2)


def session(number: int, owner: str = "ada", slot: int | None = None, **more: object) -> Session:
    """Make a session that holds a slot, or waits for one."""
    values: dict[str, object] = {
        "id": f"desk-{number}",
        "service": "desk",
        "pool": "desk",
        "owner": owner,
        "slot": slot,
        "state": State.QUEUED if slot is None else State.READY,
        "held_since": None if slot is None else NOW,
        "created_at": NOW + number,
        "token_digest": b"",
        **more,
    }
    return evolve(blank(), **values)  # type: ignore[arg-type]


def table_of(*sessions: Session) -> SessionTable:
    """Make a table of some sessions, in this order."""
    table = SessionTable()
    for one in sessions:
        table.put(one)
    return table


def refusal(table: SessionTable, caps: Caps, owner: str = "ada", service: Service = DESK, **more: bool) -> Code | None:
    """Say how a new session is refused; ``None`` where it finds a place."""
    try:
        table.place_for(service, POOL, owner, caps, **more)
    except Refused as refused:
        return refused.code
    return None


def order(table: SessionTable) -> list[int]:
    """Give the numbers of those who wait, in the order in which they get a slot."""
    return [int(waiting.id.removeprefix("desk-")) for waiting in table.queue("desk")]


def test_views_equal_a_recount() -> None:
    """Whatever happens to sessions, each view is what a recount of the table gives."""
    rng, table = random.Random(3), SessionTable()
    lives = [walk(seed, 300) for seed in range(12)]
    for _ in range(2000):
        number = rng.randrange(len(lives))
        found = next(lives[number], None)
        if found is None:
            continue
        name, owner = f"s-{number}", ("ada", "bob", "")[number % 3]
        one = evolve(found[0], id=name, owner=owner, slot=number if found[0].state.holds_slot else None, leases=(),
                     token_digest=b"", key=None)  # fmt: skip
        before = table.get(name)
        if before is not None and one.version < before.version:  # another life begins
            table.drop(name)
            table.settle(name, None)
        if one.state is State.ENDED and rng.random() < 0.5:
            table.drop(name)
            table.settle(name, None)
        else:
            table.put(one)
            table.settle(name, one)
        recount(table)


def recount(table: SessionTable) -> None:
    """Hold every view against the sessions themselves."""
    sessions = list(table)
    holding = [s for s in sessions if s.state.holds_slot]
    assert table.live() == len(holding)
    assert sorted(s.id for s in table.occupants("clock")) == sorted(s.id for s in holding)
    waiting = [s for s in sessions if s.state is State.QUEUED]
    assert table.queued("clock") == len(waiting)
    assert sorted(s.id for s in table.queue("clock")) == sorted(s.id for s in waiting)
    owned = Counter(s.owner for s in sessions if s.claimed and s.state is not State.ENDED)
    for owner in ("ada", "bob", ""):
        assert table.owned(owner) == table.owned(owner, "clock") == owned[owner]
    holders = Counter((s.pool, s.owner) for s in holding if s.claimed)
    assert {key: len(ids) for key, ids in table._holders.items()} == holders
    assert set(table._owners) == {s.id for s in sessions if s.claimed and s.state is not State.ENDED}


def test_views_keep_nothing_of_what_is_forgotten() -> None:
    """Owners come and go without leaving anything in memory."""
    table = SessionTable()
    for number in range(1000):
        one = session(number, f"owner-{number}", 0)
        table.put(one)
        ended = evolve(one, state=State.ENDED, since=NOW + 60.0)
        table.put(ended)
        table.settle(one.id, ended)
        table.drop(one.id)
        table.settle(one.id, None)
    assert (table._owned, table._owners, table._holders, table._served) == ({}, {}, {}, {})
    assert len(table.lasted("desk")) == REMEMBERED
    assert set(table.lasted("desk")) == {60.0}


def test_owners_are_served_in_turn() -> None:
    """Whose owner holds least comes first; each slot that it is about to get counts for its next."""
    table = table_of(session(1, "ada", 0), *(session(n, "ada") for n in (2, 3)), *(session(n, "bob") for n in (4, 5)),
                     session(6, "eve"))  # fmt: skip
    assert order(table) == [4, 6, 2, 5, 3]


def test_who_was_served_last_comes_last() -> None:
    """Of two who hold nothing, the one comes first that has waited longest since it came or last had a slot."""
    earlier = session(1, "ada", 0, created_at=NOW - 60.0, held_since=NOW + 10.0)
    ended = evolve(earlier, state=State.ENDED, since=NOW + 20.0)
    table = table_of(ended, session(2, "ada"), session(3, "bob"))
    assert order(table) == [3, 2]
    table.drop(ended.id)
    assert order(table) == [2, 3]


def test_who_comes_at_the_same_time() -> None:
    """Those who came in the same instant are served as they were taken in, whatever they are called."""
    table = table_of(*(session(n, owner, created_at=NOW) for n, owner in enumerate(("zoe", "ada", "mia"))))
    assert order(table) == [0, 1, 2]


def test_quota() -> None:
    """An owner has so many sessions at most, queued ones too; no name is one owner; a name may have its own number."""
    caps = Caps(per_owner=2, owners={"bob": 1})
    table = table_of(session(1, "ada", 0), session(2, "ada"), session(3, ""), session(4, "bob"))
    assert [refusal(table, caps, owner) for owner in ("ada", "bob", "", "eve")] == [Code.QUOTA, Code.QUOTA, None, None]
    table.put(session(5, "", claimed=False, slot=1))
    assert refusal(table, caps, "") is None
    table.put(session(6, "", slot=1))
    assert refusal(table, caps, "") is Code.QUOTA


def test_quota_of_a_service() -> None:
    """A service may have its own number, which other services do not count for."""
    strict = evolve(DESK, per_owner=1)
    table = table_of(session(1, "ada", 0), session(2, "bob", 1, service="other"))
    assert refusal(table, Caps(), "ada", strict) is Code.QUOTA
    assert refusal(table, Caps(), "bob", strict) is None
    assert refusal(table, Caps(), "ada", evolve(strict, per_owner=2)) is None


def test_an_ended_session_counts_until_that_is_saved() -> None:
    """Until the store knows of an end, nobody else has its place: a crash would bring it back."""
    caps, one = Caps(sessions=1, per_owner=1), session(1, "ada", 0)
    table, ended = table_of(one), evolve(one, state=State.ENDED)
    table.put(ended)
    assert refusal(table, caps) is Code.QUOTA
    assert not table.room(caps)
    table.settle(one.id, one)
    assert refusal(table, caps) is Code.QUOTA
    table.settle(one.id, ended)
    assert refusal(table, caps) is None
    assert table.room(caps)


def test_full() -> None:
    """Where nobody may wait, or the caller would not, or the queue is full, a newcomer is told that all is taken."""
    table = table_of(session(1, "ada", 0), session(2, "ada", 1))
    impatient = evolve(DESK, plan=Plan())
    assert refusal(table, Caps(), service=impatient) is Code.FULL
    assert refusal(table, Caps(), queues=False) is Code.FULL
    assert refusal(table, Caps()) is None
    for number in range(3, 6):
        table.put(session(number, f"owner-{number}"))
    assert refusal(table, Caps(queue=3), "eve") is Code.FULL
    assert [table.takes(DESK, POOL, Caps(queue=most)) for most in (3, 4)] == [False, True]
    assert not table.takes(impatient, POOL, Caps())


def test_a_queue_has_places_for_others() -> None:
    """An owner takes half of the places, rounded up; the rest are for others."""
    table, caps, most = table_of(session(1, "ada", 0), session(2, "ada", 1)), Caps(queue=5), 0
    while refusal(table, caps) is None:
        most += 1
        table.put(session(2 + most))
    assert most == 3
    assert refusal(table, caps) is Code.QUOTA
    assert refusal(table, caps, "bob") is None


def test_as_many_as_may_be() -> None:
    """Over all pools, the first who waits gets the next place; a free slot alone is none."""
    held, caps = session(1, "ada", 0), Caps(sessions=1)
    first = session(2, "bob", pool="lab", service="lab", created_at=NOW + 1)
    table = table_of(held, first, session(3, "eve"))
    assert table.next_in_line((POOL, OTHER), caps) is None
    assert refusal(table, caps, queues=False) is Code.FULL
    table.put(evolve(held, state=State.ENDED))
    table.settle(held.id, evolve(held, state=State.ENDED))
    assert table.next_in_line((POOL, OTHER), caps) == (first, 0)


@pytest.mark.parametrize("caps", [Caps(), Caps(sessions=9, per_owner=9)])
def test_nobody_passes_the_queue(caps: Caps) -> None:
    """While somebody waits, a newcomer waits behind it, even if a slot is free already."""
    table = table_of(session(1))
    assert table.place_for(DESK, POOL, "bob", caps) is None


def failed(number: int, began: float, ended: float) -> Session:
    """Make a session whose program did not start."""
    return session(
        number, slot=None, state=State.ENDED, reason=Reason.LAUNCH_FAILED, held_since=NOW + began, since=NOW + ended
    )


def test_a_crowd_that_fails_at_one_blow() -> None:
    """Starts that were on their way when a service was suspended do not prolong that; later ones do."""
    table = table_of(*(failed(number, 0.0, 1.0 + number / 100) for number in range(20)))
    assert suspended_until(*table.failures("desk")) == pytest.approx(NOW + 1.04 + 5.0)
    table.put(failed(20, 7.0, 8.0))
    assert suspended_until(*table.failures("desk")) == NOW + 8.0 + 10.0
    table.put(failed(21, 20.0, 21.0))
    assert suspended_until(*table.failures("desk")) == NOW + 21.0 + 20.0
