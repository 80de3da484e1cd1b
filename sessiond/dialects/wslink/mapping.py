"""The file in which a web server in front of the daemon finds where each session's program listens (spec 11)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from twisted.logger import Logger

log = Logger()


class Mapping:
    """One line for each session, ``ID HOST:PORT``: what Apache reads as a ``RewriteMap`` of the type ``txt``.

    Readers see the old file or the new one, never a part: it is written beside its place and then renamed.

    :param mode: who may read it.
    """

    def __init__(self, path: Path, mode: int) -> None:
        self._path, self._mode = path, mode
        self._written: str | None = None

    def write(self, sessions: Iterable[tuple[str, str, int]]) -> None:
        """Have these in the file: id, host and port of each. What fails is tried again with the next change."""
        content = "".join(f"{name} {host}:{port}\n" for name, host, port in sessions)
        if content == self._written:
            return
        # One name for all times: what a crash has left is written over.
        beside = self._path.with_name(f".{self._path.name}.new")
        try:
            beside.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with open(os.open(beside, flags, self._mode), "w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), self._mode)
                file.write(content)
            beside.replace(self._path)
        except OSError as error:
            self._written = None
            log.error("the mapping file {path} can't be written: {why}", path=str(self._path), why=error.strerror)
        else:
            self._written = content
