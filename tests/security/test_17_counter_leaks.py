"""Random operations on a whole daemon; after each, every gauge of the meters is what a recount gives."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis.stateful import initialize, invariant

from sessiond.core.values import State
from sessiond.meters import Meters, Now, Traffic
from sessiond.web.health import levels
from tests.broker.test_invariants import ROUNDS, Daemon

SAMPLE = re.compile(r"sessiond_(\w+)(?:\{(.*)\})? (\S+)")


class Gauged(Daemon):
    """Everything that may happen, seen by the meters."""

    @initialize()
    def begin(self) -> None:
        """Start the first daemon, and its meters."""
        super().begin()
        names = self.world.catalogue.services
        self.meters = Meters(names, self.world.broker.clock, lambda: Traffic(len(self.world.broker._clients)))

    @invariant()
    def gauges_are_recounts(self) -> None:
        """Nothing that is counted can leak (7)."""
        broker = self.world.broker
        text = self.meters.text(Now(broker.sessions(), levels(broker), broker.unsaved))
        table, saved = list(broker._table), list(self.world.store.kept.values())
        wanted: dict[tuple[str, str], float] = {}
        found = Counter((session.service, session.state) for session in saved)
        for name, service in self.world.catalogue.services.items():
            for state in State:
                wanted["sessions", f'service="{name}",state="{state.value}"'] = found[name, state]
            of_pool = [session for session in table if session.pool == service.pool]
            pool = f'pool="{service.pool}"'
            wanted["pool_slots_count", pool] = self.world.catalogue.pools[service.pool].count
            wanted["pool_slots_used", pool] = sum(session.state.holds_slot for session in of_pool)
            wanted["pool_slots_queued", pool] = sum(session.state is State.QUEUED for session in of_pool)
        held = {tunnel.number for session in table for tunnel in session.tunnels}
        # One that was cut is let go once that is saved.
        unsaved = {t.number for s in saved if s.id in broker._journal.unsaved() for t in s.tunnels}
        told = gauges_of(text)
        assert len(held) <= told.pop(("tunnels_open", "")) <= len(held | unsaved) + waiting(self)
        assert told.pop(("sessions_unsaved", "")) <= len(broker._journal.unsaved())
        assert told.pop(("reactor_lag_seconds", "")) == 0
        assert told.pop(("bus_facts_unsent", "")) == 0
        assert told == wanted


def waiting(machine: Daemon) -> int:
    """Count the clients whose admission, or whose end, is being saved."""
    return sum(c.refused is None and (c.admission is None or c.told) for c in machine.world.clients)


def gauges_of(text: str) -> dict[tuple[str, str], float]:
    """Read every gauge: its name, its labels, its value."""
    kinds = dict(re.findall(r"# TYPE sessiond_(\w+) (\w+)", text))
    samples = (SAMPLE.fullmatch(line) for line in text.splitlines())
    return {(s[1], s[2] or ""): float(s[3]) for s in samples if s is not None and kinds.get(s[1]) == "gauge"}


TestGauges = pytest.mark.filterwarnings("ignore")(Gauged.TestCase)
TestGauges.settings = settings(ROUNDS, max_examples=25)
