"""A small desktop, seen by RFB: ``python -m sessiond.demo.desktop --socket PATH [-- CLIENT ARGUMENT...]``.

Starts Xvnc, which chooses its display and serves RFB on the UNIX socket (mode 0600, no TCP port at all), then
an X client or, unless one is named, a few simple ones. It ends when Xvnc or the first client ends, or on TERM,
and leaves nothing behind.
"""

import argparse
import os
import secrets
import shutil
import signal
import struct
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from sessiond.demo.arguments import size, socket_path

CLIENTS: tuple[tuple[str, ...], ...] = (
    ("xterm", "-fa", "DejaVu Sans Mono", "-fs", "11", "-geometry", "84x24+40+40", "-T", "terminal"),
    ("xclock", "-update", "1", "-geometry", "180x180-40+40"),
    ("xeyes", "-geometry", "180x110-40+260"),
)
"""The clients that are started, as far as they are installed, where the command line names none."""

STOP_S = 2.0
"""How long the programs may take to end after TERM, before they are killed."""

_DISPLAY_FD = 3
_X_FOLDER = Path("/tmp")  # noqa: S108 - every X server keeps its locks and sockets there


class Program(ProcessProtocol):
    """A running program: ``ended`` fires with how it ended, ``display`` with the first line of its fd 3.

    ``failure`` says how it ended where that was neither clean nor our doing.
    """

    transport: IProcessTransport

    def __init__(self) -> None:
        self.ended: Deferred[str] = Deferred()
        self.display: Deferred[int] = Deferred()
        self.alive = True
        self.failure: str | None = None
        self._sent: set[int] = set()
        self._line = b""

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Wait for the number of the display and the end of its line."""
        self._line = (self._line + data)[:32]
        number, newline, _ = self._line.partition(b"\n")
        if newline and number.strip().isdigit() and not self.display.called:
            self.display.callback(int(number))

    def processExited(self, reason: Failure) -> None:
        """The program is gone; what it left to descriptors of others does not matter."""
        self.alive = False
        how = reason.getErrorMessage()
        by_us = isinstance(reason.value, ProcessTerminated) and reason.value.signal in self._sent
        if not (by_us or isinstance(reason.value, ProcessDone)):
            self.failure = how
        self.ended.callback(how)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still lives."""
        if self.alive:
            self._sent.add(number)
            self.transport.signalProcess(number)


class Desktop:
    """Xvnc and its clients.

    :param folder: a private, empty folder; it is the caller's to remove.
    """

    def __init__(self, reactor: Any, path: str, pixels: tuple[int, int], folder: Path) -> None:
        self._reactor = reactor
        self._path = path
        self._geometry = "{}x{}".format(*pixels)
        self._authority = folder / "authority"
        self._programs: list[Program] = []
        self._display: int | None = None
        self._files = DisplayFiles({})
        self._closing = False
        self.ended: Deferred[str] = Deferred()

    def start(self, clients: Sequence[Sequence[str]]) -> None:
        """Start Xvnc, and the clients once it has its display; ``ended`` fires with what ended first."""
        write_authority(self._authority)
        xvnc = self._spawn(self._xvnc_command(), {_DISPLAY_FD: "r"})
        xvnc.display.addCallback(self._start_clients, clients)

    def _xvnc_command(self) -> list[str]:
        return [
            "Xvnc",
            *("-displayfd", str(_DISPLAY_FD)),
            *("-rfbport", "-1", "-rfbunixpath", self._path, "-rfbunixmode", "0600"),
            *("-SecurityTypes", "None", "-nolisten", "tcp", "-auth", str(self._authority)),
            *("-geometry", self._geometry, "-depth", "24", "-AlwaysShared", "-noreset"),
            *("-desktop", "sessiond desktop"),
        ]

    def _start_clients(self, display: int, clients: Sequence[Sequence[str]]) -> None:
        self._display = display
        self._files = DisplayFiles.of(display)
        if not self._closing:
            for client in clients:
                self._spawn(client, {})

    def _spawn(self, command: Sequence[str], more_fds: dict[int, str]) -> Program:
        environment = dict(os.environ, XAUTHORITY=str(self._authority))
        if self._display is not None:
            environment["DISPLAY"] = f":{self._display}"
        program = Program()
        self._programs.append(program)
        fds: dict[int, int | str] = {0: 0, 1: 1, 2: 2, **more_fds}
        self._reactor.spawnProcess(program, command[0], list(command), environment, childFDs=fds)
        if len(self._programs) <= 2:  # Xvnc or the first client
            program.ended.addCallback(self._first_ended, command[0])
        return program

    def _first_ended(self, how: str, name: str) -> None:
        if not (self._closing or self.ended.called):
            self.ended.callback(f"{name}: {how}")

    @property
    def failure(self) -> str | None:
        """How Xvnc ended where it failed: its clients end in the same moment, and may be noticed first."""
        return self._programs[0].failure if self._programs else None

    def close(self) -> Deferred[None]:
        """End every program, after :data:`STOP_S` by force; then remove the files that Xvnc may have left."""
        self._closing = True
        alive = [program for program in self._programs if program.alive]
        for program in alive:
            program.signal(signal.SIGTERM)
        force = self._reactor.callLater(STOP_S, _kill, alive)
        gone = DeferredList([program.ended for program in alive]) if alive else succeed(None)

        def clean(_: object) -> None:
            if force.active():
                force.cancel()
            Path(self._path).unlink(missing_ok=True)
            self._files.remove()

        return gone.addCallback(clean)


