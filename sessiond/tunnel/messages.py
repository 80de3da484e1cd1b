"""A client's WebSocket where its messages matter: each is passed on whole, and each from the program is one."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure

from sessiond.tunnel.frames import FrameError, FrameReader, Opcode, Received, Unmask, head
from sessiond.tunnel.framing import Rules
from sessiond.tunnel.outlet import write_now
from sessiond.tunnel.relay import ClientEar
from sessiond.tunnel.socket import FrameSocket

Tell = Callable[[bytes], None]
"""Takes one whole message."""


class MessageReader(FrameReader):
    """Reads what a client sends message by message; holds at most one, in a piece that grows.

    :ivar tell: is called with each message as its last byte is read; ``receive`` gives no payload.
    """

    def __init__(self, unmask: Unmask, rules: Rules) -> None:
        super().__init__(unmask, rules.message_bytes, text=rules.text)
        self._rules = rules
        self._gathered = bytearray()
        self.tell: Tell = lambda message: None

    def receive(self, data: bytes) -> Received:
        """Take the next bytes, however they were cut."""
        received = super().receive(data)
        # Gathered in one piece: a list of what came a byte at a time would cost many times the message's size.
        self._gathered += received.payload
        return evolve(received, payload=b"")

    def _take_small(self, data: bytes, at: int, end: int) -> int:
        return at

    def _check_head(self, first: int, second: int) -> int:
        opcode = super()._check_head(first, second)
        if opcode == Opcode.BINARY and self._rules.text:
            raise FrameError(1003, "only text messages are carried")
        return opcode

    def _end_frame(self) -> None:
        super()._end_frame()
        if self._final:
            self._unmask_small()
            message = b"".join((self._gathered, *self._done))
            self._done.clear()
            self._gathered.clear()
            self._rules.check(message)
            # To a program, a length of nothing reads as the end of its input.
            if message or not self._rules.json:
                self.tell(message)


class MessageSocket(FrameSocket):
    """A socket that tells whole messages, and sends what it is given as text or binary ones."""

    def __init__(
        self, reader: MessageReader, rules: Rules, lost: Callable[[Failure], object] = lambda reason: None
    ) -> None:
        super().__init__(reader, lost)
        self._messages = reader
        self._opcode = Opcode.TEXT if rules.text else Opcode.BINARY

    def attach(self, ear: ClientEar, producer: IPushProducer) -> None:
        """Begin to tell what comes."""
        self._messages.tell = ear.client_sent
        super().attach(ear, producer)

    def send(self, payload: bytes) -> None:
        """Send one message."""
        if not self._closing:
            write_now(self.transport, head(self._opcode, len(payload)) + payload)
