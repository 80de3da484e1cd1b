"""The daemon as twistd runs it: it starts, serves, ends, and leaves nothing."""

import hashlib
import os
import re
import shutil
import socket
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import deferLater

from sessiond.launchers.procfs import all_pids, variable_of
from tests.certificates import write_certificate
from tests.daemon import READY, Daemon, end_all, free_port, spawn, started
from tests.reactor import within
from tests.webclient import browse

CONFIG = """
state_dir = "state"
runtime_dir = "{run}"
[listeners.web]
endpoint = "tcp:{port}:interface=127.0.0.1"
serves = ["api", "tunnel", "health", "metrics"]
callers = "anyone"
[services.echo]
kind = "tcp"
launcher = "process"
command = ["${{python}}", "{echo}", "${{port}}"]
count = 2
ports = "{first}-{last}"
limits = {{ connect = "30s", linger = "1s" }}
"""

ECHO = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        client, _ = server.accept()
        while data := client.recv(65536):
            client.sendall(data.upper())
        client.close()
"""


@pytest.fixture
def run() -> Iterator[Path]:
    """Make a place for sockets: pytest's own are too deep for their paths."""
    with TemporaryDirectory(prefix="sd-") as folder:
        yield Path(folder)


@pytest.fixture
def config(tmp_path: Path, run: Path) -> Path:
    """Write a configuration with a service that echoes in capitals."""
    (tmp_path / "echo.py").write_text(ECHO)
    path = tmp_path / "sessiond.toml"
    first = 20000 + os.getpid() % 500 * 4
    path.write_text(CONFIG.format(port=free_port(), run=run, echo=tmp_path / "echo.py", first=first, last=first + 3))
    return path


def strays(folder: Path) -> list[int]:
    """List the processes that a daemon with this state folder has launched."""
    return [pid for pid in all_pids() if str(folder) in (variable_of(pid, "SESSIOND_INSTANCE") or "")]


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, run: Path) -> Iterator[None]:
    """See that no child outlives the daemon, and no session's folder; a failed test's daemon is ended."""
    yield
    end_all()
    assert strays(tmp_path) == []
    assert not (run / "0").exists() or list((run / "0").iterdir()) == []


@within(60)
async def test_ends_cleanly(config: Path) -> None:
    """On TERM the daemon ends with status 0; it has told one URL and written no error."""
    daemon = await started(config)
    assert (await daemon.call("GET", "/healthz")).status == 200
    assert (await daemon.call("GET", "/readyz")).json["ready"] is True
    assert await daemon.stop() == 0
    assert daemon.text.count(READY) == 1
    assert "Traceback" not in daemon.text
    assert "#error]" not in daemon.text
    assert "#critical]" not in daemon.text


@within(60)
async def test_interrupt(config: Path) -> None:
    """So it does on INT, as of a key."""
    daemon = await started(config)
    assert await daemon.stop("INT") == 0


@within(60)
async def test_log_keeps_secrets(config: Path) -> None:
    """Whichever way a secret comes, the log does not hold it; a name can't forge a line."""
    add(config, f'[tokens.portal]\ndigest = "sha256:{hashlib.sha256(b"canary-of-a-portal").hexdigest()}"\n')
    change(config, 'callers = "anyone"', 'callers = "token"')
    add(config, 'scopes = ["operate"]\n')
    daemon = await started(config)
    daemon.token = "canary-of-a-portal"
    order = {"service": "echo", "owner": "canary\n2026 forged", "wait": "ready"}
    assert (await daemon.call("POST", "/api/v1/sessions", order)).status == 400
    made = await daemon.call("POST", "/api/v1/sessions", {**order, "owner": "ada"})
    assert made.status == 201
    for path in (
        "/tunnel?token=canary-1",
        "/api/v1/sessions?ticket=canary-2",
        "/x%0a2026-01-01%20forged?token=canary-3",
    ):
        await daemon.call("GET", path)
    assert (await daemon.call("GET", "/api/v1/sessions", Authorization="Bearer canary-4")).status == 401
    assert await daemon.stop() == 0
    assert "canary" not in daemon.text
    assert made.json["token"] not in daemon.text
    assert all(re.match(r"\d{4}-\d\d-\d\dT|\t", line) for line in daemon.output.lines)


