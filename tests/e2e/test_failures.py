"""What goes wrong with real programs and a full disk: each is told as what it is, and the daemon serves on."""

import json
import os
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sessiond.launchers.procfs import children_of
from tests.components import lack, needs
from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, Answer, Running, launched_below, running, until
from tests.e2e.wire import Tunnel

OWN = Path(__file__).parent / "programs"
LAUNCHERS = Path(__file__).parents[1] / "launchers" / "programs"


def service(name: str, program: Path, *arguments: str, limits: str = "", **keys: Any) -> str:
    """Write a service that runs one of the little programs."""
    command = ["${python}", "-S", str(program), *arguments]
    table = {"kind": "tcp", "launcher": "process", "command": command, "count": 1, **keys}
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join([f"[services.{name}]", *lines, f"limits = {{ {limits} }}", ""])


def echo(place: Place, **keys: Any) -> str:
    """Write the service that shows whether the daemon serves on."""
    first, last = place.ports
    return service("echo", OWN / "echo.py", "${port}", ports=f"{first}-{last}", **keys)


def serves_on(daemon: Running) -> None:
    """See that the daemon is well: it says so, and a session of another service works from start to end."""
    assert daemon.call("GET", "/healthz").status == 200
    made = daemon.order("echo")
    assert made.status == 201, made
    with Tunnel(made.json["tunnel_url"]) as tunnel:
        converse(tunnel)
    assert daemon.release(made.json["id"]).status == 200
    daemon.ended(made.json["id"])
    until(lambda: children_of(daemon.pid) == [], "no child is left, dead or alive")
    assert all(service["used"] == 0 for service in daemon.call("GET", "/api/v1/services").json["services"])
    assert "Traceback" not in daemon.text


def converse(tunnel: Tunnel) -> None:
    """Send something through a tunnel, and see that the program answers."""
    tunnel.send(b"still here")
    assert tunnel.read_until(b"STILL HERE")


def test_never_listens(place: Place) -> None:
    """A program that never listens is ended at its limit, and its caller told so."""
    first, last = place.ports
    deaf = service("deaf", LAUNCHERS / "wait.py", "here", "${port}", ports=f"{first}-{last}", limits='launch = "2s"')
    with running(place.configure(deaf + echo(place))) as daemon:
        daemon.ready()
        refused = daemon.order("deaf")
        assert (refused.status, refused.json["code"]) == (504, "launch-timeout")
        assert refused.json["log"][0] == "here"
        session = daemon.ended(refused.json["session"])
        assert (session["reason"], session["exit"]) == ("launch-timeout", {"code": None, "signal": signal.SIGTERM})
        serves_on(daemon)


def test_dies_at_once(place: Place) -> None:
    """A program that ends at once is told with its status and its last words."""
    first, last = place.ports
    dying = service("dying", LAUNCHERS / "die.py", "3", "${port}", ports=f"{first}-{last}")
    with running(place.configure(dying + echo(place))) as daemon:
        daemon.ready()
        refused = daemon.order("dying")
        assert (refused.status, refused.json["code"]) == (502, "launch-failed")
        assert refused.json["cause"] == "the program ended with status 3 before it was ready"
        assert refused.json["log"] == ["a last word"]
        session = daemon.ended(refused.json["session"])
        assert (session["reason"], session["exit"]) == ("launch-failed", {"code": 3, "signal": None})
        log = daemon.call("GET", f"/api/v1/sessions/{session['id']}/log")
        assert log.json == {"lines": ["a last word"]}
        serves_on(daemon)


def test_floods_its_output(place: Place) -> None:
    """A program that writes without end costs neither the disk nor the others their answers."""
    flood = service("flood", LAUNCHERS / "flood.py", "${socket}", ready="started", output="256KiB")
    with running(place.configure(flood + echo(place))) as daemon:
        daemon.ready()
        made = daemon.order("flood")
        assert made.status == 201, made
        written = place.run / "0" / made.json["id"] / "output"
        until(lambda: written.with_name("output.cut").exists(), "the output was cut")
        sizes = []
        for _ in range(20):
            assert daemon.call("GET", "/healthz", limit_s=5.0).status == 200
            sizes.append(written.stat().st_size)
        assert max(sizes) < 256 * 2**20
        lines = daemon.call("GET", f"/api/v1/sessions/{made.json['id']}/log?lines=5").json["lines"]
        # One may be torn, where the output was cut.
        assert lines.count("a line of a flood, as long as lines usually are in an output") >= 3
        assert daemon.release(made.json["id"]).status == 200
        assert daemon.ended(made.json["id"])["reason"] == "released"
        serves_on(daemon)


def test_ignores_term(place: Place) -> None:
    """A program that does not hear TERM is killed, and its end is told as what was asked for."""
    first, last = place.ports
    stubborn = service(
        *("stubborn", LAUNCHERS / "serve.py", "tcp", "${port}", "stubborn"),
        ports=f"{first}-{last}",
        stop=["term 1s", "kill 5s"],
    )
    with running(place.configure(stubborn + echo(place))) as daemon:
        daemon.ready()
        made = daemon.order("stubborn")
        assert made.status == 201, made
        stopping = daemon.release(made.json["id"])
        assert (stopping.json["state"], stopping.json["step"]) == ("stopping", "term")
        session = daemon.ended(made.json["id"])
        assert (session["reason"], session["exit"]) == ("released", {"code": None, "signal": signal.SIGKILL})
        serves_on(daemon)


