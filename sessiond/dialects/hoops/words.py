"""What is said to HOOPS' clients: why a spawn failed, and how a session stands, in the words of this wire."""

from __future__ import annotations

import errno
import math
import os
import signal
from collections.abc import Mapping

from sessiond.core.errors import Code, Refused
from sessiond.core.session import Session
from sessiond.core.values import Reason, State, StopStep
from sessiond.web.outcomes import refusal_of

EXITS: Mapping[int, str] = {
    0: "it ended before it was ready",
    1: "unexpected exit",
    2: "bad command line",
    3: "internal error",
    4: "stream cache set-up failed",
    5: "curl set-up failed",
    6: "invalid licence",
    7: "invalid licence file",
    8: "service respawn failed",
    9: "no exit code from service respawn",
}
"""What the program means by its exit codes (spec 2.2)."""

STEPS: Mapping[StopStep, str] = {
    StopStep.DRAIN: "disconnected",
    StopStep.ASK: "disconnected",
    StopStep.TERM: "nice-killed",
    StopStep.KILL: "killed",
    StopStep.STUCK: "zombie",
}
STATES = ("launching", "ready", "suspect", "disconnected", "nice-killed", "killed", "zombie", "dead")
"""The names that this wire has for how a session stands (spec 3.3)."""

STATUSES: Mapping[Code, int] = {
    Code.BAD_OPTION: 403,
    Code.UNKNOWN_SERVICE: 403,
    Code.LAUNCH_FAILED: 500,
    Code.CANNOT_START: 500,
}
"""The statuses that differ from the usual (spec 4.3)."""

REASONS: Mapping[Code, str] = {
    Code.FULL: "No ports available",
    Code.CANNOT_START: "launch failed: the service can't be started as it is set up",
    Code.LAUNCH_TIMEOUT: "launch failed: the program was not ready in time",
    Code.UNKNOWN_SERVICE: "this kind of viewer is not offered here",
    Code.INTERNAL: "internal error, see the server's log",
}
"""What is said in place of details: an operator's paths are nothing for clients."""


class NotSpawned(Refused):
    """A session was made, and ended before its program was ready.

    :ivar session_id: whose output may say more.
    """

    def __init__(self, refused: Refused, session_id: str) -> None:
        super().__init__(refused.code, refused.detail, refused.retry_after_s)
        self.session_id = session_id


def status_of(refused: Refused) -> int:
    """Give the status that a refusal really has."""
    return STATUSES.get(refused.code, refused.shape.http)


def reason_of(refused: Refused) -> str:
    """Say in one line why."""
    return REASONS.get(refused.code) or refused.detail or refused.shape.title


def retry_after(refused: Refused) -> dict[str, str]:
    """Give the header that says when to ask again, where that is known (RFC 9110 section 10.2.3: whole seconds)."""
    wait_s = refused.retry_after_s
    return {} if wait_s is None else {"Retry-After": str(max(1, math.ceil(wait_s)))}


def failure_of(session: Session) -> NotSpawned:
    """Say why a session gave no viewer."""
    refused = refusal_of(session)
    if refused.code is Code.LAUNCH_FAILED:
        refused = Refused(refused.code, f"launch failed: {why(session)}")
    elif session.reason is Reason.CALLER_GONE:
        refused = Refused(Code.NOT_ACCEPTING, "the session was taken back")
    return NotSpawned(refused, session.id)


def why(session: Session) -> str:
    """Say what a launch failed with: an exit, a signal, or the name of a system error, and never a path."""
    exit_ = session.exit
    if exit_ is not None and exit_.signal is not None:
        return f"ended by signal {_signal(exit_.signal)}"
    if exit_ is not None and exit_.code is not None:
        return f"{EXITS.get(exit_.code, 'unexpected exit')}, exit-code={exit_.code}"
    return _error_name(session.cause) or ("it could not be started" if "/" in session.cause else session.cause)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _error_name(cause: str) -> str | None:
    """Give the name of the system error that a cause speaks of."""
    if cause.startswith("command not found"):
        return "ENOENT"
    if cause.startswith("command not executable"):
        return "EACCES"
    names = (name for number, name in errno.errorcode.items() if cause.endswith(os.strerror(number)))
    return next(names, None)


def state_of(session: Session) -> str:
    """Name how a session stands, as this wire does."""
    match session.state:
        case State.QUEUED | State.RESERVED | State.LAUNCHING:
            return "launching"
        case State.READY | State.CONNECTED:
            return "suspect" if session.suspect else "ready"
        case State.STOPPING:
            return STEPS[session.step or StopStep.KILL]
        case State.ENDED:
            return "dead"
