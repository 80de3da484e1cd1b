"""Many clients at once that say a byte now and then, or nothing: how long each of them was let."""

import resource
import selectors
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define

from tests.components import lack
from tests.e2e.running import LIMIT_S

EVERY_S = 0.5
"""How often each says its next byte: far more often than any timer that a byte would begin anew."""


@define
class Dribbler:
    """One of them.

    :ivar begun: when it connected; ``ended`` when it was cut, ``None`` as long as it is not.
    :ivar came: what it was told.
    """

    leg: socket.socket
    begun: float
    ended: float | None = None
    came: bytes = b""

    @property
    def lived_s(self) -> float:
        """How long it was let."""
        assert self.ended is not None, "not cut"
        return self.ended - self.begun


class Dribblers:
    """All of them.

    :param said: what each says at once; ``slowly`` what it then says byte by byte.
    """

    def __init__(self, netloc: str, count: int, said: bytes, slowly: bytes, source: str = "127.0.0.1") -> None:
        host, _, port = netloc.partition(":")
        self._slowly, self._spoken = slowly, 0
        self._selector = selectors.DefaultSelector()
        self.all: list[Dribbler] = []
        for _ in range(count):
            leg = socket.create_connection((host, int(port)), LIMIT_S, (source, 0))
            dribbler = Dribbler(leg, time.monotonic())
            self.all.append(dribbler)
            self._selector.register(leg, selectors.EVENT_READ, dribbler)
            leg.setblocking(False)
            if said:
                self._say(dribbler, said)

    @property
    def open(self) -> int:
        """How many are not cut."""
        return sum(dribbler.ended is None for dribbler in self.all)

    def go_on(self, for_s: float) -> None:
        """Dribble until all are cut, or for a time."""
        until, due = time.monotonic() + for_s, 0.0
        while self.open and time.monotonic() < until:
            if time.monotonic() >= due:
                due = time.monotonic() + EVERY_S
                self._say_next()
            for key, _ in self._selector.select(EVERY_S / 10):
                self._hear(key.data)

    def close(self) -> None:
        """Let go of all."""
        for dribbler in self.all:
            dribbler.leg.close()
        self._selector.close()

    def _say_next(self) -> None:
        byte = self._slowly[self._spoken : self._spoken + 1]
        self._spoken += 1
        for dribbler in self.all if byte else ():
            if dribbler.ended is None:
                self._say(dribbler, byte)

    def _say(self, dribbler: Dribbler, data: bytes) -> None:
        try:
            dribbler.leg.send(data)
        except OSError:
            self._cut(dribbler)

    def _hear(self, dribbler: Dribbler) -> None:
        try:
            data = dribbler.leg.recv(1 << 16)
        except OSError:
            data = b""
        dribbler.came += data
        if not data:
            self._cut(dribbler)

    def _cut(self, dribbler: Dribbler) -> None:
        if dribbler.ended is None:
            dribbler.ended = time.monotonic()
            self._selector.unregister(dribbler.leg)


@contextmanager
def dribbling(
    netloc: str, count: int, said: bytes = b"", slowly: bytes = b"", source: str = "127.0.0.1"
) -> Iterator[Dribblers]:
    """Have so many connect."""
    found = Dribblers(netloc, count, said, slowly, source)
    try:
        yield found
    finally:
        found.close()


@contextmanager
def many_descriptors(count: int) -> Iterator[None]:
    """Let this process and the daemons that it starts have so many; where they may not, the test is skipped."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            lack(f"{count} descriptors for each process (ulimit -n)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def client_hello() -> bytes:
    """Give what begins a TLS handshake."""
    out = ssl.MemoryBIO()
    shaking = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        shaking.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("a handshake without the other end")
