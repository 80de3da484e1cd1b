"""What of a session is shown: a list that somebody has read."""

from __future__ import annotations

from functools import cache

import attrs
import pytest
from attrs import evolve

from sessiond.core.errors import LATER_S, Code, Refused
from sessiond.core.services import Plan, Readiness, ReadyWhen
from sessiond.core.session import Session
from sessiond.core.values import Deadline, Exit, Lease, LeaseKind, Reason, State, Stdio
from sessiond.web.openapi import SESSION
from sessiond.web.outcomes import CODES, fraction_of, refusal_of
from sessiond.web.shapes import deadlines_shape, exit_shape, instant, session_shape, tunnel_url, waiting_for
from tests.broker.world import EPOCH, SERVICES, World
from tests.core.sessions import by_state
from tests.web.http import ANYONE

SHOWN = {
    *("id", "service", "created_at", "state", "since", "owner", "slot", "step", "deadlines", "reported_at", "suspect"),
    *("reason", "cause", "exit"),
}
INSIDE = {
    *("pool", "plan", "token_digest", "nonce", "child_secret", "key", "claimed", "options", "callers", "tunnels"),
    *("held_since", "leases", "program", "started", "endpoint", "served", "announced", "warned_of", "tail", "version"),
}
"""What stays inside; the tail is asked for by itself."""


@cache
def sessions_by_state() -> dict[State, list[Session]]:
    """Give some sessions in each state; finding them takes a while."""
    return by_state(5)


def test_every_field_was_reviewed() -> None:
    """A new field of a session is shown or kept, but somebody has to say which."""
    assert {field.name for field in attrs.fields(Session)} == SHOWN | INSIDE


def test_canaries() -> None:
    """Nothing of what stays inside comes out, in any state of a session."""
    world = World()
    for sessions in sessions_by_state().values():
        for session in sessions:
            marked = evolve(
                session,
                token_digest=b"canary",
                nonce="canary",
                child_secret="canary",
                key="canary",
                options={"canary": "canary"},
                tail=("canary",),
            )
            shape = session_shape(world.broker, marked)
            assert "canary" not in str(shape)
            assert shape.keys() == SESSION["properties"].keys()


def test_bygone_service() -> None:
    """A session whose service has left the configuration is told without its kind."""
    world = World()
    session = evolve(sessions_by_state()[State.LAUNCHING][0], service="bygone", started=True)
    shape = session_shape(world.broker, session)
    assert (shape["kind"], shape["waiting_for"]) == (None, None)


def test_instant() -> None:
    """Instants are whole seconds in UTC."""
    assert instant(0.0) == "1970-01-01T00:00:00Z"
    assert instant(1767268859.999) == "2026-01-01T12:00:59Z"


def test_deadlines() -> None:
    """Deadlines come earliest first, with what is left of them; one that is just passing has nothing left."""
    session = evolve(sessions_by_state()[State.READY][0], deadlines={Deadline.LIFETIME: 50.0, Deadline.LINGER: 9.96})
    assert deadlines_shape(session, 10.0) == [
        {"name": "linger", "at": "1970-01-01T00:00:09Z", "in_s": 0.0},
        {"name": "lifetime", "at": "1970-01-01T00:00:50Z", "in_s": 40.0},
    ]


@pytest.mark.parametrize(
    ("exit_", "shape"),
    [
        (None, None),
        (Exit(), None),
        (Exit(0), {"code": 0, "signal": None}),
        (Exit(signal=9), {"code": None, "signal": 9}),
    ],
)
def test_exit(exit_: Exit | None, shape: object) -> None:
    """How a program ended is told where somebody saw it."""
    assert exit_shape(evolve(sessions_by_state()[State.ENDED][0], exit=exit_)) == shape


@pytest.mark.parametrize("when", ReadyWhen)
def test_waiting_for_readiness(when: ReadyWhen) -> None:
    """A program that was started is waited for in the way that its service says."""
    service = evolve(SERVICES[0], ready=Readiness(when))
    session = evolve(sessions_by_state()[State.LAUNCHING][0], started=True)
    assert waiting_for(session, service) == when.value


def test_waiting_for_lease() -> None:
    """A program that needs a port waits for that first."""
    session = evolve(
        sessions_by_state()[State.LAUNCHING][0], plan=Plan(leases=(LeaseKind.PORT,)), started=False, leases=()
    )
    assert waiting_for(session, SERVICES[0]) == "lease"
    assert waiting_for(evolve(session, leases=(Lease(),)), SERVICES[0]) == "start"


@pytest.mark.parametrize("state", [State.READY, State.CONNECTED, State.STOPPING, State.ENDED])
def test_waits_for_nothing(state: State) -> None:
    """A session that is ready, or never will be, waits for nothing."""
    assert waiting_for(sessions_by_state()[state][0], SERVICES[0]) is None


@pytest.mark.parametrize("reason", Reason)
def test_refusals(reason: Reason) -> None:
    """Every reason is told to a caller who waited, as a refusal with words."""
    session = evolve(sessions_by_state()[State.ENDED][0], reason=reason, cause="")
    refused = refusal_of(session)
    assert refused.code is CODES.get(reason, Code.NOT_ACCEPTING)
    assert reason.value in refused.detail
    assert (refused.retry_after_s is not None) is (refused.code in LATER_S)
    assert refusal_of(evolve(session, cause="no such file")).detail == "no such file"


def test_spread() -> None:
    """Those who were turned away together come back apart, between 1 and 5 seconds later."""
    found = [Refused(Code.FULL).later(fraction_of(f"desktop-{n:06d}")).retry_after_s or 0.0 for n in range(1000)]
    assert 1.0 <= min(found) < 1.5
    assert 4.5 < max(found) <= 5.0
    assert len(set(found)) > 30


def test_tunnel_url_of_stdio() -> None:
    """Where an endpoint is does not change where clients connect, and is not told."""
    world = World()
    session = evolve(sessions_by_state()[State.READY][0], endpoint=Stdio(), since=EPOCH)
    assert "endpoint" not in session_shape(world.broker, session)
    assert tunnel_url(ANYONE, "localhost:1", "t") == "ws://localhost:1/tunnel?token=t"
