"""A child's own standard input and output, where these are its endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Receive = Callable[[bytes], None]


class Pipes:
    """What goes between a program's standard streams and whoever took them.

    Output waits in the pipe, so the program waits too, until somebody takes it. Both ends close with the daemon: such
    a session can't outlive it.
    """

    def __init__(self) -> None:
        self._transport: Any = None
        self._receive: Receive | None = None

    def opened(self, transport: Any) -> None:
        """Be given the process transport of a child that has pipes."""
        self._transport = transport
        self.pause()

    def take(self, receive: Receive) -> None:
        """Have ``receive`` called with each piece of output from now on."""
        self._receive = receive
        self.resume()

    def write(self, data: bytes) -> None:
        """Write to the program's standard input; nothing happens when that is closed."""
        if self._transport is not None and 0 in self._transport.pipes:
            self._transport.writeToChild(0, data)

    def received(self, data: bytes) -> None:
        """Be given output."""
        if self._receive is not None:
            self._receive(data)

    def pause(self) -> None:
        """Read no output for now."""
        reader = self._reader()
        if reader is not None:
            reader.stopReading()

    def resume(self) -> None:
        """Read output again."""
        reader = self._reader()
        if reader is not None:
            reader.startReading()

    def close_input(self) -> None:
        """Let the program read the end of its input."""
        if self._transport is not None and 0 in self._transport.pipes:
            self._transport.closeStdin()

    def close(self) -> None:
        """Let go of both ends."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.loseConnection()

    def _reader(self) -> Any:
        return self._transport.pipes.get(1) if self._transport is not None else None
