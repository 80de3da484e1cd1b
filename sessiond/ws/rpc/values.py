"""What goes over a link, whichever generation writes it: calls, replies, errors, publications (wslink spec 3 to 6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from attrs import field, frozen

VERSION = "1.0"
"""The same in every generation; it tells nothing."""
HELLO, EXIT, EXIT_LATER = "wslink.hello", "application.exit", "application.exit.later"
ATTACHMENT = "wslink.binary.attachment"
SYSTEM = "system:"
"""What ids begin with that mean the link itself."""
FRAME_BYTES = 4 << 20
"""The largest frame of ours, as clients are told (``maxMsgSize``)."""

TOPIC = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*", re.ASCII)
URI = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*", re.ASCII)

Message = dict[str, Any]


class Fault(IntEnum):
    """The codes of errors (spec 5)."""

    UNREGISTERED = -32601
    REFUSED = -32000
    RAISED = -32001
    UNENCODABLE = -32002


class Broken(Exception):
    """A client broke the protocol or a limit; ``code`` is what it is closed with."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code, self.text = code, text


class Unencodable(Exception):
    """A value can't be written: it, or something in it, has no form on the wire."""


@frozen(eq=False)
class Attachment:
    """Bytes that a result or a publication holds; where it stands, its receiver gets them.

    The writer finds it by its type, so no text of anybody's is ever taken for it.
    """

    data: bytes | bytearray | memoryview = field(repr=False)


@frozen
class Call:
    """What a client asks for.

    :ivar id: its own, given back as it is.
    :ivar method: ``None`` where it names none.
    """

    id: Any
    method: str | None
    args: list[Any] = field(factory=list)
    kwargs: dict[str, Any] = field(factory=dict)

    @property
    def is_system(self) -> bool:
        """Say whether the link itself is meant."""
        return isinstance(self.id, str) and self.id.startswith(SYSTEM)


def read_call(found: object) -> Call | None:
    """Read a decoded message; ``None`` for what nobody answers: no map, or one without an id."""
    if not isinstance(found, dict) or found.get("id") is None:
        return None
    method, args, kwargs = found.get("method"), found.get("args"), found.get("kwargs")
    return Call(
        found["id"],
        method if isinstance(method, str) else None,
        args if isinstance(args, list) else [],
        {str(name): value for name, value in kwargs.items()} if isinstance(kwargs, dict) else {},
    )


def result_of(call_id: object, value: object) -> Message:
    """Write the reply to a call that went well."""
    return {"wslink": VERSION, "id": call_id, "result": value}


def error_of(call_id: object, fault: Fault, message: str, data: object = None) -> Message:
    """Write the reply to one that did not."""
    error: Message = {"code": int(fault), "message": message}
    if data:
        error["data"] = data
    return {"wslink": VERSION, "id": call_id, "error": error}


def publication_of(topic: str, value: object) -> Message:
    """Write what a topic tells."""
    return {"wslink": VERSION, "id": f"publish:{topic}:0", "result": value}


def check_topic(topic: str) -> str:
    """Give a topic that clients hear.

    :raises ValueError: they would drop it unheard.
    """
    if not TOPIC.fullmatch(topic):
        raise ValueError(f"invalid topic {topic!r}: letters, digits, _ and dots are allowed")
    return topic


def check_uri(uri: str) -> str:
    """Give a method's URI.

    :raises ValueError: it is none.
    """
    if not URI.fullmatch(uri):
        raise ValueError(f"invalid URI {uri!r}")
    return uri


def bytes_of(value: object) -> bytes | bytearray | memoryview:
    """Give what is to be written as bytes.

    :raises TypeError: it is no such thing.
    """
    if isinstance(value, Attachment):
        return value.data
    if isinstance(value, bytes | bytearray | memoryview):
        return value
    raise TypeError(f"a {type(value).__name__} has no form on the wire")


def matches(wanted: Mapping[str, Any], value: object) -> bool:
    """Say whether a publication's map has all members that a subscriber wants."""
    return not wanted or (isinstance(value, dict) and wanted.items() <= value.items())
