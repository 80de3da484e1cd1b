"""The examples of the documents do what the documents say."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sessiond.config import load, parse
from sessiond.demo import rfb
from sessiond.web.access import Caller, Scope
from sessiond.web.openapi import DOCUMENT
from sessiond.web.orders import read_order
from tests.components import lack
from tests.docs.documents import ALL, ROOT, blocks, page
from tests.docs.examples import PROGRAMS, Reader, alike, call_of, curls, daemon_of
from tests.e2e.places import Place
from tests.e2e.running import until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

README = (ROOT / "README.rst").read_text(encoding="utf-8")
VERSION = rfb.VERSION.decode().strip()
"""What a server of RFB says first."""

PORTAL = "http://localhost:8000"
NOVNC = ROOT / "clients" / "novnc" / "node_modules" / "@novnc" / "novnc"


@pytest.mark.parametrize("document", ALL, ids=lambda path: str(path.name))
def test_blocks_can_be_read(document: Path) -> None:
    """TOML that stands in a document is a configuration, JSON is JSON, Python compiles."""
    text = document.read_text(encoding="utf-8")
    for block in blocks(text, "json"):
        json.loads(block.text)
    for block in blocks(text, "python"):
        compile(block.text, document.name, "exec")
    for block in blocks(text, "toml"):
        tokens = "" if "[tokens." in block.text else f'[tokens.portal]\ndigest = "sha256:{"0123456789abcdef" * 4}"'
        parse(f"{block.text}\n{tokens}".encode(), ROOT, {})


def test_first_service_has_ten_lines() -> None:
    """The first service takes ten lines, as the text says."""
    [block] = blocks(README, "toml")
    assert "ten lines of TOML" in README
    assert len([line for line in block.text.splitlines() if line.strip()]) == 10


def test_first_token(tmp_path: Path) -> None:
    """What ``token new`` prints goes into the file as it is, and the file is accepted."""
    said = run(sys.executable, "-m", "sessiond", "token", "new", "portal")
    [block] = blocks(README, "toml")
    config = tmp_path / "first.toml"
    config.write_text(block.text + said[said.index("[tokens.portal]") :])
    assert run(sys.executable, "-m", "sessiond", "check-config", str(config)).strip() == "OK"
    [token] = load(config, {}).tokens
    assert (token.name, token.scopes) == ("portal", frozenset({"launch"}))


def test_first_session(place: Place) -> None:
    """The README's back end gets a session that is ready, and ends it."""
    [block] = blocks(README, "toml")
    with daemon_of(block.text, place) as reader:
        (make, shown), (end, _) = curls(README)
        answer = reader.run(make)
        assert answer.status == 201
        assert shown is not None
        assert alike(json.loads(shown), answer.json, whole=False) == []
        assert reader.run(end).json["reason"] == "released"


def test_rest(place: Place) -> None:
    """Each example of the REST reference is answered as the reference shows."""
    text = page("rest")
    [toml] = blocks(text, "toml")
    with daemon_of(toml.text, place) as reader:
        for line, shown in curls(text):
            if any(name in line for name in PROGRAMS):
                reader.look_into_program(place)
            answer = reader.run(line)
            assert shown is not None or answer.status in (200, 204), answer
            if shown is not None:
                assert alike(json.loads(shown), answer.json) == [], line
                assert "application" in answer.headers["content-type"]


def test_rest_names_every_route() -> None:
    """Every route of the OpenAPI document stands in the reference with its methods, and has an example."""
    text = page("rest")
    for path, item in DOCUMENT["paths"].items():
        for method in {"get", "post", "delete"} & set(item):
            shown = path.replace("{id}", "ID")
            assert re.search(rf"``{method.upper()} /api/v1{shown}``|``{method.upper()}`` to ``/api/v1{shown}``", text)
    asked = {call_of(re.sub(r"\$([A-Z_]+)", r"\1", line)).method for line, _ in curls(text)}
    assert asked == {"GET", "POST", "DELETE"}


