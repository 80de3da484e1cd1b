"""The options that a service declares: what a client may choose, and from what."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from sessiond.config.patterns import costs_little
from sessiond.config.table import Reader, Table, boolean, list_of, mapping, matching, text, whole
from sessiond.config.units import Unfit
from sessiond.core.errors import Refused
from sessiond.core.options import check
from sessiond.core.services import FOLDERS_SEPARATOR, Choice, File, Folders, Integer, OptionType, Pattern

LARGEST = 2**53 - 1
"""The largest whole number that JSON carries unchanged to every client."""
REMEDY = "repeat nothing that is repeated in itself, write possessive repeats (x++, x*+), or lower max_length"


SUFFIX = matching(r"\.[^/\0]{1,32}", "a name's end with its dot")


def read_options(service: Table, folder: Path) -> dict[str, OptionType]:
    """Read the options of a service, by name.

    :param folder: what a relative ``root`` begins at.
    """
    found: dict[str, OptionType] = {}
    for name, table in service.tables("options"):
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name, re.ASCII):
            table.fault("", "an option's name is a lower-case letter, then letters, digits and underscores")
        option = READERS[table.need("type", _type, "choice")](table, folder)
        table.done()
        _check_default(name, option, table)
        found[name] = option
    return found


def read_any_options(service: Table) -> bool:
    """Say whether a script's service takes whatever options a client gives: ``options = "any"``."""
    return service.read("options", _any_or_table, {}) == "any"


def _any_or_table(value: object) -> object:
    return value if value == "any" else mapping(value)


def _type(value: object) -> str:
    if not isinstance(value, str) or value not in READERS:
        raise Unfit(f"one of {', '.join(READERS)} is needed")
    return value


def _choice(table: Table, folder: Path) -> OptionType:
    of = table.need("of", list_of(text), ("",))
    if not of or len(set(of)) != len(of):
        table.fault("of", "a list of different texts is needed")
    return Choice(of, table.need("default", text, of[0] if of else ""))


def _integer(table: Table, folder: Path) -> OptionType:
    number = whole(-LARGEST, LARGEST)
    first = table.need("minimum", number, 0)
    last = table.need("maximum", number, LARGEST)
    if first > last:
        table.fault("minimum", "is greater than maximum")
    return Integer(first, last, table.need("default", number, first))


def _pattern(table: Table, folder: Path) -> OptionType:
    pattern = table.need("pattern", _regular_expression, ".*")
    max_length = table.read("max_length", whole(1, 4096), 256)
    if not costs_little(pattern, max_length):
        table.fault("pattern", f"some text of {max_length} characters would hold up the daemon: {REMEDY}")
    optional, default = _optional(table, _any_text)
    return Pattern(pattern, default, max_length, optional)


def _file(table: Table, folder: Path) -> OptionType:
    # As the operator wrote it, links included: where they lead is seen at each launch.
    root = os.path.normpath(folder / table.need("root", text, "."))
    optional, default = _optional(table, text)
    return File(root, default, table.read("suffixes", list_of(SUFFIX), ()), optional)


def _folders(table: Table, folder: Path) -> OptionType:
    roots = tuple(os.path.normpath(folder / root) for root in table.need("roots", list_of(text), ("/",)))
    if not roots or any(FOLDERS_SEPARATOR in root for root in roots):
        table.fault("roots", f"a list of folders without {FOLDERS_SEPARATOR!r} in their paths is needed")
    default = tuple(os.path.normpath(folder / chosen) for chosen in table.read("default", list_of(text), roots))
    return Folders(roots, FOLDERS_SEPARATOR.join(default))


def _optional(table: Table, reader: Reader[str]) -> tuple[bool, str]:
    """Say whether an option may be empty, and give its default, which only one that may can do without."""
    optional = table.read("optional", boolean, default=False)
    return optional, table.read("default", reader, "") if optional else table.need("default", reader, "")


def _regular_expression(value: object) -> str:
    try:
        re.compile(text(value))
    except (re.error, OverflowError, RecursionError) as error:
        raise Unfit(f"not a regular expression: {error}") from None
    return text(value)


def _any_text(value: object) -> str:
    if not isinstance(value, str):
        raise Unfit("a text is needed")
    return value


def _check_default(name: str, option: OptionType, table: Table) -> None:
    """Refuse a default that a client could not choose."""
    if "default" not in table:
        return
    try:
        check(name, option, option.default)
    except (Refused, re.error):
        table.fault("default", "is not a value that the option allows")


READERS: dict[str, Callable[[Table, Path], OptionType]] = {
    "choice": _choice,
    "integer": _integer,
    "pattern": _pattern,
    "file": _file,
    "folders": _folders,
}
