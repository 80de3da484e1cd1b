"""The child's stand-in keeps to its protocol, and has each fault that can be asked for."""

import hashlib
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import define, field
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.certificates import write_certificate
from tests.dialects.hoops.children import COMMAND, Run, read_journal, start
from tests.dialects.hoops.viewers import Refused, connect
from tests.reactor import within

LIMIT_S = 120


@define(eq=False)
class Sink(Resource):
    """Takes reports.

    :ivar got: the value and the path of each.
    :ivar statuses: what is answered instead of 200; 0 is no answer.
    """

    got: list[tuple[str | None, str]] = field(factory=list)
    statuses: dict[str | None, int] = field(factory=dict)
    isLeaf = True

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def render_POST(self, request: Any) -> bytes | int:
        """Answer one."""
        what = request.args[b"liveliness"][0].decode() if b"liveliness" in request.args else None
        self.got.append((what, request.path.decode()))
        status = self.statuses.get(what, 200)
        if not status:
            request.notifyFinish().addErrback(lambda failure: None)
            return NOT_DONE_YET
        request.setResponseCode(status)
        return b"" if status == 200 else b'{"error":"no"}'


@define
class Stand:
    """A sink that listens, and those that were started with it."""

    folder: Path
    sink: Sink
    base: str
    runs: list[Run] = field(factory=list)

    def start(self, mode: str, *own: str, **options: str) -> Run:
        """Start one that reports to the sink every 50 ms."""
        defaults = {"liveliness_endpoint": self.base, "liveliness_update_frequency": "0.05"}
        folder = self.folder / str(len(self.runs))
        folder.mkdir()
        self.runs.append(start(folder, mode, own, {**defaults, **options}, os.environ))
        return self.runs[-1]


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """Give a stand; what runs is killed after the test."""
    from twisted.internet import reactor

    sink = Sink()
    site: Any = Site(sink)
    port: Any = reactor.listenTCP(0, site, interface="127.0.0.1")
    made = Stand(tmp_path, sink, f"http://127.0.0.1:{port.getHost().port}/secret/api/spawns/")
    yield made
    for run in made.runs:
        await run.kill()
    await port.stopListening()


def digest(payload: bytes | str) -> dict[str, Any]:
    """Say what comes back for a message."""
    raw = payload.encode() if isinstance(payload, str) else payload
    kind = "text" if isinstance(payload, str) else "binary"
    return {"kind": kind, "length": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


# -- before it listens -------------------------------------------------------------------------------------------------


def run(folder: Path, *words: str, own: tuple[str, ...] = ()) -> tuple[int, list[dict[str, Any]]]:
    """Run one that ends by itself, and give its exit code and its journal."""
    journal = folder / "journal"
    done = subprocess.run([*COMMAND, "--journal", str(journal), *own, *words], check=False, capture_output=True)
    return done.returncode, read_journal(journal)


GOOD = {"--id": "x", "--sc-port": "1", "--license": "BAD"}
"""Is read to its end, which the licence is, and never listens."""


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 6),
        ({"--id": None}, 2),
        ({"--id": ""}, 2),
        ({"--sc-port": None}, 2),
        ({"--sc-port": "0"}, 2),
        ({"--sc-port": "65536"}, 2),
        ({"--sc-port": "1.5"}, 2),
        ({"--license": None}, 2),
        ({"--license-file": "/x"}, 2),
        ({"--unknown": "x"}, 2),
        ({"--journal": "x"}, 2),
        ({"--ssr": "yes"}, 2),
        ({"--ssr": "1", "--csr": "true"}, 6),
        ({"--model-file": "--ssr"}, 2),
        ({"--liveliness-update-frequency": "0"}, 2),
        ({"--liveliness-update-frequency": "0.1"}, 6),
        ({"--initial-use-duration": "nan"}, 2),
        ({"--liveliness-endpoint": "https://localhost/"}, 2),
        ({"--liveliness-endpoint": "http://localhost:x/"}, 2),
        ({"--ssl-certificate-file": "x"}, 2),
        ({"--license": None, "--license-file": "/does/not/exist"}, 7),
        ({"--license": None, "--license-file": __file__}, 6),
        ({"--license": "good", "--workspace-dir": "/does/not/exist"}, 4),
    ],
)
def test_command_line(tmp_path: Path, changes: dict[str, str | None], code: int) -> None:
    """Each word of it counts, and the exit code says what was wrong."""
    words = [word for name, value in {**GOOD, **changes}.items() if value is not None for word in (name, value)]
    status, (first, last) = run(tmp_path, *words)
    assert status == code
    assert (first["event"], first["argv"]) == ("start", words)
    assert (last["event"], last["code"]) == ("exit", code)


