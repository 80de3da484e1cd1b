"""What each dialect is to do, as values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from attrs import field, frozen

from sessiond.config.templates import Template
from sessiond.core.services import Choice, Framing, Pattern


@frozen
class Nexus:
    """What the Nexus dialect is to do.

    :ivar services: the services that it offers, by name, each with what it reports of it unchanged.
    :ivar target: the name of the service that a connection without a token is carried to; ``None`` where there is none.
    :ivar security_token: what callers of its REST interface must know; ``None`` lets everybody call.
    :ivar ansys: the folder of the install's viewer pages.
    :ivar novnc: the folder of noVNC, for the viewer page of our own.
    :ivar ensight: whether calls of EnSight's own REST interface are expected.
    :ivar allow_stop: whether callers may end the daemon.
    """

    services: Mapping[str, Mapping[str, object]] = field(factory=dict)
    target: str | None = None
    security_token: str | None = field(default=None, repr=False)
    ansys: Path | None = None
    novnc: Path | None = None
    ensight: bool = False
    allow_stop: bool = False


LOOPBACK: tuple[IPv4Network | IPv6Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


@frozen
class PartyLauncher:
    """How files of one suffix are launched as parties.

    :ivar command: argv, in which ``{file}``, ``{folder}`` and ``{main_class}`` stand for what the file says.
    """

    command: tuple[str, ...]
    framing: Framing = Framing.LENGTH
    env: Mapping[str, str] = field(factory=dict)


@frozen
class PartyContext:
    """One context of the Genius2 dialect: its paths, its parties and its slots. Durations are in seconds.

    :ivar folder: where its parties lie.
    :ivar allow_from: the networks that may call; ``trusted_proxies`` those whose ``X-Forwarded-`` headers count.
    :ivar public_url: scheme and host that its URLs begin with; ``None`` takes the request's Host.
    :ivar origins: the origins of pages that may call; without any, all may.
    :ivar setup_s: from the request until a party has its ``Settings``.
    :ivar grace_s: how long after the end that ``Settings`` tells its ``Finished`` may still come.
    :ivar finish_wait_s: after ``Finished``, for the client to close first; ``exit_wait_s`` from the end of its input
        until a party is signalled, ``term_wait_s`` from then until it is killed.
    :ivar fallback_run_s: how long a party has whose ``Settings`` tell no end; ``max_run_s`` how long any has.
    :ivar run_wait_s: how long a caller is kept waiting for a slot that is about to come free.
    :ivar transcript: whether each run's messages are kept, up to ``transcript_bytes``.
    """

    name: str
    paths: tuple[str, ...]
    folder: Path
    slots: int
    allow_from: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    public_url: str | None = None
    origins: tuple[str, ...] = ()
    require_origin: bool = False
    launchers: Mapping[str, PartyLauncher] = field(factory=dict)
    setup_s: float = 3.0
    grace_s: float = 1.0
    finish_wait_s: float = 5.0
    exit_wait_s: float = 2.0
    term_wait_s: float = 2.0
    fallback_run_s: float = 60.0
    max_run_s: float = 86400.0
    run_wait_s: float = 0.5
    message_bytes: int = 20_000_000
    description_characters: int = 400
    transcript: bool = False
    transcript_bytes: int = 1 << 20

    @property
    def pool(self) -> str:
        """The name of the pool that its slots are."""
        return f"genius2.{self.name}"


@frozen
class Genius2:
    """What the Genius2 dialect is to do."""

    contexts: tuple[PartyContext, ...]


class Rendering(Enum):
    """Where a viewer's pictures are made: in the browser, or by the program."""

    CSR = "csr"
    SSR = "ssr"


class EndpointForm(Enum):
    """Which address a viewer is told: a path with a secret, a path with the program's port, or that port itself."""

    SESSION_PATH = "session-path"
    PROXY_PORT = "proxy-port"
    DIRECT_PORT = "direct-port"


