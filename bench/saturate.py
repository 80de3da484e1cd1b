"""A browser that takes or sends all that it can, until it is ended: ``python -m bench.saturate PORT PATH [SIZE]``.

With a size it sends frames that carry so many bytes, over and over; without one it takes.
"""

from __future__ import annotations

import sys

from bench.client import WebSocket, block_of

ENDLESS_BYTES = 1 << 40


def saturate(port: int, path: str, size: int | None) -> None:
    """Use a tunnel of its own."""
    with WebSocket(port, path) as client:
        client.greet()
        if size is None:
            client.down(ENDLESS_BYTES)
        else:
            block, payload_bytes = block_of(size)
            client.up(block, payload_bytes, ENDLESS_BYTES // payload_bytes)


if __name__ == "__main__":
    saturate(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None)
