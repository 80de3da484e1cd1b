"""Transcripts: each message as it was, up to a size, and no run is worth less than its transcript."""

import json
from pathlib import Path

import pytest

from sessiond.dialects.genius2 import transcripts
from sessiond.dialects.genius2.transcripts import Transcripts
from sessiond.ports import Direction
from tests.dialects.genius2.house import Hall

OFFER = '{"Offer":{"actor":"p_1","bid":{"price":12.50,"name":"ü"}}}'


def lines(folder: Path, run: str) -> list[list[object]]:
    """Read one."""
    return [json.loads(line) for line in (folder / run).read_bytes().splitlines()]


def test_keeps(tmp_path: Path) -> None:
    """Time, direction and the message's own text; nobody else can read it."""
    kept = Transcripts(tmp_path / "kept", 10_000)
    kept.note("p_1", Direction.UP, b'{"YourTurn":{}}', 1.5)
    kept.note("p_1", Direction.DOWN, OFFER.encode(), 2.0)
    assert lines(tmp_path / "kept", "p_1") == [[1.5, ">", '{"YourTurn":{}}'], [2.0, "<", OFFER]]
    assert (tmp_path / "kept" / "p_1").stat().st_mode & 0o777 == 0o600
    assert kept.read("p_1") == (tmp_path / "kept" / "p_1").read_bytes()
    assert kept.kept() == ["p_1"]


def test_is_full(tmp_path: Path) -> None:
    """What is beyond the size is left out, and that is said once; another run has room of its own."""
    kept = Transcripts(tmp_path, 200)
    for number in range(50):
        kept.note("p_1", Direction.UP, b'"%d"' % number, 1.0)
    kept.note("q_2", Direction.UP, b"{}", 1.0)
    found = lines(tmp_path, "p_1")
    assert found[-1] == ["...", "the transcript is full"]
    assert found[:-1] == [[1.0, ">", f'"{number}"'] for number in range(len(found) - 1)]
    assert (tmp_path / "p_1").stat().st_size < 300
    assert lines(tmp_path, "q_2") == [[1.0, ">", "{}"]]


def test_begins_anew(tmp_path: Path) -> None:
    """A run whose name was there before has a transcript of its own."""
    for text in (b'"first"', b'"second"'):
        Transcripts(tmp_path, 1000).note("p_1", Direction.UP, text, 1.0)
    assert lines(tmp_path, "p_1") == [[1.0, ">", '"second"']]


def test_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many are kept, and no more."""
    monkeypatch.setattr(transcripts, "MOST_KEPT", 3)
    kept = Transcripts(tmp_path, 1000)
    for number in range(6):
        kept.note(f"p_{number}", Direction.UP, b"{}", 1.0)
        kept.end(f"p_{number}")
    assert sorted(kept.kept()) == ["p_3", "p_4", "p_5"]


@pytest.mark.parametrize("name", ["../p_1", "p_1/../../x", "", ".", "passwd", "p_1\0"])
def test_other_names(tmp_path: Path, name: str) -> None:
    """Nothing but a run's transcript is given away."""
    (tmp_path / "passwd").write_text("secret")
    assert Transcripts(tmp_path / "kept", 1000).read(name) is None


def test_no_room(tmp_path: Path) -> None:
    """Where nothing can be written the run goes on."""
    (tmp_path / "kept").write_text("a file in the folder's place")
    kept = Transcripts(tmp_path / "kept", 1000)
    kept.note("p_1", Direction.UP, b"{}", 1.0)
    kept.note("p_1", Direction.UP, b"{}", 1.0)
    assert kept.kept() == []


def test_is_linked(tmp_path: Path) -> None:
    """The home page links what is kept, and the link leads there; without ``transcript`` nothing is kept."""
    hall = Hall(tmp_path, "p", transcript=True)
    hall.get("/run/p")
    hall.front.observe("p_1", Direction.UP, b'{"YourTurn":{}}', 1.0)
    assert '<a href="/partiesserver/transcripts/p_1">p_1</a>' in hall.get("/").text
    shown = hall.get("/transcripts/p_1")
    assert (shown.status, shown.text) == (200, '[1.0, ">", "{\\"YourTurn\\":{}}"]\n')
    assert hall.get("/transcripts/p_2").status == 404
    assert Hall(tmp_path, "p").get("/transcripts/p_1").status == 404
