"""What a script prints, line by line in the operator's log, as far as a log can bear it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from sessiond.launchers.output import OutputFile

MOST_LINES, EVERY_S = 100, 1.0
"""So many lines of one script are logged in so long; the session's output has the others."""

READ_BYTES = 64 * 1024
LINE_BYTES = 1000

log = Logger()


class Transcript:
    """Follows one output.

    :param name: what each line begins with.
    :param now: gives the time, in seconds.
    """

    def __init__(self, output: OutputFile, name: str, now: Callable[[], float]) -> None:
        self._output, self._name, self._now = output, name, now
        self._offset = 0
        self._part = b""
        self._until = 0.0
        self._left = 0
        self._passed_over = 0

    def look(self, size: int, *, last: bool = False) -> None:
        """Log what was written since the last look; the file has ``size`` bytes now.

        :param last: no more will come, so that a line without an end counts too.
        """
        if size < self._offset:  # it was cut
            self._offset = 0
        if size - self._offset > READ_BYTES:  # faster than it can be read: its end is worth most
            self._passed_over += size - READ_BYTES - self._offset + len(self._part)
            self._offset, self._part = size - READ_BYTES, b""
        fresh = self._output.read(self._offset, size - self._offset) if size > self._offset else b""
        self._offset += len(fresh)
        *lines, self._part = (self._part + fresh).split(b"\n")
        if last or len(self._part) > LINE_BYTES:
            lines, self._part = [*lines, self._part], b""
        for line in lines:
            self._tell(line)
        if last:
            self._tell_passed_over()

    def _tell(self, line: bytes) -> None:
        if not line:
            return
        if self._now() >= self._until:
            self._tell_passed_over()
            self._until, self._left = self._now() + EVERY_S, MOST_LINES
        if self._left > 0:
            self._left -= 1
            log.info("{name}: {line}", name=self._name, line=line[:LINE_BYTES].decode("utf-8", "replace"))
        else:
            self._passed_over += len(line) + 1

    def _tell_passed_over(self) -> None:
        if self._passed_over:
            log.info("{name}: … {bytes} bytes more that are not shown", name=self._name, bytes=self._passed_over)
            self._passed_over = 0
