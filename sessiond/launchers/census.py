"""Finding processes of an earlier run of the daemon: by what their environment says, their identity, their family."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable

from attrs import define, field, frozen

from sessiond.core.values import Program
from sessiond.launchers.command import INSTANCE_VARIABLE, NONCE_VARIABLE
from sessiond.launchers.procfs import ZOMBIE, Stat, all_pids, stat_of, variables_of


@frozen
class Person:
    """One living process, and what its environment says about who launched it."""

    stat: Stat
    nonce: str | None
    instance: str | None


@frozen
class Census:
    """All living processes but this one and init, at about one moment, by pid. Zombies do not live."""

    people: dict[int, Person]

    @classmethod
    def take(cls) -> Census:
        """Read all of ``/proc`` (2 ms for 500 processes)."""
        people = {}
        for pid in set(all_pids()) - {1, os.getpid()}:
            person = person_of(pid)
            if person is not None:
                people[pid] = person
        return cls(people)

    def families(self, roots: Iterable[int]) -> set[int]:
        """Give the roots with all of their descendants."""
        children: dict[int, list[int]] = {}
        for pid, person in self.people.items():
            children.setdefault(person.stat.parent, []).append(pid)
        found = set(roots)
        waiting = list(found)
        while waiting:
            fresh = [pid for pid in children.get(waiting.pop(), ()) if pid not in found]
            found.update(fresh)
            waiting += fresh
        return found


@define(eq=False)
class Description:
    """How to recognise the processes of one launch.

    :ivar is_marked: says of a process, by its environment, that it belongs to the launch.
    :ivar program: the main process where that was recorded; it counts with its start time and boot only.
    :ivar known: what was recognised before, start time by pid: it belongs even if its family has gone.
    :ivar adopters: init, and whoever else was seen to be the parent of its topmost processes.
    """

    is_marked: Callable[[Person], bool]
    program: Program | None = None
    known: dict[int, int] = field(factory=dict)
    adopters: set[int] = field(factory=lambda: {1, os.getpid()})

    def members(self, census: Census) -> list[Stat]:
        """Give the processes of the launch that a census shows."""
        people = census.people
        roots = {pid for pid, person in people.items() if self._is_root(person)}
        # A process session belongs too if it was begun by one of them. One that a root has merely inherited may be
        # that of whoever started the old daemon.
        leaders = roots | ({self.program.pid} if self.program is not None else set())
        sessions = {people[pid].stat.session for pid in roots} & leaders
        roots |= {pid for pid, person in people.items() if person.stat.session in sessions}
        found = [people[pid].stat for pid in census.families(roots)]
        self.known = {stat.pid: stat.started for stat in found}
        self.adopters |= {stat.parent for stat in found} - self.known.keys()
        return found

    def main_lives(self, census: Census) -> bool:
        """Say whether a census shows the recorded main process."""
        person = None if self.program is None else census.people.get(self.program.pid)
        return person is not None and self.program is not None and person.stat.started == self.program.started

    def _is_root(self, person: Person) -> bool:
        if self.is_marked(person) or self.known.get(person.stat.pid) == person.stat.started:
            return True
        program = self.program
        return program is not None and (person.stat.pid, person.stat.started) == (program.pid, program.started)


def of_launch(nonce: str, program: Program | None, boot_id: str) -> Description:
    """Describe a session's launch; a program of an earlier boot can't be running."""
    if program is not None and program.boot_id != boot_id:
        program = None
    return Description(lambda person: bool(nonce) and person.nonce == nonce, program)


def of_strays(instance: str, accounted: Collection[str]) -> Description:
    """Describe what an instance has launched without a record that is left: the nonces of all others are given."""
    return Description(lambda person: person.instance == instance and person.nonce not in accounted)


def person_of(pid: int) -> Person | None:
    """Read one process; ``None`` if it does not live. Where it dies meanwhile, it has no marks."""
    stat = stat_of(pid)
    if stat is None or stat.state == ZOMBIE:
        return None
    return Person(stat, *variables_of(pid, (NONCE_VARIABLE, INSTANCE_VARIABLE)))
