"""The file in which a web server finds where programs listen."""

import os
from pathlib import Path

from sessiond.dialects.wslink.mapping import Mapping

ONE, TWO = ("a" * 32, "localhost", 9001), ("b" * 32, "127.0.0.1", 9002)


def test_lines(tmp_path: Path) -> None:
    """One line for each session; without any, the file is empty."""
    path = tmp_path / "proxy.txt"
    mapping = Mapping(path, 0o640)
    mapping.write([ONE, TWO])
    assert path.read_text() == f"{'a' * 32} localhost:9001\n{'b' * 32} 127.0.0.1:9002\n"
    assert path.stat().st_mode & 0o777 == 0o640
    mapping.write([])
    assert path.read_text() == ""


def test_replaced_as_a_whole(tmp_path: Path) -> None:
    """Who has the old file open reads the old file; nothing is written where nothing has changed."""
    path = tmp_path / "proxy.txt"
    mapping = Mapping(path, 0o644)
    mapping.write([ONE])
    with path.open() as held:
        mapping.write([ONE, TWO])
        assert held.read().count("\n") == 1
    inode = path.stat().st_ino
    mapping.write([ONE, TWO])
    assert path.stat().st_ino == inode
    assert [entry.name for entry in tmp_path.iterdir()] == ["proxy.txt"]


def test_what_a_crash_has_left(tmp_path: Path) -> None:
    """A file that was never renamed, or a link in its place, stands in nobody's way."""
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / ".proxy.txt.new").symlink_to(tmp_path / "elsewhere")
    Mapping(tmp_path / "proxy.txt", 0o644).write([ONE])
    assert (tmp_path / "elsewhere").read_text() == "kept"
    assert (tmp_path / "proxy.txt").read_text().startswith("a" * 32)


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    """What fails is told, and tried again with the next change."""
    folder = tmp_path / "later"
    mapping = Mapping(folder / "proxy.txt", 0o644)
    mapping.write([ONE])
    folder.mkdir()
    mapping.write([ONE])
    assert os.listdir(folder) == ["proxy.txt"]
