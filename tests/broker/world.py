"""A whole daemon without I/O: broker, store, launchers and clients on one Clock, and a way to kill it."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from sessiond.broker import Admission, Broker, Request, Reservation
from sessiond.clock import SteadyClock
from sessiond.core import events
from sessiond.core.effects import Verdict
from sessiond.core.errors import Code, Refused
from sessiond.core.facts import CloudEvent, StoredFact
from sessiond.core.services import Caps, Catalogue, Choice, Limits, Plan, Pool, Service, Stop
from sessiond.core.session import Session
from sessiond.core.values import (
    Clients,
    End,
    Endpoint,
    Kind,
    LaunchWhen,
    Lease,
    LeaseKind,
    State,
    StopStep,
)
from tests.fakes.launchers import FakeLauncher, Script
from tests.fakes.stores import UnreliableStore

EPOCH = 1_000_000.0
GENTLE = (Stop(StopStep.DRAIN, 2.0), Stop(StopStep.TERM, 5.0), Stop(StopStep.KILL, 5.0))


def service(name: str, plan: Plan, **more: Any) -> Service:
    """Give a service that is launched by the fake launcher."""
    return Service(name=name, kind=Kind.TCP, launcher="process", plan=plan, pool=name, **more)


SIZES = {"size": Choice(("small", "large"), "small")}
SERVICES = (
    service("plain", Plan(), options=SIZES),
    service("leased", Plan(leases=(LeaseKind.PORT,), stop=GENTLE), ports=(11000, 11003)),
    service("lazy", Plan(launch=LaunchWhen.ON_CONNECT, queueing=True, clients=Clients.TAKEOVER)),
    service("shared", Plan(clients=3, limits=Limits(idle_s=60.0, warning_s=20.0), queueing=True)),
    service("vital", Plan(limits=Limits(suspect_s=12.0, liveliness_s=17.0), clients=Clients.ONCE)),
)
WARM = service("warm", Plan(launch=LaunchWhen.WARM), warm=1)
UNCAPPED = Caps()
POOLS = {"plain": 2, "leased": 3, "lazy": 1, "shared": 2, "vital": 2, "warm": 2}


class Countable:
    """An entropy that counts, so that every run is the same."""

    def __init__(self) -> None:
        self.count = 0

    def _next(self) -> int:
        self.count += 1
        return self.count

    def token(self) -> str:
        """Give the next token."""
        return f"token-{self._next()}"

    def uuid(self) -> str:
        """Give the next token that looks like a UUID."""
        return f"00000000-0000-4000-8000-{self._next():012d}"

    def nonce(self) -> str:
        """Give the next nonce."""
        return f"nonce-{self._next()}"

    def suffix(self) -> str:
        """Give the next suffix."""
        return f"{self._next():06d}"

    def fraction(self) -> float:
        """Give the middle."""
        return 0.5


class LeasesOf:
    """Says that a lease is free unless a living child holds it, or the test squats it."""

    def __init__(self, launcher: FakeLauncher) -> None:
        self.launcher = launcher
        self.squatted: set[int] = set()
        self.owners: dict[str, tuple[Lease, ...]] = {}

    def free(self, lease: Lease) -> bool:
        """Say whether nobody has it."""
        alive = (self.owners.get(session_id, ()) for session_id in self.launcher.alive)
        return lease.number not in self.squatted and all(lease not in leases for leases in alive)


class RecordingBus:
    """Keeps what was published."""

    def __init__(self) -> None:
        self.facts: list[StoredFact] = []

    def subscribe(self, listener: Any) -> Any:
        """Take no listeners."""
        raise NotImplementedError

    def publish(self, facts: Sequence[StoredFact]) -> None:
        """Keep facts."""
        self.facts.extend(facts)

    def listen(self, listener: Any) -> Any:
        """Take no listeners."""
        raise NotImplementedError

    def emit(self, feed: str, event: CloudEvent) -> Deferred[None]:
        """Take no events."""
        raise NotImplementedError


@define(eq=False)
class FakeClient:
    """A browser that was let in."""

    session_id: str
    admission: Admission | None = None
    refused: Refused | None = None
    dials: list[Endpoint] = field(factory=list)
    cuts: list[tuple[int, str]] = field(factory=list)
    told: bool = False
    active_at: float = 0.0

    def dial(self, endpoint: Endpoint, retry: bool) -> None:
        """Note a dial."""
        self.dials.append(endpoint)

    def cut(self, close_code: int, text: str, flush_s: float) -> None:
        """Note a cut, and tell the end once."""
        self.cuts.append((close_code, text))
        self.close(End.OURS)

    def close(self, end: End) -> None:
        """End the tunnel, once."""
        if not self.told and self.admission is not None:
            self.told = True
            self.admission.tell(events.TunnelClosed(self.admission.number, end))

    def connected(self) -> None:
        """Tell that the endpoint answered."""
        if not self.told and self.admission is not None and self.dials:
            self.admission.tell(events.Dialled(self.admission.number))


@define(eq=False)
class Wanted:
    """One request and what came of it."""

    request: Request
    reservation: Reservation | None = None
    refused: Refused | None = None
    verdict: Verdict | None = None
    left: bool = False
    kept: bool = False


class World:
    """One daemon, what it runs on, and everybody around it."""

    def __init__(
        self, services: Sequence[Service] = SERVICES, pools: Mapping[str, int] = POOLS, caps: Caps = UNCAPPED
    ) -> None:
        self.clock = Clock()
        self.store = UnreliableStore()
        self.launcher = FakeLauncher(self.clock)
        self.leases = LeasesOf(self.launcher)
        self.entropy = Countable()
        self.bus = RecordingBus()
        self.wanted: list[Wanted] = []
        self.clients: list[FakeClient] = []
        named = {name: Pool(name, count) for name, count in pools.items()}
        self.catalogue = Catalogue({s.name: s for s in services}, named, caps)
        self.turned_away: list[tuple[str, Code]] = []
        self.start()

    def start(self) -> None:
        """Start a daemon on what the last one left."""
        clock = SteadyClock(self.clock, self.clock.seconds, EPOCH + self.clock.seconds())
        launchers = {"process": self.launcher}
        ports = (self.store, self.bus, launchers, self.leases, self.entropy, clock)
        self.broker = Broker(self.catalogue, *ports, lambda *refusal: self.turned_away.append(refusal))
        self.run(self.broker.open())

    def kill(self) -> None:
        """Kill the daemon without a word: callers and clients are gone, children and what is on disk stay."""
        self.store.forget_daemon()
        self.launcher.forget_daemon()
        for call in tuple(self.clock.getDelayedCalls()):
            if not self._is_childs(call):
                call.cancel()
        self.wanted, self.clients = [], []

    def _is_childs(self, call: Any) -> bool:
        return any(call in child._calls for child in self.launcher.children.values())

    def run(self, coroutine: Coroutine[Deferred[Any], Any, Any]) -> Deferred[Any]:
        """Begin a coroutine."""
        return Deferred.fromCoroutine(coroutine)

    @property
    def now(self) -> float:
        """Epoch seconds."""
        return self.broker.clock.now()

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping at each call that is due."""
        end = self.clock.seconds() + seconds
        for _ in range(100_000):
            due = min((call.getTime() for call in self.clock.getDelayedCalls()), default=end)
            if due >= end:
                break
            self.clock.advance(max(0.0, due - self.clock.seconds()))
        self.clock.advance(max(0.0, end - self.clock.seconds()))

    def reserve(self, name: str, **more: Any) -> Wanted:
        """Ask for a session."""
        wanted = Wanted(Request(name, **more))
        self.wanted.append(wanted)

        def got(reservation: Reservation) -> None:
            wanted.reservation = reservation
            wanted.kept = reservation.session.id in self.store.kept
            if reservation.answer is not None:
                reservation.answer.addCallback(lambda verdict: setattr(wanted, "verdict", verdict))

        def refused(failure: Any) -> None:
            failure.trap(Refused)
            wanted.refused = failure.value

        self.run(self.broker.reserve(wanted.request)).addCallbacks(got, refused)
        return wanted

    def ready(self, name: str, script: Script | None = None, **more: Any) -> Session:
        """Get a session that is ready (or as far as its program comes)."""
        if script is not None:
            self.launcher.script = script
        wanted = self.reserve(name, **more)
        self.advance(0.0)
        assert wanted.reservation is not None, wanted.refused
        return self.broker.session(wanted.reservation.session.id)

    def connect(self, session_id: str) -> FakeClient:
        """Have a browser come."""
        client = FakeClient(session_id)
        self.clients.append(client)

        def let_in(admission: Admission) -> None:
            client.admission = admission

        def refused(failure: Any) -> None:
            failure.trap(Refused)
            client.refused = failure.value

        self.run(self.broker.admit(session_id, client)).addCallbacks(let_in, refused)
        return client

    def tunnel(self, session_id: str) -> FakeClient:
        """Have a browser come and be carried to the program."""
        client = self.connect(session_id)
        self.advance(0.0)
        client.connected()
        return client

    def state(self, session_id: str) -> State:
        """Give a session's state as it is told."""
        return self.broker.session(session_id).state

    def facts_of(self, session_id: str) -> list[str]:
        """Give the names of what was published of a session, in order."""
        return [stored.fact.type.value for stored in self.bus.facts if stored.fact.session_id == session_id]
