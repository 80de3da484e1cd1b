"""An application that writes down when it began to listen: ``python -S -m bench.app PORT`` writes one number.

The number is of the machine's monotonic clock, which every process reads alike.
"""

from __future__ import annotations

import socket
import sys
import time


def main(port: int) -> None:
    """Listen, say when, and stay until ended."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    listened_at = time.monotonic()
    sys.stdout.write(f"{listened_at!r}\n")
    sys.stdout.flush()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main(int(sys.argv[1]))
