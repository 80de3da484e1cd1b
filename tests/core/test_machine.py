"""The transition table, walked over its full product of states and events."""

from __future__ import annotations

from itertools import product

import pytest
from attrs import evolve

from sessiond.core import events
from sessiond.core.effects import Answer, Cut, Offer, Tidy
from sessiond.core.errors import NoTransition, Refused
from sessiond.core.machine import ROWS, TABLE, Outcome, step
from sessiond.core.session import Session
from sessiond.core.values import Deadline, State
from tests.core.sessions import NOW, by_state, can_happen, samples, walk


def check(before: Session, event: events.Event, outcome: Outcome) -> None:
    """Hold one step against what must be true of every step."""
    after = outcome.session
    key = event.deadline if isinstance(event, events.Due) else type(event)
    rule = TABLE[before.state, key]
    if after is None:
        assert before.state is State.ENDED
        assert not before.leases
        return
    assert after.state in (before.state, *rule.to), f"{event} led from {before.state} to {after.state}"
    assert after.deadlines, f"{event} left a session in {after.state} without any deadline"
    assert after.state.holds_slot == (after.slot is not None and after.state is not State.ENDED)
    assert (after.step is not None) == (after.state is State.STOPPING)
    assert (after.reason is not None) == (after.state in (State.STOPPING, State.ENDED))
    if after.state is State.ENDED:
        assert not after.token_digest
        assert not after.tunnels
    if after.state not in (State.QUEUED, State.LAUNCHING):
        assert not after.callers
    told = {effect.number for effect in outcome.effects if isinstance(effect, Answer)}
    assert {c.number for c in before.callers} - {c.number for c in after.callers} - told <= gone_callers(event, before)
    cut = {effect.number for effect in outcome.effects if isinstance(effect, Cut)}
    left = {t.number for t in before.tunnels} - {t.number for t in after.tunnels}
    assert left - cut <= closed_tunnels(event, before)
    assert (after == before and not outcome.facts) or after.version == before.version + 1
    if before.state.holds_slot and not after.state.holds_slot:
        assert Offer() in outcome.effects
    if after.state is State.ENDED and before.state is not State.ENDED:
        assert Tidy() in outcome.effects


def gone_callers(event: events.Event, before: Session) -> set[int]:
    """Give the callers that nobody need answer, since they are not there any more."""
    if isinstance(event, events.Restarted):
        return {caller.number for caller in before.callers}
    return {event.number} if isinstance(event, events.CallerGone) else set()


def closed_tunnels(event: events.Event, before: Session) -> set[int]:
    """Give the tunnels that nobody need cut, since they are not there any more."""
    if isinstance(event, events.Restarted):
        return {tunnel.number for tunnel in before.tunnels}
    return {event.number} if isinstance(event, events.TunnelClosed) else set()


def test_every_pair_of_state_and_event_is_decided() -> None:
    """Each pair either follows its row, is refused with a code, or is a defect that is named."""
    pairs = set()
    for state, sessions in by_state().items():
        for session in sessions:
            for event in samples(session, NOW):
                key = event.deadline if isinstance(event, events.Due) else type(event)
                pairs.add((state, key))
                if not can_happen(session, event):
                    if (state, key) not in TABLE:
                        with pytest.raises(NoTransition):
                            step(session, event, NOW)
                    continue
                try:
                    outcome = step(session, event, NOW + 1.0)
                except Refused:
                    continue
                check(session, event, outcome)
    assert pairs == set(product(State, ROWS))


@pytest.mark.parametrize("seed", range(20))
def test_long_lives_keep_the_rules(seed: int) -> None:
    """Thousands of random steps never leave a session without a deadline, a slot it needs, or an answer owed."""
    for session, event, now in walk(seed, 500):
        try:
            check(session, event, step(session, event, now))
        except Refused:
            pass


def test_every_state_is_reached_and_left() -> None:
    """No state is a dead end, and none is out of reach."""
    entered = {state for (before, _), rule in TABLE.items() for state in rule.to if state is not before}
    assert entered == set(State)
    for state in State:
        assert any(before is state and set(rule.to) - {state} for (before, _), rule in TABLE.items()) or (
            state is State.ENDED and (State.ENDED, Deadline.RETENTION) in TABLE
        )


def test_deadlines_alone_end_every_session() -> None:
    """A session to which nothing ever happens is forgotten within bounded steps (invariant: nothing waits for ever)."""
    for sessions in by_state().values():
        for session in sessions:
            left: Session | None = evolve(session, leases=())
            kills = 0
            for _ in range(100):
                if left is None:
                    break
                name = min(left.deadlines, key=left.deadlines.__getitem__)
                now = max(NOW, left.deadlines[name])
                left = step(left, events.Due(name), now).session
                kills += left is not None and left.state is State.STOPPING
                if left is not None and kills > 5:
                    left = step(left, events.Gone(), now).session
            assert left is None
