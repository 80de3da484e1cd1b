"""The ports: what the broker needs done, as contracts. Each has a contract test that all its implementations pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer

from sessiond.core.events import Event
from sessiond.core.facts import CloudEvent, Fact, History, StoredFact
from sessiond.core.services import Service
from sessiond.core.session import Session
from sessiond.core.values import End, Endpoint, Lease, StopStep

Tell = Callable[[Event], None]
"""Takes one event of one session to the broker; never raises, may be called at any time, also during ``launch``."""


class Clock(Protocol):
    """Time as the whole daemon sees it."""

    def now(self) -> float:
        """Give epoch seconds: wall time at start plus monotonic time since, so it never steps."""

    def call_later(self, delay_s: float, call: Callable[..., object], *args: Any) -> IDelayedCall:
        """Call back after ``delay_s`` seconds (0 or more)."""


class Entropy(Protocol):
    """Everything that must not be guessed, or must be unique."""

    def token(self) -> str:
        """Make a secret of 256 bits, safe in URLs."""

    def uuid(self) -> str:
        """Make a secret in the form of a random UUID, for wires whose tokens look so."""

    def nonce(self) -> str:
        """Make a mark of 128 bits for one launch, safe in an environment."""

    def fraction(self) -> float:
        """Draw from 0.0 up to, but not including, 1.0: jitter, so that those who were refused don't return at once."""

    def suffix(self) -> str:
        """Make six characters that tell sessions of one service apart; the caller checks for repeats."""


class Store(Protocol):
    """Keeps sessions and their facts, so that a restart forgets nothing.

    ``open`` comes first, ``close`` last. ``save`` may be called again before an earlier one is done; saves take
    effect in the order of their calls.
    """

    def open(self) -> Deferred[list[Session]]:
        """Make or migrate what is kept, and give every session that is in it.

        :raises sessiond.core.errors.StoreError: it can't be opened, or was written by a newer version.
        """

    def save(self, session: Session, facts: Sequence[Fact]) -> Deferred[list[StoredFact]]:
        """Keep the session and add the facts in one transaction; fires when both would survive a power cut.

        :returns: the facts with their offsets, in order.
        :raises sessiond.core.errors.StoreError: nothing of it was kept.
        """

    def forget(self, session_id: str, facts: Sequence[Fact]) -> Deferred[list[StoredFact]]:
        """Drop a session (unknown ones too) and add the facts, in one transaction; otherwise like ``save``."""

    def facts(self, after: int, limit: int) -> Deferred[list[StoredFact]]:
        """Give up to ``limit`` facts whose offset is greater than ``after``, oldest first.

        Only the newest ``keep_facts`` (set when the store is made) are sure to be there.
        """

    def history(self) -> Deferred[History]:
        """Say which facts are kept, saves called before included."""

    def shelf(self, name: str) -> Shelf:
        """Give the rows of somebody's own, such as a dialect's; it works while the store is open."""

    def close(self) -> Deferred[None]:
        """Finish what was begun, then let go of everything. Calling it twice does no harm."""


class Shelf(Protocol):
    """Small rows by their names, kept where sessions are kept. Calls take effect in their order, saves included.

    Each fails with :class:`sessiond.core.errors.StoreError` where nothing of it was done.
    """

    def get(self, name: str) -> Deferred[bytes | None]:
        """Give a row; ``None`` where there is none."""

    def put(self, name: str, value: bytes) -> Deferred[None]:
        """Keep a row in place of what it was; fires when it would survive a power cut."""

    def remove(self, name: str) -> Deferred[None]:
        """Drop a row (unknown ones too); fires as ``put`` does."""


class Bus(Protocol):
    """Where facts go out, and events of others come in.

    Facts arrive in order, at least once, and only after they were saved.
    """

    def subscribe(self, listener: Callable[[StoredFact], None]) -> Callable[[], None]:
        """Have ``listener`` called with each saved fact; call the result to stop that."""

    def publish(self, facts: Sequence[StoredFact]) -> None:
        """Tell every listener; one that raises is logged and harms no other."""

    def listen(self, listener: Callable[[str, CloudEvent], None]) -> Callable[[], None]:
        """Have ``listener`` called with each event of a feed and the feed's name; call the result to stop that."""

    def emit(self, feed: str, event: CloudEvent) -> Deferred[None]:
        """Have an event come in by a feed; fires once whoever carries it has it.

        :raises sessiond.core.errors.BusError: nobody has it.
        """


class StreamTaker(Protocol):
    """Whoever has taken a child's standard streams."""

    def received(self, data: bytes) -> None:
        """Output came."""

    def ended(self) -> None:
        """There will be no more. Told at most once, and nothing after it."""

    def displaced(self) -> None:
        """Somebody else takes them: to be left at once."""


