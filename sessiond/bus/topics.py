"""Topics: what happens, to those who asked for it and may know it.

Facts are the topic ``sessions``, which has a history; each configured feed is a topic of its own, without one. An event
is written once, and each form of it (a WebSocket's frame, say) once, however many it is told to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from attrs import define, evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from sessiond.bus.cloudevents import TYPE_PREFIX, encode, of_fact
from sessiond.core.facts import CloudEvent, History, StoredFact
from sessiond.ports import Store

SESSIONS = "sessions"
"""The topic of facts."""
OPENED, SUBSCRIBED, UNSUBSCRIBED, REFUSED = (
    f"sessiond.feed.{word}" for word in ("opened", "subscribed", "unsubscribed", "refused")
)
GAP = f"{TYPE_PREFIX}bus.gap"
"""The type of the event that tells of a time in which a feed's events were lost, or may have been."""
PAGE = 200
"""How many facts are read at a time for one who has missed some."""

log = Logger()


@frozen
class Feed:
    """A topic of events of others.

    :ivar owner_field: which member of an event's data says whose it is; without it, it is nobody's.
    :ivar group: who may hear what is nobody's, beside those who may hear all.
    """

    name: str
    owner_field: str | None = None
    group: str | None = None


@frozen
class Viewer:
    """Who hears.

    :ivar sees_all: whether it may hear everything, whoever it belongs to.
    :ivar owner: in whose name its sessions are; empty for one that nobody knows.
    """

    sees_all: bool
    owner: str = ""
    groups: frozenset[str] = frozenset()


@frozen
class Filter:
    """Which events of a topic are wanted; what is empty asks for nothing in particular.

    :ivar types: names of types; one with ``*`` at its end means all that begin so.
    """

    types: tuple[str, ...] = ()
    session: str | None = None
    service: str | None = None

    def wants(self, event: CloudEvent) -> bool:
        """Say whether an event is wanted."""
        if self.types and not any(_fits(pattern, event.type) for pattern in self.types):
            return False
        if self.session is not None and event.subject != self.session:
            return False
        return self.service is None or (isinstance(event.data, Mapping) and event.data.get("service") == self.service)


