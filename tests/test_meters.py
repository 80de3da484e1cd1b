"""The meters: what is counted, and how it is written."""

from __future__ import annotations

import re

import pytest
from twisted.internet.task import Clock

from sessiond.clock import SteadyClock
from sessiond.core.errors import LATER_S, Code
from sessiond.core.facts import Datum, Fact, FactType, StoredFact
from sessiond.core.values import Reason, State
from sessiond.meters import BUCKETS_S, RECENT_S, SPELL_S, TICK_S, TICKS, Level, Meters, Now, Traffic, metric
from tests.core.sessions import by_state

NOTHING = Now((), {}, 0)
FOUND = by_state(2)
LINE = re.compile(r'[a-z_]+(\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="(\\.|[^"\\])*")*\})? -?[0-9.e+-]+')


class Told:
    """Meters and the facts that they are told."""

    def __init__(self, *services: str) -> None:
        self.reactor = Clock()
        clock = SteadyClock(self.reactor, self.reactor.seconds, 0.0)
        self.traffic = Traffic()
        self.meters = Meters(services, clock, lambda: self.traffic)
        self.offset = 0

    def tell(self, kind: FactType, at: float = 0.0, session_id: str = "s", **data: Datum) -> StoredFact:
        """Tell a fact of a session."""
        self.offset += 1
        stored = StoredFact(self.offset, Fact(kind, session_id, "clock", "ada", at, 1, data))
        self.meters.hear(stored)
        return stored

    def lines(self, now: Now = NOTHING) -> list[str]:
        """Give what is written, without the comments."""
        return [line for line in self.meters.text(now).splitlines() if not line.startswith("#")]


def test_everything_is_there_from_the_start() -> None:
    """Every service has a series for each state and each reason before anything has happened."""
    lines = Told("clock", "desktop").lines()
    for service in ("clock", "desktop"):
        for state in State:
            assert f'sessiond_sessions{{service="{service}",state="{state.value}"}} 0' in lines
        for reason in Reason:
            assert f'sessiond_sessions_ended_total{{service="{service}",reason="{reason.value}"}} 0' in lines
        assert f'sessiond_launches_begun_total{{service="{service}"}} 0' in lines
        assert f'sessiond_launches_last_seconds_count{{service="{service}"}} 0' in lines
    for other in ('requests_answered_total{status="5xx"}', "tunnels_open", "sessions_unsaved", "reactor_lag_seconds"):
        assert f"sessiond_{other} 0" in lines


def test_refusals() -> None:
    """What callers were refused is counted by service and code, as far as time mends it."""
    told = Told("clock")
    for code in Code:
        assert (f'sessiond_sessions_refused_total{{service="clock",code="{code.value}"}} 0' in told.lines()) is (
            code in LATER_S
        )
    for code in (Code.FULL, Code.FULL, Code.QUOTA, Code.BAD_OPTION):
        told.meters.count_refusal("clock", code)
    lines = told.lines()
    assert 'sessiond_sessions_refused_total{service="clock",code="full"} 2' in lines
    assert 'sessiond_sessions_refused_total{service="clock",code="quota"} 1' in lines


def test_many_refusals_cost_no_memory() -> None:
    """However many callers are turned away, what is kept of them is bounded."""
    told = Told("clock")
    for _ in range(1000):
        for _ in range(10):
            told.meters.count_refusal("clock", Code.FULL)
        told.reactor.advance(1.0)
    assert len(told.meters._spells) <= RECENT_S / SPELL_S
    assert told.meters.recent_refusals() == pytest.approx(10 * RECENT_S, rel=0.05)


def test_format() -> None:
    """Every line is one that Prometheus reads, each metric has its help and type once, and no series stands twice."""
    told = Told("clock")
    told.tell(FactType.LAUNCHING, 1.0)
    told.tell(FactType.READY, 1.26)
    text = told.meters.text(Now(FOUND[State.READY], {"clock": Level(4, 1, 0)}, 0))
    assert text.endswith("\n")
    lines = text.splitlines()
    values = [line for line in lines if not line.startswith("# ")]
    assert all(LINE.fullmatch(line.replace("+Inf", "Inf")) for line in values)
    series = [line.rpartition(" ")[0] for line in values]
    assert len(series) == len(set(series))
    helps = [line.split()[2] for line in lines if line.startswith("# HELP")]
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert helps == types
    assert len(set(types)) == len(types)