class Streams(Protocol):
    """A child's standard input and output, where these are its endpoint. One has them at a time.

    Output that nobody takes waits in the pipe, and the program waits for that.
    """

    @property
    def stuck(self) -> bool:
        """Say whether so much waits to be read by the program that it must not be given more."""

    def take(self, taker: StreamTaker, producer: IPushProducer) -> None:
        """Tell the taker what comes from now on; whoever had them is displaced.

        :param producer: paused while the program does not read its input.
        """

    def leave(self, rest: bytes) -> None:
        """Take no more.

        :param rest: what was received and not made use of; the next taker gets it first.
        """

    def write(self, data: bytes) -> None:
        """Write to the standard input; nothing happens when that is closed."""

    def pause(self) -> None:
        """Read nothing until ``resume``."""

    def resume(self) -> None:
        """Read again."""

    def unread_bytes(self) -> int:
        """Say how much output waits in the pipe."""

    def give_up(self) -> None:
        """Close the standard input and drop all output: nobody can make sense of it any more."""


class Child(Protocol):
    """A session's program with all of its descendants, from ``launch`` until it has told ``Gone``."""

    @property
    def endpoint(self) -> Endpoint | None:
        """Where it listens once it is ready; ``None`` where a launch failed, or before a script has said it.

        Where readiness is the child's own report, no ``Ready`` is told: the broker takes it from here.
        """

    @property
    def streams(self) -> Streams | None:
        """Its standard input and output, where these are its endpoint."""

    def halt(self, step: StopStep) -> None:
        """Take one stop step against the whole tree; harmless when it is gone already.

        ``drain`` does nothing. ``ask`` closes standard input or calls the script's ``stop()``. ``term`` and ``kill``
        signal every process of the tree; ``kill`` goes on until the tree is empty. ``stuck`` kills once more.
        """

    def tail(self, lines: int) -> list[str]:
        """Give the last lines of the program's output, at most ``lines``; undecodable bytes are replaced."""

    def tidy(self) -> None:
        """Delete what the launch made on disk. Called once, after ``Gone``."""


@frozen
class Described:
    """What a launcher has found out about a service without starting it for anybody.

    :ivar found: what is there, in a few words for the log.
    :ivar cause: why it can't be started, safe to show to callers; empty where nothing speaks against it.
    :ivar answers: what its program answered to each of the service's questions.
    """

    found: str = ""
    cause: str = ""
    answers: Mapping[str, bytes] = field(factory=dict)


class Launcher(Protocol):
    """Starts the programs of sessions.

    Every child tells in this order: ``Started`` (or ``Failed``), ``Ready`` at most once, ``Exited`` where a main
    process was seen to end, and exactly one ``Gone``, always the last. ``Failed`` is followed by ``Gone`` too; behind
    ``Started`` it stands in place of ``Ready``.
    """

    adopts: bool
    """Whether a session that was ready lives on after ``recover``; otherwise the broker ends it."""

    def launch(self, session: Session, service: Service, tell: Tell) -> Child:
        """Start the program of a session in ``launching`` whose leases are taken. Never raises: failures are told."""

    def recover(self, session: Session, tell: Tell) -> Child:
        """Find what is left of a launch by an earlier run of the daemon, by the session's nonce and identity.

        Tells ``Exited`` with an unknown exit if the main process is gone, and ``Gone`` once nothing is left. Nothing is
        signalled before ``halt``; a stranger that has the same pid never is.
        """

    def describe(self, service: Service) -> Deferred[Described]:
        """Look at a service without a slot: can it be started, and what does it answer to its ``questions``?

        Takes a bounded time and memory, never fails, leaves nothing. A question that has no answer is a cause.
        """

    def close(self) -> Deferred[None]:
        """Let go of watches and files. Children are not touched."""


class LeaseTest(Protocol):
    """Shows whether a port or display is free right now."""

    def free(self, lease: Lease) -> bool:
        """Say whether a strict bind (no SO_REUSEADDR, wildcard address) or its like for a display succeeds."""


class TunnelClient(Protocol):
    """The shell around one admitted client, as the broker sees it.

    ``dial`` and ``cut`` may be called before ``Broker.admit`` has returned; what they lead to is told afterwards.
    """

    def dial(self, endpoint: Endpoint, retry: bool) -> None:
        """Connect to the endpoint and join the client to it, then tell ``Dialled``.

        With ``retry`` it is tried until it succeeds or the client is cut. Without, a failure tells
        ``TunnelClosed(number, End.ENDPOINT, "unreachable")``, and the client is kept until it is cut.
        """

    def cut(self, close_code: int, text: str, flush_s: float) -> None:
        """Deliver what the endpoint has sent (at most ``flush_s``), close the client with this code, then tell
        ``TunnelClosed`` unless it was told before. A second call changes nothing."""

    @property
    def active_at(self) -> float:
        """The instant of the last byte from the client (epoch seconds); 0.0 before any."""


