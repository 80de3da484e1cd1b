"""A client's WebSocket where a program reads and writes text: what it writes is text to the client."""

from __future__ import annotations

import codecs
from collections.abc import Callable

from twisted.python.failure import Failure

from sessiond.ports import Close
from sessiond.tunnel.frames import FrameReader, Opcode, Unmask, head
from sessiond.tunnel.outlet import write_now
from sessiond.tunnel.socket import FrameSocket


class Characters:
    """Cuts a program's output between two characters; what is no UTF-8 becomes U+FFFD, as a terminal would show it."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take(self, data: bytes, *, final: bool = False) -> bytes:
        """Give the characters that are complete now; at most three bytes wait for the rest of theirs."""
        return self._decoder.decode(data, final).encode()


class TextSocket(FrameSocket):
    """A socket that takes text and binary messages as they come, and sends text messages only (RFC 6455 section 5.6:
    those must be UTF-8)."""

    def __init__(
        self, unmask: Unmask, message_bytes: int, lost: Callable[[Failure], object] = lambda reason: None
    ) -> None:
        super().__init__(FrameReader(unmask, message_bytes, text=True), lost)
        self._characters = Characters()

    def send(self, payload: bytes) -> None:
        """Send what is complete of it as one text message."""
        self._send_text(self._characters.take(payload))

    def close(self, close: Close) -> None:
        """Send a close frame behind what was sent, and behind half a character if there is one."""
        self._send_text(self._characters.take(b"", final=True))
        super().close(close)

    def _send_text(self, text: bytes) -> None:
        if text and not self._closing:
            write_now(self.transport, head(Opcode.TEXT, len(text)) + text)
