"""The command line of Nexus' websocketserver: how it is read, and real daemons started by it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.ssl import Certificate, optionsForClientTLS

from sessiond.config import Config, Face, Nexus
from sessiond.core.errors import ConfigError
from sessiond.core.services import FixedTarget
from sessiond.websocketserver import (
    Install,
    UsageFault,
    configure,
    read_settings,
    with_headers_apart,
)
from tests.certificates import write_certificate
from tests.daemon import READY, ROOT, Daemon, end_all, spawn_script
from tests.fakes.frames import BINARY, Frames, frame, payload_of, request
from tests.reactor import within

ENVIRONMENT = {"HOME": "/home/x"}
NO_INSTALL = Install()
SCRIPT = ROOT / "etc" / "websocketserver.py"


@pytest.fixture
def short() -> Iterator[Path]:
    """Make a folder whose path fits a reason phrase; pytest's own are too deep."""
    with TemporaryDirectory(prefix="sd-") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """End what a test has started."""
    yield
    end_all()


def read(*words: str, install: Install = NO_INSTALL, **environment: str) -> Config:
    """Read a command line."""
    config, _ = configure(words, {**ENVIRONMENT, **environment}, install, lambda line: None)
    return config


def nexus_of(config: Config) -> Nexus:
    """Give the dialect's part."""
    assert config.nexus is not None
    return config.nexus


def faces(config: Config) -> dict[str, tuple[str, set[Face]]]:
    """Give what each listener is and serves."""
    return {one.name: (one.endpoint.partition(":backlog")[0], set(one.serves)) for one in config.listeners}


BOTH = {
    "http": ("tcp:port=28000", {Face.NEXUS, Face.STATIC}),
    "websocket": ("tcp:port=28001", {Face.NEXUS_TUNNEL}),
}
INVOCATIONS = {
    "pyensight 0.10.10": "--http_directory D --http_port 28000 --client_port 1999 --local_session envision 5 28001",
    "pyensight 0.10.10, with REST": (
        "--http_directory D --http_port 28000 --client_port 1999 --grpc_port 1998 --local_session envision 5 28001"
    ),
    "pyensight 0.11.16": (
        "--http_directory D --http_port 28000 --client_port 1999 --grpc_port 1998 --local_session envision 5 "
        "--security_token K 28001"
    ),
    "pyensight Docker": (
        "28001 --http_directory D --http_port 28000 --security_token K --client_port 1999 --add_header instance_name=N "
        "--grpc_port 1998 --grpc_use_tcp_sockets --grpc_allow_network_connections --grpc_disable_tls "
        "--grpc_uds_pathname /tmp/x --local_session envision 5"
    ),
    "the manual of ADR": (
        "--http_directory D --http_port 28000 --client_hostname localhost --local_session envision 4 --verbose 1 28001"
    ),
}


