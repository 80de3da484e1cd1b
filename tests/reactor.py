"""Tests on the real reactor: a limit for each, and nothing left behind after any."""

import functools
import gc
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet import process
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

SETTLE_S = 0.5
"""How long sockets that a test has closed may take to go; what waits longer was left behind."""


def within(limit_s: float) -> Callable[[Callable[..., Coroutine[Any, Any, Any]]], Callable[..., Any]]:
    """Mark a coroutine function as a test on the real reactor that fails after a time.

    Used instead of ``pytest_twisted.ensureDeferred``. The coroutine is cancelled, so that it and its fixtures
    clean up and the tests behind it can run.

    :param limit_s: seconds, generous: it is reached only by a test that hangs.
    """

    def decorate(test: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        @functools.wraps(test)
        async def limited(*args: Any, **kwargs: Any) -> Any:
            from twisted.internet import reactor

            running: Deferred[Any] = Deferred.fromCoroutine(test(*args, **kwargs))
            return await running.addTimeout(limit_s, reactor)

        return pytest_twisted.ensureDeferred(limited)  # type: ignore[no-any-return]

    return decorate


@implementer(ILogObserver)
class LoggedFailures:
    """The failures that were logged while one test ran, unread errors of Deferreds among them."""

    def __init__(self) -> None:
        self._failures: list[Failure] = []

    def __call__(self, event: LogEvent) -> None:
        """Observe the log."""
        failure = event.get("log_failure")
        if failure is not None:
            self._failures.append(failure)

    def take(self, *expected: type[BaseException]) -> list[Failure]:
        """Return those of the given types and forget them: the test expected them.

        :param expected: exception types; all of the failures if none is given.
        """
        gc.collect()  # a Deferred tells of its unread failure when it is collected
        taken = [failure for failure in self._failures if not expected or failure.check(*expected)]
        self._failures = [failure for failure in self._failures if failure not in taken]
        return taken


@attrs.frozen
class Holdings:
    """What the reactor and this process hold at one moment."""

    calls: frozenset[Any]
    selectables: frozenset[Any]
    sockets: frozenset[str]
    children: frozenset[int]

    @classmethod
    def now(cls) -> "Holdings":
        """Look at the reactor, the open descriptors and the children that wait to be reaped."""
        from twisted.internet import reactor

        return cls(
            calls=frozenset(reactor.getDelayedCalls()),
            selectables=frozenset([*reactor.getReaders(), *reactor.getWriters()]),
            sockets=frozenset(_open_sockets()),
            children=frozenset(process.reapProcessHandlers),
        )

    def added_since(self, before: "Holdings") -> list[str]:
        """Name what is held now and was not before."""
        sockets = self.sockets - before.sockets
        return [
            *(f"delayed call {call}" for call in self.calls - before.calls),
            *(f"selectable {selectable!r}" for selectable in self.selectables - before.selectables),
            *([f"{len(sockets)} open socket(s)"] if sockets else []),
            *(f"child {pid}" for pid in self.children - before.children),
        ]


def _open_sockets() -> Iterator[str]:
    """Name this process's sockets: a paused connection is no reader and no writer, but it is open."""
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:  # the listing's own descriptor
            continue
        if target.startswith("socket:"):
            yield target


def _turn(delay_s: float) -> None:
    """Let the reactor run for a moment."""
    from twisted.internet import reactor

    pytest_twisted.blockon(deferLater(reactor, delay_s))


def _left_over(before: Holdings) -> list[str]:
    """Say what a test has left; what is only on its way out is waited for."""
    step_s = 0.01
    for _ in range(int(SETTLE_S / step_s)):
        left = Holdings.now().added_since(before)
        if not left:
            return []
        _turn(step_s)
    return Holdings.now().added_since(before)


@pytest.fixture(scope="session")
def started_reactor(twisted_greenlet: Any) -> None:
    """Start the reactor, so that its own wakers count for no test's."""
    _turn(0)


@pytest.fixture(autouse=True)
def logged_failures(started_reactor: None) -> Iterator[LoggedFailures]:
    """Fail the test that leaves a delayed call, a socket or a child behind, or a failure that nobody read.

    A test that expects logged failures asks for this fixture and calls :meth:`LoggedFailures.take`.
    """
    logged = LoggedFailures()
    before = Holdings.now()
    globalLogPublisher.addObserver(logged)
    try:
        yield logged
        complaints = [f"left behind: {thing}" for thing in _left_over(before)]
        complaints += [f"nobody read: {failure.getTraceback()}" for failure in logged.take()]
    finally:
        globalLogPublisher.removeObserver(logged)
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


@pytest.hookimpl
def pytest_collection_finish() -> None:
    """Put all that was imported out of the collector's sight: one look after each test becomes cheap."""
    gc.collect()
    gc.freeze()