@define
class Counters:
    """What a tunnel has carried so far: cheap to read, never saved. Instants are epoch seconds."""

    up_bytes: int = 0
    down_bytes: int = 0
    up_at: float = 0.0
    down_at: float = 0.0


@frozen
class RelayLimits:
    """What one tunnel may cost.

    :ivar held_bytes: how much of a client's is held while its program is not there yet, in at most 1,024 pieces,
        however small; beyond either it is not read.
        Once the two are joined, each side's transport pauses the other at its own mark (64 KiB).
    :ivar message_bytes: the largest message taken from a client. Messages are passed on as they come, never gathered.
    :ivar ping_s: how long a client may be silent before it is pinged; ``pong_s`` how long it may stay silent then.
    :ivar stall_s: how long a side may refuse bytes before the tunnel ends.
    :ivar close_s: how long a side may take to close once it was asked to.
    """

    held_bytes: int = 256 * 1024
    message_bytes: int = 16 * 1024 * 1024
    ping_s: float = 20.0
    pong_s: float = 20.0
    stall_s: float = 60.0
    close_s: float = 5.0


@frozen
class Close:
    """How a client was, or is to be, closed: a WebSocket close code and a short text without secrets."""

    code: int
    text: str = ""


class RelayListener(Protocol):
    """Whom a relay reports to. Each method is called exactly once, ``closed`` first."""

    def closed(self, end: End, detail: str) -> None:
        """One end closed; ``detail`` says in a few words how, without secrets.

        After ``End.ENDPOINT`` all that the endpoint has sent is on its way, and the client stays open until it is
        cut; what it sends meanwhile is delivered. After any other the relay closes both ends by itself.
        """

    def over(self, close: Close) -> None:
        """Both connections are gone. ``close`` is what the client was told, or the code that it gave, without its words
        (1006 where it vanished)."""


class EndpointSide(Protocol):
    """A connection to a session's endpoint, as a relay drives it; nothing is read before ``attach``."""

    def attach(self, ear: EndpointEar, producer: IPushProducer) -> None:
        """Begin to read, once. ``producer`` is paused while the endpoint does not take what was written."""

    def write(self, data: bytes) -> None:
        """Send, or hold until it can be sent."""

    def pause(self) -> None:
        """Read nothing until ``resume``."""

    def resume(self) -> None:
        """Read again."""

    def unread_bytes(self) -> int:
        """Say how much has arrived and was not read yet."""

    def half_close(self) -> None:
        """Deliver what was written and say that no more comes; what the endpoint sends is read on."""

    def finish(self, limit_s: float) -> None:
        """As :meth:`half_close`; then let go when the endpoint has ended too, or after ``limit_s``."""

    def abort(self) -> None:
        """Let go now."""


class EndpointEar(Protocol):
    """What a relay hears from the endpoint, in this order."""

    def endpoint_sent(self, data: bytes) -> None:
        """Bytes came."""

    def endpoint_ended(self) -> None:
        """It will send no more. Not told where the connection is lost at once."""

    def endpoint_broke(self, text: str) -> None:
        """It sent what can't be passed on, for the reason in ``text``; only ``endpoint_gone`` comes after that."""

    def endpoint_gone(self) -> None:
        """The connection is gone. Told exactly once."""


class Direction(Enum):
    """Which way something goes through a tunnel: up is to the program."""

    UP = "up"
    DOWN = "down"


Observer = Callable[[Direction, bytes, float], None]
"""Sees what a tunnel carries and when (epoch seconds): bytes as they come, or whole messages where these are carried.

It can't change anything. One that raises is logged and not asked again.
"""


class Relayed(Protocol):
    """A client's open WebSocket, and once joined an endpoint: moves bytes, counts them, reports how it ended.

    What comes before ``join`` is held, at most ``RelayLimits.held_bytes``. Memory stays bounded whatever either side
    does. This is the seam behind which a faster mover of bytes can stand: whoever makes one hands it the client's
    connection with what was already read of it, the limits and a :class:`RelayListener`.
    """

    counters: Counters

    def join(self, endpoint: EndpointSide) -> None:
        """Let bytes flow between the client and this endpoint, which nobody has attached to. At most once."""

    def cut(self, close: Close, flush_s: float) -> None:
        """End both sides; the client gets what the endpoint has sent (at most ``flush_s``) and then ``close``.

        May be called at any time; only the first call counts.
        """
