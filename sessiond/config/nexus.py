"""Reads the Nexus dialect's part: its own table, the services file of a site, and the services that are built in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from sessiond.config.dialects import Nexus
from sessiond.config.limits import LONGEST_S
from sessiond.config.table import Table, boolean, list_of, mapping, text, whole
from sessiond.config.units import Unfit, seconds
from sessiond.config.values import Face, Listener
from sessiond.core.errors import ConfigError
from sessiond.core.services import (
    Catalogue,
    FixedTarget,
    Limits,
    Plan,
    Pool,
    Readiness,
    ReadyWhen,
    Script,
    Service,
    Stop,
)
from sessiond.core.values import Kind, LaunchWhen, StopStep

MOST_BYTES = 4 << 20
MOST_SLOTS = 10_000
APPLICATIONS: Mapping[str, Mapping[str, Any]] = {
    "ensight": {},
    "envision": {"file_ext": ["evsn", "csf", "ply", "stl"]},
}
"""The built-in applications, each with what its service reports of itself."""

APPLICATION = str(Path(__file__).parents[1] / "applications.py")
ENDING = (Stop(StopStep.TERM, 5.0), Stop(StopStep.KILL, 5.0))
REQUIRED, KNOWN = ("script", "count"), frozenset({"script", "count", "options", "start_timeout", "stop_timeout"})


@frozen
class Terms:
    """What the services of this wire live under, in seconds.

    :ivar timeout_s: how long a reservation waits for its connection.
    :ivar grace_s: how long a session waits for a client that was dropped.
    """

    timeout_s: float = 300.0
    grace_s: float = 0.0
    lifetime_s: float = 30 * 86400.0

    def plan(self, start_s: float = 60.0, stop: tuple[Stop, ...] = ENDING, *, retry_dial: bool = False) -> Plan:
        """Give the plan of a service: started by its first connection, and ended with it."""
        limits = Limits(
            reservation_s=self.timeout_s, launch_s=start_s, linger_s=self.grace_s, lifetime_s=self.lifetime_s
        )
        return Plan(limits=limits, stop=stop, launch=LaunchWhen.ON_CONNECT, retry_dial=retry_dial)


@frozen
class Offered:
    """A service of this wire: what it reports of itself, and how many places it has."""

    service: Service
    count: int
    reports: Mapping[str, Any] = field(factory=dict)


def script_service(
    called: str, script: Script, terms: Terms, *, start_s: float = 60.0, stop_s: float = 30.0, group: str | None = None
) -> Service:
    """Give a service that a script starts; it takes what options a client gives."""
    stop = (Stop(StopStep.ASK, stop_s), *ENDING)
    return Service(
        name=called,
        kind=Kind.RFB,
        launcher="script",
        plan=terms.plan(start_s, stop, retry_dial=True),
        pool=called,
        group=group,
        ready=Readiness(ReadyWhen.STARTED),
        script=script,
        any_options=True,
    )


def built_in(application: str, count: int, command: tuple[str, ...], terms: Terms) -> Offered:
    """Give the service of an application that comes with the install."""
    script = Script(APPLICATION, {"command": list(command)})
    return Offered(script_service(f"local_{application}", script, terms), count, APPLICATIONS[application])


def usual_command(application: str, install: Path | None) -> tuple[str, ...]:
    """Give the command of an application of an install; without one it is looked for on PATH."""
    program = application if install is None else str(install / "bin" / application)
    return (program, "-vnc", "${vnc}", "${target}")


def fixed_target(called: str, host: str, port: int, terms: Terms) -> Service:
    """Give the service behind connections without a token: each has a session of its own, which ends with it."""
    plan = evolve(terms.plan(), limits=evolve(terms.plan().limits, reservation_s=10.0, linger_s=0.0))
    return Service(called, Kind.TCP, "fixed", plan, pool=called, target=FixedTarget(host, port))


def read_services_file(path: Path, terms: Terms) -> dict[str, Offered]:
    """Read a site's ``external_services.json``.

    :raises ConfigError: it can't be read, or says what can't be; the text names the file, the service and the cause.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        found = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_without_repeats, parse_constant=_no_number)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {error}") from None
    if not isinstance(found, dict) or len(raw) > MOST_BYTES:
        raise ConfigError(f"{path}: an object is needed that names services, of {MOST_BYTES} bytes at most")
    offered = {}
    for called, content in found.items():
        try:
            offered[called] = _read_one(called, content, path.absolute().parent, terms)
        except Unfit as unfit:
            raise ConfigError(f"{path}: {called!r}: {unfit}") from None
    return offered


