"""A browser's side of a tunnel, as light as Python can make it, so that it is never what is measured.

Frames that go up are masked once, beforehand, and sent over and over; of those that come down only the heads are read.
"""

from __future__ import annotations

import os
import socket
import struct
from types import TracebackType
from typing import Self

from bench.wire import BLOCK_BYTES, COUNT, GREETING, Errand, order

TIMEOUT_S = 60.0
BUFFER_BYTES = 1024 * 1024
DATA_OPCODES = (0x0, 0x1, 0x2)
CLOSE = 0x8


class Failed(Exception):
    """The tunnel did not do what it should."""


class WebSocket:
    """One client connection; everything blocks, with a limit.

    :param path: with its query, as the request line has it.
    :param more: header lines, each with its end.
    """

    def __init__(self, port: int, path: str, more: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        try:
            self._shake_hands(port, path, more)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _shake_hands(self, port: int, path: str, more: str) -> None:
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: binary\r\n{more}\r\n".encode()
        )
        while (found := self._buffer.find(b"\r\n\r\n", 0, self._end)) < 0:
            self._fill()
        if not self._buffer.startswith(b"HTTP/1.1 101"):
            raise Failed(bytes(self._buffer[: self._end]).decode("latin-1"))
        self._start = found + 4

    def close(self) -> None:
        """Let go without a closing handshake: what that costs is not what is measured."""
        self._socket.close()

    def slim(self) -> None:
        """Give the buffer back, for a connection that only stays open."""
        self._view.release()
        self._buffer = bytearray()

    # -- errands -----------------------------------------------------------------------------------------------------

    def greet(self) -> None:
        """Wait until the target has been reached."""
        if self.take(len(GREETING)) != GREETING:
            raise Failed("no greeting")

    def up(self, block: bytes, payload_bytes: int, times: int) -> int:
        """Send a block of frames over and over, and give how many bytes of payload the target says that it took.

        :param payload_bytes: how much payload one block carries.
        """
        self._socket.sendall(frame(order(Errand.UP, payload_bytes * times)))
        for _ in range(times):
            self._socket.sendall(block)
        (taken,) = COUNT.unpack(self.take(COUNT.size))
        return int(taken)

    def down(self, count: int) -> int:
        """Have so many bytes sent, and give how many came."""
        self._socket.sendall(frame(order(Errand.DOWN, count)))
        taken = 0
        while taken < count:
            taken += self._drop_frame()
        return taken

    def begin_echo(self) -> None:
        """Have everything sent back from now on."""
        self._socket.sendall(frame(order(Errand.ECHO)))

    def echo(self, framed: bytes, count: int) -> None:
        """Send one frame and wait until its payload is back."""
        self._socket.sendall(framed)
        while count > 0:
            count -= self._drop_frame()

    # -- what comes --------------------------------------------------------------------------------------------------

    def take(self, count: int) -> bytes:
        """Give the next so many bytes of payload, from as many frames as they came in."""
        parts = b""
        while len(parts) < count:
            length = self._head()
            while self._end - self._start < length:
                self._fill()
            parts += self._buffer[self._start : self._start + length]
            self._start += length
        return parts

    def _drop_frame(self) -> int:
        """Read over the next data frame, and give how long it was."""
        length = left = self._head()
        while True:
            here = min(left, self._end - self._start)
            self._start += here
            left -= here
            if not left:
                return length
            self._fill()

    def _head(self) -> int:
        """Read the next data frame's head, over control frames, and give the length of what follows."""
        while True:
            first, length = self._bytes_of_head()
            if first & 0x0F in DATA_OPCODES:
                return length
            if first & 0x0F == CLOSE:
                raise Failed("closed")
            while self._end - self._start < length:
                self._fill()
            self._start += length

    def _bytes_of_head(self) -> tuple[int, int]:
        self._need(2)
        first, length = self._buffer[self._start], self._buffer[self._start + 1]
        self._start += 2
        if length >= 126:
            shape = "!H" if length == 126 else "!Q"
            self._need(struct.calcsize(shape))
            (length,) = struct.unpack_from(shape, self._buffer, self._start)
            self._start += struct.calcsize(shape)
        return first, length

    def _need(self, count: int) -> None:
        while self._end - self._start < count:
            self._fill()

    def _fill(self) -> None:
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == BUFFER_BYTES:
            rest = self._buffer[self._start : self._end]
            self._buffer[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        size = self._socket.recv_into(self._view[self._end :])
        if not size:
            raise Failed("the connection was closed")
        self._end += size


def frame(payload: bytes) -> bytes:
    """Make a client's binary frame: final, and masked with a mask of its own (RFC 6455 section 5.2)."""
    size, mask = len(payload), os.urandom(4)
    if size < 126:
        head = struct.pack("!BB", 0x82, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x82, 0xFE, size)
    else:
        head = struct.pack("!BBQ", 0x82, 0xFF, size)
    key = (mask * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")
    return head + mask + masked


def frames(size: int, count: int) -> bytes:
    """Make a block of frames of equal size."""
    return b"".join(frame(bytes(size)) for _ in range(count))


def block_of(size: int) -> tuple[bytes, int]:
    """Make a block of frames that carry so many bytes each, to be sent over and over, and give its payload's bytes."""
    count = max(1, BLOCK_BYTES // size)
    return frames(size, count), size * count
