"""One connection to RabbitMQ, by pika's Twisted adapter: the only place that imports pika.

The adapter hides why a connection ended, knows nothing of time, and fails whatever is pending when it ends. Here the
reason is kept, every failure is read by somebody, and what the server sends can't harm the reactor.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from pika import BasicProperties, ConnectionParameters, PlainCredentials, spec
from pika.adapters.twisted_connection import ClosableDeferredQueue, TwistedChannel, TwistedProtocolConnection
from pika.exceptions import AMQPError, ChannelClosed, ChannelClosedByBroker, ConnectionClosed, NackError
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from sessiond.bus.amqp.messages import Message, Received
from sessiond.bus.amqp.seam import Feed, Login, Lost, NotTaken, Take
from sessiond.ports import Clock

HEARTBEAT_S = 10
"""A link whose other end has gone silent is given up after two to three of these."""

PREFETCH = 300
"""How many messages of a feed may be on their way or not yet acknowledged: the adapter's own queue has no bound."""

ACK_EACH, ACK_S = 50, 0.02
"""Messages are acknowledged by so many at once, or so long after the first."""

QUEUE_MESSAGES = 100_000
"""How many messages a feed's queue holds while we don't read; then the oldest go, so that we can't fill the server."""

NOTES = 5
HINT = "dropped before it was ready: are the user, the password and the virtual host right?"
APP_ID = "sessiond"

_PIKA = logging.getLogger("pika")


class _Notes(logging.Handler):
    """Keeps the last things that pika has logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.kept: deque[str] = deque(maxlen=NOTES)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        self.kept.append(record.getMessage())


def quiet_pika() -> None:
    """Keep what pika logs out of standard error: each connection hears it, and tells what matters when it ends."""
    _PIKA.propagate = False
    _PIKA.setLevel(logging.WARNING)
    if not _PIKA.handlers:
        _PIKA.addHandler(logging.NullHandler())


def why_of(error: BaseException | None) -> str:
    """Tell in a few words what an exception of pika's means."""
    if isinstance(error, ConnectionClosed | ChannelClosed):
        return f"{error.reply_code} {error.reply_text}"
    return str(error) or type(error).__name__


class PikaWire(TwistedProtocolConnection):  # type: ignore[misc]  # it has no types
    """One connection; see :class:`sessiond.bus.amqp.seam.Wire`."""

    def __init__(self, login: Login, reactor: Any, clock: Clock, called: str) -> None:
        parameters = ConnectionParameters(
            # Address and TLS are the endpoint's matter.
            virtual_host=login.vhost,
            credentials=PlainCredentials(login.user, login.password),
            heartbeat=HEARTBEAT_S,
            client_properties={"connection_name": called},
        )
        super().__init__(parameters, reactor)
        self.opened: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self.blocked: str | None = None
        self.unblocked_at = 0.0
        self.why = ""
        self.on_blocked: Callable[[], None] = lambda: None
        self._clock = clock
        self._notes = _Notes()
        self._is_open, self._is_gone = False, False
        self._limit: IDelayedCall | None = None
        self.ready.addCallbacks(self._open, lambda failure: None)

    @property
    def is_gone(self) -> bool:
        """Say whether the connection is lost."""
        return self._is_gone

    def abort(self, why: str) -> None:
        """End it now."""
        self.why = self.why or why
        if self.transport is not None and not self._is_gone:
            self.transport.abortConnection()

    def finish(self, limit_s: float) -> None:
        """End it politely, and now if that takes too long."""
        self.why = self.why or "we are stopping"
        if not self._is_open:
            self.abort(self.why)
            return
        self._limit = self._clock.call_later(limit_s, self.abort, self.why)
        closed = self.close()
        if closed is not None:
            closed.addErrback(lambda failure: None)

    async def outlet(self, exchange: str) -> PikaOutlet:
        """Make what publishes to an exchange."""
        try:
            await self._see_exchange(exchange)
            channel = await self._lasting_channel()
            await channel.confirm_delivery()
        except AMQPError as error:
            raise Lost(why_of(error)) from None
        return PikaOutlet(channel, exchange)

    async def inlet(self, feed: Feed, take: Take) -> PikaInlet:
        """Make what consumes a feed."""
        try:
            return await self._inlet(feed, take)
        except AMQPError as error:
            raise Lost(why_of(error)) from None

    async def _inlet(self, feed: Feed, take: Take) -> PikaInlet:
        await self._see_exchange(feed.exchange)
        channel = await self.channel()
        await channel.basic_qos(prefetch_count=PREFETCH)
        arguments = {"x-max-length": QUEUE_MESSAGES, "x-overflow": "drop-head"}
        declared = await channel.queue_declare("", exclusive=True, arguments=arguments)
        inlet = PikaInlet(channel, declared.method.queue, feed, take, self._clock)
        await inlet.bind()
        queue, _ = await channel.basic_consume(declared.method.queue, exclusive=True)
        inlet.drink(queue)
        return inlet

    async def _see_exchange(self, name: str) -> None:
        """See that an exchange is there; only then it need not be ours to declare. Make it where it is not."""
        channel = await self.channel()
        try:
            await channel.exchange_declare(name, passive=True)
        except ChannelClosedByBroker as error:
            if error.reply_code != 404:
                raise
            channel = await self.channel()
            await channel.exchange_declare(name, exchange_type="topic", durable=True)
        channel.close()

    async def _lasting_channel(self) -> TwistedChannel:
        """Open a channel whose end is the connection's."""
        channel = await self.channel()
        channel.on_closed.addCallback(lambda error: self.abort(why_of(error)))
        return channel

    # What Twisted and pika call.

    def makeConnection(self, transport: Any) -> None:
        """Begin."""
        _PIKA.addHandler(self._notes)
        super().makeConnection(transport)
        self._impl.callbacks.add(0, spec.Connection.Close, self._told_off, False)
        self._impl.add_on_connection_blocked_callback(self._block)
        self._impl.add_on_connection_unblocked_callback(self._unblock)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes."""
        try:
            super().dataReceived(data)
        except Exception as error:  # noqa: BLE001 - whatever the other side sends, only this connection ends
            self.abort(f"what it sent is not understood: {why_of(error)}")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell why it ended."""
        self._is_gone = True
        try:
            super().connectionLost(reason)
        finally:
            _PIKA.removeHandler(self._notes)
            if self._limit is not None and self._limit.active():
                self._limit.cancel()
            self.why = self.why or self._reason(reason)
            if not self.opened.called:
                self.opened.errback(Lost(self.why))
            self.gone.callback(None)

    def _reason(self, reason: Failure) -> str:
        """Put together what is known where the server gave no reason."""
        told = dict.fromkeys((reason.getErrorMessage().rstrip("."), *self._notes.kept))
        return "; ".join((*told, *(() if self._is_open else (HINT,))))

    def _told_off(self, frame: Any) -> None:
        """Keep the reason that the server gives: pika loses it when the connection ends properly afterwards."""
        hint = "" if self._is_open else f"; {HINT}"
        self.why = self.why or f"{frame.method.reply_code} {frame.method.reply_text}{hint}"

    def _open(self, ready: object) -> None:
        self._is_open = True
        self.opened.callback(None)

    def _block(self, connection: object, frame: Any) -> None:
        self.blocked = str(frame.method.reason) or "no reason given"
        self.on_blocked()

    def _unblock(self, connection: object, frame: object) -> None:
        self.blocked, self.unblocked_at = None, self._clock.now()
        self.on_blocked()


