"""Stand-ins of the viewer's child that a test itself starts, and the journals of all."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

PROGRAM = Path(__file__).with_name("programs") / "standin_sc_server.py"
COMMAND = (sys.executable, "-S", "-E", str(PROGRAM))
"""What stands before its own switches; nothing that it needs is installed."""
LOOK_S = 0.01
Event = dict[str, Any]


def read_journal(path: Path, **wanted: Any) -> list[Event]:
    """Read the events so far, those with the wanted values only."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    events = [json.loads(line) for line in lines]
    return [event for event in events if wanted.items() <= event.items()]


async def happened(path: Path, test: Callable[[list[Event]], bool] = bool, **wanted: Any) -> list[Event]:
    """Wait until such events have been written that pass the test, one at least if none is given."""
    from twisted.internet import reactor

    while True:
        events = [event for event in read_journal(path) if {**event, **wanted} == event]
        if test(events):
            return events
        await deferLater(reactor, LOOK_S)


def free_port() -> int:
    """Give a port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Run(ProcessProtocol):
    """One run.

    :ivar ended: fires when the process is gone.
    :ivar status: its exit code, ``None`` where a signal ended it.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.journal, self.port = folder / "journal", port
        self.url = f"ws://127.0.0.1:{port}/"
        self.ended: Deferred[None] = Deferred()
        self.status: int | None = None
        self.signal: int | None = None
        self.output = b""

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Take what it wrote."""
        self.output += data

    def processEnded(self, reason: Failure) -> None:
        """Take note of how it ended."""
        ended: Any = reason.value
        self.status, self.signal = ended.exitCode, ended.signal
        self.ended.callback(None)

    async def event(self, event: str, count: int = 1, **wanted: Any) -> Event:
        """Wait for so many such events, and give the last of them."""
        events = await happened(self.journal, lambda events: len(events) >= count, event=event, **wanted)
        return events[count - 1]

    def events(self, event: str, **wanted: Any) -> list[Event]:
        """Give such events so far."""
        return [one for one in read_journal(self.journal) if {**one, "event": event, **wanted} == one]

    def reports(self) -> list[tuple[str | None, int]]:
        """Give what it has reported, and the answers' statuses."""
        return [(event["what"], event["status"]) for event in self.events("report")]

    def strike(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        assert self.transport is not None
        self.transport.signalProcess(signal.Signals(number).name.removeprefix("SIG"))

    async def end(self) -> int | None:
        """Wait for its end, and give its exit code."""
        await self.ended
        return self.status

    async def kill(self) -> None:
        """See to it that it is gone."""
        if not self.ended.called:
            self.strike(signal.SIGKILL)
            await self.ended


def start(folder: Path, mode: str, own: Sequence[str], options: Mapping[str, str], env: Mapping[str, str]) -> Run:
    """Start one.

    :param own: more of its own switches.
    :param options: what the real one would be given too, with ``_`` for ``-``.
    """
    from twisted.internet import reactor

    run = Run(folder, free_port())
    licence = folder / "licence"
    licence.write_text("a key", "utf-8")
    given = {"id": "some-id", "sc_port": str(run.port), "license_file": str(licence), **options}
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
    argv = [*COMMAND, "--mode", mode, "--journal", str(run.journal), "--lifetime", "100", *own, *words]
    reactor.spawnProcess(run, argv[0], argv, env, str(folder))
    return run
