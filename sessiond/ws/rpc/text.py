"""The older generation (0.x and 1.x): JSON as text, bytes beside it as messages of their own (spec 3 and 7)."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from sessiond.ws.rpc.values import ATTACHMENT, VERSION, Broken, Message, Unencodable, bytes_of

KEYS = 1000
"""How many attachments of one connection may wait for their message."""

Part = tuple[bool, bytes]
"""One message of the WebSocket: whether it is text, and its bytes."""


def encode(message: Message, new_key: Callable[[], str]) -> list[Part]:
    """Write a message: each of its attachments as a head and its bytes, and then itself, with keys in their places.

    :param new_key: gives a key that this client has not been given before.
    :raises Unencodable: something in it can't be written.
    """
    parts: list[Part] = []

    def key_of(value: object) -> str:
        data, key = bytes(bytes_of(value)), new_key()
        head = {"wslink": VERSION, "method": ATTACHMENT, "args": [key]}
        parts.extend(((True, json.dumps(head).encode()), (False, data)))
        return key

    try:
        text = json.dumps(message, ensure_ascii=False, default=key_of).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise Unencodable(str(error)) from error
    return [*parts, (True, text)]


class Reader:
    """Reads what one client sends, and keeps its attachments until a message takes them.

    :param most_bytes: how much of these may wait.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._announced: deque[str] = deque()
        self._kept: dict[str, bytes] = {}
        self._bytes = 0

    def text(self, payload: bytes) -> object:
        """Read a text message; ``None`` where it announces attachments.

        :raises Broken: it is no JSON, or announces too many.
        """
        try:
            found = json.loads(payload)
        except (ValueError, RecursionError):
            raise Broken(1007, "a message is no JSON") from None
        if isinstance(found, dict):
            if found.get("method") == ATTACHMENT and "id" not in found:
                self._announce(found.get("args"))
                return None
            if self._kept:
                for place in ("args", "kwargs"):
                    if place in found:
                        found[place] = self._filled(found[place])
        return found

    def binary(self, payload: bytes) -> None:
        """Take the bytes that were announced first.

        :raises Broken: none were, or too many wait already.
        """
        if not self._announced:
            raise Broken(1002, "a binary message that no attachment announces")
        self._bytes += len(payload)
        if self._bytes > self._most_bytes:
            raise Broken(1009, "too many bytes wait in attachments")
        key = self._announced.popleft()
        self._bytes -= len(self._kept.get(key, b""))
        self._kept[key] = payload

    def _announce(self, keys: object) -> None:
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise Broken(1002, "an attachment has no keys")
        self._announced.extend(keys)
        if len(self._announced) + len(self._kept) > KEYS:
            raise Broken(1009, "too many attachments wait")

    def _filled(self, value: Any) -> Any:
        """Put attachments into the places of their keys; only a whole text is one, and any other stays a text."""
        if isinstance(value, str) and value in self._kept:
            data = self._kept.pop(value)
            self._bytes -= len(data)
            return data
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        if isinstance(value, dict):
            return {name: self._filled(one) for name, one in value.items()}
        return value
