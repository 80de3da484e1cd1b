"""Checks what a client gave for a service's options against their declared types."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sessiond.core.errors import Code, Refused, repeated
from sessiond.core.services import Choice, Integer, OptionType, Scalar


def check_options(declared: Mapping[str, OptionType], given: Mapping[str, object]) -> dict[str, Scalar]:
    """Give every declared option a checked value.

    :raises Refused: ``bad-option``, naming the option; the value itself is not repeated.
    """
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise Refused(Code.BAD_OPTION, f"unknown option {repeated(unknown[0])}")
    return {name: check(name, kind, given.get(name, kind.default)) for name, kind in declared.items()}


def check(name: str, kind: OptionType, value: object) -> Scalar:
    """Check one value.

    A text that begins with ``-`` could become a switch of the program, and control characters could end a line of
    whatever reads it; both are refused for every type.
    """
    if isinstance(kind, Integer):
        if isinstance(value, bool) or not isinstance(value, int) or not kind.minimum <= value <= kind.maximum:
            raise Refused(Code.BAD_OPTION, f"{name}: a whole number from {kind.minimum} to {kind.maximum} is needed")
        return value
    if not isinstance(value, str) or value.startswith("-") or not value.isprintable():
        raise Refused(Code.BAD_OPTION, f"{name}: not an allowed text")
    if isinstance(kind, Choice):
        allowed = value in kind.of
    else:
        allowed = len(value) <= kind.max_length and re.fullmatch(kind.pattern, value) is not None
    if not allowed:
        raise Refused(Code.BAD_OPTION, f"{name}: not an allowed value")
    return value
