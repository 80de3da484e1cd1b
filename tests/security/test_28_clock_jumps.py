"""The wall clock is set by a day, either way: no session expires by that, and none becomes immortal."""

import json
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, running, until
from tests.e2e.wire import Tunnel

STEPPED = Path(__file__).parent / "programs" / "stepped.py"
ECHO = Path(__file__).parents[1] / "e2e" / "programs" / "echo.py"
DAY_S = 86400.0
LIFETIME_S = 4.0

SERVICES = """
[services.{name}]
kind = "tcp"
launcher = "process"
command = ["${{python}}", "-S", {echo}, "${{port}}"]
count = 1
ports = "{first}-{last}"
limits = {{ connect = "1m", lifetime = "{lifetime}" }}
[tunnel]
ping = "1s"
pong = "{pong}"
"""


def services(place: Place, lifetime: str, pong: str = "1m") -> str:
    """Write the services."""
    first, last = place.ports
    echo = json.dumps(str(ECHO))
    return SERVICES.format(name="echo", echo=echo, first=first, last=last, lifetime=lifetime, pong=pong)


def set_clock(step: Path, by: str) -> None:
    """Set the daemon's clock; it reads the old step or the new one, and never a part."""
    part = step.with_name("step.part")
    part.write_text(by)
    part.replace(step)


@pytest.mark.parametrize("step_s", [DAY_S, -DAY_S])
def test_stepped(place: Place, step_s: float) -> None:
    """A session lives as long as it may, with its tunnel, by the time that passes and not by the clock on the wall."""
    step = place.folder / "step"
    set_clock(step, "0")
    config = place.configure(services(place, f"{LIFETIME_S:.0f}s"))
    with running(config, program=[sys.executable, str(STEPPED)], STEP=str(step)) as daemon:
        daemon.ready()
        before = time.monotonic()
        made = daemon.order("echo")
        assert made.status == 201, made
        with Tunnel(made.json["tunnel_url"]) as tunnel:
            set_clock(step, str(step_s))
            tunnel.send(b"still here")
            assert tunnel.read_until(b"STILL HERE")
            told = daemon.session(made.json["id"])
            left_s = {deadline["name"]: deadline["in_s"] for deadline in told["deadlines"]}["lifetime"]
            assert told["state"] == "connected"
            assert 0 < left_s <= LIFETIME_S
            while tunnel.read() is not None:
                pass
            assert tunnel.close_code == 4401
        assert LIFETIME_S - 0.5 <= time.monotonic() - before < LIMIT_S
        assert daemon.ended(made.json["id"])["reason"] == "lifetime"


@pytest.mark.parametrize("step_s", [DAY_S, -DAY_S])
def test_timers_go_on(place: Place, step_s: float) -> None:
    """A client that is dead is noticed and one that lives is kept, though the clock was set while both were there."""
    step = place.folder / "step"
    set_clock(step, "0")
    with running(
        place.configure(services(place, "1h", pong="2s")), program=[sys.executable, str(STEPPED)], STEP=str(step)
    ) as daemon:
        daemon.ready()
        made = daemon.order("echo")
        with Tunnel(made.json["tunnel_url"]) as tunnel:
            set_clock(step, str(step_s))
            tunnel.send(b"the last word")
            tunnel.read_until(b"THE LAST WORD")
            # It answers no ping from now on.
            until(lambda: daemon.session(made.json["id"])["state"] == "ready", "the dead client is noticed")
        assert daemon.release(made.json["id"]).status == 200
        assert daemon.ended(made.json["id"])["reason"] == "released"