def test_odd_words(tmp_path: Path) -> None:
    """An option without a value is refused, and one that comes twice."""
    words = [word for option in GOOD.items() for word in option]
    for more in (["--ssr"], ["--id", "x"]):
        assert run(tmp_path, *words, *more)[0] == 2


@pytest.mark.parametrize("mode", ["", "okay", "ok=1", "exit", "exit=256", "exit=-1", "slow-ready=", "ok,nothing"])
def test_unknown_mode(tmp_path: Path, mode: str) -> None:
    """A test that asks for what there is not is told."""
    assert run(tmp_path, "--id", "x", "--sc-port", "1", "--license", "x", own=("--mode", mode))[0] == 2


def test_port_taken(tmp_path: Path) -> None:
    """It needs the port for itself, even from one that has only just been closed."""
    words = ("--id", "x", "--license", "x", "--sc-port")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(tmp_path, *words, str(port))[0] == 3
        with socket.create_connection(("127.0.0.1", port)) as client:
            taken.accept()[0].close()
            assert client.recv(1) == b""
    assert run(tmp_path, *words, str(port))[0] == 3


@within(LIMIT_S)
async def test_surroundings(tmp_path: Path) -> None:
    """It tells what it was started with, to the letter."""
    child = start(tmp_path, "exit=9", (), {"workspace_dir": str(tmp_path), "csr": "true"}, {"LD_LIBRARY_PATH": "/x"})
    assert await child.end() == 9
    first = child.events("start")[0]
    assert (first["env"], first["cwd"]) == ({"LD_LIBRARY_PATH": "/x"}, str(tmp_path))
    assert first["argv"][:4] == ["--id", "some-id", "--sc-port", str(child.port)]
    assert (tmp_path / "standin-some-id").exists()
    assert b"exit 9" in child.output


# -- the normal run ----------------------------------------------------------------------------------------------------


