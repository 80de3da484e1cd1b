"""The relay between a client's WebSocket and an endpoint: holds, joins, counts, ends. It knows no frames."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger

from sessiond.core.values import End
from sessiond.ports import Clock, Close, Counters, Direction, EndpointSide, Observer, RelayLimits, RelayListener
from sessiond.tunnel.watch import Fault, Tap, Watch

VANISHED = Close(1006, "the connection was lost")
"""What is noted of a client that left without a word (RFC 6455 section 7.1.5: never sent)."""
LEFT = Close(1000, "the client ended the connection")
"""What a client is told that closed its direction and no more."""
LEFT_BEHIND = Close(1000, "closed by the application")
"""What a client is told whose program closed the connection, where nothing else names a reason."""

FAULTS: dict[Fault, tuple[End, Close]] = {
    Fault.SILENT: (End.CLIENT, Close(4408, Fault.SILENT.value)),
    Fault.CLIENT_STUCK: (End.CLIENT, Close(4008, Fault.CLIENT_STUCK.value)),
    Fault.ENDPOINT_STUCK: (End.OURS, Close(4502, Fault.ENDPOINT_STUCK.value)),
}
BROKEN_CODE = 4500
"""The close code for a program that failed; one whose output makes no sense has."""

HELD_PIECES = 1024
"""How many pieces are held at most: one of a few bytes costs ten times as much as it holds."""

PROBE_S = 1.0
"""How often a client that sends no more is written to, so that one which is not there at all is found out."""

log = Logger()


class ClientSide(Protocol):
    """A client's WebSocket after its handshake, as a relay drives it: frames one way, payload the other.

    :ivar hears_words: whether it can be told why it is closed. One that can't be has nothing to wait for once its
        program has closed the connection: it is closed then.
    """

    hears_words: bool

    def attach(self, ear: ClientEar, producer: IPushProducer) -> None:
        """Begin to tell what comes. ``producer`` is paused while the client does not take what was sent."""

    def send(self, payload: bytes) -> None:
        """Send one binary message, or hold it until it can be sent."""

    def ping(self) -> None:
        """Send a ping; any sign of life is an answer."""

    def close(self, close: Close) -> None:
        """Send a close frame behind what was sent. What the client sent before it knew is still told."""

    def pause(self) -> None:
        """Read nothing until ``resume``."""

    def resume(self) -> None:
        """Read again."""

    def abort(self) -> None:
        """Let go now."""


class ClientEar(Protocol):
    """What a relay hears from the client."""

    def client_heard(self) -> None:
        """Something came, whatever it was: the client lives. Told before what came."""

    def client_sent(self, payload: bytes) -> None:
        """A piece of a binary message came; where messages begin and end does not matter."""

    def client_failed(self, close: Close) -> None:
        """It broke the protocol or a limit, and is to be closed with this."""

    def client_closed(self, close: Close) -> None:
        """It said that it closes and was answered; the connection is on its way down."""

    def client_ended(self) -> None:
        """It will send no more, and has said no word of closing; what it is sent may still arrive. Not told where a
        close frame was sent or came, nor with TLS, which ends as a whole."""

    def client_gone(self) -> None:
        """The connection is gone. Told exactly once, last."""


class _Phase(Enum):
    WAITING = "what the client sends is held: there is no endpoint yet"
    OPEN = "bytes flow"
    ENDED = "the endpoint sends no more; what the client sends goes there until it is cut"
    LISTENING = "the client sends no more; what the endpoint sends goes there until it ends"
    FLUSHING = "the client is to be cut once it has what the endpoint sent"
    HEARING = "the client is cut; what it sent before it knew goes to the endpoint"
    CLOSING = "both ends are on their way down"
    OVER = "both are gone"


SENDING = (_Phase.OPEN, _Phase.LISTENING)
"""While the endpoint may send."""


class ByteRelay:
    """The :class:`sessiond.ports.Relayed` that moves bytes in this process, between transports of Twisted's.

    Each side is registered as the push producer of the other, so that whoever refuses bytes stops the other from being
    read, and what is held stays within the transports' own marks. What one side tells at once the other is given at
    once: where messages are carried, a message.

    :param observer: sees what is carried.
    :param words: gives what the client is told in place of the usual, where this relay itself ends it.
    """

    def __init__(
        self,
        client: ClientSide,
        limits: RelayLimits,
        clock: Clock,
        listener: RelayListener,
        observer: Observer | None = None,
        words: Callable[[Close], Close] = lambda close: close,
    ) -> None:
        self._observer, self._words = observer, words
        self.counters = Counters()
        self._client, self._limits, self._clock, self._listener = client, limits, clock, listener
        self._endpoint: EndpointSide | None = None
        self._phase = _Phase.WAITING
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._close = VANISHED
        self._client_is_gone = self._told = False
        self._timer: IDelayedCall | None = None
        self._up = Tap(clock, client.pause, client.resume)
        self._down = Tap(clock, self._pause_endpoint, self._resume_endpoint)
        self._watch = Watch(clock, limits, self._up, self._down, client.ping, self._blame)
        client.attach(self, self._down)

    # -- what the tunnel wants ---------------------------------------------------------------------------------------

    def join(self, endpoint: EndpointSide) -> None:
        """Let bytes flow, those that were held first."""
        if self._phase is not _Phase.WAITING:
            endpoint.abort()
            return
        self._endpoint, self._phase = endpoint, _Phase.OPEN
        held, self._held = self._held, []
        endpoint.attach(self, self._up)
        if self._down.refused_at is not None:
            endpoint.pause()
        for payload in held:
            endpoint.write(payload)
        self._up.release()

    def cut(self, close: Close, flush_s: float) -> None:
        """End both sides, once the client has what the endpoint has sent."""
        if self._phase in SENDING and flush_s > 0 and not self._is_drained():
            self._phase, self._close = _Phase.FLUSHING, close
            self._set_timer(flush_s, lambda: self._end(End.OURS, close))
        elif self._phase is _Phase.ENDED and self._endpoint is not None and self._up.refused_at is None:
            self._phase, self._close = _Phase.HEARING, close
            self._watch.stop()
            self._client.close(close)
            self._set_timer(self._limits.close_s, lambda: self._leave(End.OURS, close))
        elif self._phase in (_Phase.WAITING, *SENDING, _Phase.ENDED):
            self._end(End.OURS, close)

    def _is_drained(self) -> bool:
        # What the client's transport holds goes out in front of the close frame by itself.
        return self._endpoint is None or self._endpoint.unread_bytes() == 0

    # -- what the endpoint does --------------------------------------------------------------------------------------

    def endpoint_sent(self, data: bytes) -> None:
        """Pass it on; during a flush, what was read last may have been all."""
        if self._phase is not _Phase.OPEN and self._phase not in (_Phase.LISTENING, _Phase.FLUSHING):
            return
        self.counters.down_bytes += len(data)
        self.counters.down_at = self._clock.now()
        if self._observer is not None:
            self._show(Direction.DOWN, data, self.counters.down_at)
        self._client.send(data)
        if self._phase is _Phase.FLUSHING and self._is_drained():
            self._end(End.OURS, self._close)

    def endpoint_ended(self) -> None:
        """All that it sent is with the client's transport: what the client sends still goes there until it is cut."""
        if self._phase is _Phase.FLUSHING:
            self._end(End.OURS, self._close)
        elif self._phase is _Phase.LISTENING:
            self._end(End.CLIENT, LEFT)
        elif self._phase is _Phase.OPEN:
            self._phase = _Phase.ENDED
            self._tell(End.ENDPOINT, "")
            if not self._client.hears_words:
                self.cut(LEFT_BEHIND, 0.0)

    def endpoint_broke(self, text: str) -> None:
        """Its output makes no sense any more: both ends are closed, and the client hears why."""
        if self._phase in (*SENDING, _Phase.FLUSHING):
            self._end(End.BROKEN, self._words(Close(BROKEN_CODE, text)), text)

    def endpoint_gone(self) -> None:
        """The connection is lost: by our own will, or by a reset that is the endpoint's end as well."""
        self._endpoint = None
        self.endpoint_ended()
        if self._phase in (_Phase.ENDED, _Phase.HEARING):
            # It refuses nothing any more: the client is read, so that it can be heard to close.
            self._up.open()
        self._look_whether_over()

    # -- what the client does ----------------------------------------------------------------------------------------

    def client_heard(self) -> None:
        """Take note that it lives."""
        self._watch.heard()

    def client_sent(self, payload: bytes) -> None:
        """Pass it on, or hold it while there is nobody to take it."""
        if self._phase is not _Phase.OPEN and not self._is_heard():
            return
        self.counters.up_bytes += len(payload)
        self.counters.up_at = self._watch.heard_at
        if self._observer is not None:
            self._show(Direction.UP, payload, self.counters.up_at)
        if self._endpoint is not None:
            self._endpoint.write(payload)
        else:
            self._hold(payload)

    def _is_heard(self) -> bool:
        """Say whether there is, or will be, somebody to take what the client sends."""
        if self._endpoint is None:
            return self._phase is _Phase.WAITING
        return self._phase in (_Phase.ENDED, _Phase.HEARING)

    def _hold(self, payload: bytes) -> None:
        self._held.append(payload)
        self._held_bytes += len(payload)
        if self._held_bytes >= self._limits.held_bytes or len(self._held) >= HELD_PIECES:
            self._up.hold()

    def client_failed(self, close: Close) -> None:
        """Close it with what it did."""
        if self._phase is not _Phase.CLOSING:
            self._end(End.CLIENT, self._words(close), close.text)

    def client_closed(self, close: Close) -> None:
        """It has said all: its last bytes are delivered, the endpoint learns that no more comes."""
        if self._phase is not _Phase.CLOSING:
            self._leave(End.CLIENT, close)

    def client_ended(self) -> None:
        """It sends no more: the endpoint is told, and what that still sends is delivered.

        Most who end so are not there any more, as a browser that was killed; writing to them shows that.
        """
        if self._phase is _Phase.OPEN and self._endpoint is not None:
            self._phase = _Phase.LISTENING
            self._watch.stop()
            self._endpoint.half_close()
            self._probe(self._clock.now())
        elif self._phase in (_Phase.WAITING, _Phase.ENDED):
            self._end(End.CLIENT, LEFT)

    def _probe(self, since: float) -> None:
        """See whether the client is there; let it go where the endpoint is silent for as long as a pong may take."""
        if self._clock.now() - max(since, self.counters.down_at) >= self._limits.pong_s:
            self._end(End.CLIENT, LEFT)
            return
        self._client.ping()
        self._set_timer(PROBE_S, lambda: self._probe(since))

    def client_gone(self) -> None:
        """Its connection is gone, with or without a word before."""
        self._client_is_gone = True
        if self._phase is not _Phase.CLOSING:
            self._leave(End.CLIENT, VANISHED)
        self._look_whether_over()

    # -- how it ends -------------------------------------------------------------------------------------------------

    def _blame(self, fault: Fault) -> None:
        end, close = FAULTS[fault]
        if fault is Fault.ENDPOINT_STUCK and self._endpoint is not None:
            # It takes nothing, so there is nothing to wait for.
            self._endpoint.abort()
        self._end(end, self._words(close), close.text)

    def _end(self, end: End, close: Close, detail: str | None = None) -> None:
        self._client.close(close)
        self._leave(end, close, detail)

    def _leave(self, end: End, close: Close, detail: str | None = None) -> None:
        """Let both sides go down by themselves for a while; then they are dropped.

        :param detail: what is told of it, where the client is told something else.
        """
        if self._phase is not _Phase.HEARING:  # else this is the client's answer, or it never came
            self._close = close
        self._phase = _Phase.CLOSING
        self._watch.stop()
        self._set_timer(self._limits.close_s, self._drop_client)
        self._held.clear()
        self._finish_endpoint()
        self._up.open()
        self._tell(end, close.text if detail is None else detail)

    def _drop_client(self) -> None:
        # Twisted's TLS trips over an abort of a connection that is gone.
        if not self._client_is_gone:
            self._client.abort()

    def _tell(self, end: End, detail: str) -> None:
        """Tell which end was the first; that is told once."""
        if not self._told:
            self._told = True
            self._listener.closed(end, detail)

    def _finish_endpoint(self) -> None:
        if self._endpoint is not None:
            self._endpoint.finish(self._limits.close_s)

    def _look_whether_over(self) -> None:
        if self._phase is _Phase.CLOSING and self._client_is_gone and self._endpoint is None:
            self._phase = _Phase.OVER
            self._cancel_timer()
            self._listener.over(self._close)

    def _set_timer(self, delay_s: float, call: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._clock.call_later(delay_s, call)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _show(self, direction: Direction, payload: bytes, at: float) -> None:
        """Let the observer see; what it does wrong is its own matter."""
        try:
            if self._observer is not None:
                self._observer(direction, payload, at)
        except Exception:  # noqa: BLE001  whatever it is, the tunnel goes on
            log.failure("an observer failed, and sees no more of its tunnel")
            self._observer = None

    def _pause_endpoint(self) -> None:
        if self._endpoint is not None:
            self._endpoint.pause()

    def _resume_endpoint(self) -> None:
        if self._endpoint is not None:
            self._endpoint.resume()
