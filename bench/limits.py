"""How many descriptors a process may have open."""

from __future__ import annotations

import resource


def raise_descriptors() -> int:
    """Take as many as are allowed, and give how many that is."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
