"""What is said to Nexus' clients: a browser there shows nothing but the reason phrase, so that carries the cause."""

from __future__ import annotations

import math
import re
from http import HTTPStatus

from attrs import frozen

from sessiond.core.errors import Code, Refused
from sessiond.web.answers import Answer

PHRASE_CHARACTERS = 120
CLOSE_TEXT_BYTES = 123
"""RFC 6455 section 5.5: what a close frame holds beside its code."""

CANNOT_START_S = 60.0
STOPPING_S = 5.0
FULL_S = 30.0
"""After how many seconds to ask again where no reservation runs out before."""

STOPPING = "Server is stopping"
_GAPS = re.compile(r"[\x00-\x20\x7f]+")


@frozen
class Wrong:
    """One refusal as this wire has it.

    :ivar error: a stable word for programs; ``message`` is for people, and may hold what a client has sent.
    """

    status: int
    error: str
    message: str
    retry_after_s: float | None = None

    def answer(self) -> Answer:
        """Make the answer, with the message as its reason phrase too."""
        message = phrase(self.message)
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = 'Bearer realm="nexus"'  # RFC 9110 section 11.6.1: a 401 must name a way in
        return Answer({"error": self.error, "message": message}, self.status, headers, message)


UNAUTHORIZED = Wrong(401, "security_token", "Security token missing or wrong")
NO_SUCH_CALL = Wrong(404, "unknown_call", "No such API call")
NO_STOP = Wrong(403, "forbidden", "This server is not stopped from here")
INTERNAL = Wrong(500, "internal_error", "Internal error, see server log")
IS_STOPPING = Wrong(503, "stopping", STOPPING, STOPPING_S)


def unknown_service(name: str) -> Wrong:
    """Say that there is no such service."""
    return Wrong(404, "unknown_service", f"Unknown service: {name}")


def wrong(refused: Refused, name: str, count: int, free_in_s: float | None) -> Wrong:
    """Say why a service gives no session.

    :param count: how many places it has.
    :param free_in_s: after how many seconds the earliest reservation that nobody uses runs out, if there is one.
    """
    match refused.code:
        case Code.UNKNOWN_SERVICE:
            return unknown_service(name)
        case Code.FULL | Code.QUOTA:
            message = f"All {count} {name} sessions are in use"
            return Wrong(503, "no_free_slot", message, FULL_S if free_in_s is None else free_in_s)
        case Code.SUSPENDED | Code.CANNOT_START:
            cause = refused.detail or refused.shape.title
            return Wrong(503, "cannot_start", f"{name} cannot start: {cause}", refused.retry_after_s or CANNOT_START_S)
        case Code.SHUTTING_DOWN:
            return IS_STOPPING
        case Code.BAD_OPTION | Code.BAD_REQUEST:
            return Wrong(400, "bad_request", refused.detail or refused.shape.title)
        case Code.INTERNAL:
            return INTERNAL
    return Wrong(503, refused.code.value.replace("-", "_"), refused.shape.title, refused.retry_after_s)


def phrase(text: str) -> str:
    """Make a reason phrase: plain ASCII on one line, not too long (RFC 9112 section 4)."""
    plain = _GAPS.sub(" ", text.encode("ascii", "replace").decode("ascii")).strip()
    return plain if len(plain) <= PHRASE_CHARACTERS else plain[: PHRASE_CHARACTERS - 3] + "..."


def close_text(text: str) -> str:
    """Make the text of a close frame: one line, as long as the frame has room."""
    line = _GAPS.sub(" ", text).strip()
    return line.encode("utf-8", "replace")[:CLOSE_TEXT_BYTES].decode("utf-8", "ignore")
