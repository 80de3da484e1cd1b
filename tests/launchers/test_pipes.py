"""A child's standard streams, with a transport that only notes what is done to it."""

from __future__ import annotations

from typing import Any

from sessiond.launchers.pipes import Pipes
from tests.fakes.streams import Producer, Taker


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


class Writer:
    """The writing end."""

    bufferSize = 10

    def __init__(self, did: list[str]) -> None:
        self._did = did
        self.dataBuffer, self._tempDataLen = b"", 0

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Note it."""
        self._did.append("register")

    def unregisterProducer(self) -> None:
        """Note it."""
        self._did.append("unregister")


class Transport:
    """A process transport."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.writer = Writer(self.did)
        self.pipes: dict[int, Any] = {0: self.writer, 1: Reader(self.did)}

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


def opened() -> tuple[Transport, Pipes, Taker, Producer]:
    """Give the pipes of a program that runs, and somebody to take them."""
    transport, pipes = Transport(), Pipes()
    pipes.opened(transport)
    return transport, pipes, Taker(pipes), Producer()


def test_life() -> None:
    """Output waits until somebody takes it, and after the end of its input a program is written nothing."""
    transport, pipes, taker, producer = opened()
    pipes.received(b"lost")
    pipes.take(taker, producer)
    pipes.received(b"heard")
    pipes.write(b"a")
    pipes.close_input()
    pipes.close_input()
    pipes.write(b"b")
    del transport.pipes[1]
    pipes.close()
    pipes.close()
    pipes.write(b"c")
    assert transport.did == [
        *("stop reading", "register", "start reading", "write 0 a", "unregister", "close input", "close")
    ]
    assert taker.got == [b"heard"]
    assert producer.resumed == 1


def test_one_after_another() -> None:
    """Who comes next displaces who is there, and gets what that one did not make use of."""
    transport, pipes, first, producer = opened()
    second = Taker(pipes)
    pipes.take(first, producer)
    pipes.received(b"1")
    pipes.take(second, producer)
    pipes.received(b"2")
    assert (first.got, second.got) == ([b"1"], [b"rest ", b"2"])
    assert transport.did[-2:] == ["register", "start reading"]


def test_end() -> None:
    """The end of the output is told once, also to who comes later."""
    _, pipes, taker, producer = opened()
    pipes.take(taker, producer)
    pipes.output_ended()
    pipes.received(b"late")
    pipes.output_ended()
    later = Taker(pipes)
    pipes.take(later, producer)
    assert (taker.ends, later.ends, taker.got) == (1, 1, [])


def test_input_that_is_not_read() -> None:
    """A program whose input waits is stuck; once its input is closed, nobody waits for it."""
    transport, pipes, taker, producer = opened()
    assert not pipes.stuck
    transport.writer.dataBuffer = b"more than ten bytes"
    assert pipes.stuck
    pipes.take(taker, producer)
    pipes.input_closed()
    assert producer.resumed == 1


def test_given_up() -> None:
    """Output that makes no sense is read and dropped, so that the program gets to the end of its input."""
    transport, pipes, taker, producer = opened()
    pipes.take(taker, producer)
    pipes.give_up()
    pipes.leave(b"rest")
    pipes.received(b"dropped")
    assert transport.did[-2:] == ["close input", "start reading"]
    later = Taker(pipes)
    pipes.take(later, producer)
    assert (later.got, later.ends) == ([], 1)


def test_without_pipes() -> None:
    """A child that has none takes all of it without harm."""
    pipes = Pipes()
    pipes.pause()
    pipes.resume()
    pipes.write(b"a")
    pipes.close_input()
    pipes.close()
    assert (pipes.stuck, pipes.unread_bytes()) == (False, 0)
