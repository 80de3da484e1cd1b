"""Errors with a side and a code: one table says what each becomes over HTTP and over a WebSocket."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from attrs import frozen

from sessiond.core.values import Reason


class Side(Enum):
    """Whose fault an error is."""

    THEIRS = "theirs"
    OURS = "ours"


class Code(Enum):
    """Every refusal and failure that a client can be told; the value is stable."""

    BAD_REQUEST = "bad-request"
    BAD_OPTION = "bad-option"
    NO_SESSION_NAMED = "no-session-named"
    UNAUTHENTICATED = "unauthenticated"
    EXPIRED = "expired"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    UNKNOWN_SERVICE = "unknown-service"
    UNKNOWN_SESSION = "unknown-session"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    ALREADY_CONNECTED = "already-connected"
    NOT_ACCEPTING = "not-accepting"
    TOO_LARGE = "too-large"
    TOO_SLOW = "too-slow"
    UNSUPPORTED = "unsupported"
    BAD_RANGE = "bad-range"
    QUOTA = "quota"
    FULL = "full"
    LAUNCH_FAILED = "launch-failed"
    LAUNCH_TIMEOUT = "launch-timeout"
    UNREACHABLE = "unreachable"
    SUSPENDED = "suspended"
    CANNOT_START = "cannot-start"
    STORE_UNAVAILABLE = "store-unavailable"
    SHUTTING_DOWN = "shutting-down"
    INTERNAL = "internal"


@frozen
class Shape:
    """How a code looks outside: HTTP status, WebSocket close code, and a title for people."""

    side: Side
    http: int
    close: int
    title: str


SHAPES: dict[Code, Shape] = {
    Code.BAD_REQUEST: Shape(Side.THEIRS, 400, 4400, "The request can't be understood"),
    Code.BAD_OPTION: Shape(Side.THEIRS, 400, 4400, "An option is unknown or has a value that is not allowed"),
    Code.NO_SESSION_NAMED: Shape(Side.THEIRS, 400, 4400, "The request names no session"),
    Code.UNAUTHENTICATED: Shape(Side.THEIRS, 401, 4401, "A valid token is needed"),
    Code.EXPIRED: Shape(Side.THEIRS, 401, 4401, "The token is no longer valid"),
    Code.FORBIDDEN: Shape(Side.THEIRS, 403, 4403, "This caller may not do that"),
    Code.NOT_FOUND: Shape(Side.THEIRS, 404, 4404, "There is nothing here"),
    Code.UNKNOWN_SERVICE: Shape(Side.THEIRS, 404, 4404, "There is no such service"),
    Code.UNKNOWN_SESSION: Shape(Side.THEIRS, 404, 4404, "There is no such session"),
    Code.METHOD_NOT_ALLOWED: Shape(Side.THEIRS, 405, 4400, "This method is not offered here"),
    Code.ALREADY_CONNECTED: Shape(Side.THEIRS, 409, 4409, "The session already has all its clients"),
    Code.NOT_ACCEPTING: Shape(Side.THEIRS, 409, 4410, "The session does not accept this in its present state"),
    Code.TOO_LARGE: Shape(Side.THEIRS, 413, 1009, "The request is too large"),
    Code.TOO_SLOW: Shape(Side.THEIRS, 408, 4008, "The request came too slowly"),
    Code.UNSUPPORTED: Shape(Side.THEIRS, 415, 1003, "This form of content is not understood"),
    Code.BAD_RANGE: Shape(Side.THEIRS, 416, 4400, "The file has no bytes in this range"),
    Code.QUOTA: Shape(Side.THEIRS, 429, 4029, "This caller has as many as it may have"),
    Code.FULL: Shape(Side.OURS, 503, 4503, "All places are taken"),
    Code.LAUNCH_FAILED: Shape(Side.OURS, 502, 4503, "The program could not be started"),
    Code.LAUNCH_TIMEOUT: Shape(Side.OURS, 504, 4504, "The program was not ready in time"),
    Code.UNREACHABLE: Shape(Side.OURS, 502, 4502, "The program can't be reached"),
    Code.SUSPENDED: Shape(Side.OURS, 503, 4503, "The service fails again and again and is suspended for a while"),
    Code.CANNOT_START: Shape(Side.OURS, 503, 4503, "The service can't be started as it is set up"),
    Code.STORE_UNAVAILABLE: Shape(Side.OURS, 503, 1011, "Nothing can be recorded at the moment"),
    Code.SHUTTING_DOWN: Shape(Side.OURS, 503, 1001, "The daemon is stopping"),
    Code.INTERNAL: Shape(Side.OURS, 500, 1011, "Something failed inside"),
}

LATER_S: dict[Code, tuple[float, float]] = {
    Code.QUOTA: (2.0, 10.0),
    Code.FULL: (1.0, 5.0),
    Code.SUSPENDED: (0.0, 2.0),
    Code.STORE_UNAVAILABLE: (2.0, 8.0),
    Code.SHUTTING_DOWN: (5.0, 15.0),
}
"""The refusals that time mends, with the seconds after which to ask again: at the least, and at the most.

