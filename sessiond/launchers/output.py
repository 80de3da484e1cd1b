"""The file that a child's output goes to: written by the child alone, kept below its cap, its end readable at any time.

A file, not a pipe: the child outlives the daemon, and a flood never passes through the daemon.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

KEPT_BYTES = 64 * 1024
"""How much of the end is kept when the file is cut, and how much is read for its last lines."""

LINE_CHARACTERS = 2000


class OutputFile:
    """One session's output.

    Links are never followed and nothing but a regular file is ever read: where a child runs as another user, the
    folder is its own.

    :param path: the file; beside it, a file with ``.cut`` at its end keeps the end of what was cut away.
    :param cap_bytes: the size at which it is cut. The file can pass its cap for as long as it is not looked at.
    """

    def __init__(self, path: Path, cap_bytes: int) -> None:
        self.path = path
        self._cut = path.with_name(path.name + ".cut")
        self._cap_bytes = cap_bytes
        self._kept_bytes = min(KEPT_BYTES, cap_bytes)

    def create(self, owner: tuple[int, int] | None = None) -> int:
        """Make the file and open it for a child, append-only; the caller closes the descriptor.

        :raises OSError: it exists already, or can't be made.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self.path, flags, 0o600)
        if owner is not None:
            os.fchown(fd, *owner)
        return fd

    def size(self) -> int:
        """Say how many bytes it has now; 0 where there is no such file (any more)."""
        try:
            found = os.lstat(self.path)
        except OSError:
            return 0
        return found.st_size if stat.S_ISREG(found.st_mode) else 0

    def read(self, offset: int, most_bytes: int) -> bytes:
        """Read a piece; nothing where there is none."""
        return _read(self.path, offset, most_bytes)

    def curb(self, size: int) -> int:
        """Cut the file if it is over its cap.

        The end is copied and the file then emptied: the child writes at the end of what is there (``O_APPEND``), so
        nothing becomes sparse. What is written between copy and cut is lost; to move the rest within the file
        would tear a line.

        :param size: how many bytes it has now.
        :returns: how many it has afterwards.
        """
        if size <= self._cap_bytes:
            return size
        _write(self._cut, self.read(size - self._kept_bytes, self._kept_bytes))
        _truncate(self.path)
        return 0

    def tail(self, lines: int) -> list[str]:
        """Give the last lines, at most ``lines``; a very long line is cut, undecodable bytes are replaced."""
        if lines <= 0:
            return []
        size = self.size()
        block = self.read(max(0, size - KEPT_BYTES), KEPT_BYTES)
        if block.count(b"\n") < lines and size <= KEPT_BYTES:
            block = _read(self._cut, 0, KEPT_BYTES) + block
        text = block.decode("utf-8", "replace")
        return [line[:LINE_CHARACTERS] for line in text.splitlines()[-lines:]]


def _open(path: Path, flags: int) -> int | None:
    """Open a regular file, ``None`` for anything else."""
    try:
        # O_NONBLOCK: a FIFO in its place must not hold the daemon up.
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


def _read(path: Path, offset: int, most_bytes: int) -> bytes:
    fd = _open(path, os.O_RDONLY)
    if fd is None:
        return b""
    try:
        return os.pread(fd, most_bytes, offset)
    finally:
        os.close(fd)


def _write(path: Path, content: bytes) -> None:
    fd = _open(path, os.O_WRONLY | os.O_CREAT)
    if fd is None:
        return
    try:
        os.ftruncate(fd, 0)
        os.write(fd, content)
    except OSError:  # a full disk: the end of the output is not worth more
        pass
    finally:
        os.close(fd)


def _truncate(path: Path) -> None:
    fd = _open(path, os.O_WRONLY)
    if fd is None:
        return
    try:
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)
