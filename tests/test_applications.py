"""The script of the built-in services, run in this process with applications that are small programs."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from sessiond.applications import Application, Ended, NotInstalled, arguments, free_port, listens

SERVES = (
    "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); "
    "open(sys.argv[2], 'w').write(' '.join(sys.argv[3:])); time.sleep(600)"
)


@pytest.mark.parametrize(
    ("target", "argv"),
    [
        ("", ["envision", "-vnc", "vnc://%%3Frfb_port=5901%%26use_auth=0"]),
        ("/a b.evsn", ["envision", "-vnc", "vnc://%%3Frfb_port=5901%%26use_auth=0", "/a b.evsn"]),
        ("${port}", ["envision", "-vnc", "vnc://%%3Frfb_port=5901%%26use_auth=0", "${port}"]),
        ("$(reboot); `x`", ["envision", "-vnc", "vnc://%%3Frfb_port=5901%%26use_auth=0", "$(reboot); `x`"]),
    ],
)
def test_arguments(target: str, argv: list[str]) -> None:
    """A target is one argument, whatever stands in it, and none where there is no target."""
    assert arguments(["envision", "-vnc", "${vnc}", "${target}"], 5901, target) == argv


def test_from_start_to_stop(tmp_path: Path) -> None:
    """It is started once its port listens, and stopped as often as one likes."""
    seen = tmp_path / "seen"
    command = [sys.executable, "-c", SERVES, "${port}", str(seen), "${target}"]
    application = Application({"command": command})
    application.stop(0)
    host, port = application.start(0, {"target_pathname": "model.evsn"})
    assert host == "127.0.0.1"
    assert listens(port)
    application.stop(0)
    application.stop(0)
    assert not listens(port)
    assert seen.read_text() == "model.evsn"


def test_one_that_ends(tmp_path: Path) -> None:
    """An application that ends before it listens is told with its status."""
    application = Application({"command": [sys.executable, "-c", "raise SystemExit(3)"]})
    with pytest.raises(Ended, match="status 3"):
        application.start(0, {})
    application.stop(0)


def test_one_that_ignores_the_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed."""
    monkeypatch.setattr("sessiond.applications.TERM_S", 0.1)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SERVES
    application = Application({"command": [sys.executable, "-c", deaf, "${port}", str(tmp_path / "seen")]})
    application.start(0, {})
    application.stop(0)
    assert application._program is not None
    assert application._program.returncode == -9


def test_one_that_is_not_installed() -> None:
    """It is named by its path as soon as the script is loaded, so that nobody's session has to fail for it."""
    with pytest.raises(NotInstalled, match="/opt/none/bin/envision"):
        Application({"command": ["/opt/none/bin/envision", "-vnc", "${vnc}"]})


def test_listens() -> None:
    """Nobody has to connect for it to be seen who listens, on either kind of address."""
    port = free_port()
    assert not listens(port)
    with socket.create_server(("127.0.0.1", port)):
        assert listens(port)
