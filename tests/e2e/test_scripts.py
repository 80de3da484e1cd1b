"""Services that scripts start, from end to end: the two samples, what fails, and a daemon that is killed."""

import json
from pathlib import Path
from typing import Any

import pytest

from sessiond.launchers.procfs import children_of
from tests.components import needs
from tests.daemon import ROOT, free_port
from tests.e2e.places import Place
from tests.e2e.running import Running, launched_below, running, until
from tests.e2e.wire import Tunnel

SCRIPTS = Path(__file__).parents[1] / "launchers" / "scripts"
SAMPLES = ROOT / "etc" / "scripts"
ECHO = Path(__file__).parent / "programs" / "echo.py"


def scripted(name: str, script: Path, common: dict[str, Any], limits: str = "", **keys: Any) -> str:
    """Write a service with a script."""
    table = {"kind": "tcp", "launcher": "script", "script": str(script), "count": 1, "options": "any", **keys}
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    lines += [f"common_options = {{ {', '.join(f'{key} = {json.dumps(value)}' for key, value in common.items())} }}"]
    return "\n".join([f"[services.{name}]", *lines, f"limits = {{ {limits} }}", ""])


def serving(name: str, how: str, limits: str = "", keys: dict[str, Any] | None = None, **common: Any) -> str:
    """Write a service whose script behaves as it is told."""
    common = {"how": how, "port": free_port(), **common}
    return scripted(name, SCRIPTS / "serving.py", common, limits, **keys or {})


def nothing_left(daemon: Running) -> None:
    """See that no program of any session is left, and that the daemon is well."""
    until(lambda: children_of(daemon.pid) == [], "no child is left, dead or alive")
    assert daemon.call("GET", "/healthz").status == 200


def test_sample_desktop(place: Place) -> None:
    """The sample script gives each slot a real desktop, of a size that its client chose from those on offer."""
    needs("Xvnc")
    common = {"sizes": ["800x600", "640x480"], "display_base": 700}
    with running(place.configure(scripted("desktop", SAMPLES / "desktop.py", common, kind="rfb", count=2))) as daemon:
        daemon.ready()
        for size in ("640x480", "800x600"):
            made = daemon.order("desktop", options={"size": size})
            assert made.status == 201, made
            with Tunnel(made.json["tunnel_url"]) as tunnel:
                assert tunnel.read_until(b"\n") == b"RFB 003.008\n"
                tunnel.send(b"RFB 003.008\n")
                assert tunnel.read_until(b"\x01\x01") == b"\x01\x01"
                tunnel.send(b"\x01")
                tunnel.read_until(b"\0\0\0\0")
                tunnel.send(b"\x01")
                width, height = map(int, size.split("x"))
                assert tunnel.read_until(b"\0" * 3)[:4] == width.to_bytes(2, "big") + height.to_bytes(2, "big")
            daemon.release(made.json["id"])
            assert daemon.ended(made.json["id"])["reason"] == "released"
        refused = daemon.order("desktop", options={"size": "1x1"})
        assert (refused.status, refused.json["code"]) == (502, "launch-failed")
        assert refused.json["cause"].startswith("start failed: ValueError: size must be one of 800x600, 640x480")
        nothing_left(daemon)


def test_sample_node(place: Place) -> None:
    """The sample for another computer is reached as soon as the program there listens, by the tunnel's own dial."""
    port = free_port()
    # In place of ssh, a command that takes its time.
    late = ["sh", "-c", f"sleep 1; exec python3 -S {ECHO} {{port}}"]
    common = {"host": "localhost", "port_base": port, "start": late}
    service = scripted("node", SAMPLES / "node.py", common, launch="on-connect")
    with running(place.configure(service)) as daemon:
        daemon.ready()
        made = daemon.order("node", "none")
        assert made.json["state"] == "reserved"
        with Tunnel(made.json["tunnel_url"]) as tunnel:
            tunnel.send(b"hello")
            assert tunnel.read_until(b"HELLO")
            until(lambda: daemon.session(made.json["id"])["state"] == "connected", "it counts as connected")
        daemon.release(made.json["id"])
        daemon.ended(made.json["id"])
        nothing_left(daemon)


