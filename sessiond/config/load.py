"""From a file to a configuration: decode, check, then build. Every fault is told with its place, all at one go."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import fields

from sessiond.config.bus import read_bus
from sessiond.config.feeds import read_feeds
from sessiond.config.genius2 import read_genius2
from sessiond.config.hoops import read_hoops
from sessiond.config.listeners import read_listeners, read_tokens
from sessiond.config.nexus import read_nexus
from sessiond.config.services import read_catalogue
from sessiond.config.table import Reader, Table, boolean, mapping, one_of, text
from sessiond.config.units import seconds, size_bytes
from sessiond.config.values import Config, Face, Listener, StaticFolder, StoreKind
from sessiond.config.wslink import read_wslink
from sessiond.core.errors import ConfigError
from sessiond.core.services import Catalogue
from sessiond.core.values import LeaseKind, Watch
from sessiond.launchers.placeholders import names_of
from sessiond.ports import RelayLimits

MOST_FILE_BYTES = 4 << 20
SOCKET_PATH_BYTES = 107
"""What a UNIX socket's address holds (unix(7): sun_path, less its NUL)."""

SOCKET_BELOW = "/999/" + "x" * 39 + "/endpoint.sock"
"""The longest path of a session's socket below ``runtime_dir``."""

MOUNTED = ("/api", "/tunnel", "/healthz", "/readyz", "/metrics", "/pressure", "/session", "/events", "/pages")
"""Paths that are the daemon's own."""


