"""What an earlier run of the daemon has left: found after a ``kill -9`` by nonce and identity, and ended."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.protocol import ProcessProtocol

from sessiond.core.events import Exited, Gone, Started
from sessiond.core.values import Exit, Program, StopStep
from sessiond.launchers.procfs import boot_id, stat_of
from tests.contracts.launcher import Told, session_named
from tests.launchers.real import INSTANCE, PROGRAMS, RealBench, free_port, is_alive, marked, program, until
from tests.reactor import within

LIMIT_S = 30.0
LOST = [Exited(Exit())]


class Daemon(ProcessProtocol):
    """A small daemon in a process of its own that launches one session and can be killed."""

    def __init__(self, runtime: Path, session_id: str, command: tuple[str, ...]) -> None:
        from twisted.internet import reactor

        self.said = b""
        self.ended = False
        self.session = session_named(session_id, free_port())
        script = str(PROGRAMS / "spawned.py")
        port = str(self.session.leases[0].number)
        argv = [sys.executable, script, str(runtime), INSTANCE, session_id, self.session.nonce, port, *command]
        env = {**os.environ, "PYTHONPATH": str(PROGRAMS.parents[2])}
        self.process: Any = reactor.spawnProcess(self, sys.executable, argv, env=env, childFDs={0: "w", 1: "r", 2: 2})

    def outReceived(self, data: bytes) -> None:
        """Take what it says."""
        self.said += data

    def processEnded(self, reason: object) -> None:
        """Take note of its end."""
        self.ended = True

    def program(self) -> Program:
        """Give the program of its session."""
        found = re.search(rb"pid=(\d+), started=(\d+)", self.said)
        assert found is not None
        return Program(int(found[1]), int(found[2]), boot_id())

    async def killed_after(self, word: bytes) -> None:
        """Kill it once it has said something."""
        await until(lambda: word in self.said or self.ended)
        assert word in self.said
        self.process.signalProcess("KILL")
        await until(lambda: self.ended)


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """Make a runtime folder."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def names_in(folder: Path) -> list[str]:
    """List what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


async def recover(real: RealBench, session: Any) -> tuple[Any, Told]:
    """Recover a session, and hold that nothing is done to it before that is asked for."""
    told = Told()
    child = real.launcher.recover(session, told)
    await real.settle()
    return child, told


@pytest.mark.parametrize("is_recorded", [True, False])
@within(LIMIT_S)
async def test_killed_daemon(real: RealBench, runtime: Path, is_recorded: bool) -> None:
    """A child outlives its daemon; the next run finds it, also if the crash came before its pid was saved."""
    daemon = Daemon(runtime, "demo-9", program("serve", "tcp", "${port}"))
    await daemon.killed_after(b"Ready")
    child_program = daemon.program()
    session = evolve(daemon.session, program=child_program if is_recorded else None)
    child, told = await recover(real, session)
    assert told.events == []
    assert is_alive(child_program.pid)
    assert child.tail(1)[0].startswith("listening")
    child.halt(StopStep.TERM)
    await until(lambda: told.has(Gone))
    assert told.events[:-1] == LOST
    assert not is_alive(child_program.pid)
    child.tidy()
    assert names_in(runtime) == []


@pytest.mark.parametrize("how", ["stay", "leave", "hop"])
@within(LIMIT_S)
async def test_killed_daemon_of_forkers(real: RealBench, runtime: Path, how: str) -> None:
    """What forked away from an earlier run is found by its nonce wherever it is, and killed."""
    daemon = Daemon(runtime, "demo-9", program("fork_away", how))
    await daemon.killed_after(b"Exited" if how != "stay" else b"Started")
    session = evolve(daemon.session, program=daemon.program())
    if how == "stay":
        await until(lambda: len(marked(session.nonce)) == 4)
    child, told = await recover(real, session)
    assert told.events == ([] if how == "stay" else LOST)
    child.halt(StopStep.TERM)
    await real.settle()
    assert not told.has(Gone)
    child.halt(StopStep.KILL)
    await until(lambda: told.has(Gone))
    await real.settle()
    assert marked(session.nonce) == []
    assert told.events[:-1] == LOST


@within(LIMIT_S)
async def test_stranger_with_the_pid(real: RealBench) -> None:
    """A process that has the recorded pid but another start time, or is of another boot, is never signalled."""
    stranger = Told()
    session = real.session()
    other = real.launcher.launch(session, real.service("prompt"), stranger)
    await until(lambda: "Ready" in stranger.kinds)
    right: Program = stranger.last(Started).program
    for wrong in (evolve(right, started=right.started - 1), evolve(right, boot_id="another boot")):
        told = Told()
        child = real.launcher.recover(session_named("demo-8", program=wrong), told)
        for step in (StopStep.TERM, StopStep.KILL):
            child.halt(step)
        await until(lambda told=told: told.has(Gone))  # type: ignore[misc]
        assert told.events[:-1] == LOST
    await real.settle()
    assert stranger.kinds == ["Started", "Ready"]
    other.halt(StopStep.KILL)
    await until(lambda: stranger.has(Gone))


@within(LIMIT_S)
async def test_strays_are_reclaimed(real: RealBench, runtime: Path) -> None:
    """What this instance has launched for no session on record is killed; what is on record, or newer, is not."""
    daemons = [Daemon(runtime, f"demo-{n}", program("wait")) for n in (7, 8)]
    for daemon in daemons:
        await daemon.killed_after(b"Started")
    stray, recorded = daemons
    own = Told()
    session = real.session()
    child = real.launcher.launch(session, real.service("prompt"), own)
    done: list[None] = []
    real.launcher.reclaim_strays({recorded.session.nonce, session.nonce}).addCallback(done.append)
    newer = Told()
    new_child = real.launcher.launch(real.session(), real.service("prompt"), newer)
    await until(lambda: bool(done))
    assert marked(stray.session.nonce) == []
    assert marked(recorded.session.nonce) == [recorded.program().pid]
    for each, told in ((child, own), (new_child, newer)):
        await until(lambda told=told: told.has(Gone) or "Ready" in told.kinds)  # type: ignore[misc]
        assert told.kinds == ["Started", "Ready"]
        each.halt(StopStep.KILL)
        await until(lambda told=told: told.has(Gone))  # type: ignore[misc]
    os.kill(recorded.program().pid, signal.SIGKILL)
    await until(lambda: not is_alive(recorded.program().pid))


@within(LIMIT_S)
async def test_runtime_is_swept(real: RealBench, runtime: Path, tmp_path: Path) -> None:
    """Folders of sessions that are no more are deleted; others, files and the targets of links are not."""
    for name in ("live", "dead"):
        (runtime / name / "deep").mkdir(parents=True)
    (runtime / "lock").touch()
    precious = tmp_path / "precious"
    precious.mkdir()
    (runtime / "dead" / "link").symlink_to(precious)
    (runtime / "link").symlink_to(precious)
    assert real.launcher.sweep_runtime({"live"}) == ["dead"]
    assert names_in(runtime) == ["link", "live", "lock"]
    assert names_in(tmp_path) == ["precious", "run"]


@within(LIMIT_S)
async def test_ended_by_itself(real: RealBench, runtime: Path) -> None:
    """A recovered program that ends by itself is told of, though nobody asked for anything."""
    daemon = Daemon(runtime, "demo-9", program("wait"))
    await daemon.killed_after(b"Started")
    program_ = daemon.program()
    _, told = await recover(real, evolve(daemon.session, program=program_))
    assert told.events == []
    stat = stat_of(program_.pid)
    assert stat is not None
    os.kill(program_.pid, signal.SIGKILL)
    await until(lambda: told.has(Gone))
    assert told.events[:-1] == LOST
