"""The JSON of the native API: what of a service and of a session is shown. What is not named here stays inside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from sessiond.broker import Broker, Issued
from sessiond.core.options import LONGEST_PATH
from sessiond.core.services import Choice, File, Folders, Integer, OptionType, ReadyWhen, Service
from sessiond.core.session import Session
from sessiond.core.values import Kind, State
from sessiond.web.access import Face

Shape = dict[str, Any]


def service_shape(broker: Broker, service: Service) -> Shape:
    """Tell a service, and how its pool stands."""
    count, used, queued = broker.usage(service)
    return {
        "name": service.name,
        "title": service.title or None,
        "kind": service.kind.value,
        "count": count,
        "used": used,
        "queued": queued,
        "cause": broker.unfit(service),
        "any_options": service.any_options,
        "options": {name: option_shape(option) for name, option in service.options.items()},
    }


def option_shape(option: OptionType) -> Shape:
    """Tell what a caller may choose, in the words of the configuration."""
    if isinstance(option, Choice):
        return {"type": "choice", "of": list(option.of), "default": option.default}
    if isinstance(option, Integer):
        bounds = {"minimum": option.minimum, "maximum": option.maximum}
        return {"type": "integer", **bounds, "default": option.default}
    if isinstance(option, File):
        names = {"suffixes": list(option.suffixes), "max_length": LONGEST_PATH}
        return {"type": "file", **names, "optional": option.optional, "default": option.default}
    if isinstance(option, Folders):
        return {"type": "folders", "max_length": LONGEST_PATH, "default": option.default}
    limits = {"pattern": option.pattern, "max_length": option.max_length}
    return {"type": "pattern", **limits, "optional": option.optional, "default": option.default}


def session_shape(broker: Broker, session: Session) -> Shape:
    """Tell a session as everybody who sees it may know it: no secret stands in it."""
    now, service = broker.clock.now(), broker.catalogue.services.get(session.service)
    return {
        "id": session.id,
        "service": session.service,
        "kind": None if service is None else service.kind.value,
        "slot": session.slot,
        "owner": session.owner,
        "state": session.state.value,
        "step": None if session.step is None else session.step.value,
        "since": instant(session.since),
        "created_at": instant(session.created_at),
        "position": broker.queue_place(session),
        "eta_s": None,
        "waiting_for": waiting_for(session, service),
        "deadlines": deadlines_shape(session, now),
        "reported_at": None if session.reported_at is None else instant(session.reported_at),
        "suspect": session.suspect,
        "reason": None if session.reason is None else session.reason.value,
        "cause": session.cause or None,
        "exit": exit_shape(session),
    }


def deadlines_shape(session: Session, now: float) -> list[Shape]:
    """Tell what happens to a session unless something else happens first, the earliest first."""
    ordered = sorted(session.deadlines.items(), key=lambda pair: pair[1])
    return [{"name": d.value, "at": instant(at), "in_s": round(max(0.0, at - now), 1)} for d, at in ordered]


def exit_shape(session: Session) -> Shape | None:
    """Tell how the program ended, where somebody saw it."""
    if session.exit is None or not session.exit.known:
        return None
    return {"code": session.exit.code, "signal": session.exit.signal}


def instant(at: float) -> str:
    """Write epoch seconds as RFC 3339 does, in UTC and whole seconds."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


WAITING_FOR = ("slot", "client", "lease", "start", *(when.value for when in ReadyWhen))
"""Why a session is not ready yet: it waits for this."""


def waiting_for(session: Session, service: Service | None) -> str | None:
    """Say why a session is not ready yet: one of :data:`WAITING_FOR`, ``None`` where it is or never will be."""
    if session.state is State.QUEUED:
        return "slot"
    if session.state is State.RESERVED:
        return "client"
    if session.state is not State.LAUNCHING:
        return None
    if not session.started:
        return "lease" if session.plan.leases and not session.leases else "start"
    return None if service is None else service.ready.when.value


def tunnel_url(face: Face, host: str | None, secret: str, by: str = "token") -> str:
    """Give the URL that opens a session's tunnel; it holds the secret that does.

    :param host: the Host of the request, for a listener that has no ``public_url``.
    :param by: ``token`` or ``ticket``.
    """
    base = face.tunnel_base(host)
    return f"ws{base.removeprefix('http')}/tunnel?{by}={quote(secret, safe='')}"


def session_url(
    service: Service | None, face: Face, host: str | None, session_id: str, secret: str, by: str = "token"
) -> str | None:
    """Give the URL of a session's pages, or of its program's WebSocket; ``None`` where it has neither.

    :param secret: as :func:`tunnel_url`, and ``host`` and ``by`` too.
    """
    kind = None if service is None else service.kind
    if kind not in (Kind.HTTP, Kind.WEBSOCKET):
        return None
    if kind is Kind.HTTP:
        return f"{face.tunnel_base(host)}/session/{quote(session_id, safe='')}/?{by}={quote(secret, safe='')}"
    return socket_url(face, host, session_id, secret, by)


def socket_url(face: Face, host: str | None, session_id: str, secret: str, by: str = "token") -> str:
    """Give the URL of a WebSocket program's own WebSocket; the parameters are those of :func:`session_url`."""
    base = face.tunnel_base(host).removeprefix("http")
    return f"ws{base}/session/{quote(session_id, safe='')}/ws?{by}={quote(secret, safe='')}"


def ticket_shape(issued: Issued) -> Shape:
    """Tell a ticket to whoever asked for it."""
    return {
        "ticket": issued.ticket,
        "expires_at": instant(issued.expires_at),
        "expires_in_s": round(issued.expires_in_s, 1),
    }
