"""What a stand-in of the daemon has behind its wire: histories, who follows them, and the faults that a test asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Filter = dict[str, Any]


def passes(wanted: Filter, event: dict[str, Any]) -> bool:
    """Say whether a filter lets an event pass."""
    types = wanted.get("types")
    if types is not None and not any(_is_of(pattern, event["type"]) for pattern in types):
        return False
    if wanted.get("session") not in (None, event.get("subject")):
        return False
    return wanted.get("service") in (None, (event.get("data") or {}).get("service"))


def _is_of(pattern: str, type_: str) -> bool:
    return type_.startswith(pattern[:-1]) if pattern.endswith("*") else type_ == pattern


class Client:
    """One connection of the feed.

    :param send: writes a text.
    :param end: ends it, with a code and a reason where the wire has them.
    :param cut: breaks it off.
    """

    def __init__(
        self,
        world: World,
        query: dict[str, str],
        send: Callable[[str], None],
        end: Callable[[int, str], None],
        cut: Callable[[], None],
    ) -> None:
        self.world, self.query = world, query
        self.send, self.end, self.cut = send, end, cut
        named: Filter = {name: query[name] for name in ("session", "service") if name in query}
        if "types" in query:
            named["types"] = query["types"].split(",")
        self.topics = dict.fromkeys(query["topics"].split(","), named)
        self.frozen = False
        self.beat: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """Say where it stands, then what was missed."""
        world, after, reason = self.world, self.world.offset, None
        if "after" in self.query:
            after = int(self.query["after"])
            if self.query.get("epoch") != world.epoch:
                reason, after = "epoch-changed", 0
            elif after < world.oldest:
                reason, after = "too-old", world.oldest
            elif after > world.offset:
                reason, after = "ahead", world.offset
            elif set(self.topics) - {"sessions"}:
                reason = "not-replayable"
        recovered = "after" in self.query and reason is None
        data = {"epoch": world.epoch, "offset": after, "recovered": recovered, "topics": sorted(self.topics)}
        self.control("opened", {**data, **({"reason": reason} if reason else {})})
        for event in world.history:
            if event["offset"] > after:
                self.tell("sessions", event)
        world.clients.append(self)

    def control(self, what: str, data: Any) -> None:
        """Tell something of the feed itself."""
        event = {"specversion": "1.0", "id": self.world.next_id(), "source": "/standin"}
        self.send(json.dumps({**event, "type": f"sessiond.feed.{what}", "data": data}))

    def tell(self, topic: str, event: dict[str, Any]) -> None:
        """Tell an event, if it is wanted."""
        if topic in self.topics and passes(self.topics[topic], event) and not self.frozen:
            self.send(json.dumps(event))

    def command(self, text: str) -> None:
        """Take a command."""
        found = json.loads(text)
        self.world.commands.append(found)
        if self.frozen:
            return
        topic = found["topic"]
        if found["command"] == "unsubscribe":
            self.topics.pop(topic, None)
            self.control("unsubscribed", {"topic": topic})
        elif topic not in self.world.known:
            self.control("refused", {"topic": topic, "code": "not-found", "detail": "there is no such feed"})
        else:
            self.topics[topic] = found["filter"]
            place = {"epoch": self.world.epoch, "offset": self.world.offset} if topic == "sessions" else {}
            self.control("subscribed", {"topic": topic, **place})


class World:
    """A history and its clients.

    :ivar plans: how the next connections go, one word each, by transport; the last one stays if a star ends it.
    :ivar answers: what REST says next: status, headers, body.
    :ivar states: what it says of a path as often as it is asked: status, body.
    """

    def __init__(self) -> None:
        self.epoch, self.offset, self.oldest = "e1", 0, 0
        self.history: list[dict[str, Any]] = []
        self.known = {"sessions", "orders", "news"}
        self.clients: list[Client] = []
        self.held: list[Client] = []
        self.seen: list[dict[str, Any]] = []
        self.commands: list[Any] = []
        self.calls: list[Any] = []
        self.plans: dict[str, list[str]] = {"websocket": [], "sse": []}
        self.answers: list[list[Any]] = []
        self.states: dict[str, list[Any]] = {}
        self._ids = 0

    def next_id(self) -> str:
        """Give an id that nothing else has."""
        self._ids += 1
        return f"c{self._ids}"

    def plan(self, transport: str, query: dict[str, str], authorization: str | None) -> str:
        """Note that somebody comes, and say how that goes."""
        self.seen.append({"transport": transport, "query": query, "authorization": authorization})
        plan = self.plans[transport]
        if not plan:
            return "serve"
        return plan[0][:-1] if plan[0].endswith("*") else plan.pop(0)

    def begin(self, client: Client, how: str) -> None:
        """Serve a client, or not quite."""
        if how == "serve":
            client.begin()
        elif how == "late":
            self.held.append(client)
        elif how == "other":
            client.send('{"type":"com.example.hello"}')
        elif how == "noise":
            client.send("hello")

    def forget(self, client: Client) -> None:
        """Know of its end."""
        for there in (self.clients, self.held):
            if client in there:
                there.remove(client)

    def do(self, order: dict[str, Any]) -> None:
        """Do what a test asks for."""
        getattr(self, f"do_{order.pop('do')}")(**order)

    def do_facts(self, facts: list[dict[str, Any]], skip: int = 0) -> None:
        """Let something happen.

        :param skip: how many offsets are left out before each.
        """
        for fact in facts:
            self.offset += 1 + skip
            event: dict[str, Any] = {"specversion": "1.0", "id": f"{self.epoch}-{self.offset}", "source": "/sessiond/0"}
            event |= {"type": "sessiond.session.ready", "subject": "s-1", "epoch": self.epoch, "offset": self.offset}
            event |= {"data": {"service": "clock", "owner": "ada", "version": 1}, **fact}
            self.history.append(event)
            for client in list(self.clients):
                client.tell("sessions", event)

    def do_tell(self, topic: str, event: dict[str, Any]) -> None:
        """Pass on somebody else's event."""
        whole = {"specversion": "1.0", "source": "/shop", "type": "com.example.order", "topic": topic, **event}
        for client in list(self.clients):
            client.tell(topic, whole)

    def do_raw(self, text: str) -> None:
        """Send a text as it is."""
        for client in list(self.clients):
            client.send(text)

    def do_repeat(self) -> None:
        """Tell the whole history once more."""
        for client in list(self.clients):
            for event in self.history:
                client.tell("sessions", event)

    def do_cut(self) -> None:
        """Break all connections off."""
        clients, self.clients = self.clients, []
        for client in clients:
            client.cut()

    def do_close(self, code: int = 1001, reason: str = "shutdown") -> None:
        """Close all connections."""
        clients, self.clients = self.clients, []
        for client in clients:
            client.end(code, reason)

    def do_say(self, **states: list[Any]) -> None:
        """Say what REST says of a path from now on."""
        self.states |= states

    def do_beat(self) -> None:
        """Tell on streams how far they have come."""
        for client in self.clients:
            client.beat()

    def do_lose(self, topic: str) -> None:
        """Have a topic no more."""
        self.known.discard(topic)

    def do_freeze(self) -> None:
        """Say nothing more on the connections that there are, and leave them open."""
        for client in self.clients:
            client.frozen = True

    def do_go(self) -> None:
        """Serve those that were to be late."""
        held, self.held = self.held, []
        for client in held:
            client.begin()

    def do_epoch(self, epoch: str) -> None:
        """Begin another history."""
        self.epoch, self.offset, self.oldest, self.history = epoch, 0, 0, []

    def do_forget(self) -> None:
        """Keep nothing of what has happened."""
        self.oldest, self.history = self.offset, []

    def do_plan(self, **plans: list[str]) -> None:
        """Say how the next connections go."""
        self.plans |= plans

    def do_answer(self, answers: list[list[Any]]) -> None:
        """Say what REST says next."""
        self.answers += answers

    @property
    def told(self) -> dict[str, Any]:
        """Tell what was seen."""
        lists = {"seen": self.seen, "commands": self.commands, "calls": self.calls}
        return {**lists, "open": len(self.clients), "held": len(self.held)}


WORLDS: dict[str, World] = {}


def world_of(name: str) -> World:
    """Give a world, a new one where there is none of the name."""
    return WORLDS.setdefault(name, World())
