"""Values of the core as Hypothesis draws them."""

from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from sessiond.core.facts import Fact, FactType
from sessiond.core.services import Limits, Plan, Stop
from sessiond.core.session import Caller, Session, Tunnel, TunnelPhase
from sessiond.core.values import (
    Clients,
    Deadline,
    Exit,
    LaunchWhen,
    Lease,
    LeaseKind,
    Program,
    Reason,
    State,
    Stdio,
    StopStep,
    Tcp,
    Unix,
    Watch,
)

T = TypeVar("T")

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For tests that draw sessions: a busy machine is no failure."""

names = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=24)
"""Names and ids: any letters, but nothing that controls."""

texts = st.text(max_size=24)
"""Any text, null characters among it: a program's output is not ours."""

instants = st.floats(min_value=0, max_value=4e9, allow_nan=False)
seconds = st.floats(min_value=0, max_value=1e7, allow_nan=False)
numbers = st.integers(min_value=0, max_value=2**31)
ports = st.integers(min_value=1, max_value=65535)
scalars = texts | st.integers()
data = st.none() | st.booleans() | st.integers() | instants | texts


def plans() -> st.SearchStrategy[Plan]:
    """Draw the terms of a session."""
    limit = st.none() | seconds
    optional = ("idle_s", "lifetime_cap_s", "suspect_s", "liveliness_s", "setup_s", "warning_s")
    limits = st.builds(Limits, queue_s=seconds, launch_s=seconds, lifetime_s=seconds, **dict.fromkeys(optional, limit))
    return st.builds(
        Plan,
        limits=limits,
        stop=tuples_of(st.builds(Stop, st.sampled_from(StopStep), seconds)),
        launch=st.sampled_from(LaunchWhen),
        clients=st.integers(1, 100) | st.sampled_from(Clients),
        watch=st.sampled_from(Watch),
        leases=tuples_of(st.sampled_from(LeaseKind)),
        retry_dial=st.booleans(),
        ready_by_report=st.booleans(),
        queueing=st.booleans(),
    )


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    """Draw a session in any state; slot, stop step and reason are there where the state has them."""
    state = draw(st.sampled_from(State))
    ends = state in (State.STOPPING, State.ENDED)
    return draw(
        st.builds(
            Session,
            id=names,
            service=names,
            pool=names,
            plan=plans(),
            created_at=instants,
            state=st.just(state),
            since=instants,
            owner=st.just("") | names,
            slot=numbers if state.holds_slot else st.none(),
            held_since=st.none() | instants,
            step=st.sampled_from(StopStep) if state is State.STOPPING else st.none(),
            token_digest=st.binary(max_size=32),
            nonce=texts,
            child_secret=texts,
            key=st.none() | texts,
            claimed=st.booleans(),
            options=st.dictionaries(texts, scalars, max_size=3),
            deadlines=st.dictionaries(st.sampled_from(Deadline), instants, max_size=4),
            callers=tuples_of(st.builds(Caller, numbers, instants, st.booleans())),
            tunnels=tuples_of(st.builds(Tunnel, numbers, st.sampled_from(TunnelPhase))),
            leases=tuples_of(st.builds(Lease, st.sampled_from(LeaseKind), ports)),
            program=st.none() | st.builds(Program, numbers, numbers, texts),
            started=st.booleans(),
            endpoint=st.none() | st.builds(Tcp, texts, ports) | st.builds(Unix, texts) | st.builds(Stdio),
            served=st.booleans(),
            announced=st.booleans(),
            suspect=st.booleans(),
            reported_at=st.none() | instants,
            warned_of=st.dictionaries(st.sampled_from(Deadline), instants, max_size=2),
            reason=st.sampled_from(Reason) if ends else st.none(),
            cause=texts,
            exit=st.none() | st.builds(Exit, code=st.integers(0, 255)) | st.builds(Exit, signal=st.integers(1, 64)),
            tail=tuples_of(texts),
            version=numbers,
        )
    )


def facts() -> st.SearchStrategy[Fact]:
    """Draw a fact about any session."""
    return st.builds(
        Fact,
        st.sampled_from(FactType),
        session_id=names,
        service=names,
        owner=texts,
        at=instants,
        version=numbers,
        data=st.dictionaries(texts, data, max_size=3),
    )


def tuples_of(items: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    """Draw a short tuple."""
    return st.lists(items, max_size=3).map(tuple)
