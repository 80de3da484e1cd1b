"""What messages on RabbitMQ look like: those that facts become, and those of others that are read (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from attrs import frozen

from sessiond.bus.cloudevents import CONTENT_TYPE, LONGEST_WORD, NoEvent, encode, of_fact, read
from sessiond.core.facts import CloudEvent, Fact, StoredFact

KEY_BYTES = 255
"""What a routing key holds (AMQP 0-9-1 section 4.2.5.3, short strings)."""

BODY_BYTES = 256 << 10
"""The largest body of somebody else's that is looked at."""

_HALVES = re.compile(rb"\\u[dD][89a-fA-F]")

ANY = "*"
"""What stands in a key for an empty word; in a published key it is a word like any other."""


@frozen
class Message:
    """One message as it is published.

    :ivar id: a duplicate carries the same.
    :ivar at: when what it tells happened, epoch seconds.
    """

    key: str
    body: bytes
    id: str
    type: str
    at: float
    headers: Mapping[str, str | int]
    content_type: str = CONTENT_TYPE


@frozen
class Received:
    """One message as it came; ``at`` is in whole epoch seconds, as AMQP has it."""

    key: str
    body: bytes
    content_type: str | None = None
    id: str | None = None
    at: int | None = None


def message_of(stored: StoredFact, epoch: str, source: str, attempt: int = 1) -> Message:
    """Make the message of a saved fact.

    :param epoch: of the history that its offset counts in; ``source`` as :func:`sessiond.bus.cloudevents.of_fact`.
    :param attempt: 1 when it is sent for the first time.
    """
    event = of_fact(stored, epoch, source)
    headers: dict[str, str | int] = {"epoch": epoch, "offset": stored.offset, "attempt": attempt}
    return Message(routing_key(stored.fact), encode(event), event.id, event.type, stored.fact.at, headers)


def routing_key(fact: Fact) -> str:
    """Give the five words ``sessiond.NOUN.VERB.SERVICE.SESSION``, such as ``sessiond.session.ready.desktop.desktop-1``.

    A dot within a word becomes a dash, so that a binding counts words rightly. What is too long is cut: a key is for
    routing, the whole stands in the body.
    """
    key = ".".join((f"sessiond.{fact.type.value}", word(fact.service), word(fact.session_id)))
    return key.encode()[:KEY_BYTES].decode("utf-8", "ignore")


def word(text: str) -> str:
    """Make one word of a key."""
    return text.replace(".", "-") or ANY


def event_of(received: Received, exchange: str, feed: str, otherwise_id: str) -> CloudEvent:
    """Read the event that somebody else's message is: a CloudEvent in its structured form, else any JSON as its data.

    :param exchange: where it was published; it names the source of what says none itself.
    :param feed: the type of what has no routing key.
    :param otherwise_id: the id of what has none.
    :raises NoEvent: it is neither, or too large.
    """
    if len(received.body) > BODY_BYTES:
        raise NoEvent(f"larger than {BODY_BYTES} bytes")
    try:
        found: Any = json.loads(received.body, parse_constant=_no_number)
        if _HALVES.search(received.body):
            json.dumps(found, ensure_ascii=False).encode()  # half a character can be read, but not be written
    except (ValueError, RecursionError):
        raise NoEvent("no JSON") from None
    if (received.content_type or "").startswith(CONTENT_TYPE) or (isinstance(found, dict) and "specversion" in found):
        return read(found)
    return CloudEvent(
        id=_fitting(received.id) or otherwise_id,
        source=f"/amqp/{quote(exchange, safe='')}",
        type=_fitting(received.key) or feed,
        time=None if received.at is None else float(received.at),
        data=found,
    )


def _fitting(text: str | None) -> str | None:
    return text if text and len(text) <= LONGEST_WORD and text.isprintable() else None


def _no_number(name: str) -> None:
    raise ValueError(name)
