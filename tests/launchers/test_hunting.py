"""Catching what is another process every moment, among made-up lists of children."""

from __future__ import annotations

import pytest

from sessiond.launchers import hunting
from sessiond.launchers.census import Description, Person, of_launch
from sessiond.launchers.hunting import hunt
from sessiond.launchers.procfs import Stat

BOOT = "this boot"


class Machine:
    """Init's children: by pid the nonce of one that lives, ``None`` of one without, ``"Z"`` of a zombie."""

    def __init__(self) -> None:
        self.children: dict[int, str | None] = {}
        self.vanishing: set[int] = set()
        self.killed: list[int] = []
        self.follow: dict[int, tuple[int, str]] = {}

    def children_of(self, pid: int) -> list[int]:
        """List init's children, those that will have gone when they are asked too."""
        return [*self.children, *self.vanishing] if pid == 1 else []

    def stat_of(self, pid: int) -> Stat | None:
        """Read one; who vanishes leaves another behind."""
        if pid in self.vanishing:
            self.vanishing.discard(pid)
            if pid in self.follow:
                heir, nonce = self.follow[pid]
                self.children[heir] = nonce
        if pid not in self.children:
            return None
        return Stat(pid, "Z" if self.children[pid] == "Z" else "S", 1, pid, pid, pid)

    def person_of(self, pid: int) -> Person | None:
        """Ask one."""
        stat = self.stat_of(pid)
        return None if stat is None or stat.state == "Z" else Person(stat, self.children[pid], None)

    def send(self, pid: int, started: int, number: int) -> bool:
        """Kill one."""
        self.killed.append(pid)
        del self.children[pid]
        return True


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give a machine that is not this one."""
    machine = Machine()
    for name in ("children_of", "stat_of", "person_of", "send"):
        monkeypatch.setattr(hunting, name, getattr(machine, name))
    return machine


@pytest.fixture
def wanted() -> Description:
    """Give what is looked for."""
    return of_launch("n", None, BOOT)


def test_nothing(machine: Machine, wanted: Description) -> None:
    """Strangers and zombies are no sign of it."""
    machine.children = {10: None, 11: "other", 12: "Z"}
    assert hunt({wanted: True}) == (set(), True)
    assert machine.killed == []


def test_killed(machine: Machine, wanted: Description) -> None:
    """What is found is killed, and nothing else; the hunt goes on until nothing shows."""
    machine.children = {10: None, 11: "n", 12: "other", 13: "n"}
    assert hunt({wanted: True}) == (set(), True)
    assert sorted(machine.killed) == [11, 13]


def test_only_seen(machine: Machine, wanted: Description) -> None:
    """Where nothing is to be killed, it is only said to be there."""
    machine.children = {11: "n"}
    assert hunt({wanted: False, of_launch("m", None, BOOT): True}) == ({wanted}, True)
    assert machine.killed == []


def test_too_quick(machine: Machine, wanted: Description) -> None:
    """Who vanishes before it could be asked is followed to who comes after it."""
    machine.vanishing, machine.follow = {11}, {11: (12, "n")}
    assert hunt({wanted: True}) == (set(), True)
    assert machine.killed == [12]


def test_budget(machine: Machine, wanted: Description, monkeypatch: pytest.MonkeyPatch) -> None:
    """When time is up and somebody was too quick, nothing is sure."""
    monkeypatch.setattr(hunting, "BUDGET_S", 0.0)
    machine.vanishing = {11}
    assert hunt({wanted: True}) == (set(), False)
