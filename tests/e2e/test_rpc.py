"""RPC applications as programs of their own, driven by wslink's own clients under Node: alone, and in the daemon."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.components import lack
from tests.daemon import ROOT, free_port, spawn, started
from tests.docs.documents import blocks
from tests.docs.documents import page as document
from tests.e2e.places import Place
from tests.reactor import within
from tests.webclient import browse

CLIENTS = ROOT / "clients" / "wslink"
PROGRAMS = ROOT / "tests" / "ws" / "rpc" / "programs"
APPLICATION = f"{PROGRAMS / 'application.py'}:Application"
SECRET = "made-for-a-test-alone"
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
    port = free_port()
    with running(*application(port)) as run:
        await run.said("Starting factory")
        client = await greeted(f"ws://127.0.0.1:{port}/ws", SECRET)
        run.transport.signalProcess("TERM")
        assert await client.browser.closed == (1001, "Server shutdown")
        assert await run.ended == 0


class Old:
    """A client of the older generation, raw: its first message is its hello, and replies come in order."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self._taken = 0

    async def say(self, message: Any) -> None:
        """Send."""
        self.browser.sendMessage(json.dumps(message).encode())

    async def told(self) -> Any:
        """Give the next message; they are objects, one behind the other."""
        decoder, waited = json.JSONDecoder(), 1
        while True:
            raw = (await self.browser.bytes(self._taken + waited))[self._taken :]
            try:
                found, size = decoder.raw_decode(raw.decode("utf-8", "ignore"))
            except ValueError:
                waited = len(raw) + 1
            else:
                self._taken += size
                return found

    async def call(self, method: str, *args: Any, call_id: str = "rpc:c:1") -> Any:
        """Call, and give the result; what is published meanwhile is passed over."""
        await self.say({"wslink": "1.0", "id": call_id, "method": method, "args": list(args)})
        while (found := await self.told())["id"] != call_id:
            pass
        return found["result"]


async def greeted(url: str, secret: str) -> Old:
    """Connect, and be known."""
    client = Old(await browse(url))
    hello = {"id": "system:c0:0", "method": "wslink.hello", "args": [{"secret": secret}]}
    await client.say(hello)
    assert set((await client.told())["result"]) == {"clientID"}
    return client


@within(60)
async def test_the_application_of_the_documents(place: Place) -> None:
    """The application that the documents write in twenty lines runs, is called, and tells its ticks."""
    (program, *_) = blocks(document("rpc"), "python")
    assert len([line for line in program.text.splitlines() if line.strip()]) <= 20
    path = place.folder / "counter.py"
    path.write_text(program.text, "utf-8")
    port = free_port()
    argv = [sys.executable, "-m", "sessiond.rpc", f"{path}:Counter", "--port", str(port), "--authKey", "made-up"]
    with running(*argv) as run:
        await run.said("wslink: Starting factory")
        client = await greeted(f"ws://127.0.0.1:{port}/ws", "made-up")
        assert await client.call("counter.add", [1, 2, 3]) == 6
        while not (found := await client.told())["id"].startswith("publish:counter.ticks"):
            pass
        assert found["result"]["count"] >= 1
        assert (await client.call("sessiond.methods"))["methods"] == ["counter.add", "counter.picture"]


@within(60)
async def test_the_daemons_own(place: Place) -> None:
    """A portal's page lists, reserves and releases over one socket, and hears what happens."""
    first, last = place.ports
    program = ROOT / "tests" / "e2e" / "programs" / "echo.py"
    place.configure(
        f"""
[services.echo]
kind = "tcp"
launcher = "process"
command = ["${{python}}", "-S", "{program}", "${{port}}"]
ports = "{first}-{last}"
count = 2
""",
        serves=("api", "tunnel", "rpc"),
    )
    daemon = await started(place.config)
    client = await greeted(daemon.url.replace("http", "ws") + "rpc", "")
    assert [one["name"] for one in (await client.call("sessiond.services"))["services"]] == ["echo"]
    made = await client.call("sessiond.reserve", {"service": "echo", "wait": "ready"})
    assert made["state"] == "ready"
    tunnel = await browse(made["tunnel_url"])
    tunnel.sendMessage(b"through the tunnel", isBinary=True)
    assert await tunnel.bytes(18) == b"THROUGH THE TUNNEL"
    assert (await client.call("sessiond.release", made["id"], call_id="rpc:c:2"))["reason"] == "released"
    while (found := await client.told())["result"].get("type") != "session.ended":
        pass
    assert found["id"] == "publish:sessiond.facts:0"
    assert found["result"]["session"] == made["id"]


@within(120)
async def test_in_the_daemon(place: Place) -> None:
    """An application in the daemon has its clients at a path; one that asks for the end ends these, and no more."""
    place.configure(
        f"""
[dialects.wslink.applications.tried]
application = "application:Application"
path = "/tried/ws"
secret = "{SECRET}"
non_blocking = true
""",
        serves=("api", "wslink"),
    )
    daemon = await started(place.config, None, PYTHONPATH=f"{ROOT}:{PROGRAMS}")
    url = daemon.url.replace("http", "ws") + "tried/ws"
    driving = [Deferred.fromCoroutine(driven(package, url)) for package in PACKAGES]
    for told in [await one for one in driving]:
        check(told)
    client = await greeted(url, SECRET)
    assert await client.call("application.exit") is None
    assert await client.browser.closed == (1001, "Server shutdown")
    assert await (await greeted(url, SECRET)).call("t.add", [1, 2]) == 3
    assert (await daemon.call("GET", "/api/v1/sessions")).json == {"sessions": []}


@within(60)
async def test_application_that_is_not_there(place: Place) -> None:
    """The start says which application can't be found."""
    place.configure(
        f"""
[dialects.wslink.applications.tried]
application = "nowhere:Nothing"
secret = "{SECRET}"
non_blocking = true
""",
        serves=("wslink",),
    )
    daemon = spawn(place.config)
    await daemon.wait()
    assert daemon.output.status == 1
    assert "dialects.wslink.applications.tried.application: nowhere can't be imported" in daemon.text
