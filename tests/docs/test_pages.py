"""What the documents name is there: files, modules, ports, tests."""

import inspect
import re
from pathlib import Path
from typing import Protocol

import pytest

from sessiond import ports
from tests.docs.documents import ALL, ROOT, page, tables, words

DOCUMENTS = pytest.mark.parametrize("document", ALL, ids=lambda path: str(path.name))
OF_OURS = re.compile(r"(?:sessiond|contrib|tests|docs|etc|systemd|clients|newsfragments)/[\w./-]*")


def top_level() -> set[str]:
    """Name the modules and packages of sessiond."""
    entries = (ROOT / "sessiond").iterdir()
    found = {entry.stem for entry in entries if entry.suffix == ".py" or (entry / "__init__.py").exists()}
    return {name for name in found if not name.startswith("__")}


def exists(name: str) -> bool:
    """Say whether a path of the repository is there, or is made by ``make``."""
    made = ("docs/_build", "docs/_generated")
    return (ROOT / name).exists() or name.startswith(made)


@DOCUMENTS
def test_files_that_are_named_exist(document: Path) -> None:
    """A path of the repository that stands in a document leads somewhere; so does a link."""
    text = document.read_text(encoding="utf-8")
    named = [word for literal in words(text) for word in literal.split() if OF_OURS.fullmatch(word)]
    linked = [target for target in re.findall(r"<([^>\s]+)>`_", text) if "://" not in target]
    assert [name for name in (*named, *linked) if not exists(name)] == []


def test_every_port_is_told() -> None:
    """The page on architecture has every port, and each implementation that it names is a module."""
    [found] = tables(page("architecture"), "ports")
    protocols = {
        name
        for name, value in inspect.getmembers(ports, inspect.isclass)
        if value.__module__ == ports.__name__ and Protocol in value.__bases__
    }
    assert {word for row in found.rows for word in words(row[0])} == protocols
    for word in (word for row in found.rows for word in words(row[2])):
        assert (ROOT / "sessiond" / f"{word.replace('.', '/')}.py").exists(), word


def test_every_module_has_its_place() -> None:
    """The page on architecture says of each module and package what is in it, and names no part that is not there."""
    [found] = tables(page("architecture"), "modules")
    assert {word for row in found.rows for word in words(row[0])} == top_level()
    for row in found.rows:
        folders = [ROOT / "sessiond" / name for name in words(row[0])]
        parts = {entry.stem for folder in folders if folder.is_dir() for entry in folder.iterdir()}
        if parts:
            assert {word for word in words(row[1]) if word.isidentifier()} <= parts, row[0]


def test_picture_of_layers_is_true() -> None:
    """Each folder in the picture of layers is a package."""
    [picture] = re.findall(r"::\n\n(    .*?REST.*?)\n\n\S", page("architecture"), re.DOTALL)
    assert set(re.findall(r"\b([a-z]+)/", picture)) <= top_level()


def test_tests_are_where_they_are_said_to_be() -> None:
    """Each class and fixture that the page on tests speaks of is in the tests."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    for name in re.findall(r"``([A-Z]\w+(?:Contract|Launcher|Store)|Script|within)``", page("testing")):
        assert re.search(rf"^(class|def) {name}\b", sources, re.MULTILINE), name
