"""What is read of a client's messages, on a copy: when a run is to end, and that it is over."""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Any

from attrs import frozen

FIRST = re.compile(rb'\s*\{\s*"(Settings|Finished)"\s*:')
FIRST_BYTES = 256
"""How far into a message its type is looked for."""
READ_BYTES = 1 << 20
"""``Settings`` longer than this are passed on unread."""

STARTING = ("time", "ProgressTime")
ENDING = ("rounds", "ProgressRounds")
"""The progress types by their names in the two JSON dialects: what tells its start and length, and what its end."""


class Inform(Enum):
    """The messages that mean something to the server."""

    SETTINGS = "Settings"
    FINISHED = "Finished"


@frozen
class Progress:
    """What ``Settings`` say of the end.

    :ivar key: the progress type's name, which tells the JSON dialect; empty where there is none.
    :ivar end_ms: when the run ends, in milliseconds since 1970 by the client's clock; ``None`` where that is not told.
    :ivar known: whether the type is one that the protocol has.
    """

    key: str = ""
    end_ms: int | None = None
    known: bool = False


def inform_of(message: bytes) -> Inform | None:
    """Say which of those a client's message is, by its first bytes; ``None`` for every other."""
    found = FIRST.match(message[:FIRST_BYTES])
    return None if found is None else Inform(found[1].decode())


def read_progress(message: bytes) -> Progress | None:
    """Read the progress of ``Settings``; ``None`` where they are no JSON, or have no object to read it from."""
    try:
        found = json.loads(message) if len(message) <= READ_BYTES else None
    except (ValueError, RecursionError):
        return None
    settings = found.get("Settings") if isinstance(found, dict) else None
    if not isinstance(settings, dict):
        return None
    progress = settings.get("progress")
    if not isinstance(progress, dict) or len(progress) != 1:
        return Progress()
    [(key, terms)] = progress.items()
    terms = terms if isinstance(terms, dict) else {}
    if key in STARTING:
        return Progress(key, _started(terms), known=True)
    if key in ENDING:
        return Progress(key, _whole(terms.get("endtime")), known=True)
    started = _started(terms)
    return Progress(key, _whole(terms.get("endtime")) if started is None else started)


def _started(terms: dict[str, Any]) -> int | None:
    start, duration = _whole(terms.get("start")), _whole(terms.get("duration"))
    return None if start is None or duration is None else start + duration


def _whole(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if abs(value) < 1 << 53 else None
