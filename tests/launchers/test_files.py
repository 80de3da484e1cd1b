"""A chosen file is found below its folder, by its real path, or not at all."""

import os
from pathlib import Path

import pytest

from sessiond.core.services import File, Folders, Integer, OptionType
from sessiond.launchers.files import FileError, real_folders, real_path, with_real_paths


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a folder with models, reached through a link, and secrets beside it."""
    models = tmp_path / "real"
    (models / "cars" / ".old").mkdir(parents=True)
    for name in ("cube.stl", "cars/van.stl", "cars/.old/van.stl", ".hidden.stl", "notes.txt"):
        (models / name).write_text("solid")
    (tmp_path / "secret.stl").write_text("secret")
    (tmp_path / "real-too").mkdir()
    (tmp_path / "real-too" / "x.stl").write_text("secret")
    (models / "latest.stl").symlink_to("cars/van.stl")
    (models / "out.stl").symlink_to(tmp_path / "secret.stl")
    (models / "up").symlink_to(tmp_path)
    (models / "old.stl").symlink_to("cars/.old/van.stl")
    (models / "notes.stl").symlink_to("notes.txt")
    (models / "gone.stl").symlink_to("nothing.stl")
    (models / "round.stl").symlink_to("round.stl")
    (models / "folder.stl").mkdir()
    os.mkfifo(models / "pipe.stl")
    (tmp_path / "models").symlink_to(models)
    return tmp_path / "models"


@pytest.mark.parametrize(
    ("chosen", "found"),
    [("cube.stl", "cube.stl"), ("cars/van.stl", "cars/van.stl"), ("latest.stl", "cars/van.stl")],
)
def test_found(chosen: str, found: str, root: Path) -> None:
    """A plain file is given by the one path without links, also where a link within the folder leads to it."""
    path = real_path("model", File(str(root), "cube.stl", (".stl",)), chosen)
    assert path == str(root.resolve() / found)


@pytest.mark.parametrize(
    "chosen",
    [
        *(
            "none.stl",
            "out.stl",
            "up/secret.stl",
            "up/real/cube.stl/../../secret.stl",
            "old.stl",
            "notes.stl",
            "gone.stl",
        ),
        *("round.stl", "folder.stl", "pipe.stl", "notes.txt", ".hidden.stl", "../secret.stl", "../real-too/x.stl"),
        *("cars/../../secret.stl", "cube.stl/x.stl", "a\0b.stl", "x" * 300 + ".stl", "", "/etc/passwd"),
    ],
)
def test_not_found(chosen: str, root: Path) -> None:
    """What is not there, leads outside or is no such file is refused with one text, in which no path stands."""
    with pytest.raises(FileError) as refused:
        real_path("model", File(str(root), "cube.stl", (".stl",)), chosen)
    assert str(refused.value) == "model: there is no such file"


def test_absolute_outside(root: Path) -> None:
    """Not even a text that a former configuration took for something else leads out."""
    with pytest.raises(FileError):
        real_path("model", File(str(root), "cube.stl"), str(root.parent / "secret.stl"))


def test_no_folder(tmp_path: Path) -> None:
    """A folder that is not there has no files."""
    with pytest.raises(FileError):
        real_path("model", File(str(tmp_path / "none"), "x"), "x")


def test_only_files_change(root: Path) -> None:
    """Values of other types, and of options that are declared no more, stay as they are."""
    declared: dict[str, OptionType] = {"model": File(str(root), "cube.stl"), "depth": Integer(0, 9, 1)}
    found = with_real_paths(declared, {"model": "cube.stl", "depth": 3, "former": "cube.stl"})
    assert found == {"model": str(root.resolve() / "cube.stl"), "depth": 3, "former": "cube.stl"}


def test_optional_file(root: Path) -> None:
    """A file that was not chosen is not looked for."""
    assert with_real_paths({"model": File(str(root), "", (), optional=True)}, {"model": ""}) == {"model": ""}


def test_folders(root: Path) -> None:
    """Folders are given by their paths without links, in their order."""
    real = root.resolve()
    option = Folders((str(root), str(real / "cars")), "")
    chosen = {"where": f"{root}/cars;{root}"}
    assert with_real_paths({"where": option}, chosen) == {"where": f"{real}/cars;{real}"}


@pytest.mark.parametrize(
    "chosen", ["none", "cube.stl", "up", "cars/.old", "..", "cars;up", "", "semi", "a\0b", "round.stl"]
)
def test_no_folders(chosen: str, root: Path) -> None:
    """What is not there, is no folder, is hidden or lies outside of all roots is not given, and not told apart."""
    (root.resolve() / "a;b").mkdir()
    (root / "semi").symlink_to(root.resolve() / "a;b")
    where = ";".join(f"{root}/{name}" if name else "/" for name in chosen.split(";"))
    with pytest.raises(FileError, match=r"^where: there is no such folder$"):
        real_folders("where", Folders((str(root),), ""), where)
