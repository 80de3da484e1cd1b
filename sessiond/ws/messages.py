"""A client's WebSocket where messages or characters matter, with Autobahn to do the framing: the reference for ours."""

from __future__ import annotations

from sessiond.ports import Close
from sessiond.tunnel.frames import FrameError
from sessiond.tunnel.framing import Rules
from sessiond.tunnel.text import Characters
from sessiond.ws.socket import TunnelSocket


class MessageTunnelSocket(TunnelSocket):
    """Passes each message on whole, and sends what it is given as one."""

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self._rules = rules
        self._gathered = bytearray()

    def send(self, payload: bytes) -> None:
        """Send one message."""
        self.sendMessage(payload, isBinary=not self._rules.text)  # type: ignore[no-untyped-call]

    def onMessageBegin(self, isBinary: bool) -> None:
        """A message begins; it must be of the service's own kind."""
        super(TunnelSocket, self).onMessageBegin(isBinary)
        if isBinary is self._rules.text and not self.failedByMe:
            self._fail_connection(1003)

    def onMessageFrameData(self, payload: bytes) -> None:
        """Gather it."""
        if not self.failedByMe:
            self._gathered += payload

    def onMessageEnd(self) -> None:
        """Pass it on."""
        message = bytes(self._gathered)
        self._gathered.clear()
        if self.ear is None or self.failedByMe:
            return
        try:
            self._rules.check(message)
        except FrameError as error:
            self._fail_connection(error.code)
        else:
            self.ear.client_sent(message)


class TextTunnelSocket(TunnelSocket):
    """Takes text and binary messages as they come, and sends text."""

    def __init__(self) -> None:
        super().__init__()
        self._characters = Characters()

    def send(self, payload: bytes) -> None:
        """Send what is complete of it as one text message."""
        self._send_text(self._characters.take(payload))

    def close(self, close: Close) -> None:
        """Send a close frame behind what was sent."""
        self._send_text(self._characters.take(b"", final=True))
        super().close(close)

    def onMessageBegin(self, isBinary: bool) -> None:
        """A message begins, of either kind."""
        super(TunnelSocket, self).onMessageBegin(isBinary)

    def _send_text(self, text: bytes) -> None:
        if text:
            self.sendMessage(text, isBinary=False)  # type: ignore[no-untyped-call]
