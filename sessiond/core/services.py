"""Services: the kinds of session that an operator offers, as values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import Factory, evolve, field, frozen

from sessiond.core.values import Clients, Kind, LaunchWhen, Lease, LeaseKind, StopStep, Watch

Scalar = str | int
"""The value of an option once it was checked."""

Argument = str | tuple[str, ...]
"""What stands in a command: one argument, or some that are left out together where an option in them is empty."""

FOLDERS_SEPARATOR = ";"
"""What stands between the folders of one option, in its value and in the argument that a program gets."""


@frozen
class Limits:
    """Every time limit of a service, in seconds; ``None`` switches a limit off.

    :ivar lifetime_cap_s: how far ``extend`` may push ``lifetime``; defaults to ``lifetime_s``.
    :ivar suspect_s: silence of the child after which the session is flagged; ``liveliness_s`` after which it ends.
    :ivar setup_s: from the request until a dialect has had the first message of its wire.
    :ivar warning_s: how long before a reclaim a ``warning`` fact is told.
    :ivar warm_s: the age at which an unclaimed warm session is discarded.
    """

    queue_s: float = 30.0
    reservation_s: float = 300.0
    launch_s: float = 60.0
    connect_s: float = 60.0
    linger_s: float = 15.0
    warm_s: float = 3600.0
    idle_s: float | None = None
    retention_s: float = 3600.0
    lifetime_s: float = 86400.0
    lifetime_cap_s: float | None = None
    suspect_s: float | None = None
    liveliness_s: float | None = None
    setup_s: float | None = None
    warning_s: float | None = None
    flush_s: float = 5.0


@frozen
class Stop:
    """One entry of a service's stop list: the step, and how long it may take."""

    step: StopStep
    seconds: float


DEFAULT_STOP = (Stop(StopStep.TERM, 5.0), Stop(StopStep.KILL, 5.0))


@frozen
class Plan:
    """The terms that a session was made under; they stay the same when the configuration changes.

    :ivar clients: how many tunnels at a time, or one of the two other rules.
    :ivar retry_dial: the owner of the endpoint's socket can't be read, so the tunnel's own dial tells readiness.
    :ivar ready_by_report: the child's own ``ready`` report makes the session ready.
    :ivar queueing: a caller may wait in ``queued`` while no slot is free.
    """

    limits: Limits = Limits()
    stop: tuple[Stop, ...] = DEFAULT_STOP
    launch: LaunchWhen = LaunchWhen.ON_RESERVE
    clients: int | Clients = 1
    watch: Watch = Watch.TUNNEL
    leases: tuple[LeaseKind, ...] = ()
    retry_dial: bool = False
    ready_by_report: bool = False
    queueing: bool = False


class ReadyWhen(Enum):
    """What shows that a program is ready."""

    LISTENS = "listens"
    LINE = "line"
    HTTP = "http"
    REPORT = "report"
    STARTED = "started"


@frozen
class Readiness:
    """How readiness is seen; ``detail`` is the text of ``line:TEXT`` or the path of ``http:PATH``."""

    when: ReadyWhen = ReadyWhen.LISTENS
    detail: str = ""


@frozen
class Choice:
    """An option that takes one of some words."""

    of: tuple[str, ...]
    default: str


@frozen
class Integer:
    """An option that takes a whole number within bounds, both included."""

    minimum: int
    maximum: int
    default: int


@frozen
class Pattern:
    """An option that takes text which a regular expression matches as a whole.

    :ivar optional: it may be empty too, whatever the expression says: then it was not chosen.
    :ivar at_start: the expression need only match where the text begins, and the default need not match.
    """

    pattern: str
    default: str
    max_length: int = 256
    optional: bool = False
    at_start: bool = False


@frozen
class File:
    """An option that takes the path of a file below a folder; the program gets the file's real path.

    :ivar root: the folder, absolute; what lies in it is looked at when the program is started.
    :ivar suffixes: how the file's name may end; none allows every name.
    :ivar optional: it may be empty too: then no file was chosen.
    """

    root: str
    default: str
    suffixes: tuple[str, ...] = ()
    optional: bool = False


@frozen
class Folders:
    """An option that takes absolute paths of folders with ``;`` between them; the program gets their real paths so.

    :ivar roots: the folders, absolute, one of which each must be or lie below.
    """

    roots: tuple[str, ...]
    default: str


OptionType = Choice | Integer | Pattern | File | Folders


@frozen
class Rlimits:
    """Resource limits of a child, as ``prlimit`` takes them; names without ``RLIMIT_``, lower case."""

    of: tuple[tuple[str, int], ...] = ()


@frozen
class FixedTarget:
    """The endpoint of a ``fixed`` service: either host and port, or a socket path."""

    host: str = "127.0.0.1"
    port: int | None = None
    socket: str | None = None


class Framing(Enum):
    """Where a frame of standard input and output ends: at a line end, or where the length before it says."""

    LINES = "lines"
    LENGTH = "length"


class Frames(Enum):
    """What a service's messages are to a browser: text, bytes, or text that is JSON."""

    TEXT = "text"
    BINARY = "binary"
    JSON = "json"


