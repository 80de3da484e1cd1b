"""Fixtures of the tests of clients."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.daemon import ROOT

LIMIT_S = 30.0


@pytest.fixture(scope="module")
def standin() -> Iterator[str]:
    """Start the stand-in of the daemon, and give its address."""
    argv = [sys.executable, "-m", "tests.clients.standin"]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        yield program.stdout.readline().strip()
        program.communicate("", LIMIT_S)
    assert program.returncode == 0
