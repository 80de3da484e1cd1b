"""The page in a browser, as a user has it before him, and what its canvas shows."""

import base64
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from tests.components import lack, needs
from tests.e2e.places import Place
from tests.e2e.running import until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

NOVNC = Path(__file__).parents[2] / "clients" / "novnc" / "node_modules" / "@novnc" / "novnc"

PORTAL = ("api", "portal", "tunnel", "static")
"""What the listener of a page serves."""

CANVAS = "#screen canvas"

LOOK = """canvas => {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    let text = "";
    for (let at = 0; at < data.length; at += 32768) text += String.fromCharCode(...data.subarray(at, at + 32768));
    return [width, height, btoa(text)];
}"""


PLACE = """canvas => {
    const { x, y, width, height } = canvas.getBoundingClientRect();
    return [x, y, width / canvas.width, height / canvas.height];
}"""


def with_novnc(services: str) -> str:
    """Add to services what the page needs beside them; skip where it was never installed."""
    needs("chromium")
    if not NOVNC.is_dir():
        lack("not installed: noVNC (make test installs it below clients/)")
    return f'[static]\n"/novnc" = "{NOVNC}"\n{services}'


@frozen
class Picture:
    """The pixels of the canvas: red, green, blue and alpha of each, row by row."""

    width: int
    height: int
    data: bytes

    def places(self, colour: tuple[int, int, int]) -> list[tuple[int, int]]:
        """Say where exactly this colour is, as x and y."""
        wanted, found, at = bytes((*colour, 255)), [], -1
        while (at := self.data.find(wanted, at + 1)) >= 0:
            if at % 4 == 0:
                found.append((at // 4 % self.width, at // 4 // self.width))
        return found

    def part(self, x: int, y: int, width: int, height: int) -> bytes:
        """Give the pixels of a rectangle."""
        starts = [((y + row) * self.width + x) * 4 for row in range(height)]
        return b"".join(self.data[start : start + width * 4] for start in starts)

    @property
    def digest(self) -> str:
        """Tell it from others."""
        return hashlib.sha256(self.data).hexdigest()


@define
class Portal:
    """The page.

    :ivar sockets: the addresses that it opened WebSockets to.
    :ivar complaints: what its scripts failed with.
    """

    page: "Page"
    folder: Path
    sockets: list[str] = field(factory=list)
    complaints: list[str] = field(factory=list)

    @classmethod
    def visit(cls, browsing: "BrowserContext", url: str, folder: Path) -> "Portal":
        """Open the page.

        :param folder: for screenshots.
        """
        portal = cls(browsing.new_page(), folder)
        portal.page.on("websocket", lambda socket: portal.sockets.append(socket.url))
        portal.page.on("pageerror", lambda error: portal.complaints.append(str(error)))
        portal.page.goto(url)
        return portal

    def open(self, service: str) -> None:
        """Press a service's button, and wait until its screen is there; nothing need be on it."""
        self.page.wait_for_selector(f'[data-service="{service}"]')
        self.page.click(f"#open-{service}")
        self.page.wait_for_selector('#status[data-state="connected"]')

    def picture(self) -> Picture:
        """Look at the canvas."""
        found: Any = self.page.eval_on_selector(CANVAS, LOOK)
        return Picture(found[0], found[1], base64.b64decode(found[2]))

    def await_colour(self, colour: tuple[int, int, int]) -> list[tuple[int, int]]:
        """Wait until a colour is in the picture, and say where it is."""
        return until(lambda: self.picture().places(colour), f"{colour} is in the picture", look_s=0.1)

    def point(self, x: int, y: int) -> tuple[float, float]:
        """Say where in the page a pixel of the picture is: it is scaled to what space there is."""
        left, top, across, down = self.page.eval_on_selector(CANVAS, PLACE)
        return left + (x + 0.5) * across, top + (y + 0.5) * down

    def click(self, x: int, y: int) -> None:
        """Move to a pixel of the picture and click there."""
        self.page.mouse.click(*self.point(x, y))

    def shoot(self, name: str) -> None:
        """Keep what is seen, also where ``SESSIOND_SCREENSHOTS`` says."""
        shot = self.page.screenshot()
        for folder in (self.folder, os.environ.get("SESSIOND_SCREENSHOTS")):
            if folder:
                (Path(folder) / f"{name}.png").write_bytes(shot)


def configure_page(place: Place, services: str, endpoint: str = "tcp:0:interface=127.0.0.1") -> Path:
    """Write the configuration of a daemon that serves the page and these services."""
    return place.configure(with_novnc(services), endpoint, PORTAL)