def _kill(programs: Sequence[Program]) -> None:
    for program in programs:
        program.signal(signal.SIGKILL)


def write_authority(path: Path) -> None:
    """Write a cookie that Xvnc asks of its clients, so that no other user of the machine sees the display.

    The entry is for any address and any display, as the display is not known yet (FamilyWild, empty number).

    Source: the file format in Xau(3): big-endian, each text with its size in two bytes.
    """
    texts = (b"", b"", b"MIT-MAGIC-COOKIE-1", secrets.token_bytes(16))
    entry = struct.pack(">H", 0xFFFF) + b"".join(struct.pack(">H", len(text)) + text for text in texts)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(entry)


@frozen
class DisplayFiles:
    """The files of a display, as they were while its server lived.

    Xvnc removes them itself unless it is killed. By then the display may be another server's, so each file is
    removed only while it is the very one that was seen (inode and time of its last change).
    """

    seen: dict[Path, tuple[int, int]]

    @classmethod
    def of(cls, display: int, folder: Path = _X_FOLDER) -> "DisplayFiles":
        """Look at a display's socket and lock; with ``-displayfd``, some servers make no lock."""
        paths = (folder / ".X11-unix" / f"X{display}", folder / f".X{display}-lock")
        return cls({path: identity for path in paths if (identity := _identity(path)) is not None})

    def remove(self) -> None:
        """Remove what is still there."""
        for path, identity in self.seen.items():
            if _identity(path) == identity:
                path.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_ctime_ns


@frozen
class Arguments:
    """The command line, checked; no ``client`` stands for :data:`CLIENTS`."""

    socket: str
    size: tuple[int, int]
    client: tuple[str, ...]


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Read the command line.

    :raises SystemExit: with status 2, after a message on stderr, where something is wrong with it.
    """
    parser = argparse.ArgumentParser("python -m sessiond.demo.desktop", description="A desktop to see by RFB.")
    parser.add_argument("--socket", type=socket_path, required=True, metavar="PATH", help="listen on a UNIX socket")
    parser.add_argument("--size", type=size, default=(1280, 800), metavar="WxH", help="pixels (1280x800)")
    parser.add_argument("client", nargs="*", metavar="CLIENT", help="after --, an X client and its arguments")
    found = parser.parse_args(argv)
    return Arguments(found.socket, found.size, tuple(found.client))


def installed_clients(client: Sequence[str]) -> list[Sequence[str]]:
    """Choose the clients to start, of those that are installed."""
    return [each for each in ([client] if client else CLIENTS) if shutil.which(each[0])]


def main(argv: Sequence[str]) -> int:
    """Run until the desktop ends, or TERM or INT comes; 1 where it could not run or Xvnc failed."""
    arguments = parse_arguments(argv)
    clients = installed_clients(arguments.client)
    if not clients or not shutil.which("Xvnc"):
        missing = " ".join(arguments.client[:1]) or "any X client" if shutil.which("Xvnc") else "Xvnc"
        sys.stderr.write(f"{missing}: not installed\n")
        return 1
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs it: not at module level

    def ended(how: str) -> None:
        sys.stderr.write(f"the desktop ends: {how}\n")
        reactor.stop()

    with tempfile.TemporaryDirectory(prefix="sessiond-desktop-") as folder:
        desktop = Desktop(reactor, arguments.socket, arguments.size, Path(folder))
        desktop.ended.addCallback(ended)
        reactor.addSystemEventTrigger("before", "shutdown", desktop.close)
        reactor.callWhenRunning(desktop.start, clients)
        reactor.run()
    if desktop.failure:
        sys.stderr.write(f"Xvnc failed: {desktop.failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