@within(LIMIT_S)
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize(("kind", "options"), [("csr", {}), ("ssr", {"ssr": "true"})])
async def test_viewer(stand: Stand, kind: str, options: dict[str, str], deflate: bool) -> None:
    """It gets ready, gives digests to its one viewer, and goes with it."""
    child = stand.start("ok", *(["--deflate"] if deflate else []), session_token="t", **options)
    assert (await child.event("report", what="ready"))["status"] == 200
    viewer = await connect(child.url + "?a=b", kind, "http://localhost", "t")
    assert viewer.subprotocol == ("binary" if kind == "ssr" else None)
    assert viewer.extensions.startswith("permessage-deflate" if deflate else "")
    assert bool(viewer.extensions) == deflate
    await viewer.open_model()
    for payload in (b"", "", b"x", "é", b"\0" * 126, "x" * 65535, bytes(range(256)) * 4096, "again " * 99999):
        assert await viewer.exchange(payload) == digest(payload)
        assert await viewer.exchange(payload, fragment=max(1, len(payload) // 3)) == digest(payload)
    await child.event("report", what="ping")
    assert (await viewer.close())[0] == 1000
    assert await child.end() == 0
    [request], [opening], [closed] = (child.events(what) for what in ("request", "first_frame", "ws_closed"))
    assert request["line"] == "GET /?a=b HTTP/1.1"
    assert ["origin", "http://localhost"] in request["headers"]
    assert (opening["kind"], opening["frame"]) == (kind, "text" if kind == "ssr" else "binary")
    assert opening["json"]["session_token" if kind == "csr" else "sessionToken"] == "t"
    assert (closed["code"], closed["messages"]) == (1000, 17)
    values = [what for what, _ in child.reports()]
    assert values[0] == "ready"
    assert set(values[1:-1]) == {"ping"}
    assert values[-1] == "disconnect"
    assert not child.events("ready_unanswered")
    assert {path for _, path in stand.sink.got} == {"/secret/api/spawns/some-id"}


@within(LIMIT_S)
async def test_sudden_end(stand: Stand) -> None:
    """A viewer that goes without a word is one that has gone."""
    child = stand.start("ok")
    await child.event("listening")
    viewer = await connect(child.url, "csr")
    await viewer.open_model()
    viewer.drop()
    assert await child.end() == 0
    await viewer.closed
    assert child.events("ws_closed")[0]["code"] == 1006
    assert child.reports()[-1] == ("disconnect", 200)


@within(LIMIT_S)
@pytest.mark.parametrize(
    ("kind", "options", "why"),
    [
        ("csr", {"session_token": "t"}, "bad token"),
        ("ssr", {"session_token": "t", "ssr": "true"}, "bad token"),
        ("csr", {"ssr": "true"}, "csr is off"),
        ("ssr", {}, "ssr is off"),
        ("ssr", {"csr": "true", "ssr": "false"}, "ssr is off"),
    ],
)
async def test_unwanted_viewer(stand: Stand, kind: str, options: dict[str, str], why: str) -> None:
    """A viewer of a kind that is off, or with another token, is sent away."""
    child = stand.start("ok", **options)
    await child.event("listening")
    viewer = await connect(child.url, kind, token="other")
    with pytest.raises(ConnectionError, match=why):
        await viewer.open_model()
    assert await viewer.closed == (1008, why)
    assert await child.end() == 0


@within(LIMIT_S)
@pytest.mark.parametrize("first", ["", b"{", "{}", '{"command":"OPEN_MODEL"}', b'{"command":"OPEN_MODEL"}', b"[1]"])
async def test_other_words(stand: Stand, first: bytes | str) -> None:
    """What is no viewer's first message is not taken for one."""
    child = stand.start("ok")
    await child.event("listening")
    viewer = await connect(child.url, "csr", deflate=False)
    viewer.say(first)
    assert (await viewer.closed)[0] == 1008
    assert await child.end() == 0
    assert child.events("ws_closed")[0]["why"].startswith("bad first frame")


@within(LIMIT_S)
async def test_one_client(stand: Stand) -> None:
    """A second client is refused, and the first does not notice; what is no upgrade counts for none."""
    child = stand.start("ok")
    await child.event("listening")
    with socket.create_connection(("127.0.0.1", child.port)):
        await child.event("connected")
    await child.event("no_request")
    with socket.create_connection(("127.0.0.1", child.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert (await child.event("bad_request"))["status"] == 400
    viewer = await connect(child.url, "csr")
    with pytest.raises(Refused) as refused:
        await connect(child.url, "ssr")
    assert (refused.value.status, refused.value.body) == (503, b"second_client")
    assert len(child.events("second_client")) == 1
    assert await viewer.open_model() == digest(b'{"command":"CONFIGURE_STREAM"}')
    await viewer.close()
    assert await child.end() == 0


@within(LIMIT_S)
async def test_nobody_comes(stand: Stand) -> None:
    """Without a viewer it ends after a time, which is counted from its start."""
    child = stand.start("ok", initial_use_duration="1")
    assert await child.end() == 0
    assert child.events("exit")[0]["reason"] == "unused"
    assert child.reports()[-1] == ("disconnect", 200)


@within(LIMIT_S)
async def test_terminated(stand: Stand) -> None:
    """It obeys TERM, with a viewer too."""
    child = stand.start("ok")
    await child.event("listening")
    viewer = await connect(child.url, "csr")
    await viewer.open_model()
    child.strike()
    assert await child.end() == 0
    assert (await viewer.closed)[0] == 1006
    assert child.events("exit")[0]["reason"] == "TERM"
    assert child.reports()[-1] == ("disconnect", 200)


@within(LIMIT_S)
async def test_lifetime(stand: Stand) -> None:
    """None outlives its test by much."""
    assert await stand.start("ok", "--lifetime", "0.5").end() == 1


@within(LIMIT_S)
async def test_tls(stand: Stand, tmp_path: Path) -> None:
    """With a certificate it serves over TLS."""
    key, certificate = (str(path) for path in write_certificate(tmp_path))
    child = stand.start("ok", ssl_certificate_file=certificate, ssl_private_key_file=key)
    await child.event("listening")
    viewer = await connect(child.url.replace("ws:", "wss:"), "csr")
    await viewer.open_model()
    payload = b"large" * 100_000
    assert await viewer.exchange(payload) == digest(payload)
    await viewer.close()
    assert await child.end() == 0
