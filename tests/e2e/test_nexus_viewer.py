"""Nexus' viewers, with nothing of it feigned: noVNC, old and new, alone and in the viewer page, and a real desktop."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from attrs import define

from sessiond.demo.desktop import DisplayFiles
from tests.certificates import write_certificate
from tests.components import lack, needs
from tests.daemon import READY, ROOT
from tests.e2e.places import Place
from tests.e2e.portal import Portal
from tests.e2e.running import Identity, Running, launched_below, running_by, until
from tests.e2e.test_portal import CALCULATOR, DISPLAY, SEVEN, check_click

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

MODULES = ROOT / "clients" / "novnc" / "node_modules"
VERSIONS = {"1.0.0": "novnc-1.0", "1.7.0": "@novnc/novnc"}
"""The old one offers ``binary``, as all before 1.2 do, the new one nothing."""

SAMPLE = ROOT / "etc" / "scripts" / "desktop.py"
VIEWING = Path(__file__).parent / "programs" / "viewing.py"
PAGES = Path(__file__).parent / "pages"
DESKTOP = "Linux desktop"
PASSWORD, PASSWORD_FILE = "secret12", bytes.fromhex("24b5ae4ce15503c6")
"""A password, and what vncpasswd makes of it."""


# -- a daemon as a site starts it -------------------------------------------------------------------------------------


@define
class Site:
    """The daemon, the folder that it serves, and a page at it.

    :ivar port: of the viewers' listener.
    """

    place: Place
    daemon: Running
    root: Path
    browsing: "BrowserContext"
    port: int = 0

    def call(self, path: str) -> Any:
        """Ask its REST interface."""
        found = self.daemon.call("GET", path)
        assert found.status == 200, found
        return found.json

    def reserve(self, service: str = DESKTOP) -> str:
        """Reserve a place, as a portal does."""
        return str(self.call(f"/v1/reserve/{quote(service)}")["token"])

    def taken(self, service: str = DESKTOP) -> int:
        """Say how many of the places are taken."""
        (found,) = [one for one in self.call("/v1/status") if one["name"] == service]
        return sum(bool(instance["token"]) for instance in found["instances"])

    def bare(self, version: str, path: str) -> Portal:
        """Open noVNC alone; the page is the site's own, in the served folder."""
        for page in PAGES.iterdir():
            shutil.copy(page, self.root)
        shutil.copytree(MODULES / VERSIONS[version], self.root / version)
        query = urlencode({"novnc": version, "port": self.port, "path": path})
        return Portal.visit(self.browsing, f"{self.daemon.url}bare.html?{query}", self.place.folder)

    def view(self, query: str = "", folder: str = "ansys", **fields: str) -> Portal:
        """Open the viewer page.

        :param query: fields that are written as they stand.
        """
        written = urlencode({"host": "127.0.0.1", "port": str(self.port), "autoconnect": "true", **fields})
        url = f"{self.daemon.url}{folder}/nexus/vnc_envision.html?{query}{'&' if query else ''}{written}"
        return Portal.visit(self.browsing, url, self.place.folder)

    def programs(self, name: str) -> list[Identity]:
        """List the running programs of sessions that have this name."""
        return [one for one in launched_below(self.place.folder) if _name_of(one.pid) == name]

    def close(self, portal: Portal) -> None:
        """Leave the page, and see that all is taken back."""
        assert portal.complaints == []
        portal.page.close(run_before_unload=True)
        until(lambda: launched_below(self.place.folder) == [], "no program is left")


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@contextmanager
def site(
    place: Place,
    browsing: "BrowserContext",
    script: Path = SAMPLE,
    *words: str,
    services: dict[str, Any] | None = None,
    novnc: str | None = "1.7.0",
    count: int = 2,
    trust: tuple[Path, Path] | None = None,
    **options: Any,
) -> Iterator[Site]:
    """Start the daemon by the original's command line, with a services file of the site.

    :param words: further options of the command line.
    :param services: what else is in the services file.
    :param novnc: the version that the viewer page is set up with.
    :param trust: key and certificate.
    :param options: of the script.
    """
    needs("Xvnc", "xcalc", "chromium")
    if not all((MODULES / folder).is_dir() for folder in VERSIONS.values()):
        lack("not installed: noVNC (make test installs it below clients/)")
    root = place.folder / "session"
    root.mkdir()
    common = {"sizes": ["800x600"], "display_base": place.ports[0] - 5900, "client": list(CALCULATOR), **options}
    table = {DESKTOP: {"script": str(script), "count": count, "options": common}, **(services or {})}
    (place.folder / "external_services.json").write_text(json.dumps(table))
    lines = [f"state_dir = {json.dumps(str(place.folder / 'state'))}"]
    lines += [f"novnc = {json.dumps(str(MODULES / VERSIONS[novnc]))}"] if novnc else []
    (place.folder / "settings.toml").write_text("\n".join(lines))
    argv = [sys.executable, "-m", "sessiond.websocketserver", "--http_directory", str(root), "--http_port", "0"]
    argv += ["--remote_session_config", str(place.folder / "external_services.json")]
    argv += ["--settings", str(place.folder / "settings.toml"), *words]
    argv += [] if trust is None else ["--key", str(trust[0]), "--cert", str(trust[1])]
    with running_by([*argv, "0"], place.folder, None if trust is None else trust[1]) as daemon:
        daemon.ready()
        (line,) = [line for line in daemon.text.splitlines() if READY in line]
        daemon.url, _, viewers = line.partition(f"{READY}: ")[2].partition(" and ")
        yield Site(place, daemon, root, browsing, int(viewers.rstrip("/").rpartition(":")[2]))
        assert daemon.stop() == 0