class PikaOutlet:
    """Publishes to one exchange, each message confirmed."""

    def __init__(self, channel: TwistedChannel, exchange: str) -> None:
        self._channel, self._exchange = channel, exchange

    def publish(self, message: Message) -> Deferred[None]:
        """Publish a message."""
        properties = BasicProperties(
            content_type=message.content_type,
            delivery_mode=2,
            message_id=message.id,
            timestamp=int(message.at),
            type=message.type,
            app_id=APP_ID,
            headers=dict(message.headers),
        )
        try:
            confirmed = self._channel.basic_publish(self._exchange, message.key, message.body, properties)
        except AMQPError as error:
            return fail(Lost(why_of(error)))
        return confirmed.addCallbacks(lambda _: None, _not_confirmed)  # type: ignore[no-any-return]


def _not_confirmed(failure: Failure) -> Failure:
    if failure.check(NackError):
        return Failure(NotTaken("the server refused it"))
    return Failure(Lost(why_of(failure.value)))


class PikaInlet:
    """Consumes one feed, on a channel of its own: what ends it harms no other feed."""

    def __init__(self, channel: TwistedChannel, queue: str, feed: Feed, take: Take, clock: Clock) -> None:
        self._channel, self._queue, self._feed, self._take, self._clock = channel, queue, feed, take, clock
        self._tag, self._unacked = 0, 0
        self._timer: IDelayedCall | None = None
        self.why = ""
        channel.on_closed.addCallback(self._closed)

    @property
    def is_open(self) -> bool:
        """Say whether messages still come."""
        return not self.why

    async def bind(self) -> None:
        """Have the exchange fill the queue; repeated, it shows whether the exchange is still there."""
        try:
            await self._channel.queue_bind(self._queue, self._feed.exchange, self._feed.key)
        except AMQPError as error:
            raise Lost(why_of(error)) from None

    def drink(self, queue: ClosableDeferredQueue) -> None:
        """Take what comes until there is no more."""
        Deferred.fromCoroutine(self._drink(queue)).addErrback(self._dried)

    async def _drink(self, queue: ClosableDeferredQueue) -> None:
        while True:
            came = await queue.get()
            about = came.properties
            self._take(
                Received(came.method.routing_key, came.body, about.content_type, about.message_id, about.timestamp)
            )
            self._ack(came.method.delivery_tag)

    def _ack(self, tag: int) -> None:
        self._tag, self._unacked = tag, self._unacked + 1
        if self._unacked >= ACK_EACH:
            self._ack_all()
        elif self._timer is None:
            self._timer = self._clock.call_later(ACK_S, self._ack_all)

    def _ack_all(self) -> None:
        self._stop_timer()
        self._unacked = 0
        if self._channel.is_open:
            self._channel.basic_ack(self._tag, multiple=True)

    def _dried(self, failure: Failure) -> None:
        """End: the channel is closed, or the server took the queue away."""
        self.why = self.why or why_of(failure.value)
        self._stop_timer()
        if self._channel.is_open:
            self._channel.close()

    def _closed(self, error: BaseException) -> None:
        self.why = self.why or why_of(error)
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
