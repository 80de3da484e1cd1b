"""The messages of each run, kept in a file of its own while it runs, up to a size."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from twisted.logger import Logger

from sessiond.ports import Direction

MOST_KEPT = 1000
"""How many runs' messages are kept; the oldest go first."""
NAME = re.compile(r"[A-Za-z]\w*_\d+", re.ASCII)
ARROWS = {Direction.UP: ">", Direction.DOWN: "<"}

log = Logger()


class Transcripts:
    """One context's transcripts: lines of JSON, each with the time, the direction and a message as it was.

    :param folder: made when the first is written.
    :param cap_bytes: how much is kept of one run; what comes after that is left out, and that is said.
    """

    def __init__(self, folder: Path, cap_bytes: int) -> None:
        self._folder, self._cap_bytes = folder, cap_bytes
        self._open: dict[str, int] = {}

    def note(self, run: str, direction: Direction, message: bytes, at: float) -> None:
        """Keep a message."""
        text = message.decode("utf-8", "replace")
        line = (
            json.dumps([round(at, 6), ARROWS[direction], text], ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        )
        size = self._open.get(run)
        if size is None:
            size = self._begin(run)
        if size > self._cap_bytes:
            return
        if size + len(line) > self._cap_bytes:
            line = b'["...", "the transcript is full"]\n'
            self._open[run] = self._cap_bytes + 1
        else:
            self._open[run] = size + len(line)
        self._write(run, line)

    def end(self, run: str) -> None:
        """Forget a run that is over; what is kept stays."""
        self._open.pop(run, None)

    def kept(self) -> list[str]:
        """List the runs of which there is one, the newest first."""
        try:
            found = [(entry.stat().st_mtime_ns, entry.name) for entry in os.scandir(self._folder)]
        except OSError:
            return []
        return [name for _, name in sorted(found, reverse=True) if NAME.fullmatch(name)]

    def read(self, run: str) -> bytes | None:
        """Give what is kept of a run; ``None`` where nothing is."""
        try:
            return (self._folder / run).read_bytes() if NAME.fullmatch(run) else None
        except OSError:
            return None

    def _begin(self, run: str) -> int:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # One of the same name is there where the store forgets with the daemon.
            for name in (run, *self.kept()[MOST_KEPT - 1 :]):
                (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            log.error("{folder}: no transcript: {why}", folder=self._folder, why=error.strerror)
        log.info("{id}: its messages are kept in {file}", id=run, file=self._folder / run)
        return 0

    def _write(self, run: str, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(self._folder / run, flags, 0o600)
            try:
                os.write(fd, line)
            finally:
                os.close(fd)
        except OSError as error:  # a full disk: the run is worth more than its transcript
            self._open[run] = self._cap_bytes + 1
            log.error("{id}: its transcript ends here: {why}", id=run, why=error.strerror)