@pytest.mark.parametrize("name", INVOCATIONS)
def test_invocations(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command line that is known of a real launcher is understood as it was meant."""
    monkeypatch.chdir(tmp_path)
    config = read(*INVOCATIONS[name].split(), WEBSOCKETSERVER_SECURITY_TOKEN="from the environment")
    nexus = nexus_of(config)
    assert faces(config) == BOTH
    assert [(one.path, one.folder, one.listing) for one in config.static] == [("/", tmp_path / "D", True)]
    assert nexus.services == {"local_envision": {"file_ext": ["evsn", "csf", "ply", "stl"]}}
    assert config.catalogue.pools["local_envision"].count == (4 if "ADR" in name else 5)
    assert nexus.security_token == ("K" if "security_token" in INVOCATIONS[name] else "from the environment")
    assert nexus.ensight == ("grpc_port" in INVOCATIONS[name])
    assert nexus.allow_stop
    if "ADR" in name:
        assert nexus.target is None
    else:
        assert nexus.target is not None
        target = config.catalogue.services[nexus.target]
        assert target.target == FixedTarget("127.0.0.1", 1999)
        assert config.catalogue.pools[nexus.target].count == 1000
        assert (target.plan.limits.linger_s, target.plan.limits.lifetime_s) == (0.0, 30 * 86400.0)
    headers = {one.headers for one in config.listeners}
    assert headers == {(("instance_name", "N"),) if "Docker" in name else ()}


def test_defaults() -> None:
    """A port alone serves WebSockets; HTTP takes a folder, and its own port alone switches nothing on."""
    config = read("28001", "--http_port", "28000")
    assert faces(config) == {"websocket": BOTH["websocket"]}
    nexus = nexus_of(config)
    assert (nexus.target, nexus.security_token, nexus.ensight, nexus.services) == (None, None, False, {})
    assert config.state_dir == Path("/home/x/.local/state/sessiond")
    assert faces(read("28001", "--http_directory", "D"))["http"][0] == "tcp:port=9090"


def test_no_websocket() -> None:
    """``-1`` is a number and no option, first and last."""
    for words in (("-1", "--http_directory", "D"), ("--http_directory", "D", "-1")):
        assert list(faces(read(*words))) == ["http"]
    assert nexus_of(read("--client_port", "-1", "1")).target is None


@pytest.mark.parametrize(
    ("words", "apart"),
    [
        ("--add_header a=1 28001", ["--add_header=a=1", "28001"]),
        ("--add_header a=1 b=2=3 --grpc_port 1", ["--add_header=a=1", "--add_header=b=2=3", "--grpc_port", "1"]),
        ("--add_h a=1 28001 b=2", ["--add_header=a=1", "28001", "b=2"]),
        ("--add_header=a=1 28001", ["--add_header=a=1", "28001"]),
        ("--add_header -1", ["-1"]),
    ],
)
def test_added_headers(words: str, apart: list[str]) -> None:
    """What has no ``=`` ends the list, so a port behind it is still found."""
    assert with_headers_apart(words.split()) == apart


def test_prefixes_and_limits() -> None:
    """Options may be cut short as far as they stay unique, and limits reach every service."""
    config = read("--local_s", "ensight", "2", "--time", "60", "--reconnect", "5", "--life", "3600", "28001")
    limits = config.catalogue.services["local_ensight"].plan.limits
    assert (limits.reservation_s, limits.linger_s, limits.lifetime_s) == (60.0, 5.0, 3600.0)


def test_the_last_count_wins() -> None:
    """An application that stands twice is warned of."""
    warnings: list[str] = []
    words = ["--local_session", "envision", "5", "--local_session", "envision", "2", "--security_token", "K", "28001"]
    config, _ = configure(words, ENVIRONMENT, Install(), warnings.append)
    assert config.catalogue.pools["local_envision"].count == 2
    assert warnings == ["--local_session envision stands twice: the last counts"]


def test_no_security_token() -> None:
    """Who opens ports to everybody is told so; an empty token is none."""
    warnings: list[str] = []
    config, _ = configure(["--security_token", "", "28001"], ENVIRONMENT | {"WEBSOCKETSERVER_SECURITY_TOKEN": "E"},
                          Install(), warnings.append)  # fmt: skip
    assert nexus_of(config).security_token is None
    assert any("no security token" in line for line in warnings)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("--local_session other 5 1", "one of ensight, envision"),
        ("--local_session envision x 1", "a count from 1"),
        ("--local_session envision 0 1", "a count from 1"),
        ("--add_header Content-Length=1 1", "may be added"),
        ("--key x 1", "--key needs --cert"),
        ("--cert none.pem 1", "No such file"),
        ("-1", "nothing is to be served"),
    ],
)
def test_faults(words: str, fault: str) -> None:
    """What can't be obeyed is told by its option."""
    with pytest.raises(UsageFault, match=fault):
        read(*words.split())


@pytest.mark.parametrize("words", ["", "x", "70000", "1 --unknown", "1 --timeout x", "1 2", "1 --h"])
def test_unknown(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not understood ends with status 2, and is named."""
    with pytest.raises(SystemExit) as left:
        read(*words.split())
    assert left.value.code == 2
    assert (words.rsplit(maxsplit=1)[-1].lstrip("-") if words else "ws_server_port") in capsys.readouterr().err


def test_certificates(tmp_path: Path) -> None:
    """Both ports speak TLS; a key that does not fit is told before anything listens."""
    key, certificate = write_certificate(tmp_path)
    other, _ = write_certificate(tmp_path, "other")
    config = read("--cert", str(certificate), "--key", str(key), "--http_directory", "D", "1")
    assert all(one.secure for one in config.listeners)
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    assert read("--cert", str(both), "1").listeners[0].secure
    faults = ((certificate, other, "does not belong"), (key, key, "not PEM"), (certificate, SCRIPT, "not PEM"))
    for cert, wrong, why in faults:
        with pytest.raises(UsageFault, match=why):
            read("--cert", str(cert), "--key", str(wrong), "1")


def test_services_file(tmp_path: Path) -> None:
    """A site's services are offered beside the built-in ones, whose names they must not have."""
    path = tmp_path / "external_services.json"
    path.write_text(json.dumps({"Linux desktop": {"script": "desktop.py", "count": 2, "options": {"a": 1}}}))
    config = read("--remote_session_config", str(path), "--client_port", "5", "1")
    assert nexus_of(config).services == {"Linux desktop": {"a": 1}}
    path.write_text(json.dumps({name: {"script": "desktop.py", "count": 2} for name in ("local_envision", "basic")}))
    assert nexus_of(read("--remote_session_config", str(path), "--client_port", "5", "1")).target == "basic-"
    with pytest.raises(ConfigError, match="local_envision"):
        read("--remote_session_config", str(path), "--local_session", "envision", "5", "1")


def test_install(tmp_path: Path) -> None:
    """The applications and viewer pages of an install are found from where the script stands."""
    launcher = tmp_path / "CEI" / "nexus252" / "nexus_launcher"
    launcher.mkdir(parents=True)
    script = launcher / "websocketserver.py"
    assert Install.around(script) == Install(tmp_path / "CEI", None)
    (launcher.parent / "ansys252").mkdir()
    install = Install.around(script)
    assert install == Install(tmp_path / "CEI", launcher.parent / "ansys252")
    config = read("--local_session", "envision", "1", "1", install=install)
    assert nexus_of(config).ansys == launcher.parent / "ansys252"
    found = config.catalogue.services["local_envision"].script
    assert found is not None
    assert found.common_options["command"][0] == str(tmp_path / "CEI" / "bin" / "envision")
    assert Install.around(tmp_path / "websocketserver.py") == Install()


def test_settings(tmp_path: Path) -> None:
    """What the command line has no option for stands in a small file, which is read as strictly as any."""
    path = tmp_path / "settings.toml"
    path.write_text(
        'state_dir = "state"\nansys = "viewer"\nnovnc = "n"\norigins = ["https://portal.example.org"]\n'
        '[applications.envision]\ncommand = ["/opt/envision", "${vnc}"]\n'
    )
    config = read("--settings", str(path), "--local_session", "envision", "1", "1")
    assert (config.state_dir, nexus_of(config).ansys) == (tmp_path / "state", tmp_path / "viewer")
    assert nexus_of(config).novnc == tmp_path / "n"
    assert config.listeners[0].origins == ("https://portal.example.org",)
    found = config.catalogue.services["local_envision"].script
    assert found is not None
    assert found.common_options == {"command": ["/opt/envision", "${vnc}"]}
    for wrong in ("other = 1", "[applications.other]\ncommand = ['x']", "[applications.envision]\ncommand = []", "a ="):
        path.write_text(wrong)
        with pytest.raises(ConfigError, match=r"settings\.toml"):
            read_settings(path)
    with pytest.raises(ConfigError, match="No such file"):
        read_settings(tmp_path / "none.toml")
    read_settings(ROOT / "etc" / "websocketserver.toml")


# -- real daemons -----------------------------------------------------------------------------------------------------


class Peer(Protocol):
    """One end of a connection that keeps what came."""

    def __init__(self) -> None:
        self.came = b""
        self._waiting: list[tuple[bytes, Deferred[None]]] = []
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.came += data
        self._look()

    def connectionLost(self, reason: Any = None) -> None:
        """Wake those who wait."""
        self.lost = True
        self._look()

    def until(self, part: bytes) -> Deferred[None]:
        """Wait until this has come."""
        done: Deferred[None] = Deferred()
        self._waiting.append((part, done))
        self._look()
        return done

    def _look(self) -> None:
        waiting, self._waiting = self._waiting, []
        for part, done in waiting:
            if part in self.came:
                done.callback(None)
            elif self.lost:
                done.errback(AssertionError(f"it ended without {part!r}: {self.came!r}"))
            else:
                self._waiting.append((part, done))


class Greets(Protocol):
    """A fixed target: says a word, then gives back what comes."""

    def connectionMade(self) -> None:
        """Say it."""
        self.transport.write(b"RFB 003.008\n")  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        """Give it back."""
        self.transport.write(data)  # type: ignore[union-attr]


def serve(*words: str, folder: Path, trust: Path | None = None, **environment: str) -> Daemon:
    """Start a daemon whose working folder is the HTTP root, and whose HOME is beside it."""
    (folder / "session").mkdir(exist_ok=True)
    argv = [sys.executable, "-m", "sessiond.websocketserver", *words]
    return spawn_script(argv, folder / "session", trust, **{"HOME": str(folder), **environment})


async def ready(daemon: Daemon) -> tuple[str, int]:
    """Wait until it is ready, and give its HTTP URL and its WebSocket port."""
    line = (await daemon.line(READY)).partition(f"{READY}: ")[2]
    url, _, viewers = line.rpartition(" and ")
    daemon.url = url
    return url, int(viewers.rstrip("/").rpartition(":")[2])


def reached(port: int, trust: Path | None) -> IStreamClientEndpoint:
    """Give what connects to a port, over TLS where there is a certificate to trust."""
    from twisted.internet import reactor

    endpoint: IStreamClientEndpoint = HostnameEndpoint(reactor, "localhost", port)
    if trust is None:
        return endpoint
    known: Any = Certificate.loadPEM(trust.read_bytes())
    return wrapClientTLS(optionsForClientTLS("localhost", known), endpoint)


async def view(port: int, path: str = "/websockify", trust: Path | None = None) -> Peer:
    """Connect as a viewer does."""
    peer: Peer = await connectProtocol(reached(port, trust), Peer())
    peer.transport.write(request(path, "Sec-WebSocket-Protocol: binary"))  # type: ignore[union-attr]
    await peer.until(b"\r\n\r\n")
    return peer


def picture(folder: Path) -> None:
    """Write a file as a client's name begins with the security token."""
    (folder / "session").mkdir()
    (folder / "session" / "K_1_0.png").write_text("picture")


def command_of(daemon: Daemon) -> list[str]:
    """Give the words of a daemon's command."""
    return Path(f"/proc/{daemon.pid}/cmdline").read_text().split("\0")


@within(60)
async def test_from_start_to_stop(tmp_path: Path) -> None:
    """A launcher's whole use of it: files, status, the fixed target, and a stop by REST."""
    from twisted.internet import reactor

    factory: Any = ServerFactory.forProtocol(Greets)
    target: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
    picture(tmp_path)
    words = ("--http_directory", ".", "--http_port", "0", "--client_port", str(target.getHost().port))
    daemon = serve(*words, "--security_token", "K", "0", folder=tmp_path)
    _, port = await ready(daemon)
    assert (await daemon.call("GET", "/K_1_0.png")).json == "picture"
    assert (await daemon.call("GET", "/v1/status?security_token=K")).json == []
    viewer = await view(port)
    assert b"Sec-WebSocket-Protocol: binary" in viewer.came
    await viewer.until(b"RFB 003.008\n")
    viewer.transport.write(frame(BINARY, b"hello"))  # type: ignore[union-attr]
    await viewer.until(b"hello")
    assert (await daemon.call("GET", "/v1/stop")).status == 401
    assert (await daemon.call("GET", "/v1/stop?security_token=K")).json == {"stopping": True}
    await daemon.wait()
    assert daemon.output.status == 0
    frames = Frames().read(viewer.came.partition(b"\r\n\r\n")[2])
    assert payload_of(frames) == b"RFB 003.008\nhello"
    assert frames[-1].code == 1001
    assert os.listdir(tmp_path / "session") == ["K_1_0.png"]
    assert "K_1_0" not in daemon.text
    await target.stopListening()


@within(60)
async def test_the_root_vanishes_and_a_signal_ends_it(tmp_path: Path) -> None:
    """A client removes its folder while the server stands; a TERM does what a stop does."""
    daemon = serve("--http_directory", ".", "--http_port", "0", "0", folder=tmp_path)
    await ready(daemon)
    shutil.rmtree(tmp_path / "session")
    assert (await daemon.call("GET", "/x.png")).status == 404
    assert await daemon.stop("INT") == 0


@within(60)
async def test_tls(tmp_path: Path) -> None:
    """With a certificate both ports speak TLS."""
    key, certificate = write_certificate(tmp_path)
    words = ("--cert", str(certificate), "--key", str(key), "--http_directory", ".", "--http_port", "0", "0")
    daemon = serve(*words, folder=tmp_path, trust=certificate)
    url, port = await ready(daemon)
    assert url.startswith("https://")
    assert (await daemon.call("GET", "/v1/status")).status == 200
    viewer = await view(port, trust=certificate)
    assert b"101 Switching Protocols" in viewer.came
    await daemon.stop()


@within(60)
async def test_statuses(tmp_path: Path) -> None:
    """A port that is taken ends with 3 and its name, what can't be with 2 and why."""
    with socket.create_server(("0.0.0.0", 0)) as taken:
        number = taken.getsockname()[1]
        daemon = serve(str(number), folder=tmp_path)
        await daemon.wait()
    assert daemon.output.status == 3
    assert f"port {number} of all addresses: Address already in use" in daemon.text
    for words, why in (
        (("--unknown", "1"), "--unknown"),
        (("--cert", "none.pem", "1"), "none.pem: No such file"),
        (("--remote_session_config", "none.json", "1"), "none.json: No such file"),
    ):
        daemon = serve(*words, folder=tmp_path)
        await daemon.wait()
        assert daemon.output.status == 2
        assert why in daemon.text
        assert "Traceback" not in daemon.text


@within(60)
async def test_the_log_file(tmp_path: Path) -> None:
    """The log goes where it is told to."""
    daemon = serve("--log_file", str(tmp_path / "log"), "--verbose", "1", "0", folder=tmp_path)
    port = await _port_of(tmp_path)
    await view(port)
    assert await daemon.stop() == 0
    assert READY in (tmp_path / "log").read_text()
    assert READY not in daemon.text


async def _port_of(folder: Path) -> int:
    from twisted.internet import reactor
    from twisted.internet.task import deferLater

    for _ in range(3000):
        if (folder / "log").exists() and READY in (text := (folder / "log").read_text()):
            return int(text.partition("ws://127.0.0.1:")[2].partition("/")[0])
        await deferLater(reactor, 0.01)
    raise AssertionError("it never was ready")


@within(60)
async def test_the_file_in_an_install(tmp_path: Path) -> None:
    """The file of an install runs itself once more by the interpreter that has sessiond, under its own name."""
    launcher = tmp_path / "CEI" / "nexus252" / "nexus_launcher"
    (launcher.parent / "ansys252").mkdir(parents=True)
    (launcher.parent / "ansys252" / "a.js").write_text("a")
    launcher.mkdir()
    script = launcher / "websocketserver.py"
    script.write_text(SCRIPT.read_text().replace("/opt/sessiond/bin/python", sys.executable))
    (launcher / "json.py").write_text("raise SystemExit('the wrong json')")
    (tmp_path / "session").mkdir()
    words = ("--http_directory", ".", "--http_port", "0", "0")
    other = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    daemon = spawn_script([other, "-P", str(script), *words], tmp_path / "session", HOME=str(tmp_path))
    await ready(daemon)
    assert (await daemon.call("GET", "/ansys261//a.js")).json == "a"
    assert command_of(daemon)[1] == str(script)
    assert await daemon.stop() == 0


ENVISION = """#!{python} -S
import re, socket, sys
port = int(re.search(r"rfb_port=(\\d+)", sys.argv[sys.argv.index("-vnc") + 1])[1])
server = socket.create_server(("127.0.0.1", port))
while True:
    client, _ = server.accept()
    client.sendall(b"RFB 003.008\\n" + sys.argv[-1].encode())
    while client.recv(4096):
        pass
"""


@within(90)
async def test_a_built_in_service(short: Path) -> None:
    """An application that is missing is told with its path; one that is there is started by its first viewer."""
    words = ("--http_directory", ".", "--http_port", "0", "--local_session", "envision", "2", "0")
    daemon = serve(*words, "--settings", str(settings_for(short)), folder=short)
    _, port = await ready(daemon)
    await daemon.line("can't be started")
    told = await daemon.call("GET", "/v1/reserve/local_envision")
    assert told.status == 503
    assert str(short / "envision") in told.json["message"]
    assert told.headers["retry-after"] == "60"
    await daemon.stop()
    write_envision(short)
    daemon = serve(*words, "--settings", str(settings_for(short)), folder=short)
    _, port = await ready(daemon)
    token = (await daemon.call("GET", "/v1/reserve/local_envision?target_pathname=/a+b.evsn")).json["token"]
    viewer = await view(port, f"/websockify?token={token}")
    await viewer.until(b"RFB 003.008\n/a+b.evsn")
    [service] = (await daemon.call("GET", "/v1/status")).json
    assert [one["token"] for one in service["instances"]] == [token, ""]
    assert (await daemon.call("GET", f"/v1/release/{token}")).json == {"released": True}
    assert await daemon.stop() == 0
    assert not running_below(short / "envision")


def settings_for(folder: Path) -> Path:
    """Write settings that name an application in a folder."""
    path = folder / "settings.toml"
    command = json.dumps([str(folder / "envision"), "-vnc", "${vnc}", "${target}"])
    path.write_text(f"[applications.envision]\ncommand = {command}\n")
    return path


def write_envision(folder: Path) -> None:
    """Write the application."""
    path = folder / "envision"
    path.write_text(ENVISION.replace("{python}", sys.executable))
    path.chmod(0o755)


def running_below(program: Path) -> list[str]:
    """List the processes that run a program."""
    lines = []
    for entry in Path("/proc").iterdir():
        try:
            lines.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return [line for line in lines if str(program) in line and "sessiond.websocketserver" not in line]
