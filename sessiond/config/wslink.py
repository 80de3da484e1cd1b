"""Reads the wslink dialect's part: the applications that the daemon itself serves."""

from __future__ import annotations

import re
from pathlib import Path

from sessiond.config.dialects import RpcApplication, Wslink
from sessiond.config.endpoints import described
from sessiond.config.listeners import origin
from sessiond.config.table import Table, boolean, list_of, matching, text, whole
from sessiond.config.values import Face, Listener

DEFAULT_SECRET = "wslink-secret"  # noqa: S105 - no secret: clients say it that were told nothing
LEAST_SECRET = 16
PATH = matching(r"(/[A-Za-z0-9._-]+)+", 'a path such as "/ws", without a slash at its end,')
APPLICATION = matching(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", 'MODULE:CLASS, such as "viewer.app:Viewer",')


def read_wslink(dialects: Table, listeners: tuple[Listener, ...]) -> Wslink | None:
    """Read ``[dialects.wslink]``."""
    serving = [one for one in listeners if Face.WSLINK in one.serves]
    if "wslink" not in dialects:
        for listener in serving:
            dialects.faults.append(f"listeners.{listener.name}.serves: names wslink, but there is no [dialects.wslink]")
        return None
    table, found, taken = dialects.table("wslink"), list[RpcApplication](), set[str]()
    for called, within in table.tables("applications"):
        application = _read_application(called, within, serving)
        if application.path in taken:
            within.fault("path", f"{application.path!r} is another application's already")
        taken.add(application.path)
        found.append(application)
    table.done()
    if not found:
        table.fault("applications", "at least one is needed")
    if not serving:
        table.fault("", "is configured, but no listener serves wslink")
    return Wslink(tuple(found))


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