def test_raises(place: Place) -> None:
    """What a script raises is told to its caller in short, and to the operator whole."""
    with running(place.configure(serving("bad", "raising"))) as daemon:
        daemon.ready()
        refused = daemon.order("bad")
        assert (refused.status, refused.json["code"]) == (502, "launch-failed")
        assert refused.json["cause"].startswith("start failed: ValueError: no such thing")
        session = daemon.ended(refused.json["session"])
        assert session["reason"] == "launch-failed"
        assert "stop 0" in daemon.call("GET", f"/api/v1/sessions/{session['id']}/log").json["lines"]
        assert "Traceback (most recent call last):" in daemon.text
        assert "abcdefgh12345678" not in daemon.text
        nothing_left(daemon)


@pytest.mark.parametrize("how", ["hang", "dead-port"])
def test_not_there_in_time(place: Place, how: str) -> None:
    """A start that never returns, or names a port where nobody listens, costs its client the launch limit."""
    service = serving("bad", how, 'launch = "2s"', {"launch": "on-connect"})
    with running(place.configure(service)) as daemon:
        daemon.ready()
        made = daemon.order("bad", "none")
        with Tunnel(made.json["tunnel_url"]) as tunnel:
            assert tunnel.read() is None
            assert tunnel.close_code == 4504
        session = daemon.ended(made.json["id"])
        assert session["reason"] == "launch-timeout"
        lines = daemon.call("GET", f"/api/v1/sessions/{session['id']}/log").json["lines"]
        assert ("stop 0" in lines) == (how == "dead-port")
        nothing_left(daemon)


def test_stop_hangs(place: Place) -> None:
    """A stop that hangs, deaf to TERM, costs its slot the steps of its list and no more."""
    keys = {"stop": ["ask 1s", "term 1s", "kill 1s"]}
    with running(place.configure(serving("bad", "stubborn-stop", keys=keys))) as daemon:
        daemon.ready()
        made = daemon.order("bad")
        assert made.status == 201, made
        daemon.release(made.json["id"])
        assert daemon.ended(made.json["id"])["exit"] == {"code": None, "signal": 9}
        assert "stop() does not come to an end" in daemon.text
        assert daemon.service("bad")["used"] == 0
        nothing_left(daemon)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("def f(:\n", "load failed: SyntaxError: invalid syntax (own.py, line 1)"),
        (
            "class A(RemoteServiceScript): ...\na, b = A(), A()\n",
            "load failed: several instances of RemoteServiceScript: a, b",
        ),
    ],
)
def test_can_not_be_loaded(place: Place, text: str, cause: str) -> None:
    """A script that can't be loaded makes its own service refuse sessions with the cause, and no other."""
    own = place.folder / "own.py"
    own.write_text(text)
    with running(place.configure(scripted("bad", own, {}) + serving("good", ""))) as daemon:
        daemon.ready()
        until(lambda: daemon.service("bad")["cause"], "the service was looked at")
        assert daemon.service("bad")["cause"] == cause
        refused = daemon.order("bad")
        assert (refused.status, refused.json["code"], refused.json["detail"]) == (503, "cannot-start", cause)
        assert refused.headers["retry-after"] == "60"
        assert f"the service bad can't be started: {cause}" in daemon.text
        assert daemon.service("good")["cause"] is None
        made = daemon.order("good")
        assert made.status == 201, made
        daemon.release(made.json["id"])
        daemon.ended(made.json["id"])
        nothing_left(daemon)


@pytest.mark.parametrize("how", ["", "forking"])
def test_daemon_is_killed(place: Place, how: str) -> None:
    """When the daemon is killed, the script's stop runs, and all that it had started ends without a daemon."""
    stopped = place.temporary / "stopped"
    with running(place.configure(serving("good", how, stopped=str(stopped)))) as daemon:
        daemon.ready()
        made = daemon.order("good")
        assert made.status == 201, made
        program = launched_below(place.folder)
        assert len(program) >= 2
        daemon.kill()
    until(lambda: not any(process.alive for process in program), "all of it is gone")
    assert stopped.read_text() == "0"
    with running(place.config) as daemon:
        daemon.ready()
        assert daemon.ended(made.json["id"])["reason"] == "lost"
        nothing_left(daemon)
    stopped.unlink()


def test_restart_in_the_middle_of_a_stop(place: Place) -> None:
    """A daemon that is back at once lets the script's stop run to its end."""
    stopped = place.temporary / "stopped"
    with running(place.configure(serving("good", "", stopped=str(stopped), stop_s=2.0))) as daemon:
        daemon.ready()
        made = daemon.order("good")
        assert made.status == 201, made
        daemon.kill()
    with running(place.config) as daemon:
        daemon.ready()
        assert daemon.ended(made.json["id"])["reason"] == "lost"
        nothing_left(daemon)
    assert stopped.read_text() == "0"
    stopped.unlink()