def test_sessions_are_counted_from_the_table() -> None:
    """Sessions by state are those that are there, those of bygone services too."""
    sessions = [session for found in FOUND.values() for session in found[:2]]
    lines = Told("desktop").lines(Now(sessions, {}, 3))
    for state in State:
        assert f'sessiond_sessions{{service="clock",state="{state.value}"}} 2' in lines
    assert 'sessiond_sessions{service="desktop",state="ready"} 0' in lines
    assert "sessiond_sessions_unsaved 3" in lines


def test_pools() -> None:
    """Pools are told as they stand."""
    lines = Told().lines(Now((), {"gpu": Level(4, 3, 2)}, 0))
    assert [line for line in lines if "pool" in line] == [
        'sessiond_pool_slots_count{pool="gpu"} 4',
        'sessiond_pool_slots_used{pool="gpu"} 3',
        'sessiond_pool_slots_queued{pool="gpu"} 2',
    ]


def test_facts_are_counted_once() -> None:
    """A fact that the bus delivers again changes nothing."""
    told = Told("clock")
    told.meters.hear(told.tell(FactType.LAUNCHING))
    told.meters.hear(told.tell(FactType.ENDED, reason="exited"))
    lines = told.lines()
    assert 'sessiond_launches_begun_total{service="clock"} 1' in lines
    assert 'sessiond_sessions_ended_total{service="clock",reason="exited"} 1' in lines


def test_launch_times() -> None:
    """The time from a launch until readiness falls into its buckets; a launch that failed into none."""
    told = Told("clock")
    for number, seconds in enumerate((0.05, 0.1, 3.0, 100.0)):
        told.tell(FactType.LAUNCHING, 10.0, f"s{number}")
        told.tell(FactType.READY, 10.0 + seconds, f"s{number}")
    told.tell(FactType.LAUNCHING, 10.0, "failed")
    told.tell(FactType.STOPPING, 11.0, "failed")
    told.tell(FactType.READY, 12.0, "failed")
    lines = [line for line in told.lines() if line.startswith("sessiond_launches_last_seconds")]
    counts = {line.split('le="')[1].split('"')[0]: line.split()[-1] for line in lines if "_bucket" in line}
    assert list(counts) == [*map(str, BUCKETS_S), "+Inf"]
    assert (counts["0.1"], counts["2.5"], counts["5.0"], counts["60.0"], counts["+Inf"]) == ("2", "2", "3", "3", "4")
    assert 'sessiond_launches_last_seconds_count{service="clock"} 4' in lines
    assert told.meters._launched_at == {}


def test_traffic_and_answers() -> None:
    """Tunnels and answers are told as they are at that moment."""
    told = Told()
    told.traffic = Traffic(2, 10, 2**40)
    for status in (200, 204, 302, 404, 503):
        told.meters.count_answer(status)
    lines = told.lines()
    assert "sessiond_tunnels_open 2" in lines
    assert 'sessiond_tunnels_carried_bytes_total{to="program"} 10' in lines
    assert f'sessiond_tunnels_carried_bytes_total{{to="client"}} {2**40}' in lines
    assert [f'sessiond_requests_answered_total{{status="{n}xx"}} {count}' in lines for n, count in
            ((2, 2), (3, 1), (4, 1), (5, 1))] == [True] * 4  # fmt: skip


def test_lag() -> None:
    """The worst lateness of the last minute is told, and forgotten after it; a stopped meter leaves no call."""
    told = Told()
    told.meters.start()
    told.reactor.advance(TICK_S + 0.75)
    assert "sessiond_reactor_lag_seconds 0.75" in told.lines()
    for _ in range(TICKS):
        told.reactor.advance(TICK_S)
    assert "sessiond_reactor_lag_seconds 0" in told.lines()
    told.meters.stop()
    told.meters.stop()
    assert told.reactor.getDelayedCalls() == []


def test_labels_are_escaped() -> None:
    """No value of a label ends its line or its quotes."""
    written = metric("x", "gauge", "Said.", [("", {"a": 'b"c\\d\ne'}, 1.5)])
    assert written == '# HELP sessiond_x Said.\n# TYPE sessiond_x gauge\nsessiond_x{a="b\\"c\\\\d\\ne"} 1.5\n'