@within(60)
async def test_log_file(config: Path) -> None:
    """A log that goes to a file is kept as clean."""
    daemon = spawn(config, before=("--logfile", "log.txt"))
    log = config.parent / "log.txt"
    await until(lambda: log.exists() and READY in log.read_text())
    daemon.url = f"http://127.0.0.1:{port_of(config)}"
    await daemon.call("GET", "/tunnel?token=canary")
    assert await daemon.stop() == 0
    assert "GET /tunnel" in log.read_text()
    assert "canary" not in log.read_text()


@within(60)
async def test_ended_while_starting(config: Path) -> None:
    """A TERM that comes while the daemon starts ends it as cleanly."""
    daemon = spawn(config)
    await daemon.line("starting on")
    assert await daemon.stop() == 0
    again = await started(config)
    assert await again.stop() == 0


@within(60)
async def test_whole_way(config: Path) -> None:
    """A portal reserves, the program starts, a browser talks to it through the tunnel, and all is taken back."""
    daemon = await started(config)
    made = await daemon.call("POST", "/api/v1/sessions", {"service": "echo", "wait": "ready"})
    assert (made.status, made.json["state"]) == (201, "ready")
    browser = await browse(made.json["tunnel_url"])
    assert browser.websocket_protocol_in_use == "binary"
    browser.sendMessage(b"hello" * 20000, isBinary=True)
    assert await browser.bytes(100000) == b"HELLO" * 20000
    session = f"/api/v1/sessions/{made.json['id']}"
    assert (await daemon.call("GET", session)).json["state"] == "connected"
    metrics = (await daemon.call("GET", "/metrics")).json
    assert "sessiond_tunnels_open 1\n" in metrics
    assert 'sessiond_tunnels_carried_bytes_total{to="client"} 100000\n' in metrics
    with pytest.raises(ConnectionRefusedError):
        await browse(made.json["tunnel_url"])
    assert (await daemon.call("DELETE", session)).status == 200
    assert await browser.closed == (4410, "released")
    await ended(daemon, session)
    assert strays(config.parent) == []
    with pytest.raises(ConnectionRefusedError):
        await browse(made.json["tunnel_url"])
    assert await daemon.stop() == 0
    assert made.json["token"] not in daemon.text


@within(60)
async def test_browser_leaves(config: Path) -> None:
    """When the browser is gone and does not come back, its session ends."""
    daemon = await started(config)
    made = await daemon.call("POST", "/api/v1/sessions", {"service": "echo"})
    browser = await browse(made.json["tunnel_url"])
    browser.sendMessage(b"hello", isBinary=True)
    assert await browser.bytes(5) == b"HELLO"
    browser.sendClose(1000)
    assert (await browser.closed)[0] == 1000
    assert (await ended(daemon, f"/api/v1/sessions/{made.json['id']}"))["reason"] == "lingered"
    assert await daemon.stop() == 0


@within(60)
async def test_stop_tells_browsers(config: Path) -> None:
    """A daemon that ends tells the browsers so, and ends their programs."""
    daemon = await started(config)
    made = await daemon.call("POST", "/api/v1/sessions", {"service": "echo"})
    browser = await browse(made.json["tunnel_url"])
    stopped = Deferred.fromCoroutine(daemon.stop())
    assert (await browser.closed)[0] == 1001
    assert await stopped == 0


@within(60)
async def test_handed_socket(config: Path) -> None:
    """A port that systemd has opened is served; who came before the daemon was there is served too."""
    with socket.create_server(("127.0.0.1", 0)) as handed:
        port = handed.getsockname()[1]
        change(config, f"tcp:{port_of(config)}:interface=127.0.0.1", "systemd:domain=INET:name=http")
        change(config, 'callers = "anyone"', 'callers = "anyone"\ninsecure = true')
        daemon = spawn(config, handed=handed)
        daemon.url = f"http://127.0.0.1:{port}"
        assert (await daemon.call("GET", "/healthz")).status == 200
        assert f"{READY}: {daemon.url}/" in await daemon.line(READY)
        assert await daemon.stop() == 0


async def refused(config: Path) -> Daemon:
    """Start a daemon that can't, and wait until it has ended with a status that says so."""
    daemon = spawn(config)
    await daemon.wait()
    assert daemon.output.status == 1
    assert READY not in daemon.text
    assert "Traceback" not in daemon.text
    return daemon


@within(60)
async def test_port_taken(config: Path) -> None:
    """A port that somebody has is told in one line, and the status is 1; nothing was opened before it."""
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", port_of(config)))
        squatter.listen()
        daemon = await refused(config)
    assert f"listeners.web: can't listen on port {port_of(config)} of 127.0.0.1: Address already in use" in daemon.text
    assert not list((config.parent / "state").rglob("*.sqlite"))


