"""Reads the Genius2 dialect's part: its contexts, and how parties of each kind of file are launched."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from attrs import evolve

from sessiond.config.dialects import Genius2, PartyContext, PartyLauncher
from sessiond.config.limits import LONGEST_S
from sessiond.config.listeners import origin, public_url
from sessiond.config.table import Table, boolean, list_of, matching, one_of, text, whole
from sessiond.config.units import Unfit, seconds, size_bytes
from sessiond.config.values import Face, Listener
from sessiond.core.services import Catalogue, Framing, Pool

MOST_SLOTS = 10_000
LEAST_GRACE_S = 1.0
"""A protocol says that it is over 20 ms after its deadline, and only then closes."""

SUFFIX = re.compile(r"[a-z0-9]{1,16}", re.ASCII)
DURATIONS = (
    *("setup", "grace", "finish_wait", "exit_wait", "term_wait", "fallback_run", "max_run"),
    "run_wait",
)


def read_genius2(
    dialects: Table, folder: Path, catalogue: Catalogue, listeners: tuple[Listener, ...]
) -> tuple[Genius2 | None, Catalogue]:
    """Read ``[dialects.genius2]``, and give the catalogue with a pool for each of its contexts.

    :param folder: what relative folders begin at.
    """
    serving = [one for one in listeners if Face.GENIUS2 in one.serves]
    if "genius2" not in dialects:
        for listener in serving:
            dialects.faults.append(
                f"listeners.{listener.name}.serves: names genius2, but there is no [dialects.genius2]"
            )
        return None, catalogue
    table, found, pools = dialects.table("genius2"), list[PartyContext](), dict(catalogue.pools)
    taken: set[str] = set()
    for called, within in table.tables("contexts"):
        context = _read_context(called, within, folder)
        if context.pool in pools or context.pool in catalogue.services:
            within.fault("", f"{context.pool!r} is the name of another service or pool")
        for path in context.paths:
            if path in taken:
                within.fault("paths", f"{path!r} is another context's already")
            taken.add(path)
        pools[context.pool] = Pool(context.pool, context.slots)
        found.append(context)
    table.done()
    if not found:
        table.fault("contexts", "at least one is needed")
    if not serving:
        table.fault("", "is configured, but no listener serves genius2")
    return Genius2(tuple(found)), evolve(catalogue, pools=pools)


def _read_context(called: str, table: Table, folder: Path) -> PartyContext:
    usual = PartyContext(called, paths=(f"/{called}",), folder=folder, slots=os.cpu_count() or 1)
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", called, re.ASCII):
        table.fault("", "a name is needed: a lower-case letter, then letters, digits, dashes and underscores")
    found = evolve(
        usual,
        paths=table.read("paths", list_of(context_path), usual.paths),
        folder=folder / table.need("folder", text, "."),
        slots=table.read("slots", whole(1, MOST_SLOTS), usual.slots),
        allow_from=table.read("allow_from", list_of(network), usual.allow_from),
        trusted_proxies=table.read("trusted_proxies", list_of(network), usual.trusted_proxies),
        public_url=table.read("public_url", public_url, None),
        origins=table.read("allowed_origins", list_of(origin), ()),
        require_origin=table.read("require_origin", boolean, False),
        launchers=_read_launchers(table.table("launchers")),
        message_bytes=table.read("max_message", size_bytes, usual.message_bytes),
        description_characters=table.read("description_max", whole(1, 10_000), usual.description_characters),
        transcript=table.read("transcript", boolean, False),
        transcript_bytes=table.read("transcript_size", size_bytes, usual.transcript_bytes),
        **_read_durations(table, usual),
    )
    table.done()
    if not found.paths:
        table.fault("paths", "names nothing")
    if found.grace_s < LEAST_GRACE_S:
        table.fault("grace", "must be 1s at least: a protocol says that it is over only after its deadline")
    return found


def _read_durations(table: Table, usual: PartyContext) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for key in DURATIONS:
        field = f"{key}_s"
        read[field] = table.read(key, seconds, getattr(usual, field))
        if not 0 < read[field] <= LONGEST_S:
            table.fault(key, "a duration above zero is needed, ten years at most")
    return read


def _read_launchers(table: Table) -> Mapping[str, PartyLauncher]:
    found = {}
    for suffix in table.written():
        within = table.table(suffix)
        command = within.need("command", list_of(text), ("true",))
        framing = within.read("framing", one_of(Framing), Framing.LENGTH)
        env = within.table("env")
        variables = {key: env.read(key, text, "") for key in env.written()}
        within.done()
        if not SUFFIX.fullmatch(suffix) or suffix == "json":
            table.fault(
                suffix, "a suffix in lower case without its dot is needed; json is a descriptor's"
            )
        if not command:
            within.fault("command", "names nothing")
        found[suffix] = PartyLauncher(command or ("true",), framing, variables)
    return found


PATH = matching(r"(/[A-Za-z0-9._-]+)+", 'a path such as "/partiesserver-2.0.0", without a slash at its end,')


def context_path(value: object) -> str:
    """Read a context path; clients find it by cutting ``/run/PARTY`` off, so no part of it is ``run``."""
    found = PATH(value)
    parts = found.split("/")
    if "run" in parts or "." in parts or ".." in parts:
        raise Unfit("no part of a context path may be run, . or ..")
    return found


def network(value: object) -> IPv4Network | IPv6Network:
    """Read a network or an address."""
    try:
        return ip_network(text(value))
    except ValueError as error:
        raise Unfit(f'a network such as "192.0.2.0/24" is needed: {error}') from None
