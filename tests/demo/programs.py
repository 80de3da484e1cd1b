"""Starting the demo's programs as the daemon does: a child of its own, by its module's name."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT_S = 30.0
_ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    """Give the environment in which a child finds this checkout."""
    return {**os.environ, "PYTHONPATH": str(_ROOT)}


@contextmanager
def program(module: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a module of the demo; whatever the test did, it is gone afterwards."""
    child = subprocess.Popen(
        [sys.executable, "-m", f"sessiond.demo.{module}", *arguments],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(LIMIT_S)
            finally:
                child.kill()


def outcome(module: str, *arguments: str) -> tuple[int, str]:
    """Run a module to its end; give its status and what it said on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", f"sessiond.demo.{module}", *arguments],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, done.stderr