# -- the page ---------------------------------------------------------------------------------------------------------


def await_state(portal: Portal, state: str, shot: str = "") -> None:
    """Wait until the page stands so.

    :param shot: as what that is kept.
    """
    portal.page.wait_for_selector(f'body[data-state="{state}"]')
    if shot:
        portal.shoot(f"viewer-{shot}")


def said(page: "Page") -> list[str]:
    """Give the title, the cause and the hint that are seen."""
    return [page.inner_text(f"#{part}") if page.is_visible(f"#{part}") else "" for part in ("title", "cause", "hint")]


def press(portal: Portal, key: str) -> None:
    """Press a key, and see that the picture changes by it."""
    portal.page.mouse.move(*portal.point(*SEVEN))  # X gives keys to the program under the pointer
    before = portal.picture().part(*DISPLAY)
    portal.page.keyboard.press(key)
    until(lambda: portal.picture().part(*DISPLAY) != before, "the key is seen", look_s=0.1)


@pytest.fixture(params=["ws", "wss"])
def trust(request: pytest.FixtureRequest, place: Place) -> tuple[Path, Path] | None:
    """Give a key and a certificate, or none."""
    return write_certificate(place.folder) if request.param == "wss" else None


# -- noVNC ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_novnc_alone(place: Place, browsing: "BrowserContext", version: str, trust: tuple[Path, Path] | None) -> None:
    """Plain noVNC with ``path=websockify?token=…`` shows a script's desktop, and what is clicked and typed there."""
    with site(place, browsing, trust=trust) as here:
        token = here.reserve()
        portal = here.bare(version, f"websockify?token={token}")
        portal.page.wait_for_selector('body[data-state="connect"]')
        scheme = "ws" if trust is None else "wss"
        assert portal.sockets == [f"{scheme}://127.0.0.1:{here.port}/websockify?token={token}"]
        check_click(portal)
        press(portal, "8")
        here.close(portal)
        until(lambda: here.taken() == 0, "its place is free")


@pytest.mark.parametrize(
    ("version", "form"), [("1.0.0", "path=websockify&token={}"), ("1.7.0", "path=websockify%3Ftoken%3D{}")]
)
def test_viewer(
    place: Place, browsing: "BrowserContext", version: str, form: str, trust: tuple[Path, Path] | None
) -> None:
    """So does the viewer page around it, with the token in either of its documented places."""
    with site(place, browsing, trust=trust, novnc=version) as here:
        token = here.reserve()
        portal = here.view(form.format(token), session_name=DESKTOP)
        await_state(portal, "connected", "connected")
        assert portal.page.title() == DESKTOP
        scheme = "ws" if trust is None else "wss"
        assert portal.sockets == [f"{scheme}://127.0.0.1:{here.port}/websockify?token={token}"]
        check_click(portal)
        press(portal, "8")
        here.close(portal)
        until(lambda: here.taken() == 0, "its place is free")


def test_refused_alone(place: Place, browsing: "BrowserContext") -> None:
    """Plain noVNC takes a refusal for a broken connection, and says nothing of it."""
    with site(place, browsing) as here:
        portal = here.bare("1.7.0", "websockify?token=unknown")
        portal.page.wait_for_selector('body[data-state="disconnect"][data-clean="false"]', state="attached")
        here.close(portal)


# -- what the page says -----------------------------------------------------------------------------------------------


def test_starting(place: Place, browsing: "BrowserContext") -> None:
    """While a script takes its time, the page says so, and then shows its desktop."""
    gate = place.temporary / "gate"
    with site(place, browsing, VIEWING, gate=str(gate)) as here:
        portal = here.view(f"token={here.reserve()}", "ansys252", session_name=DESKTOP)
        portal.page.wait_for_selector(f"#title:has-text('Starting {DESKTOP}')")
        await_state(portal, "starting", "starting")
        assert said(portal.page) == [f"Starting {DESKTOP}…", "", ""]
        assert portal.page.title() == f"{DESKTOP}: Starting {DESKTOP}…"
        gate.touch()
        await_state(portal, "connected")
        check_click(portal)
        here.close(portal)
        gate.unlink()


