"""A viewer's program: it reports that it is ready and that it lives, shows one viewer a model, and says good-bye.

The model is a cube, as JSON in the first message; what the viewer sends comes back to it. One viewer is all it takes:
it ends with the connection of that one (RFC 6455), and after a minute where none comes.
"""

import argparse
import asyncio
import base64
import hashlib
import itertools
import json
import urllib.request
from collections.abc import AsyncIterator

from sessiond.demo.arguments import port

UNUSED_S, PING_S, HEAD_S = 60.0, 5.0, 10.0
MESSAGE_BYTES = 1 << 20
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
CUBE = {
    "model": "cube",
    "points": list(itertools.product((-1, 1), repeat=3)),
    "edges": [(a, a | bit) for a in range(8) for bit in (1, 2, 4) if not a & bit],
}


def frame(opcode: int, payload: bytes) -> bytes:
    """Write a whole message, or a control frame, as a server does: without a mask."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 1 << 16:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, bytes]]:
    """Read what a viewer sends, as opcode and payload, up to the end or to what breaks the protocol."""
    try:
        while True:
            first, second = await reader.readexactly(2)
            size = second & 0x7F
            if size > 125:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
            if not second & 0x80 or size > MESSAGE_BYTES:
                return
            mask = await reader.readexactly(4)
            payload = await reader.readexactly(size)
            yield first & 0x0F, bytes(byte ^ key for byte, key in zip(payload, itertools.cycle(mask), strict=False))
    except (EOFError, OSError):
        return


def answer_to(head: bytes) -> bytes | None:
    """Give the answer to a request for an upgrade; ``None`` where it is no such request."""
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    said = {name.lower(): value.strip() for name, _, value in lines}
    if not head.startswith(b"GET ") or b"sec-websocket-key" not in said:
        return None
    accept = base64.b64encode(hashlib.sha1(said[b"sec-websocket-key"] + GUID).digest())  # noqa: S324 - RFC 6455's
    lines_back = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
    return b"\r\n".join((*lines_back, b"Sec-WebSocket-Accept: " + accept, b"", b""))


class Model:
    """One run.

    :param reports: the URL that is reported to, the session's id included.
    """

    def __init__(self, reports: str) -> None:
        self._reports = reports
        self._seen = asyncio.Event()
        self._over = asyncio.Event()

    async def report(self, what: str) -> None:
        """Say how it stands; nobody hears it where the daemon is not there."""
        request = urllib.request.Request(f"{self._reports}?liveliness={what}", b"", method="POST")  # noqa: S310
        try:
            await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=PING_S).close())  # noqa: S310
        except OSError:
            pass

    async def show(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Show the one viewer the model, and give back what it sends."""
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_S)
        except (TimeoutError, EOFError, OSError, asyncio.LimitOverrunError):
            head = b""
        answer = answer_to(head)
        if answer is None or self._seen.is_set():
            writer.close()
            return
        self._seen.set()
        writer.write(answer + frame(TEXT, json.dumps(CUBE).encode()))
        async for opcode, payload in frames(reader):
            writer.write(frame(PONG if opcode == PING else opcode, payload))
            if opcode == CLOSE:
                break
        writer.close()
        self._over.set()

    async def run(self, number: int) -> None:
        """Serve on a port until the viewer has gone, or none has come."""
        server = await asyncio.start_server(self.show, "127.0.0.1", number)
        async with server:
            await self.report("ready")
            pinging = asyncio.create_task(self._ping())
            try:
                await asyncio.wait_for(self._seen.wait(), UNUSED_S)
                await self._over.wait()
            except TimeoutError:
                pass
            pinging.cancel()
            await self.report("disconnect")

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            await self.report("ping")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser("python -m sessiond.demo.model", description=__doc__)
    parser.add_argument("--port", type=port, required=True, help="where the viewer connects")
    parser.add_argument("--reports", required=True, metavar="URL", help="where it reports, its session's id included")
    given = parser.parse_args()
    asyncio.run(Model(given.reports).run(given.port))


if __name__ == "__main__":
    main()
