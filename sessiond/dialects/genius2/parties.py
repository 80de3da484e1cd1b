"""What a file of a parties folder says of its party, and the names that it leads to. Pure but for what is given."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from sessiond.core.services import Framing

NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
"""One path segment: clients cut ``/run/NAME`` off an address to find the context."""

FRAMINGS = {"length": Framing.LENGTH, "line": Framing.LINES}
KEYS = frozenset({"command", "framing", "env", "capabilities", "description"})
CAPABILITIES = ("behaviours", "profiles")


class Unusable(ValueError):
    """A file is no party; the text says why, for the operator and for whoever asks for it."""


@frozen
class Written:
    """What stands in a descriptor.

    :ivar capabilities: ``None`` where the party is asked itself; so is ``description``.
    """

    command: tuple[str, ...]
    framing: Framing = Framing.LENGTH
    env: Mapping[str, str] = field(factory=dict)
    capabilities: Mapping[str, Any] | None = None
    description: str | None = None


def check_name(name: str) -> str:
    """Give a name that can stand in a path.

    :raises Unusable: it can't.
    """
    if not NAME.fullmatch(name) or name in (".", ".."):
        raise Unusable("a party's name may hold letters, digits, dots, dashes and underscores only")
    return name


def read_descriptor(raw: bytes) -> Written:
    """Read a ``NAME.json``.

    :raises Unusable: it is none.
    """
    found = _parsed(raw, "the descriptor")
    if not isinstance(found, dict):
        raise Unusable("the descriptor is no JSON object")
    unknown = sorted(set(found) - KEYS)
    if unknown:
        raise Unusable(f"the descriptor has an unknown key {unknown[0]!r}")
    command, env = found.get("command"), found.get("env", {})
    if not _are_texts(command) or not command:
        raise Unusable("command: a list of texts is needed")
    if not isinstance(env, dict) or not _are_texts(list(env.values())):
        raise Unusable("env: texts by name are needed")
    framing = FRAMINGS.get(str(found.get("framing", "length")))
    if framing is None:
        raise Unusable("framing: one of length, line is needed")
    capabilities, description = found.get("capabilities"), found.get("description")
    return Written(
        tuple(command),
        framing,
        env,
        None if capabilities is None else checked_capabilities(capabilities),
        None if description is None else checked_description(description),
    )


def read_capabilities(raw: bytes) -> Mapping[str, Any]:
    """Read what a party answers to ``capabilities``.

    :raises Unusable: it is not what the list can show.
    """
    return checked_capabilities(_parsed(raw, "capabilities"))


def read_description(raw: bytes) -> str:
    """Read what a party answers to ``description``.

    :raises Unusable: it is no text.
    """
    return checked_description(_parsed(raw, "description"))


def checked_capabilities(found: object) -> Mapping[str, Any]:
    """Give capabilities with their lists in order, so that equal lists are equal bytes.

    :raises Unusable: ``behaviours`` or ``profiles`` is no list of texts.
    """
    if not isinstance(found, dict):
        raise Unusable("capabilities: an object is needed")
    for key in CAPABILITIES:
        if not _are_texts(found.get(key)):
            raise Unusable(f"capabilities: {key} must be a list of texts")
    return {key: sorted(value) if _are_texts(value) else value for key, value in sorted(found.items())}


def checked_description(found: object) -> str:
    """Give a description.

    :raises Unusable: it is no text.
    """
    if not isinstance(found, str):
        raise Unusable("description: a text is needed")
    return found


def main_class_of(manifest: bytes) -> str:
    """Give the ``Main-Class`` of a jar's manifest: in a party's jar, the class of the party itself.

    :raises Unusable: it names none.
    """
    # JAR File Specification, "Notes on Manifest": a line that begins with a space goes on with the one before.
    text = manifest.decode("utf-8", "replace").replace("\r\n", "\n").replace("\n ", "")
    found = re.search(r"^Main-Class: *([\w.$]+) *$", text, re.MULTILINE | re.ASCII)
    if found is None:
        raise Unusable("the manifest names no Main-Class")
    return found[1]


def stem_of(name: str) -> str:
    """Give what a party's ids begin with: a letter, then letters and digits, so that ``STEM_7`` has one ``_``."""
    plain = re.sub("[^A-Za-z0-9]", "", name) or "p"
    return plain if plain[0].isalpha() else f"p{plain}"


def _parsed(raw: bytes, what: str) -> Any:
    try:
        return json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Unusable(f"{what}: not JSON") from None


def _are_texts(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(one, str) for one in found)
