"""RabbitMQ: facts go out to an exchange, and what others publish comes in as feeds.

Facts and feeds have a connection each: a server that is short of memory stops reading from those who publish, and with
it their acknowledgements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates

from sessiond.bus.amqp.inbox import Emit, Inbox
from sessiond.bus.amqp.link import Link, Standing
from sessiond.bus.amqp.outbox import Count, Facts, Outbox
from sessiond.bus.amqp.seam import Feed, Login, Wire
from sessiond.core.facts import StoredFact
from sessiond.ports import Clock, Entropy, Shelf

__all__ = ["AmqpBus", "Count", "Feed", "Login", "Server", "Standing"]

DRAIN_S = 1.0
"""How long a stop waits for confirmations; what misses it goes out at the next start."""


@frozen
class Server:
    """Where RabbitMQ is.

    :ivar tls: whether to speak TLS; ``trusted`` holds certificates in PEM to trust in place of the system's.
    """

    host: str
    port: int
    login: Login
    exchange: str = "sessiond-events"
    tls: bool = False
    trusted: bytes | None = field(default=None, repr=False)

    @property
    def shown(self) -> str:
        """Give it as the log shows it."""
        return f"{self.login.user}@{self.host}:{self.port}{self.login.vhost if self.login.vhost != '/' else ''}"

    def endpoint(self, reactor: Any) -> IStreamClientEndpoint:
        """Make what dials it."""
        found: IStreamClientEndpoint = HostnameEndpoint(reactor, self.host, self.port)
        if not self.tls:
            return found
        trust = None
        if self.trusted is not None:
            blocks = self.trusted.split(b"-----END CERTIFICATE-----")[:-1]
            trust = trustRootFromCertificates(
                [Certificate.loadPEM(block + b"-----END CERTIFICATE-----\n") for block in blocks]
            )
        return wrapClientTLS(optionsForClientTLS(self.host, trustRoot=trust), found)


class AmqpBus:
    """Both directions, for one server.

    :param facts: the store, which keeps what was not sent; ``shelf`` rows of the bus's own in it.
    :param epoch: of the store's history.
    :param source: which daemon this is, a URI reference.
    :param feeds: what to consume; ``emit`` takes their events.
    """

    def __init__(
        self,
        server: Server,
        facts: Facts,
        shelf: Shelf,
        epoch: str,
        source: str,
        reactor: Any,
        clock: Clock,
        entropy: Entropy,
        feeds: Sequence[Feed] = (),
        emit: Emit = lambda feed, event: None,
    ) -> None:
        self._server, self._reactor, self._clock = server, reactor, clock
        self.outbox = Outbox(facts, shelf, clock, server.exchange, epoch, source)
        self.inbox = Inbox(feeds, emit, clock, entropy, source)
        self._out = Link("facts", server.shown, self._dial("facts"), self.outbox, reactor, clock, entropy)
        self._in = Link("feeds", server.shown, self._dial("feeds"), self.inbox, reactor, clock, entropy)
        self._links = (self._out, self._in) if feeds else (self._out,)

    @property
    def standing(self) -> Standing:
        """Say how it stands, by the worse of the two directions."""
        found = [link.standing for link in self._links]
        if Standing.AWAY in found or not self.inbox.is_whole:
            return Standing.AWAY
        return Standing.BLOCKED if Standing.BLOCKED in found else Standing.UP

    @property
    def reconnects(self) -> int:
        """Say how often a connection was made again."""
        return sum(link.reconnects for link in self._links)

    def hear(self, stored: StoredFact) -> None:
        """Take note of a fact that was saved."""
        self.outbox.hear(stored)

    async def start(self) -> None:
        """Find the place in the store's history, and begin to connect; nothing waits for the server.

        :raises sessiond.core.errors.StoreError: the store can't be read.
        """
        await self.outbox.open()
        for link in self._links:
            link.start()

    async def stop(self) -> None:
        """Send what can be sent within :data:`DRAIN_S`, and end both connections."""
        drained = self.outbox.drained()
        await drained.addTimeout(DRAIN_S, self._reactor, onTimeoutCancel=lambda result, limit: None)
        await gatherResults([link.stop() for link in self._links])
        await self.outbox.close()

    def _dial(self, called: str) -> Callable[[], Deferred[Wire]]:
        from sessiond.bus.amqp.wire import PikaWire, quiet_pika  # noqa: PLC0415 - only who has RabbitMQ needs pika

        quiet_pika()
        server = self._server

        def dial() -> Deferred[Wire]:
            factory = Factory.forProtocol(
                lambda: PikaWire(server.login, self._reactor, self._clock, f"sessiond {called}")
            )
            factory.noisy = False
            return server.endpoint(self._reactor).connect(factory)  # type: ignore[return-value]

        return dial
