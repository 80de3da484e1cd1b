"""Joins the daemon to RabbitMQ, where the configuration names one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sessiond.bus.amqp import AmqpBus, Feed, Login, Server
from sessiond.config import FeedSource, RabbitMQ
from sessiond.core.facts import CloudEvent
from sessiond.meters import Outside
from sessiond.ports import Bus, Clock, Entropy, Store

SHELF = "amqp"


class Exchange:
    """What goes to RabbitMQ and comes from it; nothing does where there is none.

    :param bus: tells of the facts that were saved.
    :param source: which daemon this is, a URI reference.
    :param feeds: what to consume; ``emit`` takes their events, by the feed's name.
    """

    def __init__(
        self,
        config: RabbitMQ | None,
        store: Store,
        bus: Bus,
        source: str,
        reactor: Any,
        clock: Clock,
        entropy: Entropy,
        feeds: Sequence[Feed] = (),
        emit: Callable[[str, CloudEvent], object] = lambda feed, event: None,
    ) -> None:
        self._config, self._store, self._bus, self._source = config, store, bus, source
        self._reactor, self._clock, self._entropy = reactor, clock, entropy
        self._feeds, self._emit = feeds, emit
        self._joined: AmqpBus | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Begin, once the store is open; the server is not waited for.

        :raises sessiond.core.errors.StoreError: the store fails.
        """
        if self._config is None:
            return
        shelf = self._store.shelf(SHELF)
        joined = AmqpBus(
            server_of(self._config),
            self._store,
            shelf,
            (await self._store.history()).epoch,
            self._source,
            self._reactor,
            self._clock,
            self._entropy,
            self._feeds,
            self._emit,
        )
        self._unsubscribe = self._bus.subscribe(joined.hear)
        self._joined = joined
        await joined.start()

    async def stop(self) -> None:
        """Send what can still be sent, and let go; called while the store is open."""
        self._unsubscribe()
        joined, self._joined = self._joined, None
        if joined is not None:
            await joined.stop()

    def outside(self) -> Outside:
        """Tell how it stands."""
        if self._joined is None:
            return Outside()
        count = self._joined.outbox.count
        return Outside(
            standing=self._joined.standing.value,
            unsent=count.unsent,
            sent=count.sent,
            dropped=count.dropped,
            reconnects=self._joined.reconnects,
            feeds={tap.feed.name: (tap.taken, tap.unread) for tap in self._joined.inbox.taps},
        )


def server_of(config: RabbitMQ) -> Server:
    """Give the server that a configuration names."""
    login = Login(config.user, config.password, config.vhost)
    return Server(config.host, config.port, login, config.exchange, config.tls, config.trusted)


def feeds_of(sources: Sequence[FeedSource]) -> list[Feed]:
    """Give the feeds that come by an exchange; others are brought over REST."""
    return [Feed(source.name, source.exchange, source.key) for source in sources if source.exchange is not None]
