"""A child's own standard input and output, where these are its endpoint."""

from __future__ import annotations

import fcntl
import struct
import termios
from typing import Any

from twisted.internet.interfaces import IPushProducer

from sessiond.ports import StreamTaker

LAST_READS = 129
"""How often a pipe is read once its program is gone: what it holds (at most 1 MiB, pipe(7)) in pieces of 8 KiB."""


class Pipes:
    """The :class:`sessiond.ports.Streams` of a program that was started with pipes.

    Both ends close with the daemon: such a session can't outlive it.
    """

    def __init__(self) -> None:
        self._transport: Any = None
        self._taker: StreamTaker | None = None
        self._producer: IPushProducer | None = None
        self._rest = b""
        self._ended = False

    def opened(self, transport: Any) -> None:
        """Be given the process transport of a child that has pipes."""
        self._transport = transport
        self.pause()

    # -- what a taker wants ------------------------------------------------------------------------------------------

    @property
    def stuck(self) -> bool:
        """Say whether more waits to be read by the program than makes its producer wait."""
        writer = self._pipe(0)
        return writer is not None and len(writer.dataBuffer) + writer._tempDataLen > writer.bufferSize

    def take(self, taker: StreamTaker, producer: IPushProducer) -> None:
        """Tell what comes from now on, what is left of the last time first."""
        if self._taker is not None:
            self._taker.displaced()
        self._taker, self._producer = taker, producer
        writer = self._pipe(0)
        if writer is not None:
            writer.registerProducer(producer, True)
        rest, self._rest = self._rest, b""
        if rest:
            taker.received(rest)
        if self._taker is not taker:
            return
        if self._ended or self._transport is None:
            self.output_ended()
        else:
            self.resume()

    def leave(self, rest: bytes) -> None:
        """Take no more; the next taker gets the rest first."""
        if not self._ended:
            self.pause()
            self._rest = rest
        self._taker = None
        self._unregister()

    def write(self, data: bytes) -> None:
        """Write to the program's standard input; nothing happens when that is closed."""
        if self._pipe(0) is not None:
            self._transport.writeToChild(0, data)

    def pause(self) -> None:
        """Read no output for now."""
        reader = self._pipe(1)
        if reader is not None:
            reader.stopReading()

    def resume(self) -> None:
        """Read output again."""
        reader = self._pipe(1)
        if reader is not None:
            reader.startReading()

    def unread_bytes(self) -> int:
        """Ask the kernel how much output waits in the pipe."""
        reader = self._pipe(1)
        return 0 if reader is None else _unread_bytes(reader)

    def give_up(self) -> None:
        """Close the input and drop all output: the program, if it still goes on, is not held up by a full pipe."""
        self._rest, self._ended = b"", True
        self.close_input()
        self.resume()

    def close_input(self) -> None:
        """Let the program read the end of its input."""
        if self._pipe(0) is not None:
            self._unregister()  # a pipe with a producer never closes
            self._transport.closeStdin()

    def close(self) -> None:
        """Let go of both ends; what the program said last still goes to the taker."""
        reader = self._pipe(1)
        for _ in range(LAST_READS if self._taker is not None and reader is not None else 0):
            if not _unread_bytes(reader):
                break
            reader.doRead()
        self.close_input()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.loseConnection()

    # -- what the program does ---------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Be given output."""
        if self._taker is not None:
            self._taker.received(data)

    def output_ended(self) -> None:
        """Be told that no more comes."""
        self._ended = True
        taker, self._taker = self._taker, None
        if taker is not None:
            self._unregister()
            taker.ended()

    def input_closed(self) -> None:
        """Be told that nothing can be written any more."""
        self._unregister()

    def _unregister(self) -> None:
        """Stop asking the producer to wait."""
        producer, self._producer = self._producer, None
        writer = self._pipe(0)
        if writer is not None:
            writer.unregisterProducer()
        if producer is not None:
            producer.resumeProducing()

    def _pipe(self, fd: int) -> Any:
        return self._transport.pipes.get(fd) if self._transport is not None else None


def _unread_bytes(reader: Any) -> int:
    return int(struct.unpack("i", fcntl.ioctl(reader.fileno(), termios.FIONREAD, struct.pack("i", 0)))[0])
