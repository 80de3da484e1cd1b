"""Events as CloudEvents 1.0 in JSON (JSON Event Format 3): what leaves the daemon, and what others send."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sessiond.core.facts import CloudEvent, StoredFact

VERSION = "1.0"
CONTENT_TYPE = "application/cloudevents+json"
TYPE_PREFIX = "sessiond."
"""What stands before the name of a fact in the type of its event: types are to be unique among all producers."""

LONGEST_WORD = 256
"""How many characters an id, source, type or subject of somebody else's event may have."""
EXTENSION = re.compile(r"[a-z0-9]{1,20}", re.ASCII)
OWN_WORDS = ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data")


class NoEvent(ValueError):
    """What came is no event; the text says why and repeats nothing of it."""


def of_fact(stored: StoredFact, epoch: str, source: str) -> CloudEvent:
    """Make the event of a saved fact.

    :param epoch: of the history that its offset counts in.
    :param source: which daemon it comes from, a URI reference such as ``/sessiond/0``.
    """
    fact = stored.fact
    data = {"service": fact.service, "owner": fact.owner or None, "version": fact.version, **fact.data}
    return CloudEvent(
        id=f"{epoch}-{stored.offset}",
        source=source,
        type=TYPE_PREFIX + fact.type.value,
        subject=fact.session_id,
        time=fact.at,
        data=data,
        extensions={"epoch": epoch, "offset": stored.offset},
    )


def encode(event: CloudEvent) -> bytes:
    """Write an event as JSON text in UTF-8."""
    found: dict[str, Any] = {"specversion": VERSION, "id": event.id, "source": event.source, "type": event.type}
    if event.subject is not None:
        found["subject"] = event.subject
    if event.time is not None:
        found["time"] = _instant(event.time)
    found |= event.extensions
    if event.data is not None:
        found |= {"datacontenttype": "application/json", "data": event.data}
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def decode(body: bytes) -> CloudEvent:
    """Read an event from JSON text.

    :raises NoEvent: it is none.
    """
    try:
        found = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise NoEvent("no JSON") from None
    return read(found)


def read(found: object) -> CloudEvent:
    """Read an event from what JSON gave.

    :raises NoEvent: it is none.
    """
    if not isinstance(found, dict):
        raise NoEvent("no object")
    if found.get("specversion") != VERSION:
        raise NoEvent("specversion is not 1.0")
    words = {name: _word(found, name) for name in ("id", "source", "type")}
    subject = None if found.get("subject") is None else _word(found, "subject")
    extensions = {name: value for name, value in found.items() if name not in (*OWN_WORDS, "data_base64")}
    for name, value in extensions.items():
        if EXTENSION.fullmatch(name) is None or not isinstance(value, str | int | bool):
            raise NoEvent("an attribute that may not be")
    return CloudEvent(
        **words, subject=subject, time=_time(found.get("time")), data=found.get("data"), extensions=extensions
    )


def _word(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_WORD or not value.isprintable():
        raise NoEvent(f"{name} is no text of 1 to {LONGEST_WORD} characters")
    return value


def _time(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise NoEvent("time is no text")
    try:
        read_ = datetime.fromisoformat(value)
    except ValueError:
        raise NoEvent("time is no instant") from None
    if read_.tzinfo is None:
        raise NoEvent("time says no offset")
    return read_.timestamp()


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _no_number(name: str) -> None:
    raise ValueError(name)
