"""Who may know whom, as ``docs/architecture.rst`` tells it: the rules as data, read against the imports."""

import graphlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.imports import circles, imports_of, is_below, sources_below

Sources = Mapping[str, str]

SESSIOND = sources_below(Path(__file__).parents[1] / "sessiond")

DATA = frozenset(f"core.{name}" for name in ("values", "session", "events", "facts", "services", "effects", "errors"))
"""What of the core is data; the rest of it decides, and only the broker lets it."""

WATCHING = frozenset({"log", "meters"})
ADAPTER = frozenset({"ports"}) | DATA | WATCHING
BROKER = frozenset({"ports", "core", "entropy"}) | WATCHING
FACE = BROKER | {"broker", "tunnel", "config"}
TOPICS = frozenset({"bus.topics", "bus.line", "bus.cloudevents"})

MAY_KNOW: Mapping[str, frozenset[str]] = {
    "core": frozenset(),
    "ports": frozenset({"core"}),
    "log": frozenset({"ports"}) | DATA,
    "meters": frozenset({"ports"}) | DATA,
    # The two ports that need no folder.
    "clock": frozenset({"ports"}),
    "entropy": frozenset({"ports"}),
    "launchers": ADAPTER,
    "stores": ADAPTER,
    "bus": ADAPTER,
    "tunnel": ADAPTER,
    "broker": BROKER,
    # A command is checked where it is read, by the words that will fill it.
    "config": frozenset({"core", "ports", "log", "launchers.placeholders"}),
    # Clients of the feed hear topics, and events of others come in as CloudEvents.
    "web": FACE | TOPICS,
    # A refused upgrade is answered as web/ answers everything else.
    "ws": FACE | TOPICS | {"web"},
    # Applications are hosted in the daemon as they are in a program of their own.
    "dialects": FACE | {"web", "ws", "rpc"},
    "site": FACE | {"web", "ws", "dialects"},
    "boot": FACE | {"web", "ws", "dialects", "site", "launchers", "stores", "bus", "clock", "options"},
    "options": frozenset({"config", "core"}),
    "commands": frozenset({"config", "core.errors", "entropy"}) | WATCHING,
    "__main__": frozenset({"commands"}),
    "websocketserver": frozenset({"boot", "config", "core"}),
    "launcher": frozenset({"boot", "config", "core"}),
    # The program around an RPC application: its links and its listener are those of the daemon, its life is its own.
    "rpc": FACE | {"web", "ws", "clock"},
    # Programs that run as children, and the class that scripts derive from: they know nothing of the daemon.
    "demo": frozenset({"rpc"}),
    # The program that runs operators' scripts, what these import of us, and one of ours.
    "scripting": frozenset({"nexus"}),
    "nexus": frozenset(),
    "applications": frozenset({"nexus"}),
}
"""Part of the package (the longest prefix counts) to what it may import; itself always, the version too."""

PURE = (
    *("__future__", "abc", "base64", "bisect", "collections", "contextlib", "dataclasses", "decimal", "enum"),
    *("fractions", "functools", "hashlib", "heapq", "hmac", "ipaddress", "itertools", "json", "math"),
    *("operator", "re", "string", "struct", "textwrap", "types", "typing", "urllib.parse"),
)
"""Modules of the standard library without I/O, clock, threads or randomness."""

RANDOM_ALLOWED: Mapping[str, str] = {}
"""Module to the reason why what it draws is no secret: secrets come from the port ``Entropy``."""


def breaks_layers(sources: Sources) -> list[str]:
    """Each part imports only what :data:`MAY_KNOW` lists for it."""
    complaints = [f"{name} has no place in MAY_KNOW" for name in sources if _part(name) is None]
    for found in imports_of(sources):
        importer, target = _part(found.importer), _part(found.target)
        if importer is None or target in ("", importer) or not is_below(found.target, "sessiond"):
            continue
        if not is_below(found.target.removeprefix("sessiond."), *MAY_KNOW.get(importer, ())):
            complaints.append(str(found))
    return complaints


def breaks_purity(sources: Sources) -> list[str]:
    """The core imports pure modules of the standard library, attrs and itself."""
    return [
        str(found)
        for found in imports_of(sources)
        if is_below(found.importer, "sessiond.core") and not is_below(found.target, "sessiond.core", "attrs", *PURE)
    ]


def breaks_autobahn(sources: Sources) -> list[str]:
    """Only ws/ imports Autobahn."""
    return [
        str(found)
        for found in imports_of(sources)
        if is_below(found.target, "autobahn") and not is_below(found.importer, "sessiond.ws")
    ]


def breaks_reactor(sources: Sources) -> list[str]:
    """No module imports the reactor when it is imported itself: that installs one too early."""
    return [
        str(found)
        for found in imports_of(sources)
        if is_below(found.target, "twisted.internet.reactor") and found.is_top_level and not found.is_typing
    ]


def breaks_random(sources: Sources) -> list[str]:
    """Nothing that could be a secret is drawn from a guessable source."""
    return [
        str(found)
        for found in imports_of(sources)
        if is_below(found.target, "random", "uuid.uuid1") and found.importer not in RANDOM_ALLOWED
    ]


