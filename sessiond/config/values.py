"""The configuration as values: checked, complete, and free of secrets."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from attrs import Factory, field, frozen

from sessiond.core.services import Catalogue, Framing
from sessiond.ports import RelayLimits


class Face(Enum):
    """What a listener can serve."""

    API = "api"
    PORTAL = "portal"
    STATIC = "static"
    TUNNEL = "tunnel"
    CHILD = "child"
    HEALTH = "health"
    METRICS = "metrics"
    NEXUS = "nexus"
    NEXUS_TUNNEL = "nexus-tunnel"
    GENIUS2 = "genius2"


class Callers(Enum):
    """Who may call a listener: who has a token, or anyone who reaches it."""

    TOKEN = "token"  # noqa: S105 - a word of the configuration
    ANYONE = "anyone"


class StoreKind(Enum):
    """Where sessions are kept."""

    SQLITE = "sqlite"
    MEMORY = "memory"


@frozen
class Patience:
    """How long the clients of a listener may take; every phase of a connection but the answer has its time.

    :ivar handshake_s: from the connection until TLS is agreed on.
    :ivar headers_s: from there, or from the first byte of a later request, until its headers are there.
    :ivar body_s: from the headers until the body is there.
    :ivar idle_s: between requests.
    :ivar stall_s: until what waits to be sent was read.
    """

    handshake_s: float = 10.0
    headers_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 60.0
    stall_s: float = 60.0


@frozen
class Listener:
    """One place where the daemon listens.

    :ivar endpoint: a Twisted server endpoint string; the paths in it are absolute.
    :ivar port: its TCP port, where the configuration tells it.
    :ivar public_url: how clients reach it, without a slash at the end; ``None`` takes the request's Host.
    :ivar origins: origins of pages that may call and connect, beside the listener's own.
    :ivar hosts: names that a Host header may hold, beside those of ``public_url`` and the endpoint.
    :ivar headers: what is added to every answer.
    :ivar max_connections: open connections in all; ``max_per_address`` from one IPv4 address or IPv6 network.
    """

    name: str
    endpoint: str
    serves: frozenset[Face]
    callers: Callers = Callers.TOKEN
    public_url: str | None = None
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    max_connections: int = 4096
    max_per_address: int = 4096
    patience: Patience = Patience()
    port: int | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def secure(self) -> bool:
        """Say whether it speaks TLS itself."""
        return self.endpoint.startswith("ssl:")


@frozen
class ApiToken:
    """A caller that is known by name.

    :ivar digest: SHA-256 of its token.
    :ivar scopes: what it may do; ``groups`` whose services it may see and start.
    :ivar per_owner: how many sessions its owner may have; ``None`` is as many as any owner.
    """

    name: str
    digest: bytes = field(repr=False)
    scopes: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    per_owner: int | None = None


@frozen
class StaticFolder:
    """A folder whose files are served below ``path``, with a listing only where the operator asked for one."""

    path: str
    folder: Path
    listing: bool = False


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


@frozen
class Config:
    """A whole configuration.

    :ivar state_dir: where all that must survive a restart is kept; ``runtime_dir`` holds sockets and output of
        running sessions.
    :ivar needs: the programs that a service can't do without, by the service's name.
    """

    state_dir: Path
    runtime_dir: Path
    listeners: tuple[Listener, ...] = ()
    tokens: tuple[ApiToken, ...] = ()
    store: StoreKind = StoreKind.SQLITE
    catalogue: Catalogue = Factory(Catalogue)
    needs: Mapping[str, tuple[str, ...]] = field(factory=dict)
    static: tuple[StaticFolder, ...] = ()
    tunnel: RelayLimits = Factory(RelayLimits)
    nexus: Nexus | None = None
    genius2: Genius2 | None = None
