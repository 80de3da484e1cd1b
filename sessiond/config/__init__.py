"""The configuration: strict TOML, refused by name and place wherever it can't be."""

from sessiond.config.dialects import (
    EndpointForm,
    FailureStatus,
    Genius2,
    Hoops,
    Nexus,
    PartyContext,
    PartyLauncher,
    PortGuard,
    Rendering,
    RpcApplication,
    SpawnAccess,
    Wslink,
)
from sessiond.config.load import load, parse
from sessiond.config.values import (
    ApiToken,
    Callers,
    Config,
    Face,
    Listener,
    Patience,
    StaticFolder,
    StoreKind,
)

__all__ = [
    "ApiToken",
    "Callers",
    "Config",
    "EndpointForm",
    "Face",
    "FailureStatus",
    "Genius2",
    "Hoops",
    "Listener",
    "Nexus",
    "PartyContext",
    "PartyLauncher",
    "Patience",
    "PortGuard",
    "Rendering",
    "RpcApplication",
    "SpawnAccess",
    "StaticFolder",
    "StoreKind",
    "Wslink",
    "load",
    "parse",
]
