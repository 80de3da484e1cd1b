"""The root service: what its stop does when a step does not do its part, and which services it offers."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from sessiond.boot.daemon import STOP_S, Daemon, check_folders, forget_signal
from sessiond.boot.instance import FolderError, Instance
from sessiond.boot.parts import offered, warn_of_shared_ports
from sessiond.config import Config, StaticFolder
from sessiond.core.services import Catalogue, Plan, Pool, Service
from sessiond.core.values import Kind, LeaseKind
from tests.reactor import LoggedFailures
from tests.results import no_result_of, result_of

Steps = list[tuple[str, Callable[[], Awaitable[object]]]]


class Stopping(Daemon):
    """A daemon whose stop takes the steps that a test names."""

    def __init__(self, reactor: MemoryReactorClock, steps: Steps) -> None:
        super().__init__(reactor, Config(Path("/nowhere"), Path("/nowhere")), {})
        self._steps = steps

    def _stop_steps(self) -> Steps:
        return self._steps


def test_stop_in_order() -> None:
    """Each step waits for the one before it."""
    reactor, taken, first = MemoryReactorClock(), list[str](), Deferred[None]()

    async def one() -> None:
        taken.append("one begins")
        await first
        taken.append("one ends")

    async def two() -> None:
        taken.append("two")

    stopped = Stopping(reactor, [("one", one), ("two", two)]).stopService()
    assert taken == ["one begins"]
    first.callback(None)
    result_of(stopped)
    assert taken == ["one begins", "one ends", "two"]


def test_stop_with_a_hang(logged_failures: LoggedFailures) -> None:
    """A step that hangs or fails is named, those behind it are taken, and all is over in time."""
    reactor, taken, seen = MemoryReactorClock(), list[str](), list[LogEvent]()

    async def hangs() -> None:
        await Deferred()

    async def fails() -> None:
        raise ZeroDivisionError

    async def last() -> None:
        taken.append("last")

    observer: ILogObserver = seen.append  # type: ignore[assignment]
    globalLogPublisher.addObserver(observer)
    try:
        stopped = Stopping(reactor, [("hanging", hangs), ("failing", fails), ("last", last)]).stopService()
        no_result_of(stopped)
        reactor.pump([1.0] * int(STOP_S))
        result_of(stopped)
    finally:
        globalLogPublisher.removeObserver(observer)
    assert taken == ["last"]
    assert [event["step"] for event in seen if "step" in event] == ["hanging", "failing"]
    assert logged_failures.take(ZeroDivisionError)


class Held(Instance):
    """An instance that tells how it was released."""

    def __init__(self) -> None:
        super().__init__(0, Path("/nowhere"), -1)
        self.orderly: list[bool] = []

    def release(self, *, in_order: bool) -> None:
        """Take note of it."""
        self.orderly.append(in_order)


@pytest.mark.parametrize("hanging", [True, False])
def test_release_tells_order(hanging: bool) -> None:
    """The next start is told whether this one has left everything in order."""

    async def hangs() -> None:
        if hanging:
            await Deferred()

    reactor = MemoryReactorClock()
    daemon, held = Stopping(reactor, [("a step", hangs)]), Held()
    daemon._instance = held
    stopped = daemon.stopService()
    reactor.advance(STOP_S)
    result_of(stopped)
    assert held.orderly == [not hanging]


def test_signal_is_forgotten() -> None:
    """A signal that was obeyed does not become the status."""

    class Reactor:
        _exitSignal: int | None = 15

    reactor = Reactor()
    forget_signal(reactor)
    assert vars(reactor) == {"_exitSignal": None}
    forget_signal(object())


def test_folders_are_looked_at(tmp_path: Path) -> None:
    """A folder that is to be served must be one."""
    (tmp_path / "file").write_text("")
    served = StaticFolder("/x", tmp_path)
    check_folders(Config(tmp_path, tmp_path, static=(served,)))
    for name in ("none", "file"):
        with pytest.raises(FolderError, match=name):
            check_folders(Config(tmp_path, tmp_path, static=(served, StaticFolder("/y", tmp_path / name))))


def test_offered() -> None:
    """A service whose programs are not all installed is left out; its pool stays for those that share it."""
    services = {name: Service(name, Kind.TCP, "process", pool="p") for name in ("here", "half", "gone")}
    catalogue = Catalogue(services, {"p": Pool("p", 1)})
    needs = {"here": ("sh",), "half": ("sh", "no-such-program"), "gone": ("no-such-program",)}
    left = offered(catalogue, needs, "/usr/bin:/bin")
    assert list(left.services) == ["here"]
    assert left.pools == catalogue.pools


@pytest.mark.parametrize(
    ("ports", "ephemeral", "warned"),
    [
        ((11000, 11063), (32768, 60999), False),
        ((32000, 32767), (32768, 60999), False),
        ((32000, 32768), (32768, 60999), True),
        ((55000, 55010), (32768, 60999), True),
        ((60999, 61100), (32768, 60999), True),
        ((61000, 61100), (32768, 60999), False),
        ((55000, 55010), None, False),
    ],
)
def test_shared_ports(ports: tuple[int, int], ephemeral: tuple[int, int] | None, warned: bool) -> None:
    """A range of ports that outgoing connections take, too, is warned of, where a service leases any."""
    seen: list[LogEvent] = []
    leases, none = Plan(leases=(LeaseKind.PORT,)), Plan()
    services = [Service(name, Kind.TCP, "process", plan, ports=ports) for name, plan in (("a", leases), ("b", none))]
    observer: ILogObserver = seen.append  # type: ignore[assignment]
    globalLogPublisher.addObserver(observer)
    try:
        warn_of_shared_ports(services, ephemeral)
    finally:
        globalLogPublisher.removeObserver(observer)
    assert [event["name"] for event in seen] == (["a"] if warned else [])