def test_all_in_use(place: Place, browsing: "BrowserContext") -> None:
    """When all places are taken, the page says so and when it tries again, and gets the one that comes free."""
    with site(place, browsing, SAMPLE, "--timeout", "300", count=5) as here:
        tokens = [here.reserve() for _ in range(5)]
        portal = here.view(session_name=DESKTOP)
        await_state(portal, "waiting", "waiting")
        title, cause, hint = said(portal.page)
        assert (title, cause) == (f"All 5 {DESKTOP} sessions are in use.", "")
        next_try = portal.page.evaluate(
            """() => [4, 5].map((minutes) => new Date(Date.now() + minutes * 60000)
                .toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }))"""
        )
        assert hint in [f"Next try at {at}, as long as this page is in front." for at in next_try]
        here.call(f"/v1/release/{tokens[0]}")
        portal.page.click("#act")
        await_state(portal, "connected")
        check_click(portal)
        here.close(portal)


def test_waits_for_a_place(place: Place, browsing: "BrowserContext") -> None:
    """A page that waits gets a place by itself as soon as a reservation that nobody uses has run out."""
    with site(place, browsing, SAMPLE, "--timeout", "5", count=1) as here:
        portal = here.view(session_name=DESKTOP, autoconnect="false")
        await_state(portal, "idle", "idle")
        here.reserve()
        portal.page.click("#act")
        await_state(portal, "waiting")
        await_state(portal, "connected")
        here.close(portal)


def test_failed(place: Place, browsing: "BrowserContext") -> None:
    """What a script raises stands in the page, and another try is offered."""
    with site(place, browsing, VIEWING, how="raise") as here:
        portal = here.view(f"token={here.reserve()}", session_name=DESKTOP)
        portal.page.wait_for_selector("#act:has-text('Start a new session')")
        portal.shoot("viewer-failed")
        title, cause, _ = said(portal.page)
        assert title == "The program could not be started."
        assert cause.startswith("Start failed: RuntimeError: no licence is left")
        here.close(portal)


def test_cannot_be_loaded(place: Place, browsing: "BrowserContext") -> None:
    """A service that refuses its reservations tells the page why."""
    broken = place.folder / "broken.py"
    broken.write_text("import nothing_of_this_name\n")
    services = {"Broken": {"script": str(broken), "count": 1, "options": {}}}
    with site(place, browsing, services=services) as here:
        until(lambda: here.daemon.call("GET", "/v1/reserve/Broken").status == 503, "the script was looked at")
        portal = here.view(session_name="Broken")
        await_state(portal, "failed", "broken")
        title, cause, _ = said(portal.page)
        assert title == "Broken cannot be opened."
        assert cause.startswith("Broken cannot start: load failed: ModuleNotFoundError")
        here.close(portal)


def test_ended(place: Place, browsing: "BrowserContext") -> None:
    """When the program is killed, the page says that it has ended, and opens another session if it is told to."""
    with site(place, browsing) as here:
        portal = here.view(f"token={here.reserve()}", session_name=DESKTOP)
        await_state(portal, "connected")
        (program,) = here.programs("Xvnc")
        files = DisplayFiles.of(here.place.ports[0] - 5900)
        os.kill(program.pid, signal.SIGKILL)
        await_state(portal, "ended")
        files.remove()
        portal.page.wait_for_selector("#act:has-text('Start a new session')")
        portal.shoot("viewer-ended")
        assert said(portal.page) == ["The program has ended.", "", ""]
        portal.page.click("#act")
        await_state(portal, "connected")
        check_click(portal)
        here.close(portal)


def test_released(place: Place, browsing: "BrowserContext") -> None:
    """A session that is released elsewhere is no failure, and neither is one that its person ends in the page."""
    with site(place, browsing) as here:
        token = here.reserve()
        portal = here.view(f"token={token}")
        await_state(portal, "connected")
        here.call(f"/v1/release/{token}")
        await_state(portal, "ended")
        assert said(portal.page) == ["The session was released.", "", ""]
        portal.page.close()
        portal = here.view(session_name=DESKTOP)
        await_state(portal, "connected")
        portal.page.click("#end")
        await_state(portal, "ended")
        assert said(portal.page)[0] == "You have ended the session."
        until(lambda: here.taken() == 0, "its place is free")
        here.close(portal)


