"""What goes wrong with real programs and a full disk: each is told as what it is, and the daemon serves on."""

import json
import os
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tests.components import lack, needs
from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, Answer, launched_below, running, until
from tests.e2e.services import LAUNCHERS, converse, echo, serves_on, service
from tests.e2e.wire import Tunnel


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
