"""Reads the wslink dialect's part: the applications that the daemon itself serves, and its launchers."""

from __future__ import annotations

import re
from pathlib import Path

from sessiond.config.dialects import LinkLauncher, RpcApplication, Wslink
from sessiond.config.endpoints import described
from sessiond.config.launcher import LauncherFile, Terms, endpoint, read_launcher
from sessiond.config.listeners import origin
from sessiond.config.programs import VARIABLE
from sessiond.config.table import Table, boolean, list_of, matching, name, text, whole
from sessiond.config.units import Unfit
from sessiond.config.values import Face, Listener
from sessiond.core.services import Catalogue

DEFAULT_SECRET = "wslink-secret"  # noqa: S105 - no secret: clients say it that were told nothing
LEAST_SECRET = 16
KEPT = ("proxy", "api")
"""Paths at which the dialect lets clients in to what a launcher has started."""
PATH = matching(r"(/[A-Za-z0-9._-]+)+", 'a path such as "/ws", without a slash at its end,')
APPLICATION = matching(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", 'MODULE:CLASS, such as "viewer.app:Viewer",')


def read_wslink(
    dialects: Table, folder: Path, catalogue: Catalogue, listeners: tuple[Listener, ...]
) -> tuple[Wslink | None, Catalogue]:
    """Read ``[dialects.wslink]``, and give the catalogue with what its launchers offer.

    :param folder: what relative paths in it begin at.
    """
    serving = [one for one in listeners if Face.WSLINK in one.serves]
    if "wslink" not in dialects:
        for listener in serving:
            dialects.faults.append(f"listeners.{listener.name}.serves: names wslink, but there is no [dialects.wslink]")
        return None, catalogue
    table, found, taken = dialects.table("wslink"), list[RpcApplication](), set[str]()
    for called, within in table.tables("applications"):
        application = _read_application(called, within, serving)
        if application.path in taken:
            within.fault("path", f"{application.path!r} is another application's already")
        taken.add(application.path)
        found.append(application)
    launchers = list[LinkLauncher]()
    for called, within in table.tables("launchers"):
        read = _read_launcher(called, within, folder)
        if read is None:
            continue
        for path in read.launcher.endpoints:
            if f"/{path}" in taken or path in KEPT:
                within.fault("file", f"/{path} is taken already")
            taken.add(f"/{path}")
        launchers.append(read.launcher)
        catalogue = read.offered(catalogue)
    table.done()
    if not found and not launchers:
        table.fault("", "applications or launchers are needed")
    if not serving:
        table.fault("", "is configured, but no listener serves wslink")
    return Wslink(tuple(found), tuple(launchers)), catalogue


def _read_launcher(called: str, table: Table, folder: Path) -> LauncherFile | None:
    try:
        name(called)
    except Unfit as unfit:
        table.fault("", str(unfit))
    usual = Terms(called)
    file = table.need("file", text, "")
    terms = Terms(
        called,
        aliases=table.read("aliases", list_of(endpoint), ()),
        status=table.read("status", boolean, False),
        origins=table.read("origins", list_of(origin), ()),
        strict=table.read("strict", boolean, False),
        mapping_mode=table.read("mapping_mode", _mode, usual.mapping_mode),
        pass_env=table.read("pass_env", list_of(VARIABLE), usual.pass_env),
    )
    table.done()
    return read_launcher(folder / file, terms, table.faults) if file else None


def _mode(value: object) -> int:
    if not isinstance(value, str) or re.fullmatch(r"0?[0-7]{3}", value, re.ASCII) is None:
        raise Unfit('a mode such as "0644" is needed')
    return int(value, 8)


def _read_application(called: str, table: Table, serving: list[Listener]) -> RpcApplication:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", called, re.ASCII):
        table.fault("", "a name is needed: a lower-case letter, then letters, digits, dashes and underscores")
    known = table.read("default_secret", boolean, False)
    secret = table.read("secret", text, DEFAULT_SECRET if known else "")
    if not known and len(secret) < LEAST_SECRET:  # which the default is, too
        table.fault("secret", f"{LEAST_SECRET} characters are needed at least, or default_secret = true on loopback")
    if known and not all(described(listener.endpoint, Path("/")).local for listener in serving):
        table.fault("default_secret", "only on loopback, since everybody knows it")
    if not table.read("non_blocking", boolean, False):
        table.fault("non_blocking", "must be true: it says that no method keeps the daemon from its work")
    found = RpcApplication(
        name=called,
        application=table.need("application", APPLICATION, "nothing:Nothing"),
        path=table.read("path", PATH, "/ws"),
        secret=secret,
        origins=table.read("origins", list_of(origin), ()),
        auth_bytes=table.read("auth_max_bytes", whole(64, 1 << 20), 512),
        debug=table.read("debug", boolean, False),
    )
    table.done()
    return found