@within(60)
async def test_refused_configuration(config: Path) -> None:
    """A fault in the configuration is told by its place, without twistd's help in front of it."""
    change(config, "count = 2", "cuont = 2")
    daemon = await refused(config)
    assert "services.echo.cuont: unknown key, did you mean 'count'?" in daemon.text
    assert "Usage:" not in daemon.text


@within(60)
async def test_no_configuration(config: Path) -> None:
    """A file that is not there is told too."""
    daemon = await refused(config.with_name("none.toml"))
    assert "No such file or directory" in daemon.text


@within(60)
async def test_loose_state(config: Path) -> None:
    """A state folder that others can look into is refused."""
    (config.parent / "state").mkdir(mode=0o755)
    daemon = await refused(config)
    assert "state: has mode 0755; 0700 is needed" in daemon.text


@within(60)
async def test_broken_store(config: Path) -> None:
    """A store that is no database is told, left as it is, and the port is free again."""
    await (await started(config)).stop()
    store = config.parent / "state" / "instances" / "0" / "sessions.sqlite"
    store.write_bytes(b"not a database" * 1000)
    await refused(config)
    assert store.read_bytes() == b"not a database" * 1000
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tried.bind(("127.0.0.1", port_of(config)))


@within(60)
async def test_folder_missing(config: Path) -> None:
    """A folder that is to be served must be there."""
    change(config, '"metrics"]', '"metrics", "static"]')
    add(config, '[static]\n"/files" = "nowhere"\n')
    daemon = await refused(config)
    assert f"static: {config.parent}/nowhere is no folder" in daemon.text


@pytest.mark.parametrize("broken", ["missing", "garbage", "mismatch"])
@within(60)
async def test_bad_certificate(broken: str, config: Path) -> None:
    """A key or certificate that can't be used is told in words of people."""
    change(config, f"tcp:{port_of(config)}", f"ssl:{port_of(config)}:privateKey=tls.key:certKey=other.crt")
    if broken == "garbage":
        write(config.parent / "tls.key", "no key")
        write(config.parent / "other.crt", "no certificate")
    elif broken == "mismatch":
        write_certificate(config.parent, "tls")
        write_certificate(config.parent, "other")
    daemon = await refused(config)
    assert "listeners.web: " in daemon.text
    assert ("No such file" if broken == "missing" else "the key and the certificate can't be used") in daemon.text


@within(60)
async def test_tls(config: Path) -> None:
    """A listener speaks TLS by itself, and says https where it says where it is."""
    write_certificate(config.parent)
    change(config, f"tcp:{port_of(config)}", f"ssl:{port_of(config)}:privateKey=tls.key:certKey=tls.crt")
    daemon = await started(config, trust=config.parent / "tls.crt")
    assert daemon.url == f"https://127.0.0.1:{port_of(config)}/"
    made = await daemon.call("POST", "/api/v1/sessions", {"service": "echo", "wait": "ready"})
    assert made.json["tunnel_url"].startswith(f"wss://127.0.0.1:{port_of(config)}/tunnel?token=")
    browser = await browse(made.json["tunnel_url"])
    browser.sendMessage(b"hello", isBinary=True)
    assert await browser.bytes(5) == b"HELLO"
    stopped = Deferred.fromCoroutine(daemon.stop())
    assert (await browser.closed)[0] == 1001
    assert await stopped == 0


@within(60)
async def test_tunnels_on_their_own_port(config: Path) -> None:
    """Tunnels open on a port of their own, whatever the path, and whoever makes a session is told where."""
    port = free_port()
    change(config, '"api", "tunnel"', '"api"')
    add(config, f'[listeners.tunnels]\nendpoint = "tcp:{port}:interface=127.0.0.1"\nserves = ["tunnel"]\n')
    daemon = await started(config)
    made = await daemon.call("POST", "/api/v1/sessions", {"service": "echo"})
    url = made.json["tunnel_url"]
    assert url.startswith(f"ws://127.0.0.1:{port}/tunnel?token=")
    browser = await browse(url.replace("/tunnel", "/"))
    browser.sendMessage(b"hello", isBinary=True)
    assert await browser.bytes(5) == b"HELLO"
    assert (await daemon.call("GET", "/tunnel")).status == 404
    browser.sendClose(1000)
    await browser.closed
    assert await daemon.stop() == 0


