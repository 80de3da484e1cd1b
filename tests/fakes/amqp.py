"""A connection to RabbitMQ whose other end is the test, which confirms, refuses, is silent or is gone."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail

from sessiond.bus.amqp.messages import Message, Received
from sessiond.bus.amqp.seam import Feed, Lost, NotTaken, Take


class HeldOutlet:
    """Takes messages and says nothing of them until the test does.

    :ivar sent: all that was published, whether or not it was confirmed.
    """

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.waiting: dict[int, Deferred[None]] = {}
        self.is_lost = False

    def publish(self, message: Message) -> Deferred[None]:
        """Take a message."""
        if self.is_lost:
            return fail(Lost("the channel is closed"))
        self.waiting[len(self.sent)] = Deferred()
        self.sent.append(message)
        return self.waiting[len(self.sent) - 1]

    def confirm(self, count: int = 1_000_000, at: int = 0) -> None:
        """Confirm up to ``count`` of those that wait, from the one at a place on."""
        for number in list(self.waiting)[at : at + count]:
            self.waiting.pop(number).callback(None)

    def refuse(self, at: int = 0) -> None:
        """Refuse one of those that wait."""
        for number in list(self.waiting)[at : at + 1]:
            self.waiting.pop(number).errback(NotTaken("full"))

    def lose(self) -> None:
        """Fail all that waits, as a lost connection does."""
        self.is_lost = True
        waiting, self.waiting = self.waiting, {}
        for one in waiting.values():
            one.errback(Lost("gone"))

    @property
    def offsets(self) -> list[int]:
        """Give the offsets of what was published."""
        return [int(message.headers["offset"]) for message in self.sent]


class HeldInlet:
    """A feed whose messages the test makes up."""

    def __init__(self, take: Take) -> None:
        self.take = take
        self.why = ""
        self.bound = 1

    @property
    def is_open(self) -> bool:
        """Say whether messages come."""
        return not self.why

    async def bind(self) -> None:
        """Bind once more."""
        if self.why:
            raise Lost(self.why)
        self.bound += 1

    def tell(self, body: bytes, key: str = "a.b") -> None:
        """Have a message come."""
        self.take(Received(key, body))


class HeldWire:
    """A connection that is there; ``opened`` and ``gone`` fire when the test says so.

    :ivar refused: why a feed can't be consumed, by its name.
    :ivar is_deaf: whether a set-up is never answered.
    """

    def __init__(self) -> None:
        self.opened: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self.why = ""
        self.blocked: str | None = None
        self.unblocked_at = 0.0
        self.on_blocked: Callable[[], None] = lambda: None
        self.is_gone = False
        self.is_deaf = False
        self.finished: list[float] = []
        self.out = HeldOutlet()
        self.inlets: dict[str, HeldInlet] = {}
        self.refused: dict[str, str] = {}

    def abort(self, why: str) -> None:
        """End."""
        self.why = self.why or why
        if self.is_gone:
            return
        self.is_gone = True
        self.out.lose()
        if not self.opened.called:
            self.opened.errback(Lost(self.why))
        self.gone.callback(None)

    def finish(self, limit_s: float) -> None:
        """End politely."""
        self.finished.append(limit_s)
        self.abort("we are stopping")

    async def outlet(self, exchange: str) -> HeldOutlet:
        """Give what takes messages."""
        if self.is_deaf:
            await Deferred[None]()
        if self.is_gone:
            raise Lost(self.why)
        return self.out

    async def inlet(self, feed: Feed, take: Take) -> HeldInlet:
        """Give a feed."""
        if self.is_gone or feed.name in self.refused:
            raise Lost(self.refused.get(feed.name, self.why))
        self.inlets[feed.name] = HeldInlet(take)
        return self.inlets[feed.name]
