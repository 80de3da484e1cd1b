"""Real pyensight, unmodified, starts the daemon in place of an install's ``websocketserver.py``, and ends it."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

import pytest
from attrs import frozen

from sessiond.core.values import State
from sessiond.launchers.procfs import all_pids, send, stat_of, variable_of
from tests.chaos.test_kills import read_store
from tests.components.pyensight import needs_pyensight
from tests.daemon import ROOT
from tests.e2e.running import LIMIT_S, Identity, launched_below, until
from tests.e2e.wire import Tunnel

PROGRAMS = Path(__file__).parent / "programs"
GREETING = b"RFB 003.008\n"
BUILD = "Version: 2025 R2\nInternal: 252\n"


@frozen
class Install:
    """An install with our file in place of the original, below a folder that is also the HOME of all that runs.

    The folder's path is short: it holds sockets.
    """

    folder: Path

    @property
    def home(self) -> Path:
        """Give what launchers call the CEI folder."""
        return self.folder / "ansys" / "CEI"

    def make(self, python: Path) -> None:
        """Write it; its own Python has pyensight, and not sessiond."""
        launcher = self.home / "nexus252" / "nexus_launcher"
        launcher.mkdir(parents=True)
        (self.home / "bin").mkdir()
        (self.home / "BUILDINFO.txt").write_text(BUILD)
        stub = [str(python), str(PROGRAMS / "ensight.py")]
        programs = {"ensight": stub, "envision": stub, "cpython": [str(python)], "cei_egltest": ["false"]}
        for name, argv in programs.items():
            program = self.home / "bin" / name
            program.write_text(f'#!/bin/sh\nexport ENSIGHT_HOME={self.home}\nexec {shlex.join(argv)} "$@"\n')
            program.chmod(0o755)
        settings = self.folder / "settings.toml"
        settings.write_text(f"state_dir = {json.dumps(str(self.folder / 'state'))}\n")
        text = (ROOT / "etc" / "websocketserver.py").read_text()
        text = text.replace('INTERPRETER = "/opt/sessiond/bin/python"', f"INTERPRETER = {sys.executable!r}")
        text = text.replace("SETTINGS = None", f"SETTINGS = {str(settings)!r}")
        (launcher / "websocketserver.py").write_text(text)

    @property
    def store(self) -> Path:
        """Give the folder of the daemon's store."""
        return self.folder / "state" / "instances" / "0"

    @property
    def running(self) -> list[Identity]:
        """List the processes that came of it."""
        ours = [pid for pid in all_pids() if variable_of(pid, "HOME") == str(self.folder)]
        stats = [stat for stat in map(stat_of, ours) if stat is not None]
        found = {Identity(stat.pid, stat.started) for stat in stats} | set(launched_below(self.folder))
        return [process for process in found if process.alive]