@frozen
class Script:
    """An operator's Python file that starts and stops a service.

    :ivar path: the file.
    :ivar common_options: handed to the script as they are; what JSON can say.
    :ivar python: the interpreter that runs it, as the first word of a command.
    """

    path: str
    common_options: Mapping[str, Any] = field(factory=dict)
    python: str = "${python}"


@frozen
class Service:
    """A kind of session that an operator offers.

    :ivar command: argv with placeholders; empty for ``fixed`` and ``script``. Its first word is no group.
    :ivar script: what ``script`` runs.
    :ivar any_options: a client may give options that are not declared, as texts. They reach scripts as data, and
        neither a command nor an environment.
    :ivar pool: the name of the pool where its slots come from (its own name unless it shares one).
    :ivar ports: the range that ``${port}`` is leased from, both ends included; ``displays`` likewise.
    :ivar env: variables set for the child, values with placeholders; ``pass_env`` names those taken over from the
        daemon's own environment. Nothing else reaches a child.
    :ivar endpoint: ``"port"``, ``"socket"`` or ``"stdio"``: which of them clients are carried to.
    :ivar per_owner: how many sessions of it one owner may have; ``None`` is as many as there are.
    :ivar warm: how many instances stay ready while ``launch`` is ``warm``.
    :ivar host: the address of this machine where ``${port}`` listens.
    :ivar output_bytes: the cap of the session's output file.
    :ivar output_folder: where output files are kept, each named after its session, when the session has ended;
        ``None`` deletes them with it.
    :ivar framing: how frames stand in standard input and output, with kind ``messages``; ``frames`` what they are then
        to the client.
    :ivar questions: words that, behind the command, have the program say something of itself and end.
    """

    name: str
    kind: Kind
    launcher: str
    plan: Plan = Plan()
    title: str = ""
    command: tuple[Argument, ...] = ()
    pool: str = ""
    group: str | None = None
    ready: Readiness = Readiness()
    options: Mapping[str, OptionType] = field(factory=dict)
    endpoint: str = "port"
    target: FixedTarget | None = None
    script: Script | None = None
    any_options: bool = False
    ports: tuple[int, int] = (11000, 11999)
    displays: tuple[int, int] = (100, 999)
    env: Mapping[str, str] = field(factory=dict)
    pass_env: tuple[str, ...] = ("PATH", "LANG", "LC_ALL", "TZ")
    directory: str | None = None
    user: str | None = None
    user_group: str | None = None
    rlimits: Rlimits = Factory(Rlimits)
    per_owner: int | None = None
    warm: int = 0
    host: str = "127.0.0.1"
    output_bytes: int = 1 << 20
    output_folder: str | None = None
    framing: Framing = Framing.LINES
    frames: Frames = Frames.BINARY
    questions: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        """Give the first word of its command; empty where it has none."""
        first = self.command[0] if self.command else ""
        return first if isinstance(first, str) else ""

    @property
    def shares_secret(self) -> bool:
        """Say whether its programs are given the application secret."""
        words = (*words_of(self.command), *self.env.values())
        return any("${secret}" in word.replace("$$", "") for word in words)

    def range_of(self, kind: LeaseKind) -> tuple[int, int]:
        """Give the first and the last number that leases of this kind may have."""
        return self.ports if kind is LeaseKind.PORT else self.displays

    def candidates(self, kind: LeaseKind) -> tuple[Lease, ...]:
        """Give every lease of this kind that the service may hold, in order of number."""
        first, last = self.range_of(kind)
        return tuple(Lease(kind, number) for number in range(first, last + 1))


def words_of(command: tuple[Argument, ...]) -> tuple[str, ...]:
    """Give every argument that a command may have."""
    return tuple(word for part in command for word in ((part,) if isinstance(part, str) else part))


def slug(name: str) -> str:
    """Give what of a service's name may stand in the ids of its sessions: in paths, URLs and the names of folders."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:32] or "session"


@frozen
class Pool:
    """Where slots come from: ``count`` places, numbered from 0."""

    name: str
    count: int


@frozen
class Caps:
    """How many sessions there may be, whatever the pools have; ``None`` is as many as they have.

    :ivar sessions: of all services together, as far as they hold a slot.
    :ivar per_owner: of one owner, the queued ones too; ``owners`` has those whose number is another.
    :ivar queue: how many may wait for the slots of one pool.
    """

    sessions: int | None = None
    per_owner: int | None = None
    queue: int = 200
    owners: Mapping[str, int] = field(factory=dict)

    def of_owner(self, owner: str) -> int | None:
        """Say how many sessions an owner may have."""
        return self.owners.get(owner, self.per_owner)


@frozen
class Catalogue:
    """All services and pools of one configuration, by name, and how many sessions there may be."""

    services: Mapping[str, Service] = field(factory=dict)
    pools: Mapping[str, Pool] = field(factory=dict)
    caps: Caps = Caps()

    def having(self, service: Service) -> Catalogue:
        """Give the catalogue with one more service, or with one in the place of another of its name."""
        return evolve(self, services={**self.services, service.name: service})

    def lacking(self, name: str) -> Catalogue:
        """Give the catalogue without a service."""
        return evolve(self, services={key: service for key, service in self.services.items() if key != name})

    def pool_of(self, service: Service) -> Pool:
        """Give the pool that a service takes its slots from."""
        return self.pools[service.pool or service.name]