def _read_one(called: str, content: object, folder: Path, terms: Terms) -> Offered:
    if not called or not called.isprintable() or len(called) > 128:
        raise Unfit("a printable name is needed, of 128 characters at most")
    table = mapping(content)
    for key in REQUIRED:
        if key not in table:
            raise Unfit(f"{key} is needed")
    for key in table:
        if key not in KNOWN:
            raise Unfit(f"unknown key {key!r}")
    options = _read("options", mapping, table.get("options", {}))
    script = Script(str(folder / _read("script", text, table["script"])), options)
    service = script_service(
        called,
        script,
        terms,
        start_s=_read("start_timeout", _plain_seconds, table.get("start_timeout", 60)),
        stop_s=_read("stop_timeout", _plain_seconds, table.get("stop_timeout", 30)),
        group=_read("options.group", _group, options.get("group")),
    )
    return Offered(service, _read("count", whole(1, MOST_SLOTS), table["count"]), options)


def _read(key: str, reader: Any, value: object) -> Any:
    try:
        return reader(value)
    except Unfit as unfit:
        raise Unfit(f"{key}: {unfit}") from None


def _group(value: object) -> str | None:
    """Read the portal's group; what stands behind a colon names an applet of the portal's."""
    return None if value is None else text(value).partition(":")[0] or None


def _plain_seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_S:
        raise Unfit("a number of seconds above zero is needed")
    return float(value)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def joined(catalogue: Catalogue, offered: Mapping[str, Offered]) -> Catalogue:
    """Give a catalogue with more services, each with a pool of its own."""
    services = {called: one.service for called, one in offered.items()}
    pools = {called: Pool(called, one.count) for called, one in offered.items()}
    return evolve(catalogue, services={**catalogue.services, **services}, pools={**catalogue.pools, **pools})


# -- [dialects.nexus] --------------------------------------------------------------------------------------------------


def read_nexus(
    dialects: Table, folder: Path, environment: Mapping[str, str], catalogue: Catalogue, listeners: tuple[Listener, ...]
) -> tuple[Nexus | None, Catalogue]:
    """Read ``[dialects.nexus]``, and give the catalogue with the services that it brings."""
    serving = [one for one in listeners if one.serves & {Face.NEXUS, Face.NEXUS_TUNNEL}]
    if "nexus" not in dialects:
        for listener in serving:
            dialects.faults.append(f"listeners.{listener.name}.serves: names nexus, but there is no [dialects.nexus]")
        return None, catalogue
    table = dialects.table("nexus")
    terms = _read_terms(table)
    offered = _read_offered(table, folder, terms)
    for called in offered:
        if called in catalogue.services or called in catalogue.pools:
            table.fault("services_file", f"{called!r} is the name of another service or pool")
    found = Nexus(
        services={called: one.reports for called, one in offered.items()} | _read_own(table, catalogue),
        target=table.read("target", text, None),
        security_token=_read_token(table, folder, environment),
        ansys=_path(folder, table.read("ansys", text, None)),
        novnc=_path(folder, table.read("novnc", text, None)),
        ensight=table.read("ensight", boolean, False),
        allow_stop=table.read("allow_stop", boolean, False),
    )
    table.done()
    _check(found, table, catalogue, serving)
    return found, joined(catalogue, offered)


