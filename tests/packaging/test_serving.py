"""The installed daemon, started by twistd in an empty folder."""

import re
import subprocess
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.conftest import outside_environment, run

CONFIG = """
state_dir = "{state}"
runtime_dir = "{runtime}"

[listeners.web]
endpoint = "tcp:0:interface=127.0.0.1"
serves = ["api", "tunnel", "health"]
callers = "anyone"

[services.clock]
kind = "rfb"
launcher = "process"
command = ["${{python}}", "-m", "sessiond.demo.clock", "--socket", "${{socket}}"]
count = 1
ready = "listens"
"""

LIMIT_S = 60


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """Write a configuration with one listener and one service, beside the folder in which the daemon starts."""
    path = tmp_path / "sessiond.toml"
    with tempfile.TemporaryDirectory() as runtime:  # the test's own folder is too deep for a UNIX socket's path
        path.write_text(CONFIG.format(state=tmp_path / "state", runtime=runtime), encoding="utf-8")
        yield path


@pytest.fixture
def started(installed: Path, config: Path, tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """Start the daemon in an empty folder; whatever happens, it ends."""
    (tmp_path / "empty").mkdir()
    daemon = subprocess.Popen(
        [installed / "twistd", "-n", "--pidfile=", "sessiond", "--config", config],
        cwd=tmp_path / "empty",
        env=outside_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    alarm = threading.Timer(LIMIT_S, daemon.kill)
    alarm.start()
    with daemon:
        yield daemon
        alarm.cancel()
        daemon.kill()


def printed_url(daemon: "subprocess.Popen[str]") -> str:
    """Read what the daemon prints until it names its URL."""
    assert daemon.stdout is not None
    printed = []
    for line in daemon.stdout:
        printed.append(line)
        if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
            return found[0]
    pytest.fail("no URL was printed:\n" + "".join(printed), pytrace=False)


def test_serves_and_ends(started: "subprocess.Popen[str]", tmp_path: Path) -> None:
    """It answers at the URL that it prints, ends with 0 on TERM, and leaves the folder empty."""
    url = printed_url(started)
    with urllib.request.urlopen(url + "healthz", timeout=LIMIT_S) as answer:
        assert answer.status == 200
    started.terminate()
    rest, _ = started.communicate(timeout=LIMIT_S)
    assert started.returncode == 0, rest
    assert "Traceback" not in rest
    assert list((tmp_path / "empty").iterdir()) == []


def test_command(installed: Path, config: Path, tmp_path: Path) -> None:
    """The commands are installed too, by name and as a module."""
    run(installed / "sessiond", "check-config", config, cwd=tmp_path)
    run(installed / "python", "-m", "sessiond", "check-config", config, cwd=tmp_path)
