"""Which ports the programs of tests may have: below the ephemeral range, and others for each process of a run."""

import os

FIRST, EACH = 20_000, 6_000
"""Where the ports of the first process begin, and how many each has; there may be two."""
OWN = 1_000
"""How many of them are handed out one by one; the others go to whole daemons."""


def worker() -> int:
    """Say which of the processes this is that run tests side by side."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def base() -> int:
    """Give the first port of this process."""
    return FIRST + worker() % 2 * EACH