Callers are told something in between, each something else: those who were turned away together must not come back
together.
"""

CLOSE_CODES: dict[Reason, int] = {
    Reason.RELEASED: 4410,
    Reason.CALLER_GONE: 4410,
    Reason.FINISHED: 4500,
    Reason.EXITED: 4500,
    Reason.CRASHED: 4500,
    Reason.LAUNCH_FAILED: 4503,
    Reason.NO_PORT: 4503,
    Reason.LAUNCH_TIMEOUT: 4504,
    Reason.QUEUE_TIMEOUT: 4401,
    Reason.RESERVATION_EXPIRED: 4401,
    Reason.SETUP_TIMEOUT: 4401,
    Reason.UNUSED: 4401,
    Reason.LINGERED: 4401,
    Reason.IDLE: 4401,
    Reason.LIFETIME: 4401,
    Reason.HEARTBEAT_LOST: 4500,
    Reason.LOST: 4500,
    Reason.SHUTDOWN: 1001,
}
"""The close code that a session's reason has on its tunnels."""


PROBLEM_TYPE = "urn:sessiond:problem:"
"""What ``type`` of a problem document begins with; it names the code, and nobody need fetch it (RFC 9457 section
3.1.1)."""


class Refused(Exception):
    """A request that is not granted; ``detail`` is safe to show to whoever asked.

    :ivar retry_after_s: seconds after which asking again makes sense, where that is known.
    """

    def __init__(self, code: Code, detail: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(code.value, detail)
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s

    def later(self, fraction: float) -> Refused:
        """Give the same refusal with the seconds after which to ask again, where time mends it.

        What the refusal says of that itself, such as how long a service is suspended yet, comes on top.

        :param fraction: from 0 to 1, different for each caller.
        """
        if self.code not in LATER_S:
            return self
        least, most = LATER_S[self.code]
        wait_s = (self.retry_after_s or 0.0) + least + (most - least) * fraction
        return Refused(self.code, self.detail, round(wait_s, 1))

    @property
    def shape(self) -> Shape:
        """How this refusal looks outside."""
        return SHAPES[self.code]

    def document(self) -> dict[str, object]:
        """Give it as a problem document (RFC 9457)."""
        found: dict[str, object] = {
            "type": PROBLEM_TYPE + self.code.value,
            "title": self.shape.title,
            "status": self.shape.http,
            "code": self.code.value,
        }
        if self.detail:
            found["detail"] = self.detail
        if self.retry_after_s is not None:
            found["retry_after_s"] = self.retry_after_s
        return found


REPEATED_CHARACTERS = 23
"""The longest name of a client's own that a refusal repeats: what is longer could be a secret in the wrong place."""


def repeated(name: str) -> str:
    """Repeat a name that a client has sent, for a refusal's detail."""
    return repr(name) if len(name) <= REPEATED_CHARACTERS else f"of {len(name)} characters"


def last_error(lines: Sequence[str], otherwise: str = "") -> str:
    """Give the last unindented line of a program's output: the exception itself, in Python and in Java."""
    unindented = (line.strip() for line in reversed(lines) if line.strip() and not line[0].isspace())
    return next(unindented, otherwise)


class NoTransition(Exception):
    """An event came that can't happen in the session's state: a defect of ours, never a client's."""


class StoreError(Exception):
    """The store could not keep what it was given; nothing of it was kept."""


class BusError(Exception):
    """Nobody has taken an event."""


class ConfigError(Exception):
    """The configuration says something that can't be; the text names the place."""
