"""Fixtures of the launchers' tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sessiond.launchers.procfs import all_pids, variable_of
from tests.launchers.real import INSTANCE, RealBench, is_alive


def _marked() -> list[int]:
    return [pid for pid in all_pids() if variable_of(pid, "SESSIOND_INSTANCE") == INSTANCE and is_alive(pid)]


@pytest.fixture
def real(tmp_path: Path, started_reactor: None) -> Iterator[RealBench]:
    """Give a process launcher, and hold afterwards that no process of it is left."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    bench = RealBench(folder)
    yield bench
    bench.close()
    assert _marked() == []
