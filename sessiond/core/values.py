"""Small values that every part of sessiond speaks in."""

from __future__ import annotations

from enum import Enum

from attrs import frozen


class State(Enum):
    """Where a session is in its life (``docs/states.rst``)."""

    QUEUED = "queued"
    RESERVED = "reserved"
    LAUNCHING = "launching"
    READY = "ready"
    CONNECTED = "connected"
    STOPPING = "stopping"
    ENDED = "ended"

    @property
    def holds_slot(self) -> bool:
        """Say whether a session in this state counts against its pool."""
        return self not in (State.QUEUED, State.ENDED)


class StopStep(Enum):
    """How hard a session is being ended, gentlest first."""

    DRAIN = "drain"
    ASK = "ask"
    TERM = "term"
    KILL = "kill"
    STUCK = "stuck"


class Reason(Enum):
    """Why a session ended: a closed list, exactly one for every ended session."""

    RELEASED = "released"
    CALLER_GONE = "caller-gone"
    FINISHED = "finished"
    EXITED = "exited"
    CRASHED = "crashed"
    LAUNCH_FAILED = "launch-failed"
    NO_PORT = "no-port"
    LAUNCH_TIMEOUT = "launch-timeout"
    QUEUE_TIMEOUT = "queue-timeout"
    RESERVATION_EXPIRED = "reservation-expired"
    SETUP_TIMEOUT = "setup-timeout"
    UNUSED = "unused"
    LINGERED = "lingered"
    IDLE = "idle"
    LIFETIME = "lifetime"
    HEARTBEAT_LOST = "heartbeat-lost"
    LOST = "lost"
    SHUTDOWN = "shutdown"


class Deadline(Enum):
    """The instants at which something happens to a session unless something else happens first."""

    QUEUE = "queue"
    RESERVATION = "reservation"
    LAUNCH = "launch"
    CONNECT = "connect"
    LINGER = "linger"
    WARM = "warm"
    IDLE = "idle"
    STEP = "step"
    RETENTION = "retention"
    LIFETIME = "lifetime"
    LIVELINESS = "liveliness"
    ANSWER = "answer"
    SETUP = "setup"
    WARNING = "warning"
    EXIT = "exit"


class Kind(Enum):
    """What an endpoint speaks."""

    RFB = "rfb"
    TCP = "tcp"
    HTTP = "http"
    WEBSOCKET = "websocket"
    MESSAGES = "messages"
    TEXT = "text"


class LaunchWhen(Enum):
    """When a service's program is started."""

    ON_CONNECT = "on-connect"
    ON_RESERVE = "on-reserve"
    WARM = "warm"


class Watch(Enum):
    """Whose life a session follows: its tunnels', or only its child's."""

    TUNNEL = "tunnel"
    CHILD = "child"


class Clients(Enum):
    """The two ``clients`` rules that are not a number."""

    ONCE = "once"
    TAKEOVER = "takeover"


class LeaseKind(Enum):
    """What kind of number a lease takes: a TCP port or an X display."""

    PORT = "port"
    DISPLAY = "display"


class End(Enum):
    """Which end of a tunnel closed it."""

    CLIENT = "client"
    ENDPOINT = "endpoint"
    BROKEN = "broken"
    """The endpoint, by what nobody can make sense of."""
    OURS = "ours"


class Liveliness(Enum):
    """A child's own report."""

    READY = "ready"
    PING = "ping"
    DISCONNECT = "disconnect"


@frozen(order=True)
class Lease:
    """One number held for one session until it was shown to be free again."""

    kind: LeaseKind = LeaseKind.PORT
    number: int = 0


@frozen
class Tcp:
    """An endpoint that listens on a TCP port."""

    host: str
    port: int


@frozen
class Unix:
    """An endpoint that listens on a UNIX socket."""

    path: str


@frozen
class Stdio:
    """An endpoint that is the child's own standard input and output."""


Endpoint = Tcp | Unix | Stdio


@frozen
class Program:
    """The identity of a running program that survives a restart of the daemon.

    :ivar pid: the process, which is also the leader of its own session and group.
    :ivar started: its start time in clock ticks since boot (``/proc/PID/stat``, field 22).
    :ivar boot_id: the boot in which these numbers have a meaning (``/proc/sys/kernel/random/boot_id``).
    """

    pid: int
    started: int
    boot_id: str


@frozen
class Exit:
    """How a child ended; both fields are ``None`` where nobody could see it.

    :ivar code: the exit status, 0 to 255.
    :ivar signal: the number of the signal that ended it.
    """

    code: int | None = None
    signal: int | None = None

    @property
    def clean(self) -> bool:
        """Say whether the program ended by itself and was content."""
        return self.code == 0

    @property
    def known(self) -> bool:
        """Say whether anybody saw the end."""
        return self.code is not None or self.signal is not None
