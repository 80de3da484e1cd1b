"""Reads what a service says about its script."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve

from sessiond.config.limits import read_stop
from sessiond.config.options import read_any_options, read_options
from sessiond.config.programs import check_program, read_env, read_surroundings
from sessiond.config.table import Table, mapping, text
from sessiond.config.units import Unfit
from sessiond.core.services import DEFAULT_STOP, Readiness, ReadyWhen, Script, Service, Stop
from sessiond.core.values import Kind, StopStep
from sessiond.launchers.placeholders import PlaceholderError, check

OF_SCRIPTS = ("script", "common_options", "python")
SCRIPT_STOP = (Stop(StopStep.ASK, 30.0), *DEFAULT_STOP)
"""A script's own ``stop`` comes first: only it knows what it has started elsewhere."""

OF_COMMANDS = ("command", "ready", "endpoint", "ports", "displays", "framing", "frames")
"""Keys that mean nothing where a script starts the service and says where that listens."""

LEASED = frozenset({"port", "display", "socket"})


def read_script(service: Service, table: Table, folder: Path) -> Service:
    """Give the service with its script's part read from its table.

    :param folder: what the path of the script, and a file option's ``root``, begin at.
    """
    table.refuse(OF_COMMANDS, 'has no meaning with launcher = "script"')
    if service.kind is Kind.MESSAGES:
        table.fault("kind", "messages need a program's own input and output")
    path = table.need("script", text, "none.py")
    python = table.read("python", text, Script("").python)
    check_program("python", python, table)
    common_options = table.read("common_options", _common_options, {})
    any_options = read_any_options(table)
    env = read_env(table)
    surroundings = read_surroundings(service, table, folder)
    options = {} if any_options else read_options(table, folder)
    _check_templates(table, (*env.values(), surroundings.directory or ""), frozenset(options))
    return evolve(
        surroundings,
        script=Script(str(folder / path), common_options, python),
        options=options,
        any_options=any_options,
        env=env,
        ready=Readiness(ReadyWhen.STARTED),
        # Who listens there can't be seen: it may be on another host, or have left the tree.
        plan=evolve(surroundings.plan, stop=read_stop(table, SCRIPT_STOP), retry_dial=True),
    )


def _check_templates(table: Table, templates: tuple[str, ...], options: frozenset[str]) -> None:
    try:
        named = check(templates, options)
    except PlaceholderError as error:
        table.fault("env", str(error))
        return
    for name in sorted(named & LEASED):
        table.fault("env", f"${{{name}}} is nothing that a script gets: it takes its own, by its index")


def _common_options(value: object) -> Mapping[str, Any]:
    for name, one in mapping(value).items():
        _check_common(one, name)
    return mapping(value)


def _check_common(value: object, place: str) -> None:
    """Refuse what JSON can't say: dates and times, and numbers that are none."""
    if isinstance(value, dict):
        for name, one in value.items():
            _check_common(one, f"{place}.{name}")
    elif isinstance(value, list):
        for one in value:
            _check_common(one, place)
    elif not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise Unfit(f"{place} must be a text, a finite number, true, false, a list or a table of them")
