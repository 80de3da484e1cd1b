"""The JavaScript client and a real daemon: through a restart in Node and in Chromium, and a session in a page."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen

from tests.components import lack, needs
from tests.daemon import ROOT, free_port
from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, Running, running, until
from tests.e2e.services import OWN, service
from tests.e2e.test_feed import SERVICE, happen

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

PROGRAM = OWN / "follow.mjs"
CLIENT = ROOT / "clients" / "js"
WS = ROOT / "clients" / "wslink"
SESSIONS = 10


@frozen
class Follower:
    """A program that follows the feed."""

    output: Path

    def told(self, name: str) -> list[Any]:
        """Give what it was told of one kind."""
        lines = self.output.read_text().rpartition("\n")[0].splitlines()
        return [one["value"] for one in map(json.loads, lines) if one["name"] == name]

    @property
    def offsets(self) -> list[int]:
        """Give the places of the facts that it was told, in order."""
        return [fact["offset"] for fact in self.told("fact")]


@contextmanager
def following(folder: Path, url: str, transport: str) -> Iterator[Follower]:
    """Run one under Node."""
    found = shutil.which("node")
    if found is None or not (WS / "node_modules" / "ws").is_dir():
        lack("not installed: Node.js with ws (npm, in clients/wslink)")
    output = folder / "followed"
    argv = [found, str(PROGRAM), url, transport, f"{WS / 'node_modules' / 'ws'}/"]
    with output.open("xb") as written:
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=written, env={"PATH": os.environ["PATH"]})
    with process:
        try:
            yield Follower(output)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(LIMIT_S) == 0
        finally:
            process.kill()


def die(daemon: Running) -> None:
    """Have a daemon die as a power cut would have it die."""
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait(LIMIT_S)


@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_through_a_restart_in_node(place: Place, transport: str) -> None:
    """It comes back by itself to a daemon that was killed and started again: nothing is missing, nothing is twice."""
    port = free_port()
    config = place.configure(SERVICE, f"tcp:{port}:interface=127.0.0.1")
    with running(config) as first:
        first.ready()
        with following(place.folder, f"http://127.0.0.1:{port}", transport) as follower:
            until(lambda: follower.told("open"), "it is connected")
            happen(port, 3 * SESSIONS)
            until(lambda: len(follower.offsets) >= 3 * SESSIONS, "it has heard")
            die(first)
            until(lambda: follower.told("close"), "it has noticed")
            with running(config) as second:
                second.ready()
                happen(port, 3 * SESSIONS)
                until(lambda: len(follower.told("open")) >= 2, "it is connected again", 60)
                until(lambda: len(follower.offsets) >= 6 * SESSIONS, "it has heard the rest", 60)
                heard = follower.offsets
                assert heard == list(range(heard[0], heard[0] + len(heard)))
                assert follower.told("open")[-1]["recovered"] is True
                assert {one["transport"] for one in follower.told("open")} == {transport}
                assert follower.told("gap") == []


PAGE = """<!doctype html><meta charset=utf-8><title>feed</title><body><div id=place style="height: 400px"></div>
<script type=module>
import { connect } from "/js/index.js";
window.heard = [];
window.states = [];
const feed = connect({ url: location.origin, times: { base_s: 0.05, cap_s: 0.5 } });
feed.on("session.*", (event) => window.heard.push([event.offset, event.type]));
for (const name of ["open", "close", "gap"]) feed.on(name, (value) => window.states.push([name, value]));
</script>
"""


def site(place: Place, html: str) -> tuple[Path, int]:
    """Write the configuration of a portal in one daemon: pages, the client, a service with pages of its own."""
    pages = place.folder / "pages"
    pages.mkdir()
    (pages / "index.html").write_text(html)
    port, (first, last) = free_port(), place.ports
    book = service("book", OWN / "pages.py", "${port}", kind="http", ports=f"{first}-{last}")
    static = f'[static]\n"/" = {json.dumps(str(pages))}\n"/js" = {json.dumps(str(CLIENT))}\n'
    return place.configure(
        static + SERVICE + book, f"tcp:{port}:interface=127.0.0.1", ("api", "tunnel", "static")
    ), port


def test_through_a_restart_in_a_browser(place: Place, browsing: "BrowserContext") -> None:
    """So it does in Chromium, whose page hears each fact once."""
    needs("chromium")
    config, port = site(place, PAGE)
    with running(config) as first:
        first.ready()
        tab = browsing.new_page()
        tab.goto(f"http://127.0.0.1:{port}/")
        tab.wait_for_function("window.states.some(([name]) => name === 'open')")
        happen(port, 3 * SESSIONS)
        tab.wait_for_function(f"window.heard.length >= {3 * SESSIONS}")
        die(first)
        tab.wait_for_function("window.states.some(([name]) => name === 'close')")
        with running(config) as second:
            second.ready()
            happen(port, 3 * SESSIONS)
            tab.wait_for_function(f"window.heard.length >= {6 * SESSIONS}")
            heard = [offset for offset, _ in tab.evaluate("window.heard")]
            assert heard == list(range(heard[0], heard[0] + len(heard)))
            assert tab.evaluate("window.states.filter(([name]) => name === 'gap').length") == 0
        tab.close()


EMBEDDED = """<!doctype html><body><div id=place style="height: 400px"></div>
<script type=module>
import { embed } from "/js/index.js";
await embed(document.querySelector("#place"), { url: location.origin, reserve: "book" });
</script>
"""


def test_a_session_in_five_lines(place: Place, browsing: "BrowserContext") -> None:
    """Five lines show a session's pages in a page."""
    needs("chromium")
    config, port = site(place, EMBEDDED)
    with running(config) as daemon:
        daemon.ready()
        tab = browsing.new_page()
        tab.goto(f"http://127.0.0.1:{port}/")
        frame = tab.frame_locator("iframe")
        frame.locator("body").wait_for()
        [made] = until(daemon.sessions, "the session is there")
        until(lambda: daemon.session(made["id"])["state"] == "connected", "it is shown")
        tab.screenshot(path=str(place.folder / "embedded.png"))
        tab.close()
        assert daemon.release(made["id"]).status == 200
        daemon.ended(made["id"])
