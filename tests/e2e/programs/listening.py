"""Many clients of the feed in one process: ``listening.py PORT COUNT QUERY OUT``.

Each reads all that it is told, and comes back where it was when its connection ends. Each line of standard input has
what was heard so far written to OUT, as JSON.
"""

import json
import os
import selectors
import socket
import sys
from typing import Any

from tests.fakes.frames import CLOSE, PING, PONG, TEXT, Frames, frame, request

BUFFER_BYTES = 4096
"""What the kernel keeps for a client that reads nothing: little, so that the rest waits at the server's."""


class Client:
    """One client."""

    def __init__(self, port: int, query: str) -> None:
        self.port, self.query = port, query
        self.epoch, self.last = "", 0
        self.offsets: list[int] = []
        self.opened: list[dict[str, Any]] = []
        self.ends: list[int] = []
        self.connect()

    def connect(self) -> None:
        """Connect, behind what it has heard."""
        self.frames, self.head, self.code = Frames(), b"", 1006
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self.socket.connect(("127.0.0.1", self.port))
        place = f"&epoch={self.epoch}&after={self.last}" if self.epoch else ""
        self.socket.sendall(request(f"/api/v1/events?{self.query}{place}", host=f"127.0.0.1:{self.port}"))

    def read(self) -> bool:
        """Read what is there; say whether there may be more."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.ends.append(self.code)
            self.socket.close()
            return False
        if not self.head.endswith(b"\r\n\r\n"):
            whole, mark, data = (self.head + data).partition(b"\r\n\r\n")
            self.head = whole + mark
        for one in self.frames.read(data):
            if one.opcode == TEXT:
                self.hear(json.loads(one.payload))
            elif one.opcode == PING:
                self.socket.sendall(frame(PONG, one.payload))
            elif one.opcode == CLOSE:
                self.code = one.code
        return True

    def hear(self, event: dict[str, Any]) -> None:
        """Take an event."""
        if event["type"] == "sessiond.feed.opened":
            self.opened.append(event["data"])
            self.epoch = event["data"]["epoch"]
            self.last = max(self.last, event["data"]["offset"])
        elif "offset" in event:
            self.offsets.append(event["offset"])
            self.last = event["offset"]


def main() -> None:
    """Listen until nobody asks any more."""
    port, count, query, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    clients = [Client(port, query) for _ in range(count)]
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
        while True:
            for key, _ in selector.select():
                client = key.data
                if client is None:
                    if not sys.stdin.readline():
                        return
                    told = [{"offsets": one.offsets, "opened": one.opened, "ends": one.ends} for one in clients]
                    with open(f"{out}.part", "w") as file:
                        json.dump(told, file)
                    os.replace(f"{out}.part", out)
                elif not client.read():
                    selector.unregister(key.fileobj)
                    client.connect()
                    selector.register(client.socket, selectors.EVENT_READ, client)


if __name__ == "__main__":
    main()
