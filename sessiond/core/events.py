"""Events: everything that can happen to a session. Plain values; the broker takes them one at a time."""

from __future__ import annotations

from attrs import frozen

from sessiond.core.session import Caller
from sessiond.core.values import Deadline, End, Endpoint, Exit, Lease, Liveliness, Program, Reason


@frozen
class Reserve:
    """A caller wants a session.

    :ivar slot: the place that was found, ``None`` to queue.
    :ivar caller: who waits for it to be ready; then the program starts at once, whatever the service's ``launch`` says.
    """

    slot: int | None
    caller: Caller | None = None


@frozen
class Granted:
    """A slot came free for a queued session."""

    slot: int


@frozen
class Claim:
    """A caller takes a warm session, or repeats its request: from now on this token opens it and no other."""

    owner: str
    token_digest: bytes
    key: str | None = None


@frozen
class CallerWaits:
    """One more caller waits for the session to be ready; a reserved one is launched for it."""

    caller: Caller


@frozen
class CallerGone:
    """A waiting caller hung up."""

    number: int


@frozen
class Leased:
    """The ports and displays that the session needs were found free and are its own now."""

    leases: tuple[Lease, ...]


@frozen
class Started:
    """The program runs; ``program`` is ``None`` where there is no process of ours (``fixed``)."""

    program: Program | None


@frozen
class Failed:
    """The program could not be started, or not watched; ``cause`` is safe to show to the caller.

    :ivar lives: its main process is there all the same, and can be asked to clean up.
    """

    cause: str
    reason: Reason = Reason.LAUNCH_FAILED
    lives: bool = False


@frozen
class Ready:
    """The program accepts connections at ``endpoint``."""

    endpoint: Endpoint


@frozen
class Report:
    """The child reported by itself; ``endpoint`` is where it listens, if its launcher knows that."""

    what: Liveliness
    endpoint: Endpoint | None = None


@frozen
class TunnelOpened:
    """A client was admitted; it takes one of ``clients`` before anything is dialled."""

    number: int


@frozen
class Dialled:
    """The endpoint answered: bytes flow."""

    number: int


@frozen
class TunnelClosed:
    """A tunnel ended, and which end closed it."""

    number: int
    end: End
    detail: str = ""


@frozen
class ClientDone:
    """The client said that it has finished and wants the program to end by itself."""


@frozen
class Extend:
    """Somebody asks for more time: push ``deadline`` to ``at`` (epoch seconds), within the plan's caps."""

    deadline: Deadline
    at: float


@frozen
class SetDeadline:
    """A dialect moves (or with ``None`` clears) one of the deadlines that are its own: ``setup``, ``lifetime``."""

    deadline: Deadline
    at: float | None


@frozen
class Release:
    """Somebody who may wants the session ended."""


@frozen
class Exited:
    """The main process ended; an unknown exit means that nobody could see it (it was lost)."""

    exit: Exit
    tail: tuple[str, ...] = ()


@frozen
class Gone:
    """The whole tree is gone; only this leads to ``ended``."""

    tail: tuple[str, ...] = ()


@frozen
class PortTaken:
    """A stranger listens where the program should."""

    port: int


@frozen
class PortsFree:
    """These leases were shown to be free again."""

    leases: tuple[Lease, ...]


@frozen
class Due:
    """A deadline passed.

    :ivar seen_at: the last sign of what the deadline waits for, where that is kept in memory only (``idle``: the last
        byte from a client, ``liveliness``: the last ping).
    """

    deadline: Deadline
    seen_at: float | None = None


@frozen
class Restarted:
    """The daemon began anew: callers and tunnels of its last run are gone, deadlines start afresh."""


@frozen
class Resumed:
    """The daemon itself stood still for this long: what was to happen meanwhile gets its time back."""

    gap_s: float


@frozen
class Shutdown:
    """The daemon stops and does not keep this session; with ``kill`` there is no time left for gentler steps."""

    kill: bool = False


Event = (
    Reserve
    | Granted
    | Claim
    | CallerWaits
    | CallerGone
    | Leased
    | Started
    | Failed
    | Ready
    | Report
    | TunnelOpened
    | Dialled
    | TunnelClosed
    | ClientDone
    | Extend
    | SetDeadline
    | Release
    | Exited
    | Gone
    | PortTaken
    | PortsFree
    | Due
    | Restarted
    | Resumed
    | Shutdown
)
