"""Services of the little programs, and whether a daemon serves on whatever one of them has done."""

import json
from pathlib import Path
from typing import Any

from sessiond.launchers.procfs import children_of
from tests.e2e.places import Place
from tests.e2e.running import Running, until
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
