"""The configuration: strict TOML, refused by name and place wherever it can't be."""

from sessiond.config.load import load, parse
from sessiond.config.values import (
    ApiToken,
    Callers,
    Config,
    Face,
    Genius2,
    Listener,
    Nexus,
    PartyContext,
    PartyLauncher,
    Patience,
    StaticFolder,
    StoreKind,
)

__all__ = [
    "ApiToken",
    "Callers",
    "Config",
    "Face",
    "Genius2",
    "Listener",
    "Nexus",
    "PartyContext",
    "PartyLauncher",
    "Patience",
    "StaticFolder",
    "StoreKind",
    "load",
    "parse",
]
