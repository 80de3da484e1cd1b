"""Tasks and their sockets, in less time than it takes to import asyncio."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Coroutine, Generator

from tests.dialects.hoops.programs.sc_argv import place_of

NEVER = float("inf")
CLOSE_S = 1.0
HEAD_MOST, ANSWER_MOST = 16384, 65536


class Wait:
    """What a task waits for: a descriptor, a moment, or the first of both; gives whether it was the descriptor."""

    def __init__(self, fd: int = -1, events: int = 0, until: float = NEVER) -> None:
        self.fd, self.events, self.until = fd, events, until

    def __await__(self) -> Generator[Wait, bool, bool]:
        return (yield self)


class Loop:
    """Runs tasks until something ends the process."""

    def __init__(self) -> None:
        self.tasks: dict[Coroutine[Wait, bool, None], Wait] = {}

    def start(self, task: Coroutine[Wait, bool, None], is_ready: bool | None = None) -> None:
        """Run a task up to where it waits next."""
        self.tasks.pop(task, None)
        try:
            self.tasks[task] = task.send(is_ready)  # type: ignore[arg-type]
        except StopIteration:
            pass

    def run(self, until: float) -> None:
        """Run them all, for so long at most."""
        while self.tasks and time.monotonic() < until:
            poll = select.poll()
            for wait in self.tasks.values():
                if wait.fd >= 0:
                    poll.register(wait.fd, wait.events)
            next_s = min(until, *(wait.until for wait in self.tasks.values())) - time.monotonic()
            ready = {fd for fd, _ in poll.poll(max(0.0, next_s) * 1000 + 0.5)}
            now = time.monotonic()
            for task, wait in list(self.tasks.items()):
                if task in self.tasks and (wait.fd in ready or wait.until <= now):
                    self.start(task, wait.fd in ready)


def sleep(seconds: float) -> Wait:
    """Wait so long."""
    return Wait(until=time.monotonic() + seconds)


class Stream:
    """A socket that tasks read and write; every wait on it has an end."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.buffer = bytearray()

    def take(self, count: int) -> bytes:
        """Take from what was read."""
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    async def fill(self, until: float = NEVER) -> None:
        """Read more.

        :raises EOFError: there is no more.
        :raises TimeoutError: nothing came.
        """
        while True:
            if not getattr(self.sock, "pending", int)() and not await Wait(self.sock.fileno(), select.POLLIN, until):
                raise TimeoutError("nothing came")
            try:
                data = self.sock.recv(1 << 16)
            except OSError as error:
                if not is_early(error):
                    raise
            else:
                if not data:
                    raise EOFError("closed")
                self.buffer += data
                return

    async def exact(self, count: int, until: float = NEVER) -> bytes:
        """Read so many bytes."""
        while len(self.buffer) < count:
            await self.fill(until)
        return self.take(count)

    async def through(self, end: bytes, most: int, until: float) -> bytes:
        """Read up to some bytes, and leave what is behind them."""
        while (found := self.buffer.find(end)) < 0:
            if len(self.buffer) > most:
                raise ValueError("too long")
            await self.fill(until)
        return self.take(found + len(end))

    async def write(self, data: bytes, until: float = NEVER) -> None:
        """Write everything."""
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view[: 1 << 18]) :]
            except OSError as error:
                if not is_early(error):
                    raise
                if not await Wait(self.sock.fileno(), select.POLLOUT, until):
                    raise TimeoutError("nothing was taken") from None

    async def finish(self) -> None:
        """Close, so that the other side reads everything before."""
        until = time.monotonic() + CLOSE_S
        try:
            self.sock.shutdown(socket.SHUT_WR)
            while True:
                self.buffer.clear()
                await self.fill(until)
        except (OSError, EOFError):
            pass
        self.sock.close()


def is_early(error: OSError) -> bool:
    """Say whether it only has to be tried again."""
    return isinstance(error, BlockingIOError) or type(error).__name__ in {"SSLWantReadError", "SSLWantWriteError"}


async def post(url: str, until: float) -> tuple[int, str]:
    """Post nothing, and give the answer."""
    host, port, path = place_of(url)
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        stream = Stream(sock)
        error = sock.connect_ex((host, port))
        if is_early(OSError(error, "")):
            if not await Wait(sock.fileno(), select.POLLOUT, until):
                raise TimeoutError("not connected")
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        head = f"POST {path or '/'} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: */*\r\n"
        await stream.write(f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode(), until)
        line, headers = split_head(await stream.through(b"\r\n\r\n", HEAD_MOST, until))
        told = dict(headers)
        if "chunked" in told.get("transfer-encoding", ""):
            body = b""
            while size := int(await stream.through(b"\r\n", 100, until), 16):
                body += (await stream.exact(min(size, ANSWER_MOST) + 2, until))[:-2]
        else:
            body = await stream.exact(min(int(told.get("content-length", "0")), ANSWER_MOST), until)
        return int(line.split(" ")[1]), body.decode("utf-8", "replace")
    finally:
        sock.close()


def split_head(head: bytes) -> tuple[str, list[tuple[str, str]]]:
    """Split a head into its first line and its headers, their names in lower case."""
    line, *rest = head.decode("latin-1").strip("\r\n").split("\r\n")
    fields = (one.partition(":") for one in rest)
    return line, [(name.lower(), value.strip()) for name, _, value in fields]