def breaks_children(sources: Sources) -> list[str]:
    """Children are started by the reactor alone: whoever else waits for them takes their status away."""
    return [
        str(found)
        for found in imports_of(sources)
        if is_below(found.target, "subprocess", "multiprocessing", "asyncio")
        and not is_below(found.importer, "sessiond.demo", "sessiond.applications", "sessiond.rpc")
    ]


def breaks_circles(sources: Sources) -> list[str]:
    """No modules need each other in order to be imported."""
    return [" -> ".join(path) for path in circles(imports_of(sources), frozenset(sources))]


def _part(name: str) -> str | None:
    """Name the entry of :data:`MAY_KNOW` for a module: empty for the package itself, none if it has none."""
    if name == "sessiond" or name.startswith("sessiond.__version__"):
        return ""
    inner = name.removeprefix("sessiond.")
    return max((part for part in MAY_KNOW if is_below(inner, part)), key=len, default=None)


Rule = Callable[[Sources], list[str]]

BROKEN: list[tuple[Rule, dict[str, str]]] = [
    (breaks_layers, {"sessiond.web.api": "from sessiond.stores.sqlite import Sqlite"}),
    (breaks_layers, {"sessiond.launchers.process": "def f():\n    from sessiond.core import machine"}),
    (breaks_layers, {"sessiond.launchers.process": "from ..core.capacity import x"}),
    (breaks_layers, {"sessiond": "from sessiond.log import log"}),
    (breaks_layers, {"sessiond.broker": "import sessiond.web.leaf"}),
    (breaks_layers, {"sessiond.core.session": "from sessiond import log"}),
    (breaks_layers, {"sessiond.utils": ""}),
    (breaks_purity, {"sessiond.core.session": "import time"}),
    (breaks_purity, {"sessiond.core.session": "from urllib import request"}),
    (breaks_purity, {"sessiond.core.session": "from twisted.internet.defer import Deferred"}),
    (breaks_autobahn, {"sessiond.web.leaf": "import autobahn"}),
    (breaks_autobahn, {"sessiond.dialects.wslink": "def f():\n    from autobahn.twisted import websocket"}),
    (breaks_reactor, {"sessiond.boot": "from twisted.internet import reactor"}),
    (breaks_reactor, {"sessiond.boot": "try:\n    import twisted.internet.reactor\nfinally:\n    pass"}),
    (breaks_random, {"sessiond.broker": "from random import choice"}),
    (breaks_random, {"sessiond.broker": "def f():\n    import random"}),
    (breaks_random, {"sessiond.broker": "from uuid import uuid1"}),
    (breaks_children, {"sessiond.launchers.process": "import subprocess"}),
    (breaks_circles, {"sessiond.a": "import sessiond.b", "sessiond.b": "from sessiond import a"}),
    (
        breaks_circles,
        {
            "sessiond.web": "",
            "sessiond.web.a": "from .b import x",
            "sessiond.web.b": "if True:\n    from .c import x",
            "sessiond.web.c": "class C:\n    from sessiond.web.a import x",
        },
    ),
]
"""Sources that break each rule."""

KEPT: list[tuple[Rule, dict[str, str]]] = [
    (breaks_layers, {"sessiond.web.api": "from sessiond import __version__\nimport sessiond.broker"}),
    (breaks_layers, {"sessiond.stores.sqlite": "from sessiond.core import values\nfrom . import rows"}),
    (breaks_purity, {"sessiond.core.session": "from urllib.parse import quote\nfrom attrs import frozen"}),
    (breaks_autobahn, {"sessiond.ws.channel": "from autobahn.twisted import websocket"}),
    (breaks_reactor, {"sessiond.boot": "def f():\n    from twisted.internet import reactor"}),
    (breaks_random, {"sessiond.broker": "import randomness"}),
    (
        breaks_circles,
        {
            "sessiond.a": "import sessiond.b",
            "sessiond.b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import sessiond.a\n"
            "def f():\n    import sessiond.a",
        },
    ),
]
"""Sources that come close and keep them."""

RULES = sorted({rule for rule, _ in BROKEN}, key=lambda rule: rule.__name__)


@pytest.mark.parametrize("rule", RULES)
def test_sessiond_keeps(rule: Rule) -> None:
    """The package keeps every rule."""
    assert rule(SESSIOND) == []


@pytest.mark.parametrize(("rule", "sources"), BROKEN)
def test_rule_catches(rule: Rule, sources: dict[str, str]) -> None:
    """Each rule finds the source that breaks it."""
    assert rule(sources)


@pytest.mark.parametrize(("rule", "sources"), KEPT)
def test_rule_lets_pass(rule: Rule, sources: dict[str, str]) -> None:
    """No rule complains about what is allowed."""
    assert rule(sources) == []


def test_table_has_no_circle() -> None:
    """The parts of the package stand in one order, from boot down to core."""
    graph = {
        part: {target for known in may_know for target in MAY_KNOW if is_below(known, target)} - {part}
        for part, may_know in MAY_KNOW.items()
    }
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert order.index("core") < order.index("ports") < order.index("broker") < order.index("site")


def test_exceptions_are_used() -> None:
    """An exception that nothing needs any more is removed."""
    drawing = {found.importer for found in imports_of(SESSIOND) if is_below(found.target, "random")}
    assert set(RANDOM_ALLOWED) <= drawing


def test_pure_modules_exist() -> None:
    """The list of pure modules names modules of the standard library."""
    assert {name.partition(".")[0] for name in PURE} <= sys.stdlib_module_names
