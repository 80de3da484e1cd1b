"""Recognising the processes of a launch among all others, in made-up censuses."""

from __future__ import annotations

from sessiond.core.values import Program
from sessiond.launchers.census import Census, Person, of_launch, of_strays
from sessiond.launchers.procfs import Stat

BOOT = "this boot"


def person(
    pid: int,
    parent: int = 1,
    session: int = 1,
    nonce: str | None = None,
    instance: str | None = None,
    started: int | None = None,
) -> Person:
    """Make a process; it started at a tick of its pid's number."""
    return Person(Stat(pid, "S", parent, session, session, pid if started is None else started), nonce, instance)


def census(*people: Person) -> Census:
    """Make a census."""
    return Census({person.stat.pid: person for person in people})


def found(description: object, *people: Person) -> set[int]:
    """Give the pids that a description recognises."""
    return {stat.pid for stat in description.members(census(*people))}  # type: ignore[attr-defined]


def test_by_nonce() -> None:
    """A process that carries the nonce belongs, wherever it is in the family tree."""
    people = (person(10, nonce="n"), person(11, nonce="m"), person(12), person(13, parent=12, nonce="n"))
    assert found(of_launch("n", None, BOOT), *people) == {10, 13}


def test_empty_nonce_matches_nothing() -> None:
    """A session without a nonce has no marked processes, not all unmarked ones."""
    assert found(of_launch("", None, BOOT), person(10), person(11, nonce="")) == set()


def test_by_identity() -> None:
    """The recorded main process belongs, and not one with its pid alone."""
    program = Program(10, 10, BOOT)
    assert found(of_launch("n", program, BOOT), person(10)) == {10}
    assert found(of_launch("n", program, BOOT), person(10, started=11)) == set()
    assert found(of_launch("n", program, "another boot"), person(10)) == set()


def test_descendants() -> None:
    """Descendants belong even if they cleared their environment."""
    people = (person(10, nonce="n"), person(11, parent=10), person(12, parent=11), person(13, parent=1))
    assert found(of_launch("n", None, BOOT), *people) == {10, 11, 12}


def test_process_session() -> None:
    """A process session that one of them began belongs; one that it only inherited does not."""
    begun = (person(10, session=10, nonce="n"), person(11, session=10))
    assert found(of_launch("n", None, BOOT), *begun) == {10, 11}
    inherited = (person(10, session=5, nonce="n"), person(11, session=5))
    assert found(of_launch("n", None, BOOT), *inherited) == {10}


def test_session_of_a_dead_leader() -> None:
    """The main process's session belongs after its end, as long as a marked process is in it."""
    program = Program(10, 10, BOOT)
    assert found(of_launch("n", program, BOOT), person(11, session=10, nonce="n"), person(12, session=10)) == {11, 12}
    assert found(of_launch("n", program, BOOT), person(12, session=10)) == set()


def test_known_before() -> None:
    """What was recognised once still belongs when its family has gone."""
    description = of_launch("n", None, BOOT)
    assert found(description, person(10, nonce="n"), person(11, parent=10)) == {10, 11}
    assert found(description, person(11, parent=1)) == {11}
    assert found(description, person(11, started=99)) == set()


def test_strays() -> None:
    """Strays carry this instance's mark and a nonce that nobody accounts for."""
    people = (
        person(10, instance="i", nonce="a"),
        person(11, instance="i", nonce="b"),
        person(12, instance="other", nonce="c"),
        person(13, instance="i"),
    )
    assert found(of_strays("i", {"a"}), *people) == {11, 13}


def test_main_lives() -> None:
    """The main process lives if a census shows its identity."""
    description = of_launch("n", Program(10, 10, BOOT), BOOT)
    assert description.main_lives(census(person(10)))
    assert not description.main_lives(census(person(10, started=9)))
    assert not description.main_lives(census())
    assert not of_launch("n", None, BOOT).main_lives(census(person(10)))


def test_real_census() -> None:
    """A real census shows others, and neither this process nor init."""
    import os

    people = Census.take().people
    assert os.getpid() not in people
    assert 1 not in people
    assert all(person.stat.state != "Z" for person in people.values())
