"""The demo's desktop, with the real Xvnc where it is installed."""

import os
import signal
import socket
import stat
import struct
import time
from pathlib import Path

import pytest

from sessiond.demo import rfb
from sessiond.demo.desktop import CLIENTS, DisplayFiles, installed_clients, parse_arguments, write_authority
from tests.components import needs
from tests.demo import viewer as real
from tests.demo.programs import LIMIT_S, outcome, program


def test_command_line() -> None:
    """What stands behind the two dashes is the client, options and all."""
    arguments = parse_arguments(["--socket", "s", "--size", "640x480", "--", "xterm", "-e", "top"])
    assert (arguments.socket, arguments.size, arguments.client) == ("s", (640, 480), ("xterm", "-e", "top"))
    assert parse_arguments(["--socket", "s"]).client == ()


@pytest.mark.parametrize("argv", [[], ["--socket", ""], ["--socket", "s", "--size", "big"]])
def test_wrong_command_line(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong command line ends with status 2 and the usage."""
    with pytest.raises(SystemExit) as ended:
        parse_arguments(argv)
    assert ended.value.code == 2
    assert "usage: python -m sessiond.demo.desktop" in capsys.readouterr().err


def test_installed_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the usual clients those are started that are here; a named one counts alone."""
    (tmp_path / "xeyes").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [client[0] for client in installed_clients(())] == ["xeyes"]
    assert installed_clients(("xterm", "-e", "top")) == []
    assert {client[0] for client in CLIENTS} == {"xterm", "xclock", "xeyes"}


def test_authority(tmp_path: Path) -> None:
    """The cookie is in a file of mode 0600, as one entry for any address and display, and never the same."""
    cookies = []
    for name in ("one", "other"):
        write_authority(tmp_path / name)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        data = (tmp_path / name).read_bytes()
        assert data.startswith(b"\xff\xff\0\0\0\0\0\x12MIT-MAGIC-COOKIE-1\0\x10")
        cookies.append(data[-16:])
    assert cookies[0] != cookies[1]


def test_display_files(tmp_path: Path) -> None:
    """What a killed server left is removed; what another made in its place is not."""
    (tmp_path / ".X11-unix").mkdir()
    ours, taken = tmp_path / ".X11-unix" / "X7", tmp_path / ".X7-lock"
    for path in (ours, taken):
        path.touch()
    files = DisplayFiles.of(7, tmp_path)
    (tmp_path / "new").touch()
    (tmp_path / "new").rename(taken)
    files.remove()
    assert not ours.exists()
    assert taken.exists()
    DisplayFiles.of(8, tmp_path).remove()


def test_no_such_client(tmp_path: Path) -> None:
    """A client that is not installed is named, before anything is started."""
    status, said = outcome("desktop", "--socket", str(tmp_path / "s"), "--", "sessiond-no-such-client")
    assert status == 1
    assert "not installed" in said


def connected(path: Path) -> real.Viewer:
    """Connect as soon as the desktop listens."""
    end = time.monotonic() + LIMIT_S
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return real.Viewer(connection)


def children_of(pid: int) -> dict[str, int]:
    """Give the names and pids of a program's children."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {Path(f"/proc/{child}/comm").read_text().strip(): int(child) for child in pids}


TERMINAL = ("xterm", "-e", "cat")
"""A client that draws itself and waits; a shell would run what the user's start-up files say."""

XSocket = tuple[Path, int]
"""The path and inode of a display's socket."""


def x_socket_of(client_pid: int) -> XSocket:
    """Find the display's socket through the environment of a client."""
    pairs = Path(f"/proc/{client_pid}/environ").read_text().split("\0")
    (display,) = [pair.removeprefix("DISPLAY=:") for pair in pairs if pair.startswith("DISPLAY=")]
    path = Path(f"/tmp/.X11-unix/X{display}")
    return path, path.stat().st_ino


def is_still_there(found: XSocket) -> bool:
    """Tell whether the socket is there; another server of the machine may use the display by now."""
    path, inode = found
    return path.exists() and path.stat().st_ino == inode


def wait_for_drawing(viewer: real.Viewer) -> None:
    """Wait until a client has drawn something upon the black root."""
    viewer.say(rfb.SetPixelFormat(rfb.NATURAL))
    viewer.update(incremental=False)
    for _ in range(200):
        if any(viewer.picture.pixels):
            return
        viewer.update()
    pytest.fail("no client has drawn anything")


def test_real_desktop(tmp_path: Path) -> None:
    """A desktop shows what its client draws, on a private socket; after TERM nothing of it is left."""
    needs("Xvnc", "xterm")
    path = tmp_path / "desktop"
    with program("desktop", "--socket", str(path), "--size", "400x300", "--", *TERMINAL) as child:
        viewer = connected(path)
        try:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert (viewer.picture.width, viewer.picture.height) == (400, 300)
            wait_for_drawing(viewer)
        finally:
            viewer.close()
        running = children_of(child.pid)
        x_socket = x_socket_of(running["xterm"])
        assert set(running) == {"Xvnc", "xterm"}
        child.terminate()
        assert child.wait(LIMIT_S) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in running.values())
    assert list(tmp_path.iterdir()) == []
    assert not is_still_there(x_socket)


