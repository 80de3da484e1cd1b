"""What is read of a client's messages: the type by the first bytes, the end by either JSON dialect, never too much."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiond.dialects.genius2.sniffing import READ_BYTES, Inform, Progress, inform_of, read_progress

START, LASTS = 1_556_631_286_760, 10_000


@pytest.mark.parametrize(
    ("message", "inform"),
    [
        (b'{"Settings":{}}', Inform.SETTINGS),
        (b' \n{ "Finished" : null}', Inform.FINISHED),
        (b'{"Finished"', None),
        (b'{"YourTurn":{}}', None),
        (b'{"ActionDone":{"action":{"Settings":{}}}}', None),
        (b'["Settings"]', None),
        (b"", None),
        (b'{"settings":{}}', None),
        (b" " * 300 + b'{"Settings":{}}', None),
    ],
)
def test_types(message: bytes, inform: Inform | None) -> None:
    """Only what stands first counts, and only near the beginning."""
    assert inform_of(message) is inform


@pytest.mark.parametrize(
    ("progress", "found"),
    [
        ({"time": {"start": START, "duration": LASTS}}, Progress("time", START + LASTS, known=True)),
        ({"ProgressTime": {"start": START, "duration": LASTS}}, Progress("ProgressTime", START + LASTS, known=True)),
        ({"rounds": {"duration": 20, "currentRound": 0, "endtime": START}}, Progress("rounds", START, known=True)),
        ({"ProgressRounds": {"duration": 20, "endtime": START}}, Progress("ProgressRounds", START, known=True)),
        ({"lunar": {"start": START, "duration": LASTS}}, Progress("lunar", START + LASTS)),
        ({"lunar": {"endtime": START}}, Progress("lunar", START)),
        ({"lunar": {"phase": 3}}, Progress("lunar")),
        ({"time": {"start": START}}, Progress("time", known=True)),
        ({"time": {"start": "now", "duration": 1.5}}, Progress("time", known=True)),
        ({"time": {"start": True, "duration": 1}}, Progress("time", known=True)),
        ({"time": {"start": 10**40, "duration": 1}}, Progress("time", known=True)),
        ({"time": None}, Progress("time", known=True)),
        ({}, Progress()),
        ({"time": {}, "rounds": {}}, Progress()),
        (None, Progress()),
        ([1], Progress()),
    ],
)
def test_progress(progress: Any, found: Progress) -> None:
    """The end is start and duration, or an end time; what is neither tells none."""
    assert read_progress(json.dumps({"Settings": {"id": "p_1", "progress": progress}}).encode()) == found


@pytest.mark.parametrize("message", [b"", b"{", b"[]", b'{"Settings":[]}', b'{"Settings":null}', b"\xff{}"])
def test_no_settings(message: bytes) -> None:
    """What can't be read is told from what tells no end."""
    assert read_progress(message) is None


def test_large_settings() -> None:
    """Long ones are passed on unread."""
    assert read_progress(b'{"Settings":{"profile":"' + b"x" * READ_BYTES + b'"}}') is None


@given(st.binary(max_size=60) | st.text(max_size=30).map(lambda text: f'{{"Settings":{text}'.encode()))
def test_whatever_comes(message: bytes) -> None:
    """Nothing that a client sends does harm."""
    inform_of(message)
    read_progress(message)
