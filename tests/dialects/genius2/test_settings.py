"""When a run ends by what its client says of that, on a Clock."""

import json
from pathlib import Path
from typing import Any

import pytest

from sessiond.core.values import Deadline, State
from sessiond.ports import Direction
from tests.dialects.genius2.house import Hall
from tests.fakes.frames import TEXT, request
from tests.fakes.launchers import Prompt


def settings(progress: Any) -> bytes:
    """Write what a client tells its party first."""
    return json.dumps({"Settings": {"id": "p_1", "progress": progress}}).encode()


def begun(tmp_path: Path, message: bytes, **context: Any) -> tuple[Hall, int]:
    """Start a run, and tell it that half a second later; give the milliseconds of that instant."""
    hall = Hall(tmp_path, "p", **context)
    hall.launcher.script = Prompt()
    hall.get("/run/p")
    hall.advance(0.5)
    now = hall.front.now_ms()
    hall.front.observe("p_1", Direction.UP, message, 0.0)
    hall.advance(0)
    return hall, now


def lasts(hall: Hall) -> float:
    """Let time pass until its run has ended, and give how many seconds it took."""
    for tenths in range(2_000_000):
        if hall.broker.session("p_1").state in (State.STOPPING, State.ENDED):
            return tenths / 10
        hall.advance(0.1)
    raise AssertionError("it never ends")


@pytest.mark.parametrize(
    ("progress", "seconds"),
    [
        ({"time": {"start": "NOW", "duration": 10_000}}, 11.0),
        ({"ProgressTime": {"start": "NOW", "duration": 10_000}}, 11.0),
        ({"rounds": {"duration": 20, "currentRound": 0, "endtime": "END"}}, 6.0),
        ({"ProgressRounds": {"duration": 20, "endtime": "END"}}, 6.0),
        ({"lunar": {"endtime": "END"}}, 6.0),
        ({"lunar": {"phase": 1}}, 31.0),
        ({}, 31.0),
        ({"time": {"start": "NOW", "duration": 10**9}}, 49.5),
    ],
)
def test_ends(tmp_path: Path, progress: Any, seconds: float) -> None:
    """The end is the client's own and a second's grace; without one, a usual time; never beyond the longest."""
    probe, now = begun(tmp_path, b"", fallback_run_s=30.0, max_run_s=50.0)
    probe.stop()
    raw = settings(progress).replace(b'"NOW"', str(now).encode()).replace(b'"END"', str(now + 5000).encode())
    hall, _ = begun(tmp_path, raw, fallback_run_s=30.0, max_run_s=50.0)
    assert lasts(hall) == pytest.approx(seconds, abs=0.2)


@pytest.mark.parametrize("message", [b'{"Settings":', b'{"YourTurn":{}}', b'{"Settings":[]}'])
def test_waits_on(tmp_path: Path, message: bytes) -> None:
    """What tells nothing leaves it waiting: three seconds after its start it is over."""
    hall, _ = begun(tmp_path, message)
    assert lasts(hall) == pytest.approx(2.5, abs=0.2)


def test_told_again(tmp_path: Path) -> None:
    """The last of several counts, earlier or later than the one before."""
    hall, now = begun(tmp_path, settings({"rounds": {"endtime": 0}}).replace(b": 0", b": 1000009000"))
    for end in (now + 60_000, now + 4000):
        hall.front.observe("p_1", Direction.UP, settings({"rounds": {"endtime": end}}), 0.0)
        hall.advance(0)
        assert hall.front.runs["p_1"].end_ms == end
        assert hall.broker.session("p_1").deadlines[Deadline.LIFETIME] == pytest.approx(end / 1000 + 1.0)
    assert lasts(hall) == pytest.approx(5.0, abs=0.2)


def test_over_when_it_is_told(tmp_path: Path) -> None:
    """One whose time was over has a second's grace, and its client hears by how much its clock may be off."""
    hall, now = begun(tmp_path, settings({"time": {"start": 0, "duration": 1000}}))
    assert "s off?" in hall.front.runs["p_1"].late
    assert lasts(hall) == pytest.approx(1.0, abs=0.2)
    assert now > 1000


def test_what_a_party_says(tmp_path: Path) -> None:
    """A party does not set its own end."""
    hall, _ = begun(tmp_path, b"")
    hall.front.observe("p_1", Direction.DOWN, settings({"rounds": {"endtime": 10**12}}), 0.0)
    hall.front.observe("p_1", Direction.DOWN, b'{"Finished":{}}', 0.0)
    hall.advance(0)
    assert hall.broker.session("p_1").state not in (State.STOPPING, State.ENDED)
    assert lasts(hall) == pytest.approx(2.5, abs=0.2)


@pytest.mark.parametrize("path", ["/running", "/websocket/running"])
def test_is_listed(tmp_path: Path, path: str) -> None:
    """Whoever listens sees a run with the end that it has for now, and then with the one it was told."""
    hall, now = begun(tmp_path, b"")
    listener = hall.visit(request(f"/partiesserver{path}", host="parties.example"))
    end = now + 7000
    hall.front.observe("p_1", Direction.UP, settings({"rounds": {"endtime": end}}), 0.0)
    hall.advance(0)
    first, *_, last = [json.loads(one.payload) for one in listener.look().read if one.opcode == TEXT]
    [run] = first
    assert run == {"name": "p", "id": "p_1", "start": run["start"], "end": run["start"] + 3000}
    assert last == [{**run, "end": end}]
