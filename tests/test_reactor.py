"""The house's own reactor fixture catches what it is there to catch."""

from pathlib import Path

import pytest
from twisted.internet import defer, epollreactor, reactor
from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger

from tests.reactor import LoggedFailures, within

log = Logger()

GUILTY = '''
    import gc, os, sys
    import pytest
    from twisted.internet import defer, protocol
    from twisted.internet.defer import Deferred
    from tests.reactor import *

    kept = []

    @within(5)
    async def test_call():
        """Leaves a call for later."""
        from twisted.internet import reactor
        reactor.callLater(100, print)

    @within(5)
    async def test_failure():
        """Leaves a failure that nobody reads."""
        defer.fail(ZeroDivisionError("unread"))

    @within(5)
    async def test_failure_in_circle():
        """Leaves such a failure where only the garbage collector finds it."""
        circle = [defer.fail(ZeroDivisionError("found late"))]
        circle.append(circle)

    @within(5)
    async def test_port():
        """Leaves a port open."""
        from twisted.internet import reactor
        reactor.listenTCP(0, protocol.Factory(), interface="127.0.0.1")

    @within(5)
    async def test_paused_port():
        """Leaves a port open that is not even read."""
        from twisted.internet import reactor
        kept.append(reactor.listenTCP(0, protocol.Factory(), interface="127.0.0.1"))
        kept[0].stopReading()

    @within(5)
    async def test_child():
        """Leaves a child without pipes running."""
        from twisted.internet import reactor
        reactor.spawnProcess(protocol.ProcessProtocol(), sys.executable,
            [sys.executable, "-c", "import time; time.sleep(3)"], childFDs={})

    @within(0.2)
    async def test_hangs():
        """Waits for what never comes."""
        await Deferred()

    @within(5)
    async def test_innocent():
        """Comes after all of them and is not blamed."""
'''


def test_reactor_is_epoll() -> None:
    """Tests run on the reactor that production runs on."""
    assert isinstance(reactor, epollreactor.EPollReactor)


def test_guilty_are_caught(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of leftover fails the test that left it, a hang ends, and the tests behind them pass."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))
    pytester.makepyfile(GUILTY)
    monkeypatch.setenv("COLUMNS", "200")
    run = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rfE", timeout=60)
    run.assert_outcomes(passed=7, failed=1, errors=6)
    run.stdout.fnmatch_lines_random(
        [
            "ERROR *::test_call - *left behind: delayed call*",
            "ERROR *::test_failure - *nobody read: *",
            "ERROR *::test_failure_in_circle - *nobody read: *",
            "ERROR *::test_port - *left behind: selectable*",
            "ERROR *::test_paused_port - *left behind: 1 open socket*",
            "ERROR *::test_child - *left behind: child *",
            "FAILED *::test_hangs - *TimeoutError*",
        ]
    )


@within(30)
async def test_closing_is_not_leaving() -> None:
    """A call that is just due, as a transport's last steps are, is waited for."""
    from twisted.internet import reactor

    deferLater(reactor, 0.02, lambda: None)


def test_expected_failures_are_taken(logged_failures: LoggedFailures) -> None:
    """A test reads the failures that it meant to cause, and is not blamed for them."""
    defer.fail(ZeroDivisionError())
    try:
        raise ConnectionDone
    except ConnectionDone:
        log.failure("as expected")
    assert len(logged_failures.take(ConnectionDone)) == 1
    assert len(logged_failures.take()) == 1
    assert logged_failures.take() == []
