"""RPC applications as programs of their own, driven by wslink's own clients under Node: alone, and in the daemon."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.components import lack
from tests.daemon import ROOT, free_port, started
from tests.e2e.places import Place
from tests.reactor import within

CLIENTS = ROOT / "clients" / "wslink"
PROGRAMS = ROOT / "tests" / "ws" / "rpc" / "programs"
APPLICATION = f"{PROGRAMS / 'application.py'}:Application"
SECRET = "made-for-a-test"
PACKAGES = ("wslink-0", "wslink-1", "wslink-2")

pytestmark = pytest.mark.usefixtures("site_ends")


class Run(ProcessProtocol):
    """A program, and what it wrote to its standard output."""

    transport: IProcessTransport

    def __init__(self) -> None:
        self.output, self.errors = b"", b""
        self.ended: Deferred[int | None] = Deferred()
        self.over = False
        self._wanted: tuple[bytes, Deferred[None]] | None = None

    def outReceived(self, data: bytes) -> None:
        """Keep it, and tell who waits for some of it."""
        self.output += data
        if self._wanted is not None and self._wanted[0] in self.output:
            (_, waiting), self._wanted = self._wanted, None
            waiting.callback(None)

    def errReceived(self, data: bytes) -> None:
        """Keep it."""
        self.errors += data

    def processEnded(self, reason: Failure) -> None:
        """Tell its status."""
        ended: Any = reason.value
        self.over = True
        if self._wanted is not None:
            self._wanted[1].errback(AssertionError(f"ended: {self.errors.decode()}"))
        self.ended.callback(ended.exitCode)

    def said(self, text: str) -> Deferred[None]:
        """Wait until it has written this."""
        waiting: Deferred[None] = Deferred()
        if text.encode() in self.output:
            waiting.callback(None)
        else:
            self._wanted = text.encode(), waiting
        return waiting


@contextmanager
def running(*argv: str, **environment: str) -> Iterator[Run]:
    """Run a program; whatever the test did, it is ended."""
    from twisted.internet import reactor

    run = Run()
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment}
    reactor.spawnProcess(run, argv[0], argv, env, str(PROGRAMS))
    try:
        yield run
    finally:
        if not run.over:
            run.transport.signalProcess("KILL")


def node() -> str:
    """Find Node.js, and the clients that npm has installed."""
    found = shutil.which("node")
    if found is None or not (CLIENTS / "node_modules").is_dir():
        lack("not installed: wslink's clients (npm, in clients/wslink)")
    return found


async def driven(package: str, url: str, exits: str = "stay") -> dict[str, Any]:
    """Have a client do everything, and give what each step came to."""
    with running(node(), str(PROGRAMS / "drive.cjs"), str(CLIENTS), url, SECRET, exits, package) as run:
        assert await run.ended == 0, run.output.decode()
    steps = [json.loads(line) for line in run.output.splitlines()]
    return {step["step"]: step.get("result", step.get("error")) for step in steps}


def application(port: int, *more: str) -> list[str]:
    """Give the command line of an application."""
    own = ["--host", "127.0.0.1", "--port", str(port), "--authKey", SECRET]
    return [sys.executable, "-m", "sessiond.rpc", APPLICATION, *own, *more]


def data(byte: str, size: int) -> dict[str, Any]:
    """Give what a client makes of bytes."""
    return {"bytes": byte * min(size, 10), "size": size}


def check(told: dict[str, Any]) -> None:
    """Hold what a client was told."""
    assert told["wrong"] != "connected"
    assert told["add"] == 15
    assert told["echo"] == {"args": ["ü", None, 1.5], "kwargs": {"k": {"deep": [True]}}}
    assert told["odd numbers"] == ["Infinity", "NaN", "-Infinity"]
    assert told["nothing"] is None
    assert told["unknown"] == {
        "code": -32601,
        "message": "Unregistered method called",
        "data": "myprotocol.mistake.TYPO",
    }
    raised = {"method": "t.throw", "exception": "RuntimeError('boom')", "trace": ""}
    assert told["throw"] == {"code": -32001, "message": "Exception raised", "data": raised}
    assert told["notser"] == {"code": -32002, "message": "Method result cannot be serialized", "data": "t.notser"}
    for size in (0, 1, 5_000_000):
        assert told[f"blob {size}"] == {"blob": data("07", size)}
        assert told[f"upload {size}"] == f"received binary data of length {size}, {7 * min(size, 10)}"
    assert told["heard"] == [[{"v": 1}], [{"a": data("00", 3)}]]
    assert told["order"] == ["slow", "quick"]
    assert told["overtake"] == ["quick", "slow"]
    assert told["again"] == 2
    assert "done" in told


@within(120)
async def test_every_client(place: Place) -> None:
    """Each of the clients in the field, all at one endpoint at once, gets everything; the last of them ends it."""
    port = free_port()
    with running(*application(port)) as run:
        await run.said("wslink: Starting factory")
        url = f"ws://127.0.0.1:{port}/ws"
        driving = [Deferred.fromCoroutine(driven(package, url)) for package in PACKAGES]
        for told in [await one for one in driving]:
            check(told)
        check(await driven("wslink-2", url, "exit"))
        assert await run.ended == 0


@within(120)
async def test_through_the_daemon(place: Place) -> None:
    """An application is a service of kind websocket: reserved, launched, carried to its client, and taken back."""
    first, last = place.ports
    command = ["${python}", *application(0)[1:]]
    command[command.index("--port") + 1] = "${port}"
    place.configure(
        f"""
