"""What client and target say to each other through a tunnel, whoever carries it.

The target greets with one byte as soon as it is reached. Then the client orders one thing: nine bytes, the order and a
count. All of it is payload; the tunnels under measurement know nothing of it.
"""

from __future__ import annotations

import struct
from enum import Enum

GREETING = b"+"
ORDER = struct.Struct("!cQ")
COUNT = struct.Struct("!Q")
BLOCK_BYTES = 256 * 1024


class Errand(Enum):
    """What a client can order."""

    UP = b"U"
    """Take so many bytes, then tell how many came."""
    DOWN = b"D"
    """Send so many bytes."""
    ECHO = b"E"
    """Send everything back."""


def order(errand: Errand, count: int = 0) -> bytes:
    """Write an order."""
    return ORDER.pack(errand.value, count)
