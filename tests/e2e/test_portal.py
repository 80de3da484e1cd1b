"""The main job, with nothing of it feigned: a browser shows a live desktop, and everything is taken back."""

import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sessiond.demo.desktop import DisplayFiles
from sessiond.demo.picture import SPOT_RADIUS
from sessiond.launchers.procfs import children_of, variable_of
from tests.certificates import write_certificate
from tests.components import needs
from tests.e2e.places import Place
from tests.e2e.portal import Portal, configure_page
from tests.e2e.running import LIMIT_S, Running, launched_below, running, until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

RED = (226, 34, 34)
"""What a press of the left button paints in the clock's picture, and nothing else in it is."""
FACE = (246, 244, 239)
"""Most of the picture."""


def service(name: str, *command: str, linger: str = "30s", env: dict[str, str] | None = None, **keys: Any) -> str:
    """Write an ``rfb`` service."""
    table = {"title": f"A {name}", "kind": "rfb", "launcher": "process", "command": list(command), "count": 2, **keys}
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    variables = ", ".join(f"{name} = {json.dumps(value)}" for name, value in (env or {}).items())
    limits = f'limits = {{ launch = "30s", connect = "30s", linger = "{linger}" }}'
    return "\n".join([f"[services.{name}]", *lines, f"env = {{ {variables} }}", limits, ""])


def clock(**keys: Any) -> str:
    """Write the service of the demo's clock."""
    return service("clock", "${python}", "-m", "sessiond.demo.clock", "--socket", "${socket}", **keys, **checkout())


def checkout() -> dict[str, Any]:
    """Have a child find this checkout, from wherever the daemon was started."""
    return {"directory": str(Path(__file__).parents[2])}


def check_taken_back(place: Place, daemon: Running, reason: str = "released") -> None:
    """Nothing is left of the one session that there was: program, slot, port, file."""
    (session,) = daemon.sessions()
    assert daemon.ended(session["id"])["reason"] == reason
    assert launched_below(place.folder) == []
    until(lambda: children_of(daemon.pid) == [], "no child is left, dead or alive")
    assert daemon.service(session["service"])["used"] == 0
    until(lambda: place.left == [], "no folder, socket or temporary file is left")
    assert daemon.call("GET", f"/tunnel?token={place.folder.name}").status in (400, 401)
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.text


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_clock(place: Place, browsing: "BrowserContext", scheme: str) -> None:
    """A click in the page paints in the program's picture, and with the tab the session goes."""
    endpoint, trust = "tcp:0:interface=127.0.0.1", None
    if scheme == "https":
        key, trust = write_certificate(place.folder)
        endpoint = f"ssl:0:privateKey={key}:certKey={trust}:interface=127.0.0.1"
    with running(configure_page(place, clock(), endpoint), trust=trust) as daemon:
        daemon.ready()
        assert daemon.url.startswith(f"{scheme}://")
        portal = Portal.visit(browsing, daemon.url, place.folder)
        portal.open("clock")
        (socket,) = portal.sockets
        assert socket.startswith(f"{'wss' if scheme == 'https' else 'ws'}://{daemon.netloc}/tunnel?ticket=")
        (session,) = daemon.sessions()
        assert session["state"] == "connected"
        portal.await_colour(FACE)
        before = portal.picture()
        assert before.places(RED) == []
        until(lambda: portal.picture().digest != before.digest, "the picture moves by itself", look_s=0.1)
        portal.click(100, 80)
        portal.await_colour(RED)
        check_disc(portal.picture().places(RED), (100, 80))
        portal.shoot(f"clock-{scheme}")
        assert portal.complaints == []
        portal.page.close(run_before_unload=True)
        check_taken_back(place, daemon)


def check_disc(places: list[tuple[int, int]], centre: tuple[int, int]) -> None:
    """What was painted is a disc around the place that was clicked at."""
    for axis in (0, 1):
        values = [place[axis] for place in places]
        assert abs((min(values) + max(values)) / 2 - centre[axis]) <= 2
        assert abs(max(values) - min(values) + 1 - 2 * SPOT_RADIUS) <= 2
    assert 0.9 < len(places) / (3.1416 * SPOT_RADIUS**2) < 1.1


