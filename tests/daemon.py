"""A real daemon: twistd in a process of its own, with its output and its API."""

import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest_twisted
from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol, Protocol, connectionDone
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, FileBodyProducer
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

ROOT = Path(__file__).parents[1]
READY = "sessiond is ready"
RUNNING: list["Daemon"] = []
"""The daemons that a test has started."""


@frozen
class Answer:
    """What the API said; ``json`` is decoded where it is JSON."""

    status: int
    headers: dict[str, str]
    json: Any


class _Output(ProcessProtocol):
    """Collects lines and the end."""

    transport: IProcessTransport

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.changed: Callable[[], None] = lambda: None
        self.ended: Deferred[Any] = Deferred()
        self.status: int | None = None
        self.signal: int | None = None
        self.over = False
        self._part = b""

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Take what it wrote."""
        *lines, self._part = (self._part + data).split(b"\n")
        self.lines += [line.decode("utf-8", "replace") for line in lines]
        self.changed()

    def processEnded(self, reason: Failure) -> None:
        """Take note of how it ended."""
        ended: Any = reason.value
        self.status, self.signal, self.over = ended.exitCode, ended.signal, True
        self.changed()
        self.ended.callback(None)


class Body(Protocol):
    """Collects the body of an answer."""

    def __init__(self, read: Deferred[bytes]) -> None:
        self._read, self._parts = read, list[bytes]()

    def dataReceived(self, data: bytes) -> None:
        """Take a part."""
        self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Give the whole."""
        self._read.callback(b"".join(self._parts))


@define
class Daemon:
    """One run of the daemon."""

    output: _Output
    agent: IAgent
    url: str = ""
    token: str | None = None

    @property
    def pid(self) -> int:
        """Give its process."""
        return int(self.output.transport.pid or 0)

    @property
    def text(self) -> str:
        """Give all that it wrote so far."""
        return "\n".join(self.output.lines)

    async def line(self, part: str) -> str:
        """Wait for a line with this in it.

        :raises AssertionError: it ended first.
        """
        while True:
            found = next((line for line in self.output.lines if part in line), None)
            if found is not None:
                return found
            assert not self.output.over, f"ended without {part!r}:\n{self.text}"
            await self._change()

    def _change(self) -> Deferred[None]:
        changed: Deferred[None] = Deferred()

        def tell() -> None:
            if not changed.called:
                changed.callback(None)

        self.output.changed = tell
        return changed

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Call the daemon over HTTP; ``path`` is from the root."""
        sent = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        if self.token is not None and not sent.hasHeader("Authorization"):
            sent.addRawHeader("Authorization", f"Bearer {self.token}")
        content = None
        if body is not None:
            content = FileBodyProducer(BytesIO(json.dumps(body).encode()))
            sent.addRawHeader("Content-Type", "application/json")
        address = (self.url.rstrip("/") + path).encode()
        response: Any = await self.agent.request(method.encode(), address, sent, content)
        body_read: Deferred[bytes] = Deferred()
        response.deliverBody(Body(body_read))
        raw = await body_read
        said = {name.decode().lower(): values[0].decode() for name, values in response.headers.getAllRawHeaders()}
        is_json = "json" in said.get("content-type", "")
        return Answer(response.code, said, json.loads(raw) if is_json and raw else raw.decode("utf-8", "replace"))

    async def stop(self, signal: str = "TERM") -> int | None:
        """End it by a signal, and give its status, ``None`` if the signal did it."""
        try:
            self.output.transport.signalProcess(signal)
        except ProcessExitedAlready:
            pass
        await self.wait()
        return self.output.status

    async def wait(self) -> None:
        """Wait for its end."""
        if not self.output.over:
            ended: Deferred[None] = Deferred()
            self.output.ended.chainDeferred(ended)
            await ended


def spawn(
    config: Path,
    trust: Path | None = None,
    before: Sequence[str] = (),
    handed: socket.socket | None = None,
    **environment: str,
) -> Daemon:
    """Start a daemon; it is not ready yet.

    Its HOME is the configuration's folder, so that it leaves nothing elsewhere.

    :param trust: the certificate that it is to have.
    :param before: more arguments for twistd.
    :param handed: a listening socket that it is handed as systemd does, by the name "http".
    """
    from twisted.internet import reactor

    output = _Output()
    argv = [
        str(Path(sys.executable).with_name("twistd")),
        "-n",
        "--pidfile=",
        *before,
        "sessiond",
        "--config",
        str(config),
    ]
    own = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    env = {**own, "PYTHONPATH": str(ROOT), "HOME": str(config.parent), **environment}
    streams: dict[int, Any] = {0: "w", 1: "r", 2: "r"}
    if handed is not None:
        streams[3] = handed.fileno()
        env |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"}
        # Its own number only the process itself can tell.
        argv = ["/bin/sh", "-c", 'LISTEN_PID=$$; export LISTEN_PID; exec "$0" "$@"', *argv]
    reactor.spawnProcess(output, argv[0], argv, env=env, path=str(config.parent), childFDs=streams)
    known = [] if trust is None else [Certificate.loadPEM(trust.read_bytes())]
    daemon = Daemon(output, Agent(reactor, BrowserLikePolicyForHTTPS(trustRootFromCertificates(known))))
    RUNNING.append(daemon)
    return daemon


def spawn_script(argv: Sequence[str], folder: Path, trust: Path | None = None, **environment: str) -> Daemon:
    """Start a daemon by a command line of its own, in a folder that is also its HOME unless the test says another.

    :param trust: the certificate that it is to have.
    """
    from twisted.internet import reactor

    output = _Output()
    own = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    env = {**own, "PYTHONPATH": str(ROOT), "HOME": str(folder), **environment}
    reactor.spawnProcess(output, argv[0], list(argv), env=env, path=str(folder), childFDs={0: "w", 1: "r", 2: "r"})
    known = [] if trust is None else [Certificate.loadPEM(trust.read_bytes())]
    daemon = Daemon(output, Agent(reactor, BrowserLikePolicyForHTTPS(trustRootFromCertificates(known))))
    RUNNING.append(daemon)
    return daemon


async def started(config: Path, trust: Path | None = None, **environment: str) -> Daemon:
    """Start a daemon and wait until it is ready."""
    daemon = spawn(config, trust, (), None, **environment)
    line = await daemon.line(READY)
    daemon.url = line.rpartition(": ")[2].strip()
    return daemon


def end_all(signal: str = "KILL") -> None:
    """End every daemon that a test has left running, and wait for that.

    :param signal: ``TERM`` where its sessions are to end with it.
    """
    while RUNNING:
        daemon = RUNNING.pop()
        if not daemon.output.over:
            pytest_twisted.blockon(Deferred.fromCoroutine(daemon.stop(signal)))


def free_port() -> int:
    """Give a port of loopback that was free a moment ago."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])