@frozen
class Notebook:
    """A program that uses pyensight.

    :ivar output: the file with what it tells.
    :ivar made: what it told of its session.
    """

    process: "subprocess.Popen[bytes]"
    output: Path
    downloads: Path
    made: dict[str, Any]

    def close(self) -> dict[str, Any]:
        """Let it close its session, and give what it tells of that."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        closed = told(self.process, self.output, 1)
        assert self.process.wait(LIMIT_S) == 0
        return closed

    def get(self, path: str) -> Any:
        """Read JSON from the server."""
        with urlopen(f"http://127.0.0.1:{self.made['http']}{path}", timeout=LIMIT_S) as answer:
            return json.load(answer)

    def view(self, path: str = "/") -> Tunnel:
        """Connect as a viewer does."""
        return Tunnel(f"ws://127.0.0.1:{self.made['websocket']}{path}")


def told(process: "subprocess.Popen[bytes]", output: Path, number: int) -> dict[str, Any]:
    """Wait for a line that a notebook tells, and give it."""

    def look() -> str | None:
        lines = output.read_text().rpartition("\n")[0].splitlines()
        assert len(lines) > number or process.poll() is None, f"it ended with status {process.returncode}"
        return lines[number] if len(lines) > number else None

    return dict(json.loads(until(look, "the notebook tells how it went", 6 * LIMIT_S)))


@contextmanager
def notebook(python: Path, install: Install, **arguments: bool) -> Iterator[Notebook]:
    """Start a notebook and wait for its session.

    :param arguments: for pyensight's launcher.
    """
    downloads = install.folder / f"downloads-{len(list(install.folder.iterdir()))}"
    downloads.mkdir()
    output = downloads / "told"
    env = {"PATH": os.environ["PATH"], "HOME": str(install.folder), "TMPDIR": str(install.folder)}
    words = (python, PROGRAMS / "notebook.py", install.home.parent, downloads, json.dumps(arguments))
    argv = [str(word) for word in words]
    with output.open("xb") as written:
        process = subprocess.Popen(argv, env=env, cwd=downloads, stdin=subprocess.PIPE, stdout=written)
    with process:
        try:
            yield Notebook(process, output, downloads, told(process, output, 0))
        finally:
            process.kill()  # only where the test has failed is there anything to end


@pytest.fixture
def install() -> Iterator[Install]:
    """Give an install a folder, and see in the end that nothing runs that came of it."""
    with TemporaryDirectory(prefix="sd-") as folder:
        where = Install(Path(folder))
        yield where
        try:
            until(lambda: not where.running, "nothing is left running")
        finally:
            for said in sorted(Path(folder).glob("ensight-*.err")):
                sys.stderr.write(f"{said.name}: {said.read_text()}\n")
            for process in where.running:
                send(process.pid, process.started, signal.SIGKILL)


def check_use(used: Notebook) -> None:
    """See that pyensight got what it asked for, and that its viewer would."""
    made = used.made
    picture = (Path(made["folder"]) / made["picture"]).read_bytes()
    assert picture.startswith(b"64 x 48\n")
    assert (used.downloads / made["picture"]).read_bytes() == picture
    with urlopen(made["page"], timeout=LIMIT_S) as page:
        assert page.status == 200
        assert b"<ansys-nexus-viewer" in page.read()
    with used.view() as viewer:
        assert viewer.read_until(GREETING).startswith(GREETING)


def free(port: int) -> bool:
    """Say whether a server could have the port."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("rest", [True, False], ids=["rest", "no rest"])
def test_stopped(install: Install, rest: bool) -> None:
    """Of what pyensight 0.10.10 starts, uses and stops, no port and no folder is left."""
    python = needs_pyensight("0.10.10")
    install.make(python)
    with notebook(python, install, enable_rest_api=rest) as used:
        check_use(used)
        closed = used.close()
    assert (closed["server"], closed["ensight"]) == (0, 0)
    assert set(closed["answers"]) == ({"501"} if rest else set())
    assert len(closed["answers"]) >= 8 * rest
    assert [port for port in used.made["ports"] if not free(port)] == []
    assert not Path(used.made["folder"]).exists()


def test_killed(install: Install) -> None:
    """When pyensight 0.11.16 kills the daemon while a service runs, the next start makes an end of that session."""
    python = needs_pyensight("0.11.16")
    install.make(python)
    with notebook(python, install, enable_rest_api=True, liben_rest=False) as used:
        check_use(used)
        key = used.made["key"]
        token = used.get(f"/v1/reserve/local_envision?security_token={key}&target_pathname=a.evsn")["token"]
        with used.view(f"/?token={token}") as viewer:
            viewer.read_until(GREETING + b"a.evsn")
            launched = launched_below(install.folder)
            assert launched
            closed = used.close()
    assert (closed["server"], closed["ensight"]) == (-signal.SIGKILL, 0)
    assert set(closed["answers"]) == {"501"}
    assert len(closed["answers"]) >= 8
    with notebook(python, install, enable_rest_api=True, liben_rest=False) as used:
        until(lambda: not any(process.alive for process in launched), "no process of the killed daemon is left")
        # Not at once: each start looks at its services by a process that carries the mark too, for a moment.
        until(lambda: not launched_below(install.folder), "no session has a process")
        check_use(used)
        [service] = used.get(f"/v1/status?security_token={used.made['key']}")
        assert [one["token"] for one in service["instances"]] == [""] * 5
        sessions = [one for one in read_store(install.store) if one.service == "local_envision"]
        assert [one.state for one in sessions] == [State.ENDED]
        used.close()
