"""A small file beside a store that says how far its history has come: so an older copy in its place is noticed."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

STEP = 100
"""How many facts the file may be behind."""


@frozen
class Mark:
    """How far the history of an epoch had come at least."""

    epoch: str
    newest: int


class Marker:
    """The file, ``NAME.history`` beside the store.

    It need not be durable: what is lost of it is only that an older copy may pass for the newest.
    """

    def __init__(self, store: Path) -> None:
        self._path = store.with_name(f"{store.name}.history")
        self._marked = 0

    def read(self) -> Mark | None:
        """Give what it says; ``None`` where it says nothing."""
        try:
            epoch, newest = self._path.read_text("ascii").split()
            return Mark(epoch, int(newest))
        except (OSError, ValueError):
            return None

    def write(self, epoch: str, newest: int) -> None:
        """Have it say how far the history has come; a full disk does no harm."""
        part = self._path.with_name(f"{self._path.name}.part")
        self._marked = newest
        try:
            part.unlink(missing_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(f"{epoch} {newest}\n")
            part.replace(self._path)
        except OSError:
            return

    def passed(self, epoch: str, newest: int) -> None:
        """Take note of a fact."""
        if newest >= self._marked + STEP:
            self.write(epoch, newest)
