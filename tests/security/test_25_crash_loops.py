"""A program that exits at once, asked for again and again: few attempts, nobody else notices, and it can be seen."""

import json
import re
import threading
from collections import Counter
from pathlib import Path

from sessiond.core.capacity import suspended_until
from tests.broker.world import World
from tests.e2e.places import Place
from tests.e2e.running import Answer, Running, running
from tests.e2e.wire import Tunnel
from tests.fakes.launchers import DiesAtOnce, Prompt

E2E = Path(__file__).parents[1] / "e2e" / "programs"
DIE = Path(__file__).parents[1] / "launchers" / "programs" / "die.py"
CALLERS = 8
ATTEMPTS = 25

SERVICES = """
[services.echo]
kind = "tcp"
launcher = "process"
command = ["${{python}}", "-S", {echo}, "${{port}}"]
count = 1
ports = "{first}-{last}"
[services.dying]
kind = "tcp"
launcher = "process"
command = ["${{python}}", "-S", {die}, "3", "${{socket}}"]
count = 8
"""


def test_bounded_attempts(place: Place) -> None:
    """Callers ask two hundred times: few programs are started, all callers are answered, other services work on."""
    first, last = place.ports
    values = {"echo": json.dumps(str(E2E / "echo.py")), "die": json.dumps(str(DIE)), "first": first, "last": last}
    with running(place.configure(SERVICES.format(**values))) as daemon:
        daemon.ready()
        made = daemon.order("echo")
        answers: list[Answer] = []
        callers = [threading.Thread(target=ask, args=(daemon, answers)) for _ in range(CALLERS)]
        with Tunnel(made.json["tunnel_url"]) as tunnel:
            for caller in callers:
                caller.start()
            for number in range(50):
                word = f"word {number}".encode()
                tunnel.send(word)
                tunnel.read_until(word.upper())
            for caller in callers:
                caller.join()
        codes = Counter(answer.json["code"] for answer in answers)
        assert sum(codes.values()) == CALLERS * ATTEMPTS
        assert set(codes) == {"launch-failed", "suspended"}
        assert all("retry-after" in a.headers for a in answers if a.json["code"] == "suspended")
        metrics = daemon.call("GET", "/metrics").json
        begun, ended, refused = (
            counted(metrics, name) for name in (
                'launches_begun_total{service="dying"}',
                'sessions_ended_total{service="dying",reason="launch-failed"}',
                'sessions_refused_total{service="dying",code="suspended"}',
            )
        )  # fmt: skip
        # Those that were on their way when the fifth failed are added to those five.
        assert 5 <= begun < 5 + 2 * CALLERS
        assert ended == begun == codes["launch-failed"]
        assert refused == codes["suspended"]
        assert daemon.call("GET", "/healthz").status == 200
        reasons = {pool["name"]: pool["reason"] for pool in daemon.call("GET", "/pressure").json["pools"]}
        assert reasons["dying"] == "suspended"
        daemon.release(made.json["id"])
        daemon.ended(made.json["id"])
        assert daemon.order("echo").status == 201
        assert daemon.stop() == 0


def ask(daemon: Running, answers: list[Answer]) -> None:
    """Ask for one session after the other."""
    answers.extend(daemon.order("dying") for _ in range(ATTEMPTS))


def counted(metrics: str, series: str) -> int:
    """Read a counter."""
    found = re.search(rf"^sessiond_{re.escape(series)} (\d+)$", metrics, re.MULTILINE)
    assert found is not None, series
    return int(found[1])


def test_attempts_over_an_hour() -> None:
    """Somebody who asks every second for an hour starts two dozen programs at most, and is served once they start."""
    world = World()
    world.launcher.script = DiesAtOnce()
    for _ in range(3600):
        world.reserve("plain")
        world.advance(1.0)
    launches = len(world.launcher.launches)
    print(f"\n{launches} launches in an hour of a service that always fails")  # noqa: T201  for who runs this with -s
    assert 5 <= launches <= 24
    assert world.ready("leased", Prompt()).state.value == "ready"
    world.advance(suspended_until(99, 0.0))
    assert world.ready("plain").state.value == "ready"
