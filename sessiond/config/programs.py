"""Reads what a service says about its program: the command and all that goes with it."""

from __future__ import annotations

import re
from pathlib import Path

from attrs import evolve, frozen

from sessiond.config.limits import read_stop
from sessiond.config.options import read_options
from sessiond.config.table import Table, list_of, matching, one_of, text, whole
from sessiond.config.units import Unfit, number_range, seconds, size_bytes
from sessiond.core.services import (
    Argument,
    Frames,
    Framing,
    OptionType,
    Readiness,
    ReadyWhen,
    Rlimits,
    Service,
    words_of,
)
from sessiond.core.values import Clients, Kind, LaunchWhen, LeaseKind
from sessiond.launchers.placeholders import OPTION_PREFIX, PlaceholderError, check, names_in

LAST_DISPLAY = 59535
"""X servers listen on TCP at 6000 + display, if at all."""

MOST_WARM = 10_000
STDIO_KINDS = (Kind.MESSAGES, Kind.TEXT)
OWN_VARIABLES = re.compile(r"SESSIOND_.*|XDG_RUNTIME_DIR")
RLIMIT_SIZES = frozenset({"as", "core", "data", "fsize", "memlock", "msgqueue", "rss", "stack"})
RLIMIT_NUMBERS = frozenset({"locks", "nofile", "nproc", "sigpending"})
VARIABLE = matching(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a variable")


@frozen
class Launched:
    """What the program's part of a service comes to."""

    endpoint: str
    leases: tuple[LeaseKind, ...]
    ready: Readiness


def read_program(service: Service, table: Table, folder: Path) -> Service:
    """Give the service with its program's part read from its table.

    :param folder: what a relative ``directory``, and a file option's ``root``, begin at.
    """
    command = table.need("command", list_of(_argument_or_group), ("true",))
    check_program("command", command[0] if command else "", table)
    options = read_options(table, folder)
    env = read_env(table)
    directory = table.read("directory", text, None) or ""
    launched = _read_launched(service.kind, table, options, (*words_of(command), *env.values(), directory))
    if service.kind is not Kind.MESSAGES:
        table.refuse(("framing", "frames"), f'has no meaning with kind = "{service.kind.value}"')
    if launched.endpoint == "stdio" and service.plan.clients not in (1, *Clients):
        table.fault("clients", "contradicts endpoint stdio: a program has one standard input and output")
    surroundings = read_surroundings(service, table, folder)
    return evolve(
        surroundings,
        command=command,
        options=options,
        env=env,
        ready=launched.ready,
        endpoint=launched.endpoint,
        ports=table.read("ports", number_range, service.ports),
        displays=table.read("displays", _displays, service.displays),
        framing=table.read("framing", one_of(Framing), service.framing),
        frames=table.read("frames", one_of(Frames), service.frames),
        plan=evolve(
            surroundings.plan,
            stop=read_stop(table),
            leases=launched.leases,
            ready_by_report=launched.ready.when is ReadyWhen.REPORT,
        ),
    )


def read_surroundings(service: Service, table: Table, folder: Path) -> Service:
    """Give the service with what every program of ours has, whatever it is started by; but not its ``env``.

    :param folder: what a relative ``directory`` begins at.
    """
    launch = table.read("launch", one_of(LaunchWhen), LaunchWhen.ON_RESERVE)
    directory = table.read("directory", text, None)
    return evolve(
        service,
        pass_env=table.read("pass_env", list_of(VARIABLE), service.pass_env),
        # One that begins with a placeholder is the placeholder's.
        directory=None if directory is None else directory if directory.startswith("${") else str(folder / directory),
        user=table.read("user", text, None),
        user_group=table.read("user_group", text, None),
        rlimits=_read_rlimits(table),
        output_bytes=table.read("output", size_bytes, service.output_bytes),
        output_folder=_folder_of(table.read("output_folder", text, None), folder),
        warm=_read_warm(table, launch),
        plan=evolve(service.plan, launch=launch),
    )


def _folder_of(written: str | None, folder: Path) -> str | None:
    return None if written is None else str(folder / written)


def _argument(value: object) -> str:
    if not isinstance(value, str) or any(character in value for character in "\0\r\n"):
        raise Unfit("arguments are texts without line ends")
    return value


def _argument_or_group(value: object) -> Argument:
    """Read one argument, or a list of some that stand in the command only where no option in them is empty."""
    if not isinstance(value, list):
        return _argument(value)
    group = list_of(_argument)(value)
    if not any(f"${{{OPTION_PREFIX}" in argument for argument in group):
        raise Unfit("a list within it names an option, and is left out where that is empty")
    return group


def _displays(value: object) -> tuple[int, int]:
    return number_range(value, LAST_DISPLAY)


def check_program(key: str, program: Argument, table: Table) -> None:
    """Refuse a first word of a command that the daemon's folder, or a client, would decide about."""
    if not isinstance(program, str):
        table.fault(key, "the program itself is no list")
        return
    try:
        named = set(names_in(program))
    except PlaceholderError:
        return  # told with the whole command
    if not program:
        table.fault(key, "a program is needed")
    elif named - {"python"}:
        table.fault(key, "the program itself may hold no placeholder but ${python}")
    elif "/" in program and not program.startswith(("/", "${python}")):
        table.fault(key, "the program is a name to be found on PATH, or an absolute path")


def _read_launched(kind: Kind, table: Table, options: dict[str, OptionType], templates: tuple[str, ...]) -> Launched:
    try:
        named = check(templates, options)
    except PlaceholderError as error:
        table.fault("command", str(error))
        named = frozenset({"port"})
    endpoint = _read_endpoint(kind, table, named)
    leases = tuple(lease for lease in LeaseKind if lease.value in named)
    for lease in LeaseKind:
        if lease not in leases and f"{lease.value}s" in table:
            table.fault(f"{lease.value}s", f"nothing asks for ${{{lease.value}}}")
    return Launched(endpoint, leases, _read_ready(table, endpoint))


def _read_endpoint(kind: Kind, table: Table, named: frozenset[str]) -> str:
    """Say what clients are carried to: what the command asks for, unless the operator says it."""
    asked = [place for place in ("port", "socket") if place in named]
    said = table.read("endpoint", matching("port|socket|stdio", "one of port, socket, stdio"), None)
    if said is None and len(asked) > 1:
        table.fault("endpoint", "is needed: the command asks for ${port} and for ${socket}")
    if said is None and not asked and kind not in STDIO_KINDS:
        table.fault("endpoint", "the command asks for neither ${port} nor ${socket}")
    if said in ("port", "socket") and said not in asked:
        table.fault("endpoint", f"nothing asks for ${{{said}}}")
    endpoint = said or (asked[0] if asked else "stdio")
    if kind is Kind.MESSAGES and endpoint != "stdio":
        table.fault("endpoint", "kind messages needs stdio")
    if endpoint == "stdio" and kind not in STDIO_KINDS and said == "stdio":
        table.fault("endpoint", f"kind {kind.value} can't be spoken over stdio")
    return endpoint


def _read_ready(table: Table, endpoint: str) -> Readiness:
    usual = Readiness(ReadyWhen.STARTED if endpoint == "stdio" else ReadyWhen.LISTENS)
    ready = table.read("ready", _readiness, usual)
    if endpoint == "stdio" and ready.when is not ReadyWhen.STARTED:
        table.fault("ready", f"{ready.when.value} contradicts endpoint stdio, which is ready once it is started")
    return ready


def _readiness(value: object) -> Readiness:
    word, colon, detail = value.partition(":") if isinstance(value, str) else ("", "", "")
    when = {member.value: member for member in ReadyWhen}.get(word)
    wants_detail = when in (ReadyWhen.LINE, ReadyWhen.HTTP)
    fits = wants_detail == bool(colon) == bool(detail) and "\n" not in detail
    if when is None or not fits or (when is ReadyWhen.HTTP and not detail.startswith("/")):
        raise Unfit("one of listens, line:TEXT, http:/PATH, report, started is needed")
    return Readiness(when, detail)


def read_env(table: Table) -> dict[str, str]:
    """Read the variables of a program, values with placeholders."""
    within = table.table("env")
    found = {}
    for key in within.written():
        found[key] = within.read(key, _argument, "")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key, re.ASCII):
            within.fault(key, "is no name of a variable")
        if OWN_VARIABLES.fullmatch(key):
            within.fault(key, "is set by sessiond itself")
    return found


def _read_rlimits(table: Table) -> Rlimits:
    within = table.table("rlimits")
    found: list[tuple[str, int]] = []
    for key in within.written():
        if key in RLIMIT_SIZES:
            found.append((key, within.read(key, size_bytes, 0)))
        elif key in RLIMIT_NUMBERS:
            found.append((key, within.read(key, whole(0, 2**31), 0)))
        elif key == "cpu":
            found.append((key, within.read(key, _cpu_seconds, 1)))
    within.done()
    return Rlimits(tuple(found))


def _cpu_seconds(value: object) -> int:
    limit_s = seconds(value)
    if limit_s < 1 or limit_s % 1:
        raise Unfit("whole seconds are needed")
    return int(limit_s)


def _read_warm(table: Table, launch: LaunchWhen) -> int:
    warm = table.read("warm", whole(1, MOST_WARM), 0)
    if launch is LaunchWhen.WARM and "warm" not in table:
        table.fault("warm", 'is needed with launch = "warm": how many instances stay ready')
    if launch is not LaunchWhen.WARM and "warm" in table:
        table.fault("warm", f'contradicts launch = "{launch.value}"')
    return warm
