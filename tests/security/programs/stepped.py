"""A daemon whose wall clock can be set: ``stepped.py [twistd's arguments]``.

``STEP`` in its environment names a file; the seconds in it are what the clock is off. Only root may set the machine's
own clock, and every other program would see that.
"""

import os
import sys
import time
from pathlib import Path

STEP = Path(os.environ["STEP"])
wall = time.time


def seconds() -> float:
    """Give wall time, as somebody has set it."""
    return wall() + float(STEP.read_text("ascii"))


# Before Twisted is imported, which keeps the function.
time.time = seconds

from twisted.scripts.twistd import run  # noqa: E402

if __name__ == "__main__":
    sys.argv[0] = "twistd"
    run()