CALCULATOR = ("xcalc", "-geometry", "+40+40")
WHITE = (255, 255, 255)
"""Nothing on an empty screen is white, nearly all of the calculator is."""
DISPLAY = (55, 48, 195, 14)
"""Where the calculator shows its number: x, y, width and height."""
SEVEN = (109, 327)
"""Its key, far from there."""


def check_click(portal: Portal) -> None:
    """A click on a key of the calculator changes its display, which moving the pointer there does not."""
    until(lambda: len(portal.picture().places(WHITE)) > 40_000, "the calculator is there", look_s=0.1)
    portal.page.mouse.move(*portal.point(*SEVEN))
    before = portal.picture().part(*DISPLAY)
    portal.shoot("desktop-before")
    portal.click(*SEVEN)
    until(lambda: portal.picture().part(*DISPLAY) != before, "the click is seen", look_s=0.1)
    portal.shoot("desktop-after")


def files_of(displays: set[str | None]) -> set[object]:
    """Give what X servers of these displays have in common places; the same display of a later server has others."""
    numbers = [int(display[1:]) for display in displays if display is not None]
    return {file for number in numbers for file in DisplayFiles.of(number).seen.items()}


def test_desktop(place: Place, browsing: "BrowserContext") -> None:
    """So it is with a real desktop, on a UNIX socket: Xvnc and an X client."""
    needs("Xvnc", "xcalc")
    command = ["${python}", "-m", "sessiond.demo.desktop", "--socket", "${socket}", "--size", "800x600"]
    desktop = service("desktop", *command, "--", *CALCULATOR, env={"TMPDIR": str(place.temporary)}, **checkout())
    with running(configure_page(place, desktop)) as daemon:
        daemon.ready()
        portal = Portal.visit(browsing, daemon.url, place.folder)
        portal.open("desktop")
        check_click(portal)
        displays = {variable_of(process.pid, "DISPLAY") for process in launched_below(place.folder)}
        files = files_of(displays)
        assert files
        assert portal.complaints == []
        portal.page.close(run_before_unload=True)
        check_taken_back(place, daemon)
        assert not files & files_of(displays)


def test_desktop_on_leased_display(place: Place, browsing: "BrowserContext") -> None:
    """An X server on a display that was leased to it is taken back with the files that it has in common places."""
    needs("Xvnc", "xcalc")
    command = [*("Xvnc", ":${display}", "-rfbunixpath", "${socket}", "-rfbport", "-1"), "-geometry", "800x600"]
    with running(configure_page(place, service("desktop", *command, "-SecurityTypes", "None"))) as daemon:
        daemon.ready()
        portal = Portal.visit(browsing, daemon.url, place.folder)
        portal.open("desktop")
        (xvnc,) = launched_below(place.folder)
        display = Path(f"/proc/{xvnc.pid}/cmdline").read_text().split("\0")[1]
        files = files_of({display})
        assert len(files) == 2
        with subprocess.Popen([*CALCULATOR, "-display", display], stderr=subprocess.DEVNULL) as client:
            try:
                check_click(portal)
                portal.page.close(run_before_unload=True)
                client.wait(LIMIT_S)
            finally:
                client.kill()
        check_taken_back(place, daemon)
        assert not files & files_of({display})


def renderers() -> set[int]:
    """List the processes of this one's browser that show pages."""
    found, waiting = set(), children_of(os.getpid())
    while waiting:
        pid = waiting.pop()
        waiting += children_of(pid)
        with suppress(OSError):
            if b"--type=renderer" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


def test_page_that_crashes(place: Place, browsing: "BrowserContext") -> None:
    """A tab that can say nothing any more is missed when its tunnel breaks, and its session goes a little later."""
    with running(configure_page(place, clock(linger="1s"))) as daemon:
        daemon.ready()
        others = renderers()
        portal = Portal.visit(browsing, daemon.url, place.folder)
        portal.open("clock")
        portal.await_colour(FACE)
        for pid in renderers() - others:
            os.kill(pid, signal.SIGKILL)
        check_taken_back(place, daemon, "lingered")
