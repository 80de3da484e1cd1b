"""Warm programs are killed or stopped just before somebody claims them: the caller gets a live one, or words."""

import json
import os
import signal
from pathlib import Path

import pytest

from sessiond.core.capacity import suspended_until
from sessiond.core.values import State
from sessiond.launchers.procfs import send
from tests.broker.world import WARM, World
from tests.e2e.places import Place
from tests.e2e.running import Identity, Running, launched_below, running, until
from tests.e2e.wire import Tunnel
from tests.fakes.launchers import DiesAtOnce, Prompt

ECHO = Path(__file__).parents[1] / "e2e" / "programs" / "echo.py"

SERVICE = """
[services.echo]
kind = "tcp"
launcher = "process"
command = ["${{python}}", "-S", {echo}, "${{port}}"]
count = 3
launch = "warm"
warm = 1
ports = "{first}-{last}"
limits = {{ linger = "1s" }}
[tunnel]
ping = "1s"
pong = "1s"
stall = "2s"
close = "1s"
"""


def configured(place: Place) -> Path:
    """Configure a service that keeps one program warm."""
    first, last = place.ports
    return place.configure(SERVICE.format(echo=json.dumps(str(ECHO)), first=first, last=last))


def warm(daemon: Running, place: Place) -> tuple[str, Identity]:
    """Wait until a program is warm, and give its session and itself."""

    def look() -> str | None:
        ready = [s["id"] for s in daemon.sessions() if s["state"] == "ready" and s["owner"] == ""]
        return ready[0] if len(ready) == 1 else None

    session_id = until(look, "a program is warm")
    [program] = [
        process
        for process in launched_below(place.folder)
        if f"SESSIOND_SESSION={session_id}".encode() in Path(f"/proc/{process.pid}/environ").read_bytes()
    ]
    return session_id, program


def serves(answer_url: str) -> None:
    """See that a session works."""
    with Tunnel(answer_url) as tunnel:
        tunnel.send(b"alive")
        assert tunnel.read_until(b"ALIVE")


def test_killed_just_before_the_claim(place: Place) -> None:
    """The caller gets another that lives, or hears that this one has ended; the next caller is served in any case."""
    outcomes = []
    with running(configured(place)) as daemon:
        daemon.ready()
        for _ in range(10):
            session_id, program = warm(daemon, place)
            send(program.pid, program.started, signal.SIGKILL)
            made = daemon.order("echo", owner="ada")
            if made.status == 201 and made.json["id"] != session_id:
                serves(made.json["tunnel_url"])
            elif made.status == 201:
                # It was claimed before anybody could see that it is dead; that shows at once, in words.
                assert daemon.ended(session_id)["reason"] == "crashed"
            else:
                assert made.status in (409, 503), made
                assert made.json["reason"] == "crashed"
            outcomes.append(made.status)
            for session in daemon.sessions():
                if session["owner"] == "ada" and session["state"] != "ended":
                    daemon.release(session["id"])
                    daemon.ended(session["id"])
            last = daemon.order("echo", owner="eve")
            assert last.status == 201, last
            serves(last.json["tunnel_url"])
            daemon.release(last.json["id"])
            daemon.ended(last.json["id"])
        assert daemon.stop() == 0
    assert len(outcomes) == 10


@pytest.mark.parametrize("wait", ["none", "ready"])
def test_stopped_just_before_the_claim(place: Place, wait: str) -> None:
    """A program that hangs is noticed by whoever speaks to it: its tunnel ends in words, and the next is served."""
    with running(configured(place)) as daemon:
        daemon.ready()
        session_id, program = warm(daemon, place)
        os.kill(program.pid, signal.SIGSTOP)
        made = daemon.order("echo", wait, owner="ada")
        assert (made.status, made.json["id"]) == (201, session_id)
        with Tunnel(made.json["tunnel_url"]) as tunnel:
            tunnel.send(b"anybody?")
            assert daemon.release(session_id).status == 200
            while tunnel.read() is not None:
                pass
            assert tunnel.close_code == 4410
        assert daemon.ended(session_id)["exit"]["signal"] in (signal.SIGTERM, signal.SIGKILL)
        after = daemon.order("echo", owner="eve")
        assert after.status == 201
        serves(after.json["tunnel_url"])
        assert daemon.stop() == 0


def test_too_old() -> None:
    """A warm program that nobody claims is replaced at its age, before it goes stale."""
    world = World((WARM,), {"warm": 2})
    world.advance(0.0)
    [first] = world.broker.sessions()
    world.advance(3599.0)
    assert [session.id for session in world.broker.sessions()] == [first.id]
    world.advance(2.0)
    [second] = [s for s in world.broker.sessions() if s.state.holds_slot]
    assert second.id != first.id
    assert world.reserve("warm").reservation is not None
    assert world.broker.session(second.id).claimed


def test_warm_programs_that_always_die() -> None:
    """A service whose warm programs die at once starts few of them, and says to callers that it is suspended."""
    world = World((WARM,), {"warm": 2})
    world.advance(0.0)
    world.launcher.script = DiesAtOnce()
    next(iter(world.launcher.children.values())).vanish()
    world.advance(3600.0)
    assert 10 <= len(world.launcher.launches) <= 24
    refused = world.reserve("warm").refused
    assert refused is not None
    assert refused.code.value == "suspended"
    world.launcher.script = Prompt()
    world.advance(suspended_until(99, 0.0))
    assert world.ready("warm").state is State.READY
    assert [s.claimed for s in world.broker.sessions() if s.state is State.READY] == [True, False]
