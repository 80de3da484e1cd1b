"""What is said to clients of this wire: one line of plain text over HTTP, a short reason where a socket closes."""

from __future__ import annotations

import math
import re

from sessiond.core.values import Reason
from sessiond.ports import Close
from sessiond.web.answers import Answer

PLAIN = {"Content-Type": "text/plain; charset=utf-8"}
_GAPS = re.compile(r"[\x00-\x20\x7f]+")


def plain(text: str, status: int = 200, **headers: str) -> Answer:
    """Answer one line, without a line end: clients take a URL as it stands."""
    return Answer(text.encode("utf-8", "replace"), status, {**PLAIN, **headers})


def retry_at(at_ms: int, now_ms: int) -> Answer:
    """Say when to ask again, in milliseconds since 1970; its last word is what clients read."""
    wait_s = math.ceil(max(0, at_ms - now_ms) / 1000)
    return plain(f"retry later at {at_ms}", 503, **{"Retry-After": str(wait_s)})


def cannot_start(name: str, why: str) -> Answer:
    """Say why a party can't be run. Clients ask again where they read ``retry later``, so it never stands here."""
    text = one_line(why).replace("retry later", "retry-later")
    return plain(f"cannot start {name}: {text}", 500)


def one_line(text: str) -> str:
    """Give a text as one line."""
    return _GAPS.sub(" ", text).strip()


def closed_for(reason: Reason | None, error: str, setup_s: float) -> Close:
    """Give the close code and the words for why a run ended.

    :param error: what the party said last of why it failed.
    """
    match reason:
        case Reason.FINISHED:
            return Close(1000, "finished")
        case Reason.EXITED:
            return Close(1000, "party left")
        case Reason.LIFETIME:
            return Close(1000, "deadline passed")
        case Reason.SETUP_TIMEOUT:
            return Close(1008, f"no Settings within {setup_s:g} s")
        case Reason.SHUTDOWN:
            return Close(1001, "server stopping")
        case Reason.CRASHED | Reason.LAUNCH_FAILED | Reason.LAUNCH_TIMEOUT | Reason.LOST:
            return Close(1011, one_line(f"party failed: {error}"))
        case Reason.RELEASED:
            return Close(1001, "ended by the operator")
    return Close(1000, "over" if reason is None else reason.value)