[services.app]
kind = "websocket"
launcher = "process"
command = {json.dumps(command)}
env = {{ PYTHONPATH = {json.dumps(str(ROOT))} }}
ports = "{first}-{last}"
count = 2
clients = 8
limits = {{ linger = "10s" }}
"""
    )
    daemon = await started(place.config)
    for package in PACKAGES:
        made = await daemon.call("POST", "/api/v1/sessions", {"service": "app", "wait": "ready"})
        assert made.status == 201, made
        check(await driven(package, made.json["tunnel_url"]))
        assert (await daemon.call("DELETE", f"/api/v1/sessions/{made.json['id']}")).status == 200


@within(60)
async def test_idle_end(place: Place) -> None:
    """An application that no client comes for ends by itself, well; one that must not begin says why."""
    with running(*application(free_port(), "--timeout", "0.5"), WSLINK_READY_MSG="here I am") as run:
        await run.said("here I am")
        assert await run.ended == 0
    for more, why in (
        (["--authKey", "wslink-secret"], b"a secret is needed"),
        (["--host", "0.0.0.0", "--default-secret"], b"only on loopback"),
        (["--sslKey", "x"], b"needed together"),
    ):
        with running(*application(free_port(), *more)) as run:
            assert await run.ended == 2
            assert why in run.errors
    with running(sys.executable, "-m", "sessiond.rpc", "nowhere:Nothing", "--authKey", "x") as run:
        assert await run.ended == 2
        assert b"nowhere can't be imported" in run.errors


@within(60)
async def test_stop(place: Place) -> None:
    """A stop is told to clients as wslink's servers tell it."""
    from tests.webclient import browse

    port = free_port()
    with running(*application(port)) as run:
        await run.said("Starting factory")
        client = await browse(f"ws://127.0.0.1:{port}/ws")
        client.sendMessage(
            json.dumps({"id": "system:c0:0", "method": "wslink.hello", "args": [{"secret": SECRET}]}).encode()
        )
        assert b"clientID" in await client.bytes(10)
        run.transport.signalProcess("TERM")
        assert await client.closed == (1001, "Server shutdown")
        assert await run.ended == 0


def test_application_is_there() -> None:
    """What the tests run is where they look for it."""
    assert Path(APPLICATION.partition(":")[0]).is_file()
