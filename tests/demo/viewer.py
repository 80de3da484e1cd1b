"""A viewer for tests: what it says as bytes (RFC 6143, section 7.5), and a blocking one on a real socket."""

import socket
import struct
from collections.abc import Iterator
from typing import BinaryIO

from attrs import frozen

from sessiond.demo import rfb

LIMIT_S = 30.0


def said(message: rfb.Message) -> bytes:
    """Give the bytes by which a viewer says a message."""
    match message:
        case rfb.Version(minor):
            return b"RFB 003.00%d\n" % minor
        case rfb.SecurityChosen():
            return b"\x01"
        case rfb.ClientInit(shared):
            return bytes((shared,))
        case rfb.SetPixelFormat(wanted):
            return b"\0\0\0\0" + wanted.pack()
        case rfb.SetEncodings(encodings):
            return struct.pack(f">BxH{len(encodings)}i", 2, len(encodings), *encodings)
        case rfb.UpdateRequest(incremental, x, y, width, height):
            return struct.pack(">B?4H", 3, incremental, x, y, width, height)
        case rfb.Key(down, keysym):
            return struct.pack(">B?2xI", 4, down, keysym)
        case rfb.Pointer(buttons, x, y):
            return struct.pack(">BBHH", 5, buttons, x, y)
        case rfb.CutText(size_bytes):
            return struct.pack(">B3xI", 6, size_bytes) + b"\x06" * size_bytes


GREETING = said(rfb.Version(8)) + said(rfb.SecurityChosen()) + said(rfb.ClientInit(shared=True))


@frozen
class Picture:
    """A screen of 32-bit pixels in the natural format, as a viewer has put it together."""

    width: int
    height: int
    pixels: bytearray

    def at(self, x: int, y: int) -> tuple[int, int, int]:
        """Give the red, green and blue of one pixel."""
        start = (y * self.width + x) * 4
        red, green, blue = self.pixels[start : start + 3]
        return red, green, blue


class Viewer:
    """Speaks RFB 3.8 over a connected socket and keeps the picture."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(LIMIT_S)
        self._connection = connection
        self._file: BinaryIO = connection.makefile("rb")
        assert self._read(12) == rfb.VERSION
        self.say(rfb.Version(8))
        assert self._read(2) == b"\x01\x01"
        self.say(rfb.SecurityChosen())
        assert self._read(4) == bytes(4)
        self.say(rfb.ClientInit(shared=True))
        width, height = struct.unpack(">HH", self._read(4))
        self.format = rfb.parse_pixel_format(self._read(16))
        (size,) = struct.unpack(">I", self._read(4))
        self.name = self._read(size).decode()
        self.picture = Picture(width, height, bytearray(width * height * 4))

    def say(self, message: rfb.Message) -> None:
        """Send a message."""
        self._connection.sendall(said(message))

    def update(self, *, incremental: bool = True) -> list[tuple[int, int, int, int]]:
        """Ask for the whole picture, wait for an update, and say which rectangles came."""
        self.say(rfb.UpdateRequest(incremental, 0, 0, self.picture.width, self.picture.height))
        return list(self._rectangles())

    def _rectangles(self) -> Iterator[tuple[int, int, int, int]]:
        kind, number = struct.unpack(">BxH", self._read(4))
        assert kind == 0
        for _ in range(number):
            x, y, width, height, encoding = struct.unpack(">4Hi", self._read(12))
            assert encoding == rfb.RAW
            for row in range(y, y + height):
                start = (row * self.picture.width + x) * 4
                self.picture.pixels[start : start + width * 4] = self._read(width * 4)
            yield x, y, width, height

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        assert len(data) == size, "the program closed the connection"
        return data

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._connection.close()
