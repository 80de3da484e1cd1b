"""The configuration as values: checked, complete, and free of secrets."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from attrs import Factory, field, frozen

from sessiond.config.bus import RabbitMQ
from sessiond.config.dialects import Genius2, Hoops, Nexus, Wslink
from sessiond.core.services import Catalogue
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
    HOOPS = "hoops"
    RPC = "rpc"
    WSLINK = "wslink"


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
class FeedSource:
    """A topic of events of others.

    :ivar exchange: the exchange that they come from, where RabbitMQ is the bus; ``key`` which of its messages.
    :ivar owner_field: which member of an event's data says whose it is; without it, it is nobody's.
    :ivar group: who may hear what is nobody's, beside operators.
    """

    name: str
    exchange: str | None = None
    key: str = "#"
    owner_field: str | None = None
    group: str | None = None


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
    hoops: Hoops | None = None
    wslink: Wslink | None = None
    feeds: tuple[FeedSource, ...] = ()
    bus: RabbitMQ | None = None
