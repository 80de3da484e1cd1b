"""Requests as the bytes that somebody chose, to a real daemon, and what came back."""

import http.client
import socket
from types import TracebackType
from urllib.parse import urlsplit

from attrs import define, frozen

from tests.e2e.running import LIMIT_S


@frozen
class Got:
    """One answer; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@define
class Exchange:
    """A client that keeps its connection for as long as the daemon does.

    :ivar url: the daemon's.
    """

    url: str
    _connection: socket.socket | None = None

    @property
    def netloc(self) -> str:
        """The daemon's host and port."""
        return urlsplit(self.url).netloc

    def get(self, target: bytes, method: bytes = b"GET", more: bytes = b"", host: bytes | None = None) -> Got:
        """Ask for a target as it stands.

        :param more: further header lines, each with its end.
        """
        named = self.netloc.encode() if host is None else host
        return self.send(method + b" " + target + b" HTTP/1.1\r\nHost: " + named + b"\r\n" + more + b"\r\n", method)

    def send(self, raw: bytes, method: bytes = b"GET") -> Got:
        """Send one request, and read its answer."""
        if self._connection is None:
            parts = urlsplit(self.url)
            self._connection = socket.create_connection((parts.hostname or "", parts.port or 80), LIMIT_S)
        self._connection.sendall(raw)
        response = http.client.HTTPResponse(self._connection, method=method.decode("latin-1"))
        try:
            response.begin()
            body = response.read()
        except (http.client.HTTPException, ConnectionError):
            self.close()
            raise
        if response.will_close:
            self.close()
        return Got(response.status, {name.lower(): value for name, value in response.getheaders()}, body)

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> "Exchange":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
