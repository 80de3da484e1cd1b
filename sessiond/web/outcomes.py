"""How a session that ended before it was ready is told to the caller who waited for it."""

from __future__ import annotations

import zlib

from sessiond.core.errors import Code, Refused
from sessiond.core.session import Session
from sessiond.core.values import Reason

CODES: dict[Reason, Code] = {
    Reason.LAUNCH_FAILED: Code.LAUNCH_FAILED,
    Reason.LAUNCH_TIMEOUT: Code.LAUNCH_TIMEOUT,
    Reason.NO_PORT: Code.FULL,
    Reason.QUEUE_TIMEOUT: Code.FULL,
    Reason.SHUTDOWN: Code.SHUTTING_DOWN,
}
"""What a reason is as a refusal; any other means that somebody ended the session meanwhile."""


def refusal_of(session: Session) -> Refused:
    """Say why a caller gets no ready session."""
    reason = session.reason or Reason.RELEASED
    code = CODES.get(reason, Code.NOT_ACCEPTING)
    detail = session.cause or f"the session has ended: {reason.value}"
    return Refused(code, detail, spread_s(session.id) if code is Code.FULL else None)


def spread_s(session_id: str) -> float:
    """Give a number of seconds from 1 to 5 that differs from session to session.

    Those who were turned away together do not come back together. The id's own random letters are enough for that.
    """
    return round(1.0 + 4.0 * zlib.crc32(session_id.encode()) / 0xFFFFFFFF, 1)
