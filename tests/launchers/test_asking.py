"""What programs are asked of themselves, by real ones: they answer, or the cause says why not, and nothing is left."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from twisted.internet.defer import CancelledError

from sessiond.core.services import Service
from sessiond.launchers import asking
from sessiond.ports import Described
from tests.contracts.launcher import make_service
from tests.launchers.real import RealBench, until
from tests.reactor import within

LIMIT_S = 30.0

ANSWERS = """
import sys
if sys.stdin.read() == "":
    sys.stdout.write(sys.argv[-1] + "!")
"""
FAILS = """
import sys
def inner():
    raise ValueError("no such thing")
try:
    inner()
finally:
    sys.stdout.write("half an answer")
"""
LEAVES_OTHERS = """
import subprocess, sys
subprocess.Popen(["sleep", "1000"], start_new_session=True)
sys.stdout.write("done")
"""


def asked(code: str, *questions: str) -> Service:
    """Give a service whose program is asked something."""
    return make_service(command=(sys.executable, "-S", "-c", code), questions=questions or ("who",))


def left(real: RealBench) -> list[str]:
    """Name the folders of those that were asked."""
    return [path.name for path in Path(real.runtime).iterdir()]


@within(LIMIT_S)
async def test_answers(real: RealBench) -> None:
    """Each question is asked of a run of its own, whose input is empty; no folder and no process stays."""
    found = await real.launcher.describe(asked(ANSWERS, "who", "what"))
    assert found.answers == {"who": b"who!", "what": b"what!"}
    assert not found.cause
    assert left(real) == []


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (FAILS, "who ended with status 1: ValueError: no such thing"),
        ("raise SystemExit(3)", "who ended with status 3"),
        ("import os; os.kill(os.getpid(), 11)", "who ended with signal 11"),
        ("print('x' * 100000)", f"the answer to who is longer than {asking.ANSWER_BYTES} bytes"),
    ],
)
@within(LIMIT_S)
async def test_no_answer(real: RealBench, code: str, cause: str) -> None:
    """The cause says how it ended, with the error itself and no trace; the questions behind are not asked."""
    assert await real.launcher.describe(asked(code, "who", "what")) == Described(cause=cause)
    assert left(real) == []


@within(LIMIT_S)
async def test_missing(real: RealBench) -> None:
    """What can't be started has no answer."""
    found = await real.launcher.describe(make_service(command=("no-such-program",), questions=("who",)))
    assert "no-such-program" in found.cause
    assert left(real) == []


@within(LIMIT_S)
async def test_silent(real: RealBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says nothing is killed when its time is over, deaf as it may be."""
    monkeypatch.setattr(asking, "ANSWER_S", 0.5)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(1000)"
    found = await real.launcher.describe(asked(deaf))
    assert found.cause.startswith("no answer to who within")
    assert left(real) == []


@within(LIMIT_S)
async def test_leaves_others(real: RealBench) -> None:
    """What it has left behind says nothing more."""
    found = await real.launcher.describe(asked(LEAVES_OTHERS))
    assert found.answers == {"who": b"done"}
    assert real.children() == set()


@within(LIMIT_S)
async def test_nobody_waits(real: RealBench) -> None:
    """Where nobody waits for the answer any more, the program is ended."""
    waiting = real.launcher.describe(asked("import time; time.sleep(1000)"))
    await until(lambda: bool(real.children()))
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    await until(lambda: not real.children())
    await until(lambda: left(real) == [])
