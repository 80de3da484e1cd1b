"""The JavaScript client in a real browser, against a stand-in of the daemon."""

import json
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

from tests.components import needs
from tests.e2e.running import until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

FOLLOW = """async ([url, options]) => {
    const { connect } = await import("/client/index.js");
    window.told = [];
    window.feed = connect({ url, times: { base_s: 0.01, cap_s: 0.05, again_s: 600 }, ...options });
    for (const name of ["open", "close", "gap", "error"]) {
        feed.on(name, (value) => told.push([name, value?.transport ?? value?.reason ?? String(value)]));
    }
    feed.on("session.ready", (event) => told.push(["ready", event.offset]));
}"""

RFB = """class {
    constructor(place, socket) {
        this.socket = socket;
        place.textContent = `${socket.url} ${socket instanceof WebSocket}`;
    }
    disconnect() { this.socket.close(); }
}"""


def do(url: str, what: str, **order: Any) -> Any:
    """Have the stand-in do something."""
    body = json.dumps({"do": what, **order}).encode()
    with urlopen(Request(f"{url}control", body), timeout=30) as answer:
        return json.load(answer)


def told(url: str) -> Any:
    """Ask the stand-in what it saw."""
    with urlopen(f"{url}control", timeout=30) as answer:
        return json.load(answer)


@pytest.fixture
def page(standin: str, browsing: "BrowserContext") -> "Page":
    """Open an empty page of the stand-in's."""
    needs("chromium")
    opened = browsing.new_page()
    opened.goto(standin)
    return opened


def await_told(page: "Page", *wanted: str) -> list[Any]:
    """Wait until the page was told so many things of a kind, and give all that it was told."""
    name, count = wanted
    page.wait_for_function(f"told.filter(([name]) => name === {json.dumps(name)}).length >= {count}")
    return list(page.evaluate("told"))


@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_cut(standin: str, page: "Page", transport: str) -> None:
    """A page goes on behind what it had, and is told nothing twice."""
    url = f"{standin}w/cut-{transport}/"
    page.evaluate(FOLLOW, [url, {"transport": transport}])
    await_told(page, "open", "1")
    do(url, "facts", facts=[{}] * 3)
    await_told(page, "ready", "3")
    do(url, "plan", **{transport: ["late"]})
    do(url, "cut")
    until(lambda: told(url)["held"] == 1, "the page is back")
    do(url, "facts", facts=[{}] * 2)
    do(url, "go")
    do(url, "repeat")
    do(url, "facts", facts=[{}])
    found = await_told(page, "ready", "6")
    assert [value for name, value in found if name == "ready"] == [1, 2, 3, 4, 5, 6]
    assert [name for name, _ in found if name in ("open", "close", "gap")] == ["open", "close", "open"]
    page.evaluate("feed.close()")
    until(lambda: told(url)["open"] == 0, "the page is gone")


def test_blocked(standin: str, page: "Page") -> None:
    """Where WebSockets are refused the page follows a stream, and shows its token in a header."""
    url = f"{standin}w/blocked/"
    do(url, "plan", websocket=["502*"])
    page.evaluate(FOLLOW, [url, {"token": "made-up"}])
    found = await_told(page, "open", "1")
    assert found[-1] == ["open", "sse"]
    do(url, "facts", facts=[{}])
    await_told(page, "ready", "1")
    seen = told(url)["seen"]
    assert [one["transport"] for one in seen] == ["websocket", "websocket", "sse"]
    assert seen[2]["authorization"] == "Bearer made-up"


def test_embedded_pages(standin: str, page: "Page") -> None:
    """A session with pages of its own is shown in a frame, made for it and ended with it."""
    url = f"{standin}w/embedded/"
    made = {
        "id": "book-1",
        "service": "book",
        "kind": "http",
        "state": "ready",
        "url": f"{url}shown",
        "tunnel_url": "x",
    }
    do(url, "answer", answers=[[201, {}, made]])
    page.evaluate(
        """async (url) => {
            const { embed } = await import("/client/index.js");
            window.shown = await embed(document.getElementById("place"), { url, reserve: "book" });
        }""",
        url,
    )
    frame = page.wait_for_selector("#place iframe")
    assert frame is not None
    assert frame.get_attribute("src") == f"{url}shown"
    assert frame.get_attribute("title") == "book"
    page.evaluate("shown.close()")
    assert page.query_selector("iframe") is None
    calls = until(lambda: [one for one in told(url)["calls"] if one["method"] == "DELETE"], "the session is ended")
    assert calls[0]["path"] == "sessions/book-1"


def test_embedded_desktop(standin: str, page: "Page") -> None:
    """A desktop gets its viewer with a WebSocket of the page's own, whose end is told; others have nothing to show."""
    url = f"{standin.replace('http', 'ws')}w/desktop/api/v1/events?topics=sessions"
    ended = page.evaluate(
        f"""async (tunnel_url) => {{
            const {{ embed }} = await import("/client/index.js");
            const session = {{ kind: "rfb", url: null, tunnel_url }};
            window.shown = await embed(document.getElementById("place"), {{ session, RFB: {RFB} }});
            shown.close();
            return shown.ended;
        }}""",
        url,
    )
    assert set(ended) == {"code", "reason"}
    assert page.text_content("#place") == f"{url} true"
    for kind, given in (("tcp", {"session": {"kind": "tcp", "tunnel_url": url}}), ("not both", {})):
        error = page.evaluate(
            """async (given) => {
                const { embed } = await import("/client/index.js");
                return embed(document.getElementById("place"), given).catch((error) => error.message);
            }""",
            given,
        )
        assert kind in error
