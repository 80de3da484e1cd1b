"""Catching what is another process every moment, among the orphans that others have adopted.

A program that forks again and again, each parent ending at once, slips through every census: the pid that was listed is
gone before it is looked at. But its parent is always whoever adopts orphans, and a child stands in that one's list of
children (``/proc/PID/task/*/children``) from the instant it is made. So these short lists are read in a tight loop,
until one reading shows nothing that is wanted and nothing that went away before it could be asked.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Mapping

from sessiond.launchers.census import Description, person_of
from sessiond.launchers.procfs import ZOMBIE, children_of, send, stat_of

BUDGET_S = 0.02
"""How long one hunt may hold the reactor up; what it has not settled by then is settled by a later one."""


def hunt(wanted: Mapping[Description, bool]) -> tuple[set[Description], bool]:
    """Look among all orphans for some launches.

    :param wanted: launches, and whether what is found of them is to be killed.
    :returns: those of which something was seen, and whether the others are sure to be gone: it is not sure where
        somebody was too quick to be asked.
    """
    settled: set[int] = set()
    until = time.monotonic() + BUDGET_S
    shown, was_clear = _look(wanted, settled)
    ever_shown = set(shown)
    while time.monotonic() < until and (not was_clear or any(wanted[one] for one in shown)):
        shown, was_clear = _look(wanted, settled)
        ever_shown |= shown
    return (shown if was_clear else ever_shown), was_clear


def _look(wanted: Mapping[Description, bool], settled: set[int]) -> tuple[set[Description], bool]:
    """Read the lists once; says what was seen, and whether all that was listed could be asked.

    :param settled: pids that are known not to be wanted, for the time of one hunt: strangers, and zombies that were
        that before this reading, so that they can't have made anything that it has missed.
    """
    shown: set[Description] = set()
    was_clear = True
    for pid in _adopted(wanted):
        if pid in settled:
            continue
        person = person_of(pid)
        if person is None or person.nonce is None:
            stat = stat_of(pid)
            if stat is not None and stat.state == ZOMBIE:
                settled.add(pid)
            if person is None or stat is None or stat.is_ending:
                was_clear = False
                continue
        owners = [description for description in wanted if description.is_marked(person)]
        if not owners:
            settled.add(pid)
        elif any(wanted[owner] for owner in owners):
            send(pid, person.stat.started, signal.SIGKILL)
        shown.update(owners)
    return shown, was_clear


def _adopted(wanted: Iterable[Description]) -> list[int]:
    """List the children of all who adopt orphans of these launches, the newest first."""
    adopters = {adopter for description in wanted for adopter in description.adopters}
    return [pid for adopter in adopters for pid in reversed(children_of(adopter))]
