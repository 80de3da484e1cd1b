"""Texts with units, as they stand in the configuration: durations, sizes, ranges."""

from __future__ import annotations

import re

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
LAST_PORT = 65535

_NUMBER = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s?([A-Za-z]*)", re.ASCII)
_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})", re.ASCII)


class Unfit(ValueError):
    """A value can't stand where it was written; the text says what is needed there."""


def seconds(value: object) -> float:
    """Read a duration: a number and one of the units ms, s, m, h, d, as in ``"20s"`` or ``"1.5h"``.

    :raises Unfit: it is no such text; a bare number has no unit and is refused too.
    """
    number, unit = _split(value)
    if unit not in SECONDS:
        raise Unfit('a duration with its unit is needed, such as "250ms", "20s", "5m", "8h" or "30d"')
    return number * SECONDS[unit]


def size_bytes(value: object) -> int:
    """Read a size: a number and one of the units B, KiB, MiB, GiB, as in ``"1MiB"``.

    :raises Unfit: it is no such text, or no whole number of bytes.
    """
    number, unit = _split(value)
    if unit not in BYTES or number * BYTES[unit] % 1:
        raise Unfit('a size with its unit is needed, such as "512B", "64KiB", "1MiB" or "2GiB"')
    return int(number * BYTES[unit])


def number_range(value: object, last: int = LAST_PORT) -> tuple[int, int]:
    """Read a range of whole numbers, both ends included, as in ``"11000-11063"``.

    :raises Unfit: it is no such text, is empty, or leaves 1 to ``last``.
    """
    found = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if found is None or not 1 <= int(found[1]) <= int(found[2]) <= last:
        raise Unfit(f'a range within 1 and {last} is needed, lower end first, such as "11000-11063"')
    return int(found[1]), int(found[2])


def _split(value: object) -> tuple[float, str]:
    found = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    return (float(found[1]), found[2]) if found else (0.0, "")
