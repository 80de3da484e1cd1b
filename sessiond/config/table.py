"""Reads one table of the configuration: each key once, with its place in every fault, and no key left over."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import TypeVar

from sessiond.config.units import Unfit

T = TypeVar("T")
D = TypeVar("D")
E = TypeVar("E", bound=Enum)
Reader = Callable[[object], T]

MOST_SESSIONS = 1_000_000
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Table:
    """One table, which takes note of every fault and goes on, so that all are told at one go.

    Where a value is at fault its default is given instead; nothing is built from it, since the faults refuse the whole.

    :param place: the table's own name, such as ``services.clock``; empty for the file itself.
    :param faults: where faults are added, each as ``"PLACE: what is wrong"``.
    """

    def __init__(self, content: Mapping[str, object], place: str, faults: list[str]) -> None:
        self.place = place
        self.faults = faults
        self._content = content
        self._read: set[str] = set()

    def __contains__(self, key: str) -> bool:
        """Say whether the operator wrote this key."""
        return key in self._content

    def fault(self, key: str, text: str) -> None:
        """Take note that something is wrong with a key; an empty key means the table as a whole."""
        self.faults.append(f"{self.place_of(key)}: {text}")

    def read(self, key: str, reader: Reader[T], default: D) -> T | D:
        """Give a key's value as ``reader`` reads it, or the default where the key is not there."""
        self._read.add(key)
        if key not in self._content:
            return default
        try:
            return reader(self._content[key])
        except Unfit as unfit:
            self.fault(key, str(unfit))
            return default

    def need(self, key: str, reader: Reader[T], blank: D) -> T | D:
        """Read a key that must be there; ``blank`` only stands in where it is at fault."""
        if key not in self._content:
            self._read.add(key)
            self.fault(key, "is needed")
        return self.read(key, reader, blank)

    def table(self, key: str) -> Table:
        """Give a table within this one; an empty one where it is not there."""
        return Table(self.read(key, mapping, {}), self.place_of(key), self.faults)

    def tables(self, key: str) -> Iterator[tuple[str, Table]]:
        """Give the named tables within a table, in the order in which they were written."""
        within = self.table(key)
        for name in within.written():
            yield name, within.table(name)

    def written(self) -> tuple[str, ...]:
        """List the keys that the operator wrote."""
        return tuple(self._content)

    def refuse(self, keys: tuple[str, ...], why: str) -> None:
        """Refuse each of these keys that was written."""
        for key in keys:
            if key in self._content:
                self.fault(key, why)

    def done(self) -> None:
        """Refuse every key that nobody has read."""
        for key in self._content:
            if key not in self._read:
                near = difflib.get_close_matches(key, self._read, 1)
                self.fault(key, f"unknown key, did you mean {near[0]!r}?" if near else "unknown key")

    def place_of(self, key: str) -> str:
        """Give the place of a key as faults name it."""
        shown = key if _BARE.fullmatch(key) else '"' + key.encode("unicode_escape").decode("ascii") + '"'
        return ".".join(part for part in (self.place, shown if key else "") if part)


def mapping(value: object) -> Mapping[str, object]:
    """Read a table."""
    if not isinstance(value, dict):
        raise Unfit("a table is needed")
    return value


def text(value: object) -> str:
    """Read a text of at least one character, none of them a control character."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise Unfit("a text is needed, not empty and without control characters")
    return value


def name(value: object) -> str:
    """Read a name as services, pools, listeners and tokens have it."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", value, re.ASCII):
        raise Unfit("a name is needed: a lower-case letter, then letters, digits, dashes and underscores, 32 at most")
    return value


def boolean(value: object) -> bool:
    """Read ``true`` or ``false``."""
    if not isinstance(value, bool):
        raise Unfit("true or false is needed")
    return value


def whole(minimum: int, maximum: int) -> Reader[int]:
    """Make a reader of whole numbers within bounds, both included."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            raise Unfit(f"a whole number from {minimum} to {maximum} is needed")
        return value

    return read


def sessions(value: object) -> int | None:
    """Read how many sessions there may be; ``"off"`` is as many as there are slots."""
    if isinstance(value, str) and value != "off":
        raise Unfit(f'a whole number from 1 to {MOST_SESSIONS} or "off" is needed')
    return None if value == "off" else whole(1, MOST_SESSIONS)(value)


def one_of(kind: type[E]) -> Reader[E]:
    """Make a reader of an enumeration's words."""

    def read(value: object) -> E:
        for member in kind:
            if member.value == value:
                return member
        raise Unfit(f"one of {', '.join(str(member.value) for member in kind)} is needed")

    return read


def list_of(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    """Make a reader of lists."""

    def read(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise Unfit("a list is needed")
        return tuple(reader(item) for item in value)

    return read


def matching(pattern: str, what: str) -> Reader[str]:
    """Make a reader of texts that a regular expression matches as a whole; ``what`` says so in words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            raise Unfit(f"{what} is needed")
        return value

    return read