def test_bodies_are_accepted() -> None:
    """Each body that makes a session is one that the API takes."""
    caller = Caller("portal", frozenset(Scope))
    made = 0
    for document in ALL:
        for line, _ in curls(document.read_text(encoding="utf-8")):
            call = call_of(re.sub(r"\$([A-Z_]+)", r"\1", line))
            if call.method == "POST" and call.url.endswith("/sessions"):
                assert read_order(call.body, caller, call.headers.get("Idempotency-Key")).request.service == "clock"
                made += 1
    assert made >= 3


def test_page_shows_the_clock(place: Place, browsing: "BrowserContext") -> None:
    """The README's page, served by a portal on another origin, shows the program's picture in a browser."""
    need_novnc()
    [html], [toml] = blocks(README, "html"), blocks(README, "toml")
    with portal(html.text) as served, daemon_of(toml.text.replace(PORTAL, served.url), place) as reader:
        served.open_clock = lambda: open_clock(reader)
        opened = browsing.new_page()
        opened.goto(served.url)
        opened.wait_for_selector("#screen canvas")
        until(lambda: state(reader) == "connected", "the page's client is connected")
        drawn = "[...document.querySelector('#screen canvas').getContext('2d').getImageData(0, 0, 300, 150).data]"
        opened.wait_for_function(f"new Set({drawn}).size > 3")
        opened.close()


def test_plain_socket_carries_bytes(place: Place, browsing: "BrowserContext") -> None:
    """The README's plain WebSocket gets what the program sends, and hears why it is closed."""
    [script], [toml] = blocks(README, "javascript"), blocks(README, "toml")
    with portal("") as served, daemon_of(toml.text.replace(PORTAL, served.url), place) as reader:
        answer = open_clock(reader)
        opened = browsing.new_page()
        opened.goto(served.url)
        with opened.expect_console_message(lambda message: message.text.startswith(VERSION)):
            opened.evaluate(f"tunnel_url => {{ {script.text} }}", answer["tunnel_url"])
        until(lambda: state(reader) == "connected", "the socket is open")
        with opened.expect_console_message(lambda message: message.text == "4410 released"):
            reader.run(curls(README)[1][0])
        opened.close()


def open_clock(reader: Reader) -> dict[str, str]:
    """Do what the README's back end does."""
    return dict(reader.run(curls(README)[0][0]).json)


def state(reader: Reader) -> str:
    """Say in which state the first session is."""
    path = f"/api/v1/sessions/{reader.names['ID']}"
    return str(reader.daemon.call("GET", path, Authorization=f"Bearer {reader.names['TOKEN']}").json["state"])


def need_novnc() -> None:
    """Skip a test where noVNC is not installed."""
    if not NOVNC.is_dir():
        lack("not installed: noVNC (npm ci in clients/novnc)")


def run(*command: str) -> str:
    """Run a program in the checkout, and give what it printed."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


class Served(ThreadingHTTPServer):
    """A portal with one page, noVNC beside it, and a back end that knows one call."""

    daemon_threads = True
    html = ""
    open_clock: Callable[[], dict[str, str]] = dict

    @property
    def url(self) -> str:
        """Give its origin."""
        return f"http://localhost:{self.server_port}"


class _Portal(SimpleHTTPRequestHandler):
    """Answers for it."""

    server: Served

    def do_GET(self) -> None:
        """Give the page, or a file of noVNC."""
        if self.path == "/":
            self._give("text/html", self.server.html)
        else:
            super().do_GET()

    def do_POST(self) -> None:
        """Open a session."""
        self._give("application/json", json.dumps(self.server.open_clock()))

    def translate_path(self, path: str) -> str:
        """Find a file of noVNC."""
        return str(NOVNC / path.removeprefix("/novnc/"))

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _give(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())


@contextmanager
def portal(html: str) -> Iterator[Served]:
    """Serve the portal from a thread of its own."""
    with Served(("127.0.0.1", 0), _Portal) as served:
        served.html = f"<!doctype html><title>portal</title>{html}"
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        try:
            yield served
        finally:
            served.shutdown()
            thread.join()