class FailureStatus(Enum):
    """The status of a failed spawn: the real one, always 200, or 200 for clients that read a reason only there."""

    AUTO = "auto"
    REAL = "real"
    OK = "ok"


class SpawnAccess(Enum):
    """Who may spawn without a token or ticket: pages of listed origins, nobody, or whoever is no other page."""

    ORIGIN = "origin"
    TOKEN = "token"  # noqa: S105 - a word of the configuration
    OPEN = "open"


class PortGuard(Enum):
    """Who may come in by a port's path: the address that asked for the spawn, or any."""

    ADDRESS = "address"
    NONE = "none"


@frozen
class Hoops:
    """What the HOOPS dialect is to do.

    :ivar services: the names of the services that it spawns, by where pictures are made.
    :ivar child_auth: whether programs report below a secret only.
    :ivar direct_paths: at which paths beside ``/`` a connection spawns its program.
    :ivar proxy_prefixes: the first words of paths that end with a program's port.
    :ivar allow_shutdown: whether callers may end the daemon.
    """

    services: Mapping[Rendering, str]
    endpoint: EndpointForm = EndpointForm.SESSION_PATH
    failure_status: FailureStatus = FailureStatus.AUTO
    access: SpawnAccess = SpawnAccess.ORIGIN
    port_guard: PortGuard = PortGuard.ADDRESS
    child_auth: bool = True
    direct_paths: tuple[str, ...] = ()
    proxy_prefixes: tuple[str, ...] = ("wsproxy", "wssproxy")
    allow_shutdown: bool = False


@frozen
class RpcApplication:
    """An application whose methods are called in the daemon itself.

    :ivar application: ``MODULE:CLASS``.
    :ivar path: where its clients connect.
    :ivar secret: what they must know.
    :ivar origins: the origins of pages that may connect; without any, all may.
    :ivar auth_bytes: how long a hello may be.
    """

    name: str
    application: str
    path: str
    secret: str = field(repr=False)
    origins: tuple[str, ...] = ()
    auth_bytes: int = 512
    debug: bool = False


@frozen
class LaunchRule:
    """What a client may say in one of its fields; anything else counts as if it had said ``default``."""

    allowed: Choice | Pattern
    default: str


@frozen
class LaunchedApp:
    """One application of a launcher.

    :ivar services: by which it is started, each with the host that its programs listen on; one for each resource.
    :ivar fields: what of a client's body it makes use of, by name, as its templates write it.
    :ivar shares_secret: whether its programs are given a secret that clients must say.
    """

    services: Mapping[str, str]
    fields: Mapping[str, str]
    shares_secret: bool


@frozen
class LinkLauncher:
    """What stands in for one ``wslink.launcher``.

    :ivar endpoints: the paths that it answers at, without slashes at their ends.
    :ivar told: what of a session its client is told, beside what it always is.
    :ivar session_url: where a session's WebSocket is, as the client is told; ``data`` what else belongs to a session.
    :ivar names: what the operator has named, of which templates speak.
    :ivar timeout_s: how long a program may take until it is ready.
    :ivar mapping: the file in which a web server finds host and port of each session, and its mode.
    :ivar content: the folder that is served at ``/``.
    :ivar status: whether clients may ask for a session, and end it.
    :ivar origins: the origins of pages that may call; without any, all may.
    :ivar strict: whether a field that no rule names is refused.
    """

    name: str
    endpoints: tuple[str, ...]
    apps: Mapping[str, LaunchedApp]
    told: frozenset[str]
    session_url: Template
    data: Mapping[str, Template]
    names: Mapping[str, str]
    rules: Mapping[str, LaunchRule]
    timeout_s: float
    mapping: Path | None = None
    mapping_mode: int = 0o644
    content: Path | None = None
    status: bool = False
    origins: tuple[str, ...] = ()
    strict: bool = False


@frozen
class Wslink:
    """What the wslink dialect is to do."""

    applications: tuple[RpcApplication, ...] = ()
    launchers: tuple[LinkLauncher, ...] = ()
