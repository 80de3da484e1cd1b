"""A program's pages in a real browser, which is led there by a page of its own site or of another."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.components import needs
from tests.e2e.places import Place
from tests.e2e.running import running
from tests.e2e.services import OWN, service

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext


@contextmanager
def portal(page: str) -> Iterator[int]:
    """Serve one page on loopback, and give the port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = page.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_led_there(place: Place, browsing: "BrowserContext", host: str) -> None:
    """The user follows a link with the token and sees the page, whose script sees more; the token is not to be seen.

    To a browser ``localhost`` is another site than ``127.0.0.1``.
    """
    needs("chromium")
    first, last = place.ports
    place.configure(service("book", OWN / "pages.py", "${port}", kind="http", ports=f"{first}-{last}"))
    with running(place.config) as daemon:
        made = daemon.ready().order("book").json
        url = made["url"].replace("/?token=", "/page?a=1&amp;token=")
        with portal(f'<!doctype html><a id=go href="{url}">go</a>') as port:
            page = browsing.new_page()
            page.goto(f"http://{host}:{port}/")
            page.click("#go")
            page.wait_for_function("document.querySelector('#told')?.textContent === '/more'")
            assert page.url == f"{daemon.url}session/{made['id']}/page?a=1"
            assert made["token"] not in page.content()
            page.reload()
            page.wait_for_function("document.querySelector('#told')?.textContent === '/more'")
            assert page.evaluate("document.cookie") == ""
            page.go_back()
            assert f"{host}:{port}" in page.url
            page.close()
        assert "Traceback" not in daemon.text
