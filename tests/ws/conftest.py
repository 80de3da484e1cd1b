"""Fixtures of the tests of WebSockets."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest_twisted

from tests.ws.served import Served


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def serve() -> AsyncIterator[Callable[..., Awaitable[Served]]]:
    """Give what starts tunnels on real ports; they are closed after the test."""
    started: list[Served] = []

    async def start(**settings: Any) -> Served:
        started.append(Served(**settings))
        return await started[-1].start()

    yield start
    for served in started:
        await served.stop()
