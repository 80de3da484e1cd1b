"""What every launcher keeps to, real or fake: the contract of ``sessiond.ports.Launcher`` as tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

from attrs import define, evolve, field

from sessiond.core.events import Event, Exited, Failed, Gone, Ready, Started
from sessiond.core.services import Plan, Service
from sessiond.core.session import Session
from sessiond.core.values import Exit, Kind, Lease, LeaseKind, State, StopStep
from sessiond.ports import Child, Launcher
from tests.reactor import within

LIMIT_S = 30.0


@define
class Told:
    """What one child has told, in order."""

    events: list[Event] = field(factory=list)

    def __call__(self, event: Event) -> None:
        """Take an event."""
        self.events.append(event)

    @property
    def kinds(self) -> list[str]:
        """The names of the events."""
        return [type(event).__name__ for event in self.events]

    def has(self, kind: type[Any]) -> bool:
        """Say whether an event of this kind came."""
        return any(isinstance(event, kind) for event in self.events)

    def last(self, kind: type[Any]) -> Any:
        """Give the newest event of a kind."""
        return next(event for event in reversed(self.events) if isinstance(event, kind))


def session_named(session_id: str, port: int = 11000, **changes: Any) -> Session:
    """Make a session in ``launching`` that holds a port."""
    session = Session(
        id=session_id,
        service="demo",
        pool="demo",
        plan=Plan(),
        created_at=0.0,
        state=State.LAUNCHING,
        since=0.0,
        slot=0,
        nonce=f"nonce-of-{session_id}-{os.getpid()}",
        child_secret=f"secret-of-{session_id}",
        leases=(Lease(LeaseKind.PORT, port),),
    )
    return evolve(session, **changes)


class Bench(Protocol):
    """A launcher, and what a test of the contract needs to know of it.

    :ivar has_program: its sessions have a process, so an end is ``Exited`` and then ``Gone``.
    """

    has_program: bool
    launcher: Launcher

    def service(self, behaviour: str) -> Service:
        """Give a service whose children are ``prompt``, ``never-ready``, ``dying``, ``stubborn`` or ``missing``."""

    def session(self, behaviour: str) -> Session:
        """Make a session of such a service."""

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let time pass until something holds."""

    async def settle(self) -> None:
        """Let enough time pass for what was begun to show."""

    def restart(self) -> None:
        """Forget everything, as a new run of the daemon has; what runs goes on."""


