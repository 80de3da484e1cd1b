"""Checks what a client gave for a service's options against their declared types."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sessiond.core.errors import Code, Refused, repeated
from sessiond.core.services import FOLDERS_SEPARATOR, Choice, File, Folders, Integer, OptionType, Pattern, Scalar

LONGEST_PATH = 1024
"""How many characters the path of a file may have, and that of each folder."""
MOST_FOLDERS = 16
"""How many folders one option may hold."""

_NO_TEXT = re.compile("[\0\ud800-\udfff]")


MOST_FREE, MOST_FREE_CHARACTERS = 64, 4096
"""How many options a client may give that are not declared, and how long the name and the value of each may be."""


def check_options(
    declared: Mapping[str, OptionType], given: Mapping[str, object], *, free: bool = False
) -> dict[str, Scalar]:
    """Give every declared option a checked value.

    :param free: whether others may be given too, as texts.
    :raises Refused: ``bad-option``, naming the option; the value itself is not repeated.
    """
    unknown = sorted(set(given) - set(declared))
    if unknown and not free:
        raise Refused(Code.BAD_OPTION, f"unknown option {repeated(unknown[0])}")
    if len(unknown) > MOST_FREE:
        raise Refused(Code.BAD_OPTION, f"more than {MOST_FREE} options")
    checked = {name: check(name, kind, given.get(name, kind.default)) for name, kind in declared.items()}
    return checked | {name: _free(name, given[name]) for name in unknown}


def _free(name: str, value: object) -> Scalar:
    """Check an option of which nothing is known: data for a script, in which line ends may stand.

    A NUL or half a surrogate pair is no text, and could not be passed on or kept.
    """
    for text in (name, value):
        if not isinstance(text, str) or len(text) > MOST_FREE_CHARACTERS or _NO_TEXT.search(text):
            raise Refused(Code.BAD_OPTION, f"{repeated(name)}: not an allowed text")
    return str(value)


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
    if not _allows(kind, value):
        raise Refused(Code.BAD_OPTION, f"{name}: not an allowed value")
    return value


def _allows(kind: Choice | Pattern | File | Folders, value: str) -> bool:
    if isinstance(kind, Choice):
        return value in kind.of
    if isinstance(kind, Folders):
        folders = value.split(FOLDERS_SEPARATOR)
        return len(folders) <= MOST_FOLDERS and all(lies_in(folder, kind.roots) for folder in folders)
    if kind.optional and not value:
        return True
    if isinstance(kind, File):
        return len(value) <= LONGEST_PATH and stays_below(value) and value.endswith(kind.suffixes or "")
    # The length first: it bounds the work that the expression can make (config.patterns).
    if len(value) > kind.max_length:
        return False
    if kind.at_start:
        return value == kind.default or re.match(kind.pattern, value) is not None
    return re.fullmatch(kind.pattern, value) is not None


def lies_in(folder: str, roots: tuple[str, ...]) -> bool:
    """Say whether a folder is one of some roots or lies below one, as far as its text tells."""
    if len(folder) > LONGEST_PATH:
        return False
    ways = ((root, f"{root.rstrip('/')}/") for root in roots)
    return any(folder == root or (folder.startswith(way) and stays_below(folder[len(way) :])) for root, way in ways)


def stays_below(path: str) -> bool:
    """Say whether a path names something below the folder that it begins at, as far as its text tells.

    So it has no empty part (it would be absolute, or end with a slash), and none that begins with a dot: that is the
    folder above, or hidden.
    """
    return all(part and not part.startswith(".") for part in path.split("/"))
