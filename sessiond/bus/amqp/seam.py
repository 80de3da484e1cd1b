"""What the link, the outbox and the inbox need of a connection: pika is behind this, and so is a test's fake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import field, frozen
from twisted.internet.defer import Deferred

from sessiond.bus.amqp.messages import Message, Received


class Lost(Exception):
    """The connection or channel ended before the server had answered; the text says why."""


class NotTaken(Exception):
    """The server was asked to keep a message and refused."""


@frozen
class Login:
    """As whom, and where on the server."""

    user: str
    password: str = field(repr=False)
    vhost: str = "/"


@frozen
class Feed:
    """Where a feed comes from: what is published to ``exchange`` with a routing key that ``key`` matches."""

    name: str
    exchange: str
    key: str


Take = Callable[[Received], None]
"""Takes one message; never raises."""


class Outlet(Protocol):
    """Publishes to one exchange."""

    def publish(self, message: Message) -> Deferred[None]:
        """Publish; fires when the server has taken the message into its keeping.

        :raises Lost: (the Deferred fails) nobody knows whether it was taken.
        :raises NotTaken: (the Deferred fails) it was not.
        :raises Exception: at once: it can't be written as a message.
        """


class Inlet(Protocol):
    """Consumes one feed; each message is acknowledged after it was taken."""

    @property
    def is_open(self) -> bool:
        """Say whether messages still come; ``why`` says why they don't."""

    @property
    def why(self) -> str:
        """Say what ended it."""

    async def bind(self) -> None:
        """Bind the queue once more, which shows whether the exchange is still there.

        :raises Lost: it is not, or the connection isn't.
        """


class Wire(Protocol):
    """One connection, from when its transport is there."""

    opened: Deferred[None]
    """Fires when the server has let us in; fails with :class:`Lost`."""

    gone: Deferred[None]
    """Fires, exactly once and always, when the transport is gone; ``why`` says why."""

    why: str
    blocked: str | None
    """Why the server takes nothing from us at present, in its own words."""

    unblocked_at: float
    """Since when it does so again, epoch seconds; 0 if it always did."""

    on_blocked: Callable[[], None]
    """Is called when ``blocked`` has changed."""

    @property
    def is_gone(self) -> bool:
        """Say whether ``gone`` has fired."""

    def abort(self, why: str) -> None:
        """End it now; the first reason counts."""

    def finish(self, limit_s: float) -> None:
        """End it politely within a time."""

    async def outlet(self, exchange: str) -> Outlet:
        """Make what publishes to a durable topic exchange; its end is the connection's."""

    async def inlet(self, feed: Feed, take: Take) -> Inlet:
        """Make what consumes a feed into a queue of its own."""


class Work(Protocol):
    """What goes on over a link."""

    async def begin(self, wire: Wire) -> None:
        """Declare what is needed and begin; what it raises ends the connection."""

    def lost(self) -> None:
        """Go without from now on; also told where ``begin`` has failed."""