def _fits(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


@frozen
class Position:
    """How far a client has heard."""

    epoch: str
    after: int


@define(eq=False)
class Told:
    """An event as it is told.

    :ivar body: as JSON.
    """

    event: CloudEvent
    body: bytes
    _forms: dict[object, bytes] = field(factory=dict)

    @classmethod
    def of(cls, event: CloudEvent) -> Told:
        """Write an event."""
        return cls(event, encode(event))

    def form(self, write: Callable[[Told], bytes]) -> bytes:
        """Give it in a form, written once for all who want that."""
        found = self._forms.get(write)
        if found is None:
            found = self._forms[write] = write(self)
        return found


class Ear(Protocol):
    """Where a client is told."""

    def tell(self, told: Told) -> None:
        """Take one more; it may be dropped when that is too much for it."""

    def ready(self) -> Deferred[None]:
        """Fire once it takes more: what it has missed is read no faster than it hears."""


@define(eq=False)
class Subscription:
    """One client at one topic.

    :ivar after: up to where it has heard facts, or does not want to; what has a smaller offset is told no more.
    :ivar is_live: whether it is told what happens now; while it catches up, the store tells it.
    """

    topic: str
    viewer: Viewer
    ear: Ear
    filter: Filter = Filter()
    after: int = 0
    is_live: bool = True
    catching_up: Deferred[None] | None = None


class Topics:
    """All topics, and who listens.

    :param store: has the facts of the past; it is asked only once the daemon runs.
    :param source: of the daemon's own events, a URI reference.
    :param feeds: the topics beside that of facts.
    :param may_see: says whether a viewer that nobody knows may hear of a session by its id.
    """

    def __init__(
        self,
        store: Store,
        source: str,
        feeds: Iterable[Feed] = (),
        may_see: Callable[[Viewer, str], bool] = lambda viewer, session_id: False,
    ) -> None:
        self._store, self._source, self._may_see = store, source, may_see
        self.feeds = {feed.name: feed for feed in feeds}
        self._history = History("", 1, 0)
        self._numbers = 0
        # By topic, then by whose events they hear: None has those who hear all of them.
        self._subscriptions: defaultdict[str, defaultdict[str | None, dict[int, Subscription]]] = defaultdict(
            lambda: defaultdict(dict)
        )

    async def begin(self) -> None:
        """Find out how far the history has come."""
        self._history = await self._store.history()

    @property
    def names(self) -> tuple[str, ...]:
        """Name all topics."""
        return (SESSIONS, *self.feeds)

    def __len__(self) -> int:
        return sum(len(subscriptions) for by in self._subscriptions.values() for subscriptions in by.values())

    # -- clients -----------------------------------------------------------------------------------------------------

    def open(
        self, ear: Ear, viewer: Viewer, wanted: Iterable[str], filter_: Filter, position: Position | None
    ) -> Client:
        """Let a client listen; it is told first how it stands.

        :param wanted: topics, each of :attr:`names`.
        :param position: up to where it has heard facts before.
        """
        client = Client(self, ear, viewer)
        client.begin(tuple(wanted), filter_, position)
        return client

    def add(self, subscription: Subscription) -> Callable[[], None]:
        """Have a client told; call the result to stop that."""
        self._numbers += 1
        number, whose = self._numbers, None if subscription.viewer.sees_all else subscription.viewer.owner
        # Whoever is in a feed's group hears what is nobody's, beside what is its own.
        places = [self._subscriptions[subscription.topic][whose]]
        feed = self.feeds.get(subscription.topic)
        if whose is not None and feed is not None and feed.group in subscription.viewer.groups and feed.group:
            places.append(self._subscriptions[subscription.topic][f"\0{feed.group}"])
        for place in places:
            place[number] = subscription

        def stop() -> None:
            for place in places:
                place.pop(number, None)

        return stop

    # -- what happens ------------------------------------------------------------------------------------------------

    def hear(self, stored: StoredFact) -> None:
        """Tell a fact."""
        self._history = evolve(self._history, newest=max(self._history.newest, stored.offset))
        by_owner = self._subscriptions[SESSIONS]
        owner = stored.fact.owner
        told: Told | None = None
        for subscriptions in (by_owner.get(None), by_owner.get(owner)):
            for subscription in tuple((subscriptions or {}).values()):
                if subscription.is_live and stored.offset > subscription.after:
                    told = told or self.told_of(stored)
                    self.offer(subscription, stored, told)

    def offer(self, subscription: Subscription, stored: StoredFact, told: Told) -> None:
        """Tell one client a fact, if it may know it and wants to."""
        subscription.after = stored.offset
        viewer, fact = subscription.viewer, stored.fact
        if not viewer.sees_all:
            if fact.owner != viewer.owner:
                return
            if not viewer.owner and not self._may_see(viewer, fact.session_id):
                return
        if subscription.filter.wants(told.event):
            subscription.ear.tell(told)

    def told_of(self, stored: StoredFact) -> Told:
        """Write a fact."""
        return Told.of(of_fact(stored, self._history.epoch, self._source))

    def came(self, feed_name: str, event: CloudEvent) -> None:
        """Tell an event of a feed."""
        feed = self.feeds.get(feed_name)
        if feed is None:
            return
        by_owner, owner = self._subscriptions[feed_name], owner_of(feed, event)
        if event.type == GAP and event.source == self._source:
            whose = list(by_owner.values())  # everybody may have missed something
        else:
            whose = [by_owner.get(None, {}), by_owner.get(owner or f"\0{feed.group}", {})]
        # A member of a feed's group stands there by its own name, too.
        listening = {number: one for subscriptions in whose for number, one in subscriptions.items()}
        told: Told | None = None
        for subscription in listening.values():
            if subscription.filter.wants(event):
                told = told or Told.of(evolve(event, extensions={**event.extensions, "topic": feed_name}))
                subscription.ear.tell(told)

    # -- the past ----------------------------------------------------------------------------------------------------

    async def position_of(self, position: Position | None) -> tuple[int, str | None]:
        """Say behind which offset a client is to be told, and why not behind the one where it was.

        :param position: where it was; ``None`` for one that comes for the first time.
        """
        history = await self._store.history()
        self._history = evolve(history, newest=max(history.newest, self._history.newest))
        newest = self._history.newest
        if position is None:
            return newest, None
        if position.epoch != history.epoch:
            return newest, "epoch-changed"
        if position.after > newest:
            return newest, "ahead"
        if position.after < history.oldest - 1:
            return newest, "too-old"
        return position.after, None

    @property
    def history(self) -> History:
        """Give the history as far as it has come."""
        return self._history

    async def catch_up(self, subscription: Subscription) -> None:
        """Tell a client what it has missed, as fast as it takes it, and have it told what happens from then on."""
        while True:
            await subscription.ear.ready()
            page = await self._store.facts(subscription.after, PAGE)
            for stored in page:
                self.offer(subscription, stored, self.told_of(stored))
            # In this very turn: nothing can have been published between the look and the change.
            if len(page) < PAGE and subscription.after >= self._history.newest:
                subscription.is_live = True
                return
            if not page:  # what is missing was pruned meanwhile
                subscription.after = self._history.newest

    def say(self, type_: str, data: Mapping[str, Any]) -> Told:
        """Make what is said to one client alone."""
        self._numbers += 1
        return Told.of(CloudEvent(f"feed-{self._numbers}", self._source, type_, data=dict(data)))


class Client:
    """One client: its subscriptions, by topic."""

    def __init__(self, topics: Topics, ear: Ear, viewer: Viewer) -> None:
        self._topics, self._ear, self._viewer = topics, ear, viewer
        self._subscriptions: dict[str, tuple[Subscription, Callable[[], None]]] = {}
        self._beginning: Deferred[None] | None = None
        self._is_over = False

    def begin(self, topics: tuple[str, ...], filter_: Filter, position: Position | None) -> None:
        """Say how it stands, then tell what it has missed."""
        self._beginning = Deferred.fromCoroutine(self._begin(topics, filter_, position))
        self._beginning.addErrback(self._failed)

    def _failed(self, failure: Any) -> None:
        if failure.check(CancelledError) is None:
            log.failure("a client of the feed could not be told", failure)

    async def _begin(self, topics: tuple[str, ...], filter_: Filter, position: Position | None) -> None:
        after, why = await self._topics.position_of(position)
        wants_facts = SESSIONS in topics
        if position is not None and not wants_facts:
            why = "not-replayable"
        data: dict[str, Any] = {
            "epoch": self._topics.history.epoch,
            "offset": after,
            "recovered": position is not None and why is None,
            "topics": list(topics),
            **({} if why is None else {"reason": why}),
        }
        self._ear.tell(self._topics.say(OPENED, data))
        for topic in topics:
            self._add(Subscription(topic, self._viewer, self._ear, filter_, after, is_live=topic != SESSIONS))
        if wants_facts:
            await self._topics.catch_up(self._subscriptions[SESSIONS][0])

    def _add(self, subscription: Subscription) -> None:
        self._subscriptions[subscription.topic] = (subscription, self._topics.add(subscription))

    def subscribe(self, topic: str, filter_: Filter) -> Told:
        """Listen to one more topic, or to one in another way; give what is answered."""
        known = self._subscriptions.get(topic)
        if known is not None:
            known[0].filter = filter_
        else:
            newest = self._topics.history.newest
            self._add(Subscription(topic, self._viewer, self._ear, filter_, newest))
        history = self._topics.history
        return self._topics.say(SUBSCRIBED, {"topic": topic, "epoch": history.epoch, "offset": history.newest})

    def unsubscribe(self, topic: str) -> Told:
        """Listen to a topic no more; to one that it does not hear, too."""
        known = self._subscriptions.pop(topic, None)
        if known is not None:
            known[1]()
            known[0].is_live = False
        return self._topics.say(UNSUBSCRIBED, {"topic": topic})

    def refuse(self, topic: str | None, code: str, detail: str) -> Told:
        """Say that a command can't be obeyed."""
        return self._topics.say(REFUSED, {"topic": topic, "code": code, "detail": detail})

    def end(self) -> None:
        """Listen no more."""
        self._is_over = True
        if self._beginning is not None:
            self._beginning.cancel()
        for _, stop in self._subscriptions.values():
            stop()
        self._subscriptions.clear()


def owner_of(feed: Feed, event: CloudEvent) -> str:
    """Say whose an event is; empty where it is nobody's."""
    if feed.owner_field is None or not isinstance(event.data, Mapping):
        return ""
    found = event.data.get(feed.owner_field)
    return found if isinstance(found, str) else ""