@pytest.mark.parametrize("how", ["stay", "leave", "clean", "hop"])
def test_forks_away(place: Place, how: str) -> None:
    """Whatever a program leaves behind under other names and parents goes with its session."""
    forks = service(
        *("forks", LAUNCHERS / "fork_away.py", how, "${socket}"),
        ready="line:forked away",
        stop=["term 500ms", "kill 5s"],
    )
    with running(place.configure(forks + echo(place))) as daemon:
        daemon.ready()
        made = daemon.order("forks")
        if how == "stay":
            assert made.status == 201, made
            assert len(launched_below(place.folder)) == 4
            assert daemon.release(made.json["id"]).status == 200
            assert daemon.ended(made.json["id"])["reason"] == "released"
        else:
            # It ends by itself, right behind its ready line: either may be seen first.
            session = daemon.ended(made.json.get("id") or made.json["session"])
            assert session["reason"] in ("exited", "launch-failed")
            assert session["exit"] == {"code": 0, "signal": None}
        assert launched_below(place.folder) == []
        serves_on(daemon)


def test_port_taken_by_a_stranger(place: Place) -> None:
    """A stranger who took the port gets no byte: the launch fails, and says why."""
    port = place.ports[0]
    here, go = place.folder / "here", place.folder / "go"
    late = service("late", OWN / "late.py", "${port}", str(here), str(go), ports=f"{port}-{port}")
    well = service("echo", OWN / "echo.py", "${port}", ports=f"{port + 1}-{port + 9}")
    with running(place.configure(late + well)) as daemon:
        daemon.ready()
        made = daemon.order("late", wait="none")
        assert made.status == 201, made
        until(here.exists, "the program runs")
        with socket.create_server(("127.0.0.1", port)) as stranger:
            go.touch()
            session = daemon.ended(made.json["id"])
            assert session["reason"] == "launch-failed"
            assert session["cause"] == f"port {port} is taken by another program"
            # While the stranger is there nobody else is given the port.
            refused = daemon.order("late")
            assert (refused.status, refused.json["reason"]) == (503, "no-port")
            stranger.setblocking(False)
            with pytest.raises(BlockingIOError):
                stranger.accept()
        until(lambda: daemon.order("late").status == 201, "the port is given again", look_s=0.2)
        (again,) = [session["id"] for session in daemon.sessions() if session["state"] == "ready"]
        daemon.release(again)
        daemon.ended(again)
        serves_on(daemon)


@pytest.fixture
def small_disk(place: Place) -> list[str]:
    """Give the program that runs the daemon with a small file system of its own below ``state``.

    It is mounted in a mount namespace that goes with the daemon.
    """
    needs("unshare", "mount")
    state = place.folder / "state"
    state.mkdir(mode=0o700)
    space = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*space, "mount", "-t", "tmpfs", "-o", "size=1m", "none", str(state)], check=False).returncode:
        lack("may not mount a file system here")
    mount = 'mount -t tmpfs -o size=1m,mode=0700 none "$0" && exec "$@"'
    return [*space, "sh", "-c", mount, str(state)]


def fill_up(folder: Path) -> Path:
    """Leave no byte free."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    assert os.statvfs(folder).f_bavail == 0
    return ballast


def test_full_disk(place: Place, small_disk: list[str]) -> None:
    """With a full disk nothing new is promised, but what runs runs on and can be ended; with space it serves on."""
    with running(place.configure(echo(place, count=9)), before=small_disk) as daemon:
        daemon.ready()
        made = daemon.order("echo")
        assert made.status == 201, made
        with Tunnel(made.json["tunnel_url"]) as tunnel:
            converse(tunnel)
            program = launched_below(place.folder)
            # Through the process: its file systems are not ours.
            ballast = fill_up(Path(f"/proc/{daemon.pid}/root") / str(place.folder / "state")[1:])
            # A few saves may still find room in files that are there.
            refused = until(lambda: unless_made(daemon.order("echo")), "the store fails")
            assert (refused.status, refused.json["code"]) == (503, "store-unavailable")
            assert int(refused.headers["retry-after"]) > 0
            assert "disk" not in json.dumps(refused.json)
            assert "database or disk is full" in daemon.text
            converse(tunnel)
            # The answer must wait for the store; the program's end need not, and its client is told.
            answers: list[Answer] = []
            asking = threading.Thread(target=lambda: answers.append(daemon.release(made.json["id"])))
            asking.start()
            assert tunnel.read() is None
            assert tunnel.close_code == 4410
        until(lambda: not any(process.alive for process in program), "the program is gone")
        assert answers == []
        ballast.unlink()
        asking.join(LIMIT_S)
        assert [answer.status for answer in answers] == [200]
        assert daemon.ended(made.json["id"])["reason"] == "released"
        for session in daemon.sessions():
            daemon.release(session["id"])
            daemon.ended(session["id"])
        serves_on(daemon)


def unless_made(answer: Answer) -> Answer | None:
    """Give an answer on unless it is that a session was made."""
    return None if answer.status == 201 else answer
