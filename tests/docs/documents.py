"""The documents as tests read them: code blocks and tables, in the few forms of reST that we write them in."""

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.rst"))
ALL = [ROOT / "README.rst", *PAGES]

_BLOCK = re.compile(r"^\.\. code-block:: (\S+)\n\n((?:    .*\n|\n)+)", re.MULTILINE)
_TABLE = re.compile(r"^\.\. list-table::\n((?:   :.*\n)*)\n((?:   .*\n|\n(?=   ))+)", re.MULTILINE)
_TITLE = re.compile(r"^(\S.*)\n([=~-])\2{2,}$", re.MULTILINE)
_ROW = re.compile(r"^   \* - ", re.MULTILINE)
_CELL = re.compile(r"^     -(?: |$)", re.MULTILINE)


@frozen
class Block:
    """A code block: its language and its text, without the indentation."""

    language: str
    text: str


@frozen
class Table:
    """A list-table: the section that it stands in, its class, and its rows without the head."""

    section: str
    name: str
    rows: tuple[tuple[str, ...], ...]


def page(name: str) -> str:
    """Read a page of ``docs``."""
    return (ROOT / "docs" / f"{name}.rst").read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> list[Block]:
    """Give the code blocks of a document in these languages, in their order."""
    found = [Block(match[1], re.sub(r"^    ", "", match[2], flags=re.MULTILINE)) for match in _BLOCK.finditer(text)]
    return [block for block in found if block.language in languages]


def tables(text: str, name: str = "") -> Iterator[Table]:
    """Give the tables of a document, all or those of one class."""
    titles = [(match.start(), match[1]) for match in _TITLE.finditer(text)]
    for match in _TABLE.finditer(text):
        section = [title for at, title in titles if at < match.start()][-1]
        found = re.search(r":class: (\S+)", match[1])
        table = Table(section, found[1] if found else "", tuple(map(_cells, _ROW.split(match[2])[2:])))
        if name in ("", table.name):
            yield table


def _cells(row: str) -> tuple[str, ...]:
    return tuple(" ".join(cell.split()) for cell in _CELL.split(row))


def words(cell: str) -> list[str]:
    """Give what a cell sets as literals."""
    return re.findall(r"``([^`]+)``", cell)
