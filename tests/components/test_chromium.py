"""The browser that end-to-end tests drive."""

from typing import TYPE_CHECKING

from twisted.internet.task import deferLater

from tests.reactor import within

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext


def test_page(browsing: "BrowserContext") -> None:
    """A page runs scripts and is seen."""
    page = browsing.new_page()
    page.set_content("<p>one</p>")
    assert page.evaluate("document.querySelector('p').textContent + ' two'") == "one two"
    assert page.screenshot().startswith(b"\x89PNG")


@within(60)
async def test_beside_the_reactor(browsing: "BrowserContext") -> None:
    """A test on the reactor can drive it too, and the reactor runs on behind it."""
    from twisted.internet import reactor

    page = browsing.new_page()
    await deferLater(reactor, 0.01, lambda: None)
    page.set_content("<p>three</p>")
    await deferLater(reactor, 0.01, lambda: None)
    assert page.inner_text("p") == "three"
