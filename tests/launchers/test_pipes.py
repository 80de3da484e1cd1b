"""A child's standard streams, with a transport that only notes what is done to it."""

from __future__ import annotations

from sessiond.launchers.pipes import Pipes


class Reader:
    """One reading end."""

    def __init__(self, did: list[str]) -> None:
        self._did = did

    def stopReading(self) -> None:
        """Note it."""
        self._did.append("stop reading")

    def startReading(self) -> None:
        """Note it."""
        self._did.append("start reading")


class Transport:
    """A process transport."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.pipes: dict[int, object] = {0: object(), 1: Reader(self.did)}

    def writeToChild(self, fd: int, data: bytes) -> None:
        """Note it."""
        self.did.append(f"write {fd} {data.decode()}")

    def closeStdin(self) -> None:
        """Note it."""
        del self.pipes[0]
        self.did.append("close input")

    def loseConnection(self) -> None:
        """Note it."""
        self.did.append("close")


def test_life() -> None:
    """Output waits until somebody takes it, and after the end of its input a program is written nothing."""
    transport, pipes = Transport(), Pipes()
    received: list[bytes] = []
    pipes.opened(transport)
    pipes.received(b"lost")
    pipes.take(received.append)
    pipes.received(b"heard")
    pipes.write(b"a")
    pipes.close_input()
    pipes.close_input()
    pipes.write(b"b")
    pipes.close()
    pipes.close()
    pipes.write(b"c")
    assert transport.did == ["stop reading", "start reading", "write 0 a", "close input", "close"]
    assert received == [b"heard"]


def test_without_pipes() -> None:
    """A child that has none takes all of it without harm."""
    pipes = Pipes()
    pipes.pause()
    pipes.resume()
    pipes.write(b"a")
    pipes.close_input()
    pipes.close()
