"""The system's Chromium, driven by Playwright: one for each test file, a context of its own for each test."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.components import needs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

FLAGS = (
    "--no-sandbox",  # tests may run as root, where Chromium refuses its sandbox
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    """Start a headless Chromium, once for the tests of one file.

    Not for the whole run: it is a child of this process, and the tests of reaping want none but their own.
    Playwright's calls block the reactor while they wait, so a test that uses them talks to a daemon in a
    process of its own. Its event loop stays marked as the running one: no second Playwright can be started.
    """
    needs("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def browsing(chromium: "Browser") -> "Iterator[BrowserContext]":
    """Give a test its own cookies, storage and pages; certificates signed by nobody are accepted."""
    context = chromium.new_context(ignore_https_errors=True)
    context.set_default_timeout(30_000)
    yield context
    context.close()