def _read_terms(table: Table) -> Terms:
    usual = Terms()
    timeout_s = table.read("timeout", seconds, usual.timeout_s)
    lifetime_s = table.read("lifetime", seconds, usual.lifetime_s)
    for key, value in (("timeout", timeout_s), ("lifetime", lifetime_s)):
        if not 0 < value <= LONGEST_S:
            table.fault(key, "a duration above zero is needed, ten years at most")
    return Terms(timeout_s, table.read("reconnect_grace", seconds, usual.grace_s), lifetime_s)


def _read_offered(table: Table, folder: Path, terms: Terms) -> dict[str, Offered]:
    offered: dict[str, Offered] = {}
    path = table.read("services_file", text, None)
    if path is not None:
        try:
            offered.update(read_services_file(folder / path, terms))
        except ConfigError as error:
            table.fault("services_file", str(error))
    for application, within in table.tables("applications"):
        count = within.need("count", whole(1, MOST_SLOTS), 1)
        usual = usual_command(application, None)
        command = within.read("command", list_of(text), usual) or usual
        within.done()
        if application not in APPLICATIONS:
            within.fault("", f"one of {', '.join(APPLICATIONS)} is needed")
        elif f"local_{application}" in offered:
            within.fault("", f"local_{application} is the name of a service of the services file")
        else:
            offered[f"local_{application}"] = built_in(application, count, command, terms)
    return offered


def _read_own(table: Table, catalogue: Catalogue) -> dict[str, Mapping[str, object]]:
    """Read which of the configuration's own services are offered too, each with what it reports of itself."""
    found: dict[str, Mapping[str, object]] = {}
    within = table.table("services")
    for called in within.written():
        found[called] = within.read(called, _reported, {})
        service = catalogue.services.get(called)
        if service is None:
            within.fault(called, "there is no such service")
        elif service.plan.queueing:
            within.fault(called, "has queueing, which this wire can't tell its callers")
        elif service.kind in (Kind.WEBSOCKET, Kind.HTTP):
            within.fault(called, f"is of kind {service.kind.value}, which this wire does not carry")
    return found


def _reported(value: object) -> Mapping[str, object]:
    found = mapping(value)
    try:
        json.dumps(found, allow_nan=False)
    except (TypeError, ValueError):
        raise Unfit("what JSON can say is needed") from None
    return found


def _read_token(table: Table, folder: Path, environment: Mapping[str, str]) -> str | None:
    """Read the security token from a file or a variable; it never stands in the configuration itself."""
    path = table.read("security_token_file", text, None)
    variable = table.read("security_token_env", name_of_variable, None)
    if path is not None and variable is not None:
        table.fault("security_token_env", "contradicts security_token_file")
    if variable is not None:
        token = environment.get(variable)
        if not token:
            table.fault("security_token_env", f"{variable} is not set")
        return token
    if path is None:
        return None
    try:
        token = (folder / path).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        table.fault("security_token_file", getattr(error, "strerror", None) or "is no text")
        return None
    if not token:
        table.fault("security_token_file", "is empty")
    return token


def name_of_variable(value: object) -> str:
    """Read the name of a variable."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value, re.ASCII):
        raise Unfit("the name of a variable is needed")
    return value


def _path(folder: Path, value: str | None) -> Path | None:
    return None if value is None else folder / value


def _check(found: Nexus, table: Table, catalogue: Catalogue, serving: list[Listener]) -> None:
    if not serving:
        table.fault("", "is configured, but no listener serves nexus or nexus-tunnel")
    target = None if found.target is None else catalogue.services.get(found.target)
    if found.target is not None and (target is None or target.launcher != "fixed"):
        table.fault("target", 'the name of a service with launcher = "fixed" is needed')
    if found.ensight and found.security_token is None:
        table.fault("ensight", "needs a security token")
    for listener in serving:
        if Face.NEXUS_TUNNEL in listener.serves and len(listener.serves) > 1:
            table.faults.append(f"listeners.{listener.name}.serves: nexus-tunnel takes every path, so it stands alone")
