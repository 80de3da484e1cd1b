"""What a script prints, as the operator's log has it."""

from pathlib import Path

import pytest
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from sessiond.launchers.output import OutputFile
from sessiond.launchers.transcript import LINE_BYTES, MOST_LINES, READ_BYTES, Transcript
from sessiond.log import text_of


@implementer(ILogObserver)
class Lines(list[str]):
    """What was logged, as text."""

    def __call__(self, event: LogEvent) -> None:
        """Take an event."""
        self.append(text_of(event))


class Printing:
    """An output that grows, and the transcript of it."""

    def __init__(self, folder: Path) -> None:
        self.now, self.lines = 0.0, Lines()
        self._path = folder / "output"
        self._path.touch()
        self._transcript = Transcript(OutputFile(self._path, 1 << 20), "s", lambda: self.now)

    def write(self, data: bytes, *, last: bool = False) -> None:
        """Print, and have it looked at."""
        with self._path.open("ab") as file:
            file.write(data)
        globalLogPublisher.addObserver(self.lines)
        self._transcript.look(self._path.stat().st_size, last=last)
        globalLogPublisher.removeObserver(self.lines)

    def cut(self) -> None:
        """Empty the file, as its cap does."""
        self._path.write_bytes(b"")


@pytest.fixture
def printing(tmp_path: Path) -> Printing:
    """Give an output."""
    return Printing(tmp_path)


def test_lines_are_told_whole(printing: Printing) -> None:
    """A line is told at its end, the last one also without; empty ones are passed over."""
    printing.write(b"one\n\ntw")
    assert printing.lines == ["s: one"]
    printing.write(b"o\nthree")
    assert printing.lines == ["s: one", "s: two"]
    printing.write(b"\xff", last=True)
    assert printing.lines == ["s: one", "s: two", "s: three\ufffd"]


def test_cut_output_is_followed(printing: Printing) -> None:
    """What comes after the file was emptied is told."""
    printing.write(b"before\n")
    printing.cut()
    printing.write(b"after\n")
    assert printing.lines == ["s: before", "s: after"]


def test_lines_are_rationed(printing: Printing) -> None:
    """Of many lines some are told, then how much was not; a second later it goes on."""
    printing.write(b"line\n" * (MOST_LINES + 7))
    assert len(printing.lines) == MOST_LINES
    printing.now = 1.0
    printing.write(b"again\n")
    assert printing.lines[MOST_LINES:] == ["s: … 35 bytes more that are not shown", "s: again"]


def test_endless_line_is_told_in_pieces(printing: Printing) -> None:
    """A line without end is neither kept nor waited for."""
    printing.write(b"x" * (LINE_BYTES + 1))
    assert printing.lines == ["s: " + "x" * LINE_BYTES]


def test_flood_is_told_by_its_end(printing: Printing) -> None:
    """More than can be read at one go is passed over, all but its end."""
    printing.write(b"0123456789\n" * READ_BYTES + b"last\n", last=True)
    assert len(printing.lines) == MOST_LINES + 2
    assert "bytes more that are not shown" in printing.lines[0]
    assert "bytes more that are not shown" in printing.lines[-1]
