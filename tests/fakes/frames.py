"""WebSocket frames as a client writes and reads them (RFC 6455 section 5.2), apart from any code that is tested."""

from __future__ import annotations

import base64
import hashlib
import struct

from attrs import define, frozen

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = bytes((0x5A, 0x00, 0xFF, 0x17))
KEY = base64.b64encode(b"sixteen bytes ok").decode()
ACCEPT = base64.b64encode(hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, rsv: int = 0) -> bytes:
    """Write one frame."""
    length = len(payload)
    first = bytes((fin << 7 | rsv << 4 | opcode,))
    mask_bit = masked << 7
    if length < 126:
        head = first + bytes((mask_bit | length,))
    elif length < 1 << 16:
        head = first + bytes((mask_bit | 126,)) + struct.pack("!H", length)
    else:
        head = first + bytes((mask_bit | 127,)) + struct.pack("!Q", length)
    return head + MASK + mask(payload) if masked else head + payload


def mask(payload: bytes) -> bytes:
    """Mask a payload; masking it twice gives it back."""
    pattern = (MASK * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")).to_bytes(len(payload), "big")


def close(code: int | None = None, text: str = "") -> bytes:
    """Write a close frame."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + text.encode())


@frozen
class Frame:
    """One frame that came."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """The code of a close frame."""
        return int(struct.unpack("!H", self.payload[:2])[0])

    @property
    def text(self) -> str:
        """The text of a close frame."""
        return self.payload[2:].decode()


@define
class Frames:
    """Reads what a server sends: whole messages, never masked."""

    rest: bytes = b""

    def read(self, data: bytes) -> list[Frame]:
        """Give the frames that are complete now."""
        self.rest += data
        found = []
        while (one := self._next()) is not None:
            found.append(one)
        return found

    def _next(self) -> Frame | None:
        rest = self.rest
        if len(rest) < 2:
            return None
        assert rest[0] & 0xF0 == 0x80, "whole frames without extensions"
        length, at = rest[1], 2
        assert length < 128, "not masked"
        if len(rest) < {126: 4, 127: 10}.get(length, 2):
            return None
        if length == 126:
            length, at = struct.unpack("!H", rest[2:4])[0], 4
        elif length == 127:
            length, at = struct.unpack("!Q", rest[2:10])[0], 10
        if len(rest) < at + length:
            return None
        self.rest = rest[at + length :]
        return Frame(rest[0] & 0x0F, rest[at : at + length])


def payload_of(frames: list[Frame]) -> bytes:
    """Join the payloads of the binary messages."""
    return b"".join(one.payload for one in frames if one.opcode == BINARY)


def request(path: str, *lines: str, host: str = "localhost") -> bytes:
    """Write an upgrade request; ``lines`` are further headers."""
    head = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
        *lines,
    )
    return "\r\n".join((*head, "", "")).encode()