def test_killed_xvnc(tmp_path: Path) -> None:
    """Where Xvnc is killed, the desktop ends with status 1, and its display's socket does not stay."""
    needs("Xvnc", "xterm")
    path = tmp_path / "desktop"
    with program("desktop", "--socket", str(path), "--", *TERMINAL) as child:
        viewer = connected(path)
        wait_for_drawing(viewer)
        viewer.close()
        x_socket = x_socket_of(children_of(child.pid)["xterm"])
        os.kill(children_of(child.pid)["Xvnc"], signal.SIGKILL)
        assert child.wait(LIMIT_S) == 1
        assert child.stderr is not None
        assert "Xvnc failed: " in child.stderr.read()
    assert list(tmp_path.iterdir()) == []
    assert not is_still_there(x_socket)


def test_ends_with_its_client(tmp_path: Path) -> None:
    """The desktop ends when its client does: a closed terminal gives the place back."""
    needs("Xvnc", "xterm")
    status, said = outcome("desktop", "--socket", str(tmp_path / "s"), "--", "xterm", "-e", "true")
    assert status == 0
    assert "the desktop ends: xterm: " in said
    assert list(tmp_path.iterdir()) == []


def test_deaf_client_is_killed(tmp_path: Path) -> None:
    """A client that ignores TERM does not keep the desktop."""
    needs("Xvnc")
    path = tmp_path / "desktop"
    deaf = "trap '' TERM; echo deaf >$0; while :; do sleep 0.1; done"
    with program("desktop", "--socket", str(path), "--", "sh", "-c", deaf, str(tmp_path / "ready")) as child:
        end = time.monotonic() + LIMIT_S
        while not (tmp_path / "ready").exists() and time.monotonic() < end:
            time.sleep(0.02)
        pid = children_of(child.pid)["sh"]
        child.terminate()
        assert child.wait(LIMIT_S) == 0
        assert not Path(f"/proc/{pid}").exists()


def test_cookie_keeps_strangers_out(tmp_path: Path) -> None:
    """Without the cookie, the display answers no client, not even root's."""
    needs("Xvnc", "xterm")
    path = tmp_path / "desktop"
    with program("desktop", "--socket", str(path), "--", *TERMINAL) as child:
        viewer = connected(path)
        wait_for_drawing(viewer)
        viewer.close()
        path, _ = x_socket_of(children_of(child.pid)["xterm"])
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(LIMIT_S)
            stranger.connect(str(path))
            stranger.sendall(struct.pack("<cx5H", b"l", 11, 0, 0, 0, 0))
            assert stranger.recv(1) == b"\0"  # X11 protocol, section 8: the connection failed
