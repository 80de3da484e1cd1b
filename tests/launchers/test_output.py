"""The output file: kept below its cap, read from its end, and no way out of its folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessiond.launchers.output import KEPT_BYTES, LINE_CHARACTERS, OutputFile

CAP_BYTES = 1000


@pytest.fixture
def output(tmp_path: Path) -> OutputFile:
    """Give an output file that is not there yet."""
    return OutputFile(tmp_path / "output", CAP_BYTES)


@pytest.fixture
def written(output: OutputFile) -> Iterator[int]:
    """Give the child's descriptor of it."""
    fd = output.create()
    yield fd
    os.close(fd)


def test_create(output: OutputFile, written: int) -> None:
    """The file is private, and made once."""
    assert output.path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        output.create()


def test_create_follows_no_link(output: OutputFile, tmp_path: Path) -> None:
    """A link in its place is not written through."""
    output.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        output.create()


@pytest.mark.parametrize(
    ("content", "lines", "tail"),
    [
        (b"", 3, []),
        (b"a\nb\nc\n", 2, ["b", "c"]),
        (b"a\nb\nunfinished", 2, ["b", "unfinished"]),
        (b"a\n", 0, []),
        (b"a\n", -1, []),
        (b"bad \xff byte\n", 1, ["bad \ufffd byte"]),
        (b"x" * 5000 + b"\n", 1, ["x" * LINE_CHARACTERS]),
    ],
)
def test_tail(output: OutputFile, written: int, content: bytes, lines: int, tail: list[str]) -> None:
    """The last lines are given as text, however they are."""
    os.write(written, content)
    assert output.tail(lines) == tail


def test_tail_reads_little(output: OutputFile, written: int) -> None:
    """However large the file, only its end is read."""
    os.write(written, b"early\n" + b"x" * 99 * KEPT_BYTES + b"\nlate\n")
    assert output.tail(1000)[-1] == "late"
    assert len(output.tail(1000)) == 2


def test_curb(output: OutputFile, written: int) -> None:
    """A file over its cap is emptied, its end is kept, and the child's next line is no hole."""
    lines = [f"line {n}" for n in range(300)]
    os.write(written, "\n".join(lines).encode() + b"\n")
    assert output.curb(output.size()) == 0
    os.write(written, b"the next\n")
    assert output.path.read_bytes() == b"the next\n"
    assert output.tail(3) == ["line 298", "line 299", "the next"]
    assert sum(path.stat().st_size for path in output.path.parent.iterdir()) <= 2 * CAP_BYTES


def test_curb_twice(output: OutputFile, written: int) -> None:
    """Of earlier ends only the newest is kept."""
    for word in (b"first", b"second"):
        os.write(written, word * CAP_BYTES + b"\n")
        output.curb(output.size())
    assert "first" not in "".join(output.tail(9))
    assert sum(path.stat().st_size for path in output.path.parent.iterdir()) <= 2 * CAP_BYTES


def test_below_cap(output: OutputFile, written: int) -> None:
    """A file that has its cap, and no more, is left as it is."""
    os.write(written, b"x" * CAP_BYTES)
    assert output.curb(output.size()) == CAP_BYTES
    assert output.size() == CAP_BYTES


@pytest.mark.parametrize("kind", ["link", "fifo", "nothing"])
def test_other_things(output: OutputFile, tmp_path: Path, kind: str) -> None:
    """What a child puts in the file's place is neither read nor cut, and holds nobody up."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"secret\n" * CAP_BYTES)
    if kind == "link":
        output.path.symlink_to(elsewhere)
    elif kind == "fifo":
        os.mkfifo(output.path)
    assert output.size() == 0
    assert output.curb(2 * CAP_BYTES) == 0
    assert output.tail(5) == []
    assert elsewhere.read_bytes() == b"secret\n" * CAP_BYTES
