"""A program that speaks over standard input and output, and gives back what it hears: ``python -S -m bench.party``.

Each message stands behind four bytes that say its length, least first.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Serve until the input ends."""
    heard, said = sys.stdin.buffer, sys.stdout.buffer
    while len(size := heard.read(4)) == 4:
        said.write(size + heard.read(int.from_bytes(size, "little")))
        said.flush()


if __name__ == "__main__":
    main()