def load(path: Path, environment: Mapping[str, str]) -> Config:
    """Read a configuration file.

    :param environment: of the daemon, for the folders that systemd, or else the user's home, provides.
    :raises ConfigError: it can't be read, or is refused; one fault in each line of the text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if len(content) > MOST_FILE_BYTES:
        raise ConfigError(f"{path}: is larger than {MOST_FILE_BYTES} bytes")
    return parse(content, path.absolute().parent, environment)


def parse(content: bytes, folder: Path, environment: Mapping[str, str]) -> Config:
    """Read the content of a configuration file.

    :param folder: what relative paths in it begin at.
    :raises ConfigError: as :func:`load`.
    """
    try:
        decoded = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"not TOML: {error}") from None
    faults: list[str] = []
    config = _build(Table(decoded, "", faults), folder, environment)
    if faults:
        raise ConfigError("\n".join(faults))
    return config


def _build(root: Table, folder: Path, environment: Mapping[str, str]) -> Config:
    state_dir = folder / root.read("state_dir", text, usual_state(environment))
    usual_runtime = _provided("RUNTIME_DIRECTORY", environment) or str(state_dir / "run")
    runtime_dir = folder / root.read("runtime_dir", text, usual_runtime)
    tokens = read_tokens(root)
    catalogue, needs = read_catalogue(root, folder, tokens)
    listeners = read_listeners(root, folder, tokens)
    dialects = root.table("dialects")
    nexus, catalogue = read_nexus(dialects, folder, environment, catalogue, listeners)
    genius2, catalogue = read_genius2(dialects, folder, catalogue, listeners)
    hoops = read_hoops(dialects, catalogue, listeners)
    wslink, catalogue = read_wslink(dialects, folder, catalogue, listeners)
    dialects.done()
    config = Config(
        # Normal, so that what is checked is what is opened; not resolved, for a link there may be the operator's wish.
        state_dir=Path(os.path.normpath(state_dir)),
        runtime_dir=Path(os.path.normpath(runtime_dir)),
        listeners=listeners,
        tokens=tokens,
        store=_read_store(root.table("store")),
        bus=read_bus(root.table("bus"), folder, environment),
        catalogue=catalogue,
        needs=needs,
        static=_read_static(root.table("static"), folder),
        tunnel=_read_tunnel(root.table("tunnel")),
        nexus=nexus,
        genius2=genius2,
        hoops=hoops,
        wslink=wslink,
        feeds=read_feeds(root),
    )
    root.done()
    _check_together(config, root)
    return config


def usual_state(environment: Mapping[str, str]) -> str:
    """Give systemd's StateDirectory, else the user's (XDG base directory rules)."""
    home = environment.get("HOME") or "/"
    return _provided("STATE_DIRECTORY", environment) or str(
        Path(environment.get("XDG_STATE_HOME") or Path(home, ".local", "state")) / "sessiond"
    )


def _provided(name: str, environment: Mapping[str, str]) -> str:
    """Give the folder that systemd provides, the first where it provides several; empty where it provides none."""
    return environment.get(name, "").partition(":")[0]


def _read_store(table: Table) -> StoreKind:
    kind = table.read("kind", one_of(StoreKind), StoreKind.SQLITE)
    table.done()
    return kind


def _read_static(table: Table, folder: Path) -> tuple[StaticFolder, ...]:
    found = []
    for path in table.written():
        content = table.read(path, _folder_or_table, {})
        within = Table(content, table.place_of(path), table.faults)
        target = within.need("folder", text, ".")
        found.append(
            StaticFolder(path, Path(os.path.normpath(folder / target)), within.read("listing", boolean, False))
        )
        within.done()
        _check_mount(table, path)
    return tuple(found)


def _folder_or_table(value: object) -> Mapping[str, object]:
    return {"folder": value} if isinstance(value, str) else mapping(value)


def _check_mount(table: Table, path: str) -> None:
    if not re.fullmatch(r"/|(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+", path, re.ASCII):
        table.fault(path, 'a path is needed, such as "/pages", without a slash at its end')
    elif "/" + path.split("/")[1] in MOUNTED:
        table.fault(path, "is the daemon's own")


def _read_tunnel(table: Table) -> RelayLimits:
    read: dict[str, Any] = {}
    for field in fields(RelayLimits):
        key, _, unit = field.name.rpartition("_")
        reader: Reader[float] = seconds if unit == "s" else size_bytes
        read[field.name] = table.read(key, reader, field.default)
        if not read[field.name]:
            table.fault(key, "must be above zero")
    table.done()
    return RelayLimits(**read)


def _check_together(config: Config, root: Table) -> None:
    """Refuse what only the whole shows to be impossible."""
    longest = len(os.fsencode(config.runtime_dir)) + len(SOCKET_BELOW)
    if longest > SOCKET_PATH_BYTES:
        root.fault("runtime_dir", f"is too long for sockets below it: {longest} of {SOCKET_PATH_BYTES} bytes")
    if any(folder.path == "/" for folder in config.static):
        for listener in config.listeners:
            if {Face.PORTAL, Face.STATIC} <= listener.serves:
                root.fault("static", f'"/" contradicts the portal of listeners.{listener.name}')
    reporting = [service.name for service in config.catalogue.services.values() if service.plan.ready_by_report]
    if reporting and not any({Face.API, Face.CHILD} & listener.serves for listener in config.listeners):
        root.faults.append(f"services.{reporting[0]}.ready: no listener serves child or the api, which take reports")
    told = [service.name for service in config.catalogue.services.values() if "liveliness" in names_of(service)]
    if told and not any(Face.CHILD in listener.serves for listener in config.listeners):
        root.faults.append(f"services.{told[0]}: asks for ${{liveliness}}, but no listener serves child")
    if any(service.plan.watch is Watch.TUNNEL for service in config.catalogue.services.values()):
        _check_tunnels(config.listeners, root)
    for listener in config.listeners:
        _check_ports(listener, config.catalogue, root)
    for feed in config.feeds:
        if feed.exchange is not None and config.bus is None:
            root.faults.append(f'feeds.{feed.name}.exchange: needs [bus] with kind = "amqp"')
    for face, given in ((Face.STATIC, config.static), (Face.API, ())):
        if given and not any(face in listener.serves for listener in config.listeners):
            root.fault(face.value, "is configured, but no listener serves it")


def _check_tunnels(listeners: tuple[Listener, ...], root: Table) -> None:
    """See that whoever makes a session can be told where its tunnel opens."""
    tunnels = [listener for listener in listeners if Face.TUNNEL in listener.serves]
    for listener in listeners:
        if Face.API not in listener.serves or listener in tunnels:
            continue
        if not tunnels:
            root.faults.append(f"listeners.{listener.name}.serves: has the api, but no listener has tunnel")
        elif tunnels[0].public_url is None and tunnels[0].port is None:
            root.faults.append(f"listeners.{tunnels[0].name}.public_url: is needed: other listeners tell where it is")


def _check_ports(listener: Listener, catalogue: Catalogue, root: Table) -> None:
    for service in catalogue.services.values():
        if LeaseKind.PORT in service.plan.leases and service.ports[0] <= (listener.port or 0) <= service.ports[1]:
            root.fault(
                "listeners", f"{listener.name}'s port {listener.port} lies within the ports of services.{service.name}"
            )
