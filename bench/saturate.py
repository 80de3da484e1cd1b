"""A browser that takes all that it can get, until it is ended: ``python -m bench.saturate PORT PATH``."""

from __future__ import annotations

import sys

from bench.client import WebSocket

ENDLESS_BYTES = 1 << 40


def saturate(port: int, path: str) -> None:
    """Take bytes through a tunnel of its own."""
    with WebSocket(port, path) as client:
        client.greet()
        client.down(ENDLESS_BYTES)


if __name__ == "__main__":
    saturate(int(sys.argv[1]), sys.argv[2])
