"""A portal's side: requests over connections that are kept, written beforehand."""

from __future__ import annotations

import json
import selectors
import socket
import time
from types import TracebackType
from typing import Any

from bench.client import Failed

TIMEOUT_S = 60.0


class Rest:
    """One kept connection to the API."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._came = b""

    def __enter__(self) -> Rest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask and give the answer's JSON.

        :raises Failed: it was refused.
        """
        self.ask(request(self._port, method, path, body))
        while (answer := self.read()) is None:
            pass
        return answer

    def ask(self, written: bytes) -> None:
        """Send a request."""
        self.socket.sendall(written)

    def read(self) -> Any:
        """Read once, and give the answer's JSON; ``None`` while some of it is missing."""
        data = self.socket.recv(65536)
        if not data:
            raise Failed("the API hung up")
        self._came += data
        head, gap, body = self._came.partition(b"\r\n\r\n")
        if not gap:
            return None
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        if len(body) < length:
            return None
        self._came = b""
        if not head.startswith(b"HTTP/1.1 2"):
            raise Failed(body.decode("utf-8", "replace"))
        return json.loads(body) if body else {}


def request(port: int, method: str, path: str, body: Any = None) -> bytes:
    """Write a request."""
    content = b"" if body is None else json.dumps(body).encode()
    kind = "" if body is None else "Content-Type: application/json\r\n"
    return written(port, method, f"/api/v1{path}", kind, content)


def written(port: int, method: str, path: str, kind: str = "", content: bytes = b"") -> bytes:
    """Write a request for any path."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{kind}Content-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def rate(port: int, written: bytes, callers: int, count: int) -> float:
    """Send a request over and over from so many callers at once, and give answers per second."""
    with selectors.DefaultSelector() as selector:
        connections = [Rest(port) for _ in range(callers)]
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        begun, answered, asked = time.monotonic(), 0, callers
        for connection in connections:
            connection.ask(written)
        while answered < asked:
            ready = selector.select(TIMEOUT_S)
            if not ready:
                raise Failed("no answer")
            for key, _ in ready:
                if key.data.read() is None:
                    continue
                answered += 1
                if asked < count:
                    asked += 1
                    key.data.ask(written)
        lasted_s = time.monotonic() - begun
        for connection in connections:
            connection.socket.close()
    return answered / lasted_s


def latencies_ms(port: int, written: bytes, count: int, pause_s: float = 0.0) -> list[float]:
    """Send a request so often, one after another with pauses between, and give how long each answer took."""
    took: list[float] = []
    with Rest(port) as connection:
        for _ in range(count):
            begun = time.perf_counter()
            connection.ask(written)
            while connection.read() is None:
                pass
            took.append((time.perf_counter() - begun) * 1000)
            time.sleep(pause_s)
    return took
