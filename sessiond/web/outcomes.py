"""How a session that ended before it was ready is told to the caller who waited for it."""

from __future__ import annotations

import zlib

from sessiond.core.errors import SHAPES, Code, Refused
from sessiond.core.session import Session
from sessiond.core.values import Reason
from sessiond.ports import Close

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
    return Refused(code, detail).later(fraction_of(session.id))


TOLD = (Code.SHUTTING_DOWN, Code.LAUNCH_FAILED, Code.LAUNCH_TIMEOUT, Code.ALREADY_CONNECTED)
UNANSWERED = {SHAPES[code].close: code for code in TOLD}
"""What it means that a client is cut with this code before its program has answered; else it can't be reached."""


def refusal_of_cut(close: Close) -> Refused:
    """Say why a client that was let in gets no answer of its program's."""
    return Refused(UNANSWERED.get(close.code, Code.UNREACHABLE), close.text)


def fraction_of(session_id: str) -> float:
    """Give a number from 0 to 1 that differs from session to session: its id's random letters are enough for that."""
    return zlib.crc32(session_id.encode()) / 0xFFFFFFFF
