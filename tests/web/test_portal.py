"""The daemon's own page, and what it is made of."""

from __future__ import annotations

import re

import pytest
from twisted.internet.task import Clock

from sessiond.web.leaf import Branch
from sessiond.web.portal import page, pages
from sessiond.web.wire import WebSite
from tests.web.http import fetch


@pytest.fixture
def site() -> WebSite:
    """Serve the page as a listener does."""
    root = Branch()
    root.putChild(b"", page())
    root.putChild(b"pages", pages())
    return WebSite(root, Clock())


def test_page(site: WebSite) -> None:
    """The page is served at the root, and may load and call nothing but what it needs."""
    received = fetch(site, "GET", "/")
    assert (received.status, received.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.partition(" ")[::2] for part in received.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'self'",
        "connect-src": "'self' ws: wss:",
        "img-src": "'self' data: blob:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    assert received.headers["x-content-type-options"] == "nosniff"
    assert received.headers["referrer-policy"] == "no-referrer"


def test_page_keeps_its_policy(site: WebSite) -> None:
    """Nothing in the page would be blocked by its policy: no script or style within it, nothing from elsewhere."""
    text = fetch(site, "GET", "/").body.decode()
    assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|https?://", text)


def test_all_parts(site: WebSite) -> None:
    """All that the page names is there, with types that browsers take."""
    text = fetch(site, "GET", "/").body.decode()
    named = set(re.findall(r'(?:src|href)="(pages/[^"]+)"', text))
    assert named
    kinds = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
    for path in named:
        received = fetch(site, "GET", f"/{path}")
        assert (received.status, received.headers["content-type"]) == (200, kinds[path.rpartition(".")[2]])
        for module in re.findall(r'from "\./([\w.]+)"', received.body.decode()):
            assert fetch(site, "GET", f"/pages/{module}").status == 200


def test_known_already(site: WebSite) -> None:
    """Who has the page is told that it is still good."""
    tag = fetch(site, "GET", "/").headers["etag"]
    received = fetch(site, "GET", "/", headers={"If-None-Match": tag})
    assert (received.status, received.body) == (304, b"")
    assert fetch(site, "GET", "/", headers={"If-None-Match": '"other"'}).status == 200


def test_head(site: WebSite) -> None:
    """HEAD tells of the page what GET would."""
    received = fetch(site, "HEAD", "/")
    assert (received.status, received.body) == (200, b"")
    assert int(received.headers["content-length"]) > 100


@pytest.mark.parametrize("path", ["/pages", "/pages/", "/pages/nothing", "/pages/portal.html", "/pages/portal.js/x"])
def test_nothing_else(site: WebSite, path: str) -> None:
    """There is no listing, and nothing below a file."""
    fetch(site, "GET", path).refused("not-found", 404)


@pytest.mark.parametrize("path", ["/", "/pages/portal.js"])
def test_read_only(site: WebSite, path: str) -> None:
    """The page is read and nothing else."""
    received = fetch(site, "POST", path, b"")
    received.refused("method-not-allowed", 405)
    assert received.headers["allow"] == "GET, HEAD"