@within(60)
async def test_two_at_a_time(config: Path) -> None:
    """Two daemons with one state folder have a part of it each."""
    other = config.with_name("other.toml")
    shutil.copy(config, other)
    change(other, f"tcp:{port_of(config)}", f"tcp:{free_port()}")
    first = await started(config)
    second = await started(other)
    assert sorted(path.name for path in (config.parent / "state" / "instances").iterdir()) == ["0", "1"]
    assert await second.stop() == 0
    assert await first.stop() == 0


@within(60)
async def test_killed_and_started_again(config: Path) -> None:
    """What a killed daemon has left is taken back by the next one, its programs and folders too."""
    daemon = await started(config)
    made = await daemon.call("POST", "/api/v1/sessions", {"service": "echo", "wait": "ready"})
    assert made.status == 201
    assert len(strays(config.parent)) == 1
    await daemon.stop("KILL")
    daemon = await started(config)
    await until(lambda: strays(config.parent) == [])
    found = await daemon.call("GET", f"/api/v1/sessions/{made.json['id']}")
    assert found.json["state"] in ("stopping", "ended")
    again = await daemon.call("POST", "/api/v1/sessions", {"service": "echo", "wait": "ready"})
    assert again.status == 201
    assert await daemon.stop() == 0


@within(60)
async def test_fixed_session_lives_on(config: Path) -> None:
    """A session without a program outlives a killed daemon, and its token still opens it."""
    from twisted.internet import reactor

    echoes: Any = ServerFactory()
    echoes.protocol = Echo
    target: Any = reactor.listenTCP(0, echoes, interface="127.0.0.1")
    where = f"{{ port = {target.getHost().port} }}"
    add(config, f'[services.old]\nkind = "tcp"\nlauncher = "fixed"\ncount = 1\ntarget = {where}\n')
    daemon = await started(config)
    made = await daemon.call("POST", "/api/v1/sessions", {"service": "old", "wait": "ready"})
    assert made.status == 201
    await daemon.stop("KILL")
    daemon = await started(config)
    browser = await browse(made.json["tunnel_url"])
    browser.sendMessage(b"hello", isBinary=True)
    assert await browser.bytes(5) == b"hello"
    assert await daemon.stop() == 0
    assert (await browser.closed)[0] == 1001
    await target.stopListening()


class Echo(Protocol):
    """Sends back what it is sent."""

    def dataReceived(self, data: bytes) -> None:
        """Send it back."""
        assert self.transport is not None
        self.transport.write(data)


@within(60)
async def test_two_killed_one_started(config: Path) -> None:
    """What a killed daemon has left is taken back even if another one is started in its stead."""
    other = config.with_name("other.toml")
    shutil.copy(config, other)
    change(other, f"tcp:{port_of(config)}", f"tcp:{free_port()}")
    for daemon in (await started(config), await started(other)):
        assert (await daemon.call("POST", "/api/v1/sessions", {"service": "echo", "wait": "ready"})).status == 201
        await daemon.stop("KILL")
    assert len(strays(config.parent)) == 2
    daemon = await started(config)
    await until(lambda: strays(config.parent) == [])
    await until(lambda: not any(list(folder.iterdir()) for folder in run_of(config).iterdir()))
    assert await daemon.stop() == 0


def run_of(config: Path) -> Path:
    """Give the folder of a configuration's running sessions."""
    return Path(tomllib.loads(config.read_text())["runtime_dir"])


async def ended(daemon: Daemon, session: str) -> dict[str, Any]:
    """Wait until a session has ended, and give it as the API tells it."""
    from twisted.internet import reactor

    while True:
        found = await daemon.call("GET", session)
        if found.json["state"] == "ended":
            return dict(found.json)
        await deferLater(reactor, 0.02)


def port_of(config: Path) -> int:
    """Give the port of a configuration's listener."""
    found = re.search(r"(?:tcp|ssl):(\d+)", config.read_text())
    assert found is not None
    return int(found[1])


def write(path: Path, text: str) -> None:
    """Write a file."""
    path.write_text(text)


def add(config: Path, text: str) -> None:
    """Add to a configuration."""
    write(config, config.read_text() + text)


def change(config: Path, old: str, new: str) -> None:
    """Change a configuration."""
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is so; the test's own limit ends this."""
    from twisted.internet import reactor

    while not true():
        await deferLater(reactor, 0.02)
