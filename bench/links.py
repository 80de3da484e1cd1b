"""A client of the newer generation of wslink's protocol, as light as Python can make it, for either server."""

from __future__ import annotations

import selectors
import struct
import time
from statistics import median
from typing import Any

import msgpack  # type: ignore[import-untyped]

from bench.client import Failed, WebSocket, frame
from bench.measures import each_us
from bench.rpc_app import SECRET

HEAD = struct.Struct("<III")
LIMIT_S = 60.0
PIECE_BYTES = 1 << 18


def written(method: str, args: list[Any], call_id: str = "rpc:c:0") -> bytes:
    """Write a call, masked and ready to be sent over and over."""
    content = msgpack.packb({"wslink": "1.0", "id": call_id, "method": method, "args": args, "kwargs": {}})
    return frame(HEAD.pack(1, 0, len(content)) + content)


class Link(WebSocket):
    """One client that is known.

    :param deflate: it offers what every browser offers.
    """

    def __init__(self, port: int, *, deflate: bool = False) -> None:
        super().__init__(port, "/ws", "Sec-WebSocket-Extensions: permessage-deflate\r\n" if deflate else "")
        self.send(written("wslink.hello", [{"secret": SECRET}], "system:c0:0"))
        reply = self.frame()
        # What may be packed is not looked into.
        if not deflate and "result" not in msgpack.unpackb(reply[HEAD.size :]):
            raise Failed("not let in")

    def send(self, call: bytes) -> None:
        """Send."""
        self._socket.sendall(call)

    def ask(self, call: bytes) -> None:
        """Send, and wait for the reply."""
        self._socket.sendall(call)
        self.frame()

    def frame(self) -> bytes:
        """Read the next frame's payload."""
        length = self._head()
        while self._end - self._start < length:
            self._fill()
        payload = bytes(self._buffer[self._start : self._start + length])
        self._start += length
        return payload

    def skip(self) -> int:
        """Read over the next frame, whatever is in it, and give how many bytes it had."""
        return self._drop_frame()

    def drop(self) -> int:
        """Read over the next whole message, frame by frame, and give how many bytes it had."""
        taken, size = 0, -1
        while taken != size:
            length = self._head()
            while self._end - self._start < HEAD.size:
                self._fill()
            size = HEAD.unpack_from(self._buffer, self._start)[2]
            taken += length - HEAD.size
            while True:
                here = min(length, self._end - self._start)
                self._start += here
                length -= here
                if not length:
                    break
                self._fill()
        return taken

    @property
    def fileno(self) -> int:
        """Give the socket's number."""
        return self._socket.fileno()

    def read(self) -> int:
        """Take what is there, whatever it is, and give how many bytes."""
        return len(self._socket.recv(PIECE_BYTES))


def small_us(port: int, count: int) -> list[float]:
    """Give how long each of so many small calls took."""
    call = written("bench.echo", [1])
    with Link(port) as link:
        return each_us(lambda: link.ask(call), count)


def small_per_s(port: int, count: int, at_once: int) -> float:
    """Give how many small calls a second are answered, so many on their way."""
    calls = written("bench.echo", [1]) * at_once
    with Link(port) as link:
        begun = time.perf_counter()
        for _ in range(count // at_once):
            link.send(calls)
            for _ in range(at_once):
                link.frame()
        return count // at_once * at_once / (time.perf_counter() - begun)


def bytes_ms(port: int, size: int, count: int, *, deflate: bool = False) -> float:
    """Give how long a result of so many bytes takes."""
    call, took = written("bench.blob", [size]), []
    with Link(port, deflate=deflate) as link:
        for _ in range(count):
            begun = time.perf_counter()
            link.send(call)
            if deflate:
                link.skip()
            else:
                link.drop()
            took.append((time.perf_counter() - begun) * 1000)
    return median(took)


def fan_out_per_s(port: int, clients: int, count: int) -> float:
    """Give how many deliveries a second come of so many publications to so many clients."""
    links = [Link(port) for _ in range(clients)]
    caller = links[0]
    caller.send(written("bench.tell", [1]))
    caller.frame()
    told = len(caller.frame())
    # Two bytes of the WebSocket's own before each, or four.
    each = told + (2 if told < 126 else 4)
    for link in links[1:]:
        link.frame()
    wanted = {link.fileno: each * count for link in links[1:]}
    by_number = {link.fileno: link for link in links}
    with selectors.DefaultSelector() as selector:
        for link in links[1:]:
            selector.register(link.fileno, selectors.EVENT_READ)
        begun = time.perf_counter()
        caller.send(written("bench.tell", [count]))
        while wanted:
            ready = selector.select(LIMIT_S)
            if not ready:
                raise Failed("a publication was lost")
            for key, _ in ready:
                wanted[key.fd] -= by_number[key.fd].read()
                if wanted[key.fd] <= 0:
                    del wanted[key.fd]
                    selector.unregister(key.fd)
        lasted_s = time.perf_counter() - begun
    for link in links:
        link.close()
    return (clients - 1) * count / lasted_s
