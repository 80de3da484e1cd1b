"""The target: an application behind a tunnel that takes, sends or echoes bytes, as lightly as Python can.

Run as ``python -m bench.target PORT``. Connections that have ordered nothing yet wait in one selector; an order gets a
thread, so that thousands may be idle while one is hot.
"""

from __future__ import annotations

import selectors
import socket
import sys
import threading
from contextlib import suppress

from bench.limits import raise_descriptors
from bench.wire import BLOCK_BYTES, COUNT, GREETING, ORDER, Errand

BACKLOG = 1024


def serve(port: int) -> None:
    """Serve until the process is ended."""
    raise_descriptors()
    listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    accepted, _address = listener.accept()
                    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    accepted.sendall(GREETING)
                    selector.register(accepted, selectors.EVENT_READ)
                elif isinstance(key.fileobj, socket.socket):
                    selector.unregister(key.fileobj)
                    threading.Thread(target=_attend, args=(key.fileobj,), daemon=True).start()


def _attend(connection: socket.socket) -> None:
    """Run one errand, then wait for the other side to close."""
    with connection, suppress(OSError):
        said = connection.recv(ORDER.size, socket.MSG_WAITALL)
        if len(said) < ORDER.size:
            return
        letter, count = ORDER.unpack(said)
        errand = Errand(letter)
        if errand is Errand.ECHO:
            _echo(connection)
        elif errand is Errand.UP:
            connection.sendall(COUNT.pack(_take(connection, count)))
        else:
            _send(connection, count)
        connection.recv(1)


def _take(connection: socket.socket, count: int) -> int:
    buffer, taken = bytearray(BLOCK_BYTES), 0
    while taken < count:
        size = connection.recv_into(buffer)
        if not size:
            break
        taken += size
    return taken


def _send(connection: socket.socket, count: int) -> None:
    block = memoryview(bytes(BLOCK_BYTES))
    while count > 0:
        connection.sendall(block[:count])
        count -= min(count, BLOCK_BYTES)


def _echo(connection: socket.socket) -> None:
    while data := connection.recv(BLOCK_BYTES):
        connection.sendall(data)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