class LauncherContract:
    """Subclasses have a fixture ``bench``, and may leave out what can't happen to their launcher."""

    async def launched(self, bench: Bench, behaviour: str) -> tuple[Child, Told, Session]:
        """Launch a session whose child behaves as named."""
        told, session = Told(), bench.session(behaviour)
        return bench.launcher.launch(session, bench.service(behaviour), told), told, session

    async def ended(self, bench: Bench, child: Child, told: Told) -> None:
        """End a child the hard way, and hold that nothing is told behind ``Gone``."""
        child.halt(StopStep.KILL)
        await bench.until(lambda: told.has(Gone))
        await bench.settle()
        assert told.kinds.count("Gone") == 1
        assert told.kinds[-1] == "Gone"
        child.tidy()

    @within(LIMIT_S)
    async def test_starts_and_ends(self, bench: Bench) -> None:
        """A child tells ``Started``, ``Ready`` where it was said to listen, and after TERM how it ended."""
        child, told, _ = await self.launched(bench, "prompt")
        await bench.until(lambda: told.has(Ready))
        assert told.kinds == ["Started", "Ready"]
        assert told.last(Ready).endpoint == child.endpoint
        assert (told.last(Started).program is not None) == bench.has_program
        child.halt(StopStep.TERM)
        await bench.until(lambda: told.has(Gone))
        assert told.kinds == ["Started", "Ready", *(["Exited"] if bench.has_program else []), "Gone"]
        await self.ended(bench, child, told)

    @within(LIMIT_S)
    async def test_drain_does_nothing(self, bench: Bench) -> None:
        """``drain`` is no step against the child."""
        child, told, _ = await self.launched(bench, "prompt")
        await bench.until(lambda: told.has(Ready))
        child.halt(StopStep.DRAIN)
        await bench.settle()
        assert told.kinds == ["Started", "Ready"]
        await self.ended(bench, child, told)

    @within(LIMIT_S)
    async def test_steps_after_the_end(self, bench: Bench) -> None:
        """Every step is harmless when nothing is left."""
        child, told, _ = await self.launched(bench, "prompt")
        await bench.until(lambda: told.has(Ready))
        await self.ended(bench, child, told)
        for step in StopStep:
            child.halt(step)
        await bench.settle()
        assert told.kinds.count("Gone") == 1
        assert told.kinds[-1] == "Gone"

    @within(LIMIT_S)
    async def test_kill_before_ready(self, bench: Bench) -> None:
        """A child that never becomes ready can be ended, and tells no ``Ready``."""
        child, told, _ = await self.launched(bench, "never-ready")
        await bench.until(lambda: told.has(Started))
        await self.ended(bench, child, told)
        assert told.kinds == ["Started", "Exited", "Gone"]

    @within(LIMIT_S)
    async def test_dies(self, bench: Bench) -> None:
        """A child that dies by itself tells how, and that all of it is gone."""
        child, told, _ = await self.launched(bench, "dying")
        await bench.until(lambda: told.has(Gone))
        assert told.kinds == ["Started", "Exited", "Gone"]
        assert told.last(Exited).exit == Exit(code=1)
        assert len(child.tail(1)) == 1
        assert child.tail(0) == []
        await self.ended(bench, child, told)

    @within(LIMIT_S)
    async def test_ignores_term(self, bench: Bench) -> None:
        """What does not hear TERM hears KILL."""
        child, told, _ = await self.launched(bench, "stubborn")
        await bench.until(lambda: told.has(Ready))
        child.halt(StopStep.TERM)
        await bench.settle()
        assert not told.has(Exited)
        await self.ended(bench, child, told)
        assert told.last(Exited).exit == Exit(signal=9)

    @within(LIMIT_S)
    async def test_can_not_start(self, bench: Bench) -> None:
        """A start that fails is told, not raised, and followed by ``Gone``."""
        child, told, _ = await self.launched(bench, "missing")
        await bench.until(lambda: told.has(Gone))
        assert told.kinds == ["Failed", "Gone"]
        assert told.last(Failed).cause
        assert child.endpoint is None
        await self.ended(bench, child, told)

    @within(LIMIT_S)
    async def test_recovers_what_lives(self, bench: Bench) -> None:
        """What an earlier run has started is found, left alone, and ended when that is asked for."""
        _, before, session = await self.launched(bench, "prompt")
        await bench.until(lambda: before.has(Ready))
        session = evolve(session, program=before.last(Started).program, endpoint=before.last(Ready).endpoint)
        bench.restart()
        told = Told()
        child = bench.launcher.recover(session, told)
        assert child.endpoint == session.endpoint
        await bench.settle()
        assert told.events == []
        await self.ended(bench, child, told)
        assert told.kinds == [*(["Exited"] if bench.has_program else []), "Gone"]

    @within(LIMIT_S)
    async def test_recovers_nothing(self, bench: Bench) -> None:
        """Where nothing is left, that is told; how it ended nobody has seen."""
        session = bench.session("prompt")
        told = Told()
        child = bench.launcher.recover(session, told)
        if not bench.has_program:
            child.halt(StopStep.TERM)
        await bench.until(lambda: told.has(Gone))
        if bench.has_program:
            assert told.events[0] == Exited(Exit())
        await self.ended(bench, child, told)

    @within(LIMIT_S)
    async def test_close_touches_no_child(self, bench: Bench) -> None:
        """A launcher that closes lets its children live."""
        _, told, session = await self.launched(bench, "prompt")
        await bench.until(lambda: told.has(Ready))
        await bench.launcher.close()
        bench.restart()
        again = Told()
        child = bench.launcher.recover(evolve(session, program=told.last(Started).program), again)
        await bench.settle()
        assert again.events == []
        await self.ended(bench, child, again)


def make_service(**changes: Any) -> Service:
    """Make a service of the process launcher, changed as a test needs it."""
    return Service(**{"name": "demo", "kind": Kind.TCP, "launcher": "process", **changes})