@pytest.mark.parametrize(
    ("query", "title", "hint"),
    [
        (
            "token=unknown",
            "The session is no longer open.",
            "The reservation has run out, was released, or its connection has ended.",
        ),
        ("", "This address names no session.", "Ask the portal for a new session."),
    ],
)
def test_unknown(place: Place, browsing: "BrowserContext", query: str, title: str, hint: str) -> None:
    """A token that opens nothing is told, and so is an address without one."""
    with site(place, browsing) as here:
        portal = here.view(query)
        await_state(portal, "failed", query.partition("=")[2] or "unnamed")
        assert said(portal.page) == [title, "", hint]
        here.close(portal)


def test_open_elsewhere(place: Place, browsing: "BrowserContext") -> None:
    """A second page with the same token is told that the first one has it."""
    with site(place, browsing) as here:
        token = here.reserve()
        portal = here.view(f"token={token}")
        await_state(portal, "connected")
        second = here.view(f"token={token}")
        await_state(second, "failed")
        assert said(second.page)[0] == "The session is open somewhere else."
        second.page.close()
        here.close(portal)


def test_password(place: Place, browsing: "BrowserContext") -> None:
    """A desktop's password is taken from the address, or asked for; a wrong one is told."""
    secret = place.folder / "password"
    secret.write_bytes(PASSWORD_FILE)
    secret.chmod(0o600)
    with site(place, browsing, VIEWING, password_file=str(secret)) as here:
        portal = here.view(session_name=DESKTOP, password=PASSWORD)
        await_state(portal, "connected")
        here.close(portal)
        portal = here.view(session_name=DESKTOP)
        await_state(portal, "asking", "asking")
        portal.page.keyboard.type(PASSWORD)
        portal.page.keyboard.press("Enter")
        await_state(portal, "connected")
        check_click(portal)
        here.close(portal)
        portal = here.view(session_name=DESKTOP, password="wrong")
        await_state(portal, "failed", "wrong-password")
        assert said(portal.page) == [f"{DESKTOP} refused the password.", "Authentication failure.", ""]
        portal.page.click("#act")
        await_state(portal, "asking")
        here.close(portal)


def test_server_is_gone(place: Place, browsing: "BrowserContext") -> None:
    """A page that outlives its server says so, and finds the next one."""
    with site(place, browsing) as here:
        portal = here.view(session_name=DESKTOP)
        await_state(portal, "connected")
        assert here.daemon.call("GET", "/v1/stop").status == 200
        await_state(portal, "ended", "stopping")
        assert said(portal.page)[0] == "The server is stopping."
        here.daemon.process.wait(30)
        portal.page.click("#act")
        await_state(portal, "failed", "unreachable")
        assert said(portal.page)[0] == "The server cannot be reached."
        portal.page.close()


def test_without_novnc(place: Place, browsing: "BrowserContext") -> None:
    """A page that was not set up with noVNC says so, and takes no place."""
    with site(place, browsing, novnc=None) as here:
        portal = here.view(session_name=DESKTOP)
        await_state(portal, "failed", "missing")
        assert said(portal.page) == ["The viewer is missing.", "noVNC is not installed on the server.", ""]
        assert here.taken() == 0
        here.close(portal)


ADDRESSES = {
    "https://a:1/ansys/nexus/vnc_envision.html?path=websockify%3Ftoken%3DT%26instance_name%3DX": (
        "wss://a:1/websockify?instance_name=X&token=T"
    ),
    "http://a/vnc_envision.html?path=websockify?token=T&token=other": "ws://a/websockify?token=T",
    "http://a:1/vnc_envision.html": "ws://a:1/websockify",
    "http://a:1/vnc_envision.html?host=b&token=a%26b": "ws://b/websockify?token=a%26b",
    "http://a:1/vnc_envision.html?host=::1&port=2&path=/x/y": "ws://[::1]:2/x/y",
    "http://a:1/vnc_envision.html?host=b/c%20d&port=e": None,
}
"""Addresses of the page, and where each has it connect to."""


def test_fields(place: Place, browsing: "BrowserContext") -> None:
    """What the fields of the page's address mean, each alone and together."""
    with site(place, browsing) as here:
        portal = here.view(autoconnect="false")
        await_state(portal, "idle")
        found = portal.page.evaluate(
            """async (addresses) => {
                const { readFields, socketAddress } = await import("./vnc_envision/fields.js");
                return addresses.map(readFields).map((fields) => socketAddress(fields, fields.token));
            }""",
            list(ADDRESSES),
        )
        assert dict(zip(ADDRESSES, found, strict=True)) == ADDRESSES
        here.close(portal)
        portal = here.view(session_name=DESKTOP, port="e")
        await_state(portal, "failed")
        assert said(portal.page) == ["This address names no server.", "Host or port are wrong.", ""]
        assert here.taken() == 0
        here.close(portal)
