"""What was told is there after ``kill -9``, and a session and its facts never disagree."""

import os
import signal
import sys
from collections import defaultdict
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from sessiond.core.facts import StoredFact
from sessiond.core.session import Session
from sessiond.stores.sqlite import SqliteStore
from tests.contracts.store import opened
from tests.reactor import within

ROOT = Path(__file__).parents[2]
SAVING = Path(__file__).with_name("saving.py")
KILLS = 4
LINES = 300
"""How many saves are told before each kill; the counts differ, so that the kills meet different moments."""


class Saving(ProcessProtocol):
    """The saving program; killed in the middle of things once it has printed enough lines."""

    def __init__(self, lines: int) -> None:
        self.ended: Deferred[int | None] = Deferred()
        self.errors = b""
        self._lines = lines
        self._output = b""

    def outReceived(self, data: bytes) -> None:
        """Collect lines, and kill."""
        self._output += data
        if self._output.count(b"\n") >= self._lines and self.transport is not None:
            self._lines = sys.maxsize
            self.transport.signalProcess("KILL")

    def errReceived(self, data: bytes) -> None:
        """Collect what went wrong."""
        self.errors += data

    def processEnded(self, reason: Failure) -> None:
        """Tell the test by which signal it ended."""
        self.ended.callback(getattr(reason.value, "signal", None))

    @property
    def told(self) -> list[tuple[str, int, int]]:
        """Every save that the program was told of: session, version, offset."""
        lines = self._output[: self._output.rfind(b"\n") + 1].decode().splitlines()
        return [(name, int(version), int(offset)) for name, version, offset in map(str.split, lines)]


async def run_until_killed(path: Path, first: int, lines: int) -> list[tuple[str, int, int]]:
    """Run the program and kill it; give what it was told."""
    from twisted.internet import reactor

    saving = Saving(lines)
    argv = [sys.executable, str(SAVING), str(path), str(first)]
    reactor.spawnProcess(saving, sys.executable, argv, {**os.environ, "PYTHONPATH": str(ROOT)})
    assert await saving.ended == signal.SIGKILL, saving.errors.decode()
    return saving.told


def check_agreement(sessions: list[Session], facts: list[StoredFact]) -> None:
    """Hold that every session has the facts of all its versions, in order, and no other."""
    versions: dict[str, list[int]] = defaultdict(list)
    for stored in facts:
        versions[stored.fact.session_id].append(stored.fact.version)
    for session in sessions:
        first = versions[session.id][0]
        assert versions[session.id] == list(range(first, session.version + 1))
    assert set(versions) == {session.id for session in sessions}


@within(120)
async def test_kill(tmp_path: Path) -> None:
    """After each of several kills everything told is there, and sessions and facts agree."""
    path = tmp_path / "sessions.sqlite"
    told: list[tuple[str, int, int]] = []
    for kill in range(KILLS):
        from twisted.internet import reactor

        told += await run_until_killed(path, 1 + 1_000_000 * kill, LINES + 37 * kill)
        store = SqliteStore(path, reactor)  # type: ignore[arg-type]
        async with opened(store) as sessions:
            kept = {session.id: session.version for session in sessions}
            facts = await store.facts(0, 1_000_000)
        offsets = {(each.fact.session_id, each.fact.version): each.offset for each in facts}
        assert [each for each in told if kept[each[0]] < each[1]] == []
        assert [each for each in told if offsets.get(each[:2]) != each[2]] == []
        assert [each.offset for each in facts] == list(range(1, len(facts) + 1))
        check_agreement(sessions, [each for each in facts if each.fact.version > 1_000_000 * kill])
    assert len(told) >= KILLS * LINES
