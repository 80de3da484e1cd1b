"""A child's standard input and output as the endpoint of a tunnel."""

from __future__ import annotations

from twisted.internet.interfaces import IPushProducer

from sessiond.ports import Clock, EndpointEar, Streams
from sessiond.tunnel.endpoint import Nobody
from sessiond.tunnel.framing import BrokenFrame, Rules, cutter


class StdioEndpoint:
    """The :class:`sessiond.ports.EndpointSide` over a program's own streams.

    These go on when a tunnel ends: the next client gets what comes next, from the next message on where there are
    messages. Only what the program is written can't be taken back.

    :param rules: how messages are carried; ``None`` for bytes.
    """

    def __init__(self, streams: Streams, clock: Clock, rules: Rules | None = None) -> None:
        self._streams, self._clock, self._rules = streams, clock, rules
        self._cutter = None if rules is None else cutter(rules)
        self._ear: EndpointEar = Nobody()
        self._has_taken = self._gone = False

    # -- what a relay wants ------------------------------------------------------------------------------------------

    def attach(self, ear: EndpointEar, producer: IPushProducer) -> None:
        """Begin to read."""
        self._ear = ear
        if self._gone:
            ear.endpoint_gone()
        else:
            self._has_taken = True
            self._streams.take(self, producer)

    def write(self, data: bytes) -> None:
        """Write bytes, or one message as one frame."""
        if not self._gone:
            self._streams.write(data if self._rules is None else self._rules.frame(data))

    def pause(self) -> None:
        """Read nothing until ``resume``."""
        if self._has_taken:
            self._streams.pause()

    def resume(self) -> None:
        """Read again."""
        if self._has_taken:
            self._streams.resume()

    def unread_bytes(self) -> int:
        """Say how much waits in the pipe."""
        return self._streams.unread_bytes() if self._has_taken else 0

    def half_close(self) -> None:
        """Close nothing: the program stays for the next client."""

    def finish(self, limit_s: float) -> None:
        """Let go: what was written is delivered by itself, and the program stays for the next client."""
        self.abort()

    def abort(self) -> None:
        """Let go now."""
        if self._gone:
            return
        self._gone = True
        if self._has_taken:
            self._has_taken = False
            self._streams.leave(b"" if self._cutter is None else self._cutter.rest())
        # Not at once: whoever lets go is in the midst of something.
        self._clock.call_later(0, self._say_gone)

    def _say_gone(self) -> None:
        self._ear.endpoint_gone()

    # -- what the streams tell ---------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Pass on what came, message by message where there are such."""
        if self._cutter is None:
            self._ear.endpoint_sent(data)
            return
        self._cutter.take(data)
        try:
            while not self._gone and (message := self._cutter.next()) is not None:
                self._check(message)
                self._ear.endpoint_sent(message)
        except BrokenFrame as broken:
            self._streams.give_up()
            self._ear.endpoint_broke(str(broken))

    def ended(self) -> None:
        """No more comes."""
        self._has_taken = False
        self._ear.endpoint_ended()

    def displaced(self) -> None:
        """Somebody else has them from now on."""
        self.abort()

    def _check(self, message: bytes) -> None:
        if self._rules is not None and self._rules.json and not message:
            raise BrokenFrame("the program sent an empty message")
        if self._rules is not None and self._rules.text:
            try:
                message.decode()
            except UnicodeDecodeError:
                raise BrokenFrame("the program sent text that is not UTF-8") from None
