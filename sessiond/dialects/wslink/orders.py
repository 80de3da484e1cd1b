"""What clients of a launcher ask for, read, and what they are told of their session: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.logger import Logger

from sessiond.config import LaunchedApp, LinkLauncher
from sessiond.core.errors import Code, Refused, repeated
from sessiond.core.options import check
from sessiond.core.services import Pattern
from sessiond.core.session import Session
from sessiond.core.values import LeaseKind

INCOMPLETE = "The request is not complete"
MANAGER_URL = "sessionManagerURL"
"""What a client that sends it is told again."""

Told = dict[str, object]

log = Logger()


def app_of(launcher: LinkLauncher, found: Mapping[str, Any]) -> tuple[str, LaunchedApp]:
    """Say which application a client wants.

    :raises Refused: ``bad-request``: none, or none that there is.
    """
    called = found.get("application")
    if called is None:
        raise Refused(Code.BAD_REQUEST, INCOMPLETE)
    app = launcher.apps.get(called) if isinstance(called, str) else None
    if app is None:
        raise Refused(Code.BAD_REQUEST, f"there is no application {repeated(str(called))}")
    return str(called), app


def options_of(launcher: LinkLauncher, app: LaunchedApp, found: Mapping[str, Any]) -> dict[str, str]:
    """Read the fields of a client's body that its application makes use of; what else is there counts for nothing.

    :raises Refused: ``bad-request``: a field is no text or number, or one that no rule names where rules are strict.
    """
    given = {name: found[name] for name in app.fields if found.get(name) is not None}
    return {name: _option(launcher, name, value) for name, value in given.items()}


def _option(launcher: LinkLauncher, name: str, value: object) -> str:
    if not isinstance(value, str | int | float):
        raise Refused(Code.BAD_REQUEST, f"{repeated(name)}: a text or number is needed")
    rule = launcher.rules.get(name)
    if rule is None:
        if launcher.strict:
            raise Refused(Code.BAD_REQUEST, f"{repeated(name)}: nothing says what may stand in this field")
        return str(value)
    if isinstance(rule.allowed, Pattern) and not isinstance(value, str):
        raise Refused(Code.BAD_REQUEST, f"{repeated(name)}: a text is needed")
    try:
        check(name, rule.allowed, str(value))
    except Refused:
        log.info("the field {name} has its default in place of what a client said", name=name)
        return rule.default
    return str(value)


def told_of(
    launcher: LinkLauncher, session: Session, found: Mapping[str, Any] | None = None, secret: str | None = None
) -> Told:
    """Say what a client may know of its session.

    :param found: its body; ``None`` where it asks for a session that is there.
    :param secret: what its program wants to hear, if anything.
    """
    called, app = next((name, app) for name, app in launcher.apps.items() if session.service in app.services)
    chosen = {name: value for name, value in session.options.items() if value != app.fields.get(name)}
    known: Told = {
        name: value for name, value in (found or {}).items() if name in chosen and chosen[name] == str(value)
    }
    server: Told = {
        "id": session.id,
        "host": app.services[session.service],
        "port": port_of(session),
        "application": called,
    }
    words = {name: str(value) for name, value in {**chosen, **launcher.names, **server}.items()}
    words |= {} if secret is None else {"secret": secret}
    words["sessionURL"] = launcher.session_url.filled(words)
    data = {name: template.filled(words) for name, template in launcher.data.items()}
    everything: Told = {**chosen, **known, **data, **server, "sessionURL": words["sessionURL"]}
    told = {name: value for name, value in everything.items() if name in launcher.told or name in ("id", "sessionURL")}
    if found and isinstance(found.get(MANAGER_URL), str):
        told[MANAGER_URL] = found[MANAGER_URL]
    return told if secret is None else {**told, "secret": secret}


def port_of(session: Session) -> int | None:
    """Give the port of a session's program; ``None`` where it has none yet."""
    return next((lease.number for lease in session.leases if lease.kind is LeaseKind.PORT), None)
