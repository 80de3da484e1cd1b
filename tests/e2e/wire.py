"""A WebSocket client that blocks: enough of RFC 6455 to send bytes through a tunnel and to hear how it ends."""

import os
import socket
import ssl
import struct
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from tests.e2e.running import LIMIT_S

BINARY, CLOSE, PING, PONG = 2, 8, 9, 10


class Refusal(Exception):
    """The upgrade was refused; ``status`` says how."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Tunnel:
    """A client's end of a tunnel.

    :param trust: the certificate of a listener that speaks TLS.
    :raises Refusal: it was refused before the upgrade.
    :raises OSError: nobody is there.
    """

    def __init__(self, url: str, trust: Path | None = None) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), LIMIT_S)
        if parts.scheme == "wss":
            context = ssl.create_default_context(cafile=None if trust is None else str(trust))
            self._socket = context.wrap_socket(self._socket, server_hostname=parts.hostname)
        self._file = self._socket.makefile("rb")
        self.close_code: int | None = None
        try:
            self._upgrade(f"{parts.path}?{parts.query}", parts.netloc)
        except BaseException:
            self.close()
            raise

    def _upgrade(self, target: str, host: str) -> None:
        """Shake hands (RFC 6455 section 4.1)."""
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {host}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Protocol: binary",
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        status = self._line().split()[1]
        while self._line():
            pass
        if status != "101":
            raise Refusal(int(status))

    def _line(self) -> str:
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the connection ended")
        return line.decode().strip()

    def send(self, payload: bytes, opcode: int = BINARY) -> None:
        """Send one whole message, masked as a client's must be (RFC 6455 section 5.3)."""
        mask = os.urandom(4)
        size = len(payload)
        length = struct.pack(">B", 0x80 | size) if size < 126 else struct.pack(">BH", 0x80 | 126, size)
        head = struct.pack(">B", 0x80 | opcode) + length
        self._socket.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)))

    def read(self) -> bytes | None:
        """Give what comes next; ``None`` at a close, whose code is then ``close_code``.

        :raises ConnectionError: it broke without one.
        """
        while True:
            opcode, payload = self._frame()
            if opcode == CLOSE:
                self.close_code = struct.unpack(">H", payload[:2])[0] if payload else 1005
                self.send(payload, CLOSE)
                return None
            if opcode == PING:
                self.send(payload, PONG)
            elif opcode != PONG:
                return payload

    def read_until(self, wanted: bytes) -> bytes:
        """Read until something was among what came, and give all of that."""
        came = b""
        while wanted not in came:
            more = self.read()
            if more is None:
                raise ConnectionError(f"closed with {self.close_code} before {wanted!r}")
            came += more
        return came

    def _frame(self) -> tuple[int, bytes]:
        first, size = self._exactly(2)
        if size == 126:
            (size,) = struct.unpack(">H", self._exactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._exactly(8))
        return first & 15, self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise ConnectionError("the connection ended")
        return data

    def close(self) -> None:
        """Hang up, without a word."""
        self._file.close()
        self._socket.close()

    def __enter__(self) -> "Tunnel":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
