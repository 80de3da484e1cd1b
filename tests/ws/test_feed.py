"""The feed over WebSockets and as server-sent events: who hears what, what was missed, who is too slow."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from sessiond.boot.parts import unowned
from sessiond.broker import Broker, Request, Tickets
from sessiond.bus.line import MOST_EVENTS
from sessiond.bus.local import LocalBus
from sessiond.bus.topics import Feed as Topic
from sessiond.bus.topics import Topics
from sessiond.clock import SteadyClock
from sessiond.config import ApiToken, Callers, Listener
from sessiond.config import Face as Served
from sessiond.core.events import Release
from sessiond.core.facts import History
from sessiond.core.services import Catalogue, Plan, Pool, Service
from sessiond.core.values import Kind, LaunchWhen
from sessiond.entropy import SystemEntropy, digest
from sessiond.meters import Meters, Traffic
from sessiond.site import Sources, site_of
from sessiond.web.access import Access, Caller, Scope
from sessiond.web.api_feeds import Feeds
from sessiond.ws.feed import SLOW, Feed
from tests.fakes.frames import BINARY, TEXT, frame, request
from tests.results import result_of
from tests.ws.indoors import AnyLease, Indoors, Visitor

TOKENS = {"ada": "launch", "bob": "launch", "eye": "read", "root": "operate"}
PLAN = Plan(launch=LaunchWhen.ON_CONNECT)
"""Each session makes one fact, and no more until somebody does something."""
TOPICS = (Topic("news", group="insiders"), Topic("jobs", owner_field="account"))


class House(Indoors):
    """A daemon that serves the API and its feed."""

    def __init__(self, callers: Callers = Callers.TOKEN) -> None:
        super().__init__()
        services = {name: Service(name, Kind.TCP, "process", PLAN, pool="desk") for name in ("desk", "lab")}
        catalogue = Catalogue(services, {"desk": Pool("desk", 2000)})
        self.bus = LocalBus()
        self.broker = Broker(
            catalogue, self.store, self.bus, {"process": self.launcher}, AnyLease(), SystemEntropy(), self.clock
        )
        result_of(Deferred.fromCoroutine(self.broker.open()))
        groups = {"bob": frozenset({"insiders"})}
        tokens = [
            ApiToken(name, digest(name), frozenset({scope}), groups.get(name, frozenset()))
            for name, scope in TOKENS.items()
        ]
        self.tickets: Tickets[Caller] = Tickets(SystemEntropy(), self.clock)
        access = Access(() if callers is Callers.ANYONE else tokens, self.tickets)
        self.topics = Topics(self.store, "/sessiond/0", TOPICS, unowned(self.broker))
        self.bus.subscribe(self.topics.hear)
        self.bus.listen(self.topics.came)
        self.feed = Feed(self.topics, access, self.reactor, self.clock)
        meters = Meters((), self.clock, lambda: Traffic(0, 0, 0))
        sources = Sources(
            *(self.broker, access, meters, (), self.tunnels.resource),
            events=self.feed.resource,
            feeds=lambda face: Feeds(self.topics, self.bus, access, face, lambda: "new-id"),
        )
        listener = Listener("web", "tcp:0", frozenset({Served.API}), callers, port=80, hosts=("localhost",))
        self.site = site_of(listener, sources, self.reactor)
        self.clock = SteadyClock(self.reactor, self.reactor.seconds, 1_000_000.0)

    def socket(self, who: str | None, query: str = "", *lines: str) -> Ear:
        """Open a WebSocket."""
        own = [] if who is None else [f"Authorization: Bearer {who}"]
        return Ear(self, self.visit(request(f"/api/v1/events{query}", *own, *lines)))

    def stream(self, who: str | None, query: str = "", *lines: str) -> Visitor:
        """Ask for a stream."""
        own = [] if who is None else [f"Authorization: Bearer {who}"]
        head = (f"GET /api/v1/events{query} HTTP/1.1", "Host: localhost", "Accept: text/event-stream", *own, *lines)
        return self.visit("\r\n".join((*head, "", "")).encode())

    def post(self, who: str, name: str, body: Any) -> Visitor:
        """Hand an event in."""
        content = json.dumps(body)
        head = (
            *(f"POST /api/v1/feeds/{name} HTTP/1.1", "Host: localhost", "Content-Type: application/json"),
            *(f"Authorization: Bearer {who}", f"Content-Length: {len(content)}"),
        )
        return self.visit(("\r\n".join((*head, "", "")) + content).encode())

    def make(self, owner: str, service: str = "desk") -> str:
        """Make a session."""
        made = result_of(Deferred.fromCoroutine(self.broker.reserve(Request(service, owner))))
        self.advance(0)
        return str(made.session.id)


class Ear:
    """One that listens by a WebSocket."""

    def __init__(self, house: House, visitor: Visitor) -> None:
        self.house, self.visitor = house, visitor
        self._read = 0

    def heard(self) -> list[Any]:
        """Give the events that came since."""
        self.house.advance(0)
        self.visitor.look()
        found = [json.loads(one.payload) for one in self.visitor.read[self._read :] if one.opcode == TEXT]
        self._read = len(self.visitor.read)
        return found

    def types(self) -> list[str]:
        """Give their types."""
        return [event["type"].removeprefix("sessiond.") for event in self.heard()]

    def say(self, command: Any) -> list[Any]:
        """Send a command, and give what came since."""
        self.visitor.send(frame(TEXT, json.dumps(command).encode()))
        return self.heard()


def offsets(events: list[Any]) -> list[int]:
    """Give the offsets of facts."""
    return [event["offset"] for event in events if "offset" in event]


def test_opens_and_tells() -> None:
    """A client is told first how it stands, then what happens, each as a CloudEvent."""
    house = House()
    ear = house.socket("ada")
    [opened] = ear.heard()
    assert (opened["specversion"], opened["type"]) == ("1.0", "sessiond.feed.opened")
    assert opened["data"] == {"epoch": "unreliable", "offset": 0, "recovered": False, "topics": ["sessions"]}
    made = house.make("ada")
    told = ear.heard()
    assert [event["type"] for event in told] == ["sessiond.session.reserved"]
    assert (told[0]["subject"], told[0]["data"]["service"], told[0]["epoch"]) == (made, "desk", "unreliable")
    assert offsets(told) == [1]
    assert told[0]["id"] == "unreliable-1"


def test_who_hears_what() -> None:
    """Each hears of his own sessions, operators of all; who can't read nothing is refused."""
    house = House()
    ears = {name: house.socket(name) for name in TOKENS}
    for ear in ears.values():
        ear.heard()
    for owner in ("ada", "bob"):
        house.make(owner)
    heard = {name: {event["data"]["owner"] for event in ear.heard()} for name, ear in ears.items()}
    assert heard == {"ada": {"ada"}, "bob": {"bob"}, "eye": set(), "root": {"ada", "bob"}}


def test_the_same_bytes_for_all() -> None:
    """However many hear an event, it is written once."""
    house = House()
    ears = [house.socket("root") for _ in range(3)]
    house.make("ada")
    [told] = result_of(house.store.facts(0, 1))
    one = house.topics.told_of(told)
    assert one.form(lambda _: b"a") != one.form(lambda _: b"b")
    assert len({json.dumps(ear.heard()[-1]) for ear in ears}) == 1


@pytest.mark.parametrize(
    ("query", "heard"),
    [
        ("?types=sessiond.session.ended", ["session.ended"]),
        ("?types=sessiond.session.*", ["session.reserved", "session.ended"]),
        ("?types=sessiond.tunnel.*", []),
        ("?service=lab", []),
        ("?session=SESSION", ["session.reserved", "session.ended"]),
        ("?session=other-1", []),
    ],
)
def test_filters(query: str, heard: list[str]) -> None:
    """Only what is wanted is told, also of what was missed."""
    house = House()
    made = house.make("ada")
    house.broker.dispatch(made, Release())
    house.advance(1)
    ear = house.socket("ada", f"{query.replace('SESSION', made)}&epoch=unreliable&after=0")
    assert ear.types() == ["feed.opened", *heard]


def test_resumes() -> None:
    """What was missed comes before what happens, with no gap and nothing twice, however much it is."""
    house = House()
    for _ in range(450):
        house.make("ada")
        house.make("bob")
    house.store.slow = True
    ear = house.socket("ada", "?epoch=unreliable&after=100")
    events = ear.heard()
    house.store.slow = False
    house.make("ada")
    events += ear.heard()
    assert events[0]["data"]["recovered"] is True
    assert offsets(events) == list(range(101, 902, 2))
    assert {event["data"]["owner"] for event in events[1:]} == {"ada"}


def test_what_happens_meanwhile() -> None:
    """While a client is told what it missed, more happens: it is told that too, once and in order."""
    house = House()
    for _ in range(300):
        house.make("root")
    pages: list[Deferred[None]] = []
    read = house.store.facts

    def slowly(after: int, limit: int) -> Any:
        waiting: Deferred[None] = Deferred()
        pages.append(waiting)
        return waiting.addCallback(lambda _: read(after, limit))

    house.store.facts = slowly  # type: ignore[method-assign]
    ear = house.socket("root", "?epoch=unreliable&after=50")
    while pages:
        if len(offsets(house_events(ear))) < 600:
            house.make("root")
        pages.pop(0).callback(None)
        house.advance(0)
    house.make("root")
    got = offsets(house_events(ear))
    assert got == list(range(51, got[-1] + 1))
    assert got[-1] == len(house.store.told)


def house_events(ear: Ear) -> list[Any]:
    """Give all events that a client was ever told."""
    ear.visitor.look()
    return [json.loads(one.payload) for one in ear.visitor.read if one.opcode == TEXT]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("?epoch=another&after=0", "epoch-changed"),
        ("?epoch=unreliable&after=99", "ahead"),
        ("?epoch=unreliable&after=0&topics=news", "not-replayable"),
    ],
)
def test_can_not_resume(query: str, why: str) -> None:
    """Where something may be missing, that is said, and the client hears what happens from now on."""
    house = House()
    house.make("root")
    ear = house.socket("root", query)
    [opened] = ear.heard()
    assert (opened["data"]["recovered"], opened["data"]["reason"]) == (False, why)


def test_too_old() -> None:
    """What was deleted is missed, and that is said."""
    house = House()
    for _ in range(5):
        house.make("root")
    house.store.history = lambda: succeed(History("unreliable", 4, 5))  # type: ignore[method-assign]
    [opened] = house.socket("root", "?epoch=unreliable&after=2").heard()
    assert opened["data"]["reason"] == "too-old"


def test_slow() -> None:
    """Who takes nothing is cut with 4008 once too much waits; others are unharmed, and it resumes where it was."""
    house = House()
    slow, quick = house.socket("root"), house.socket("root")
    slow.heard()
    producer: Any = slow.visitor.wire.producer
    producer.pauseProducing()
    for _ in range(MOST_EVENTS + 1):
        house.make("ada")
    assert slow.visitor.closed == (SLOW, "too slow")
    assert len(offsets(quick.heard())) == MOST_EVENTS + 1
    assert len(house.topics) == 1


def test_feeds() -> None:
    """Events of others reach whom they belong to, or the feed's group; operators hear all."""
    house = House()
    ears = {name: house.socket(name, "?topics=news,jobs") for name in TOKENS}
    for ear in ears.values():
        ear.heard()
    assert house.post("root", "news", {"type": "portal.note", "data": {"n": 1}}).status == 202
    assert house.post("root", "jobs", {"type": "job.done", "data": {"account": "ada"}}).status == 202
    assert house.post("root", "jobs", {"type": "job.done", "data": {"account": 5}}).status == 202
    assert house.post("root", "jobs", {"type": "job.due", "owner": "bob"}).status == 202
    assert house.post("root", "news", {"type": "job.due", "owner": "bob"}).status == 400
    heard = {name: [(one["topic"], one["type"]) for one in ear.heard()] for name, ear in ears.items()}
    news, jobs = ("news", "portal.note"), ("jobs", "job.done")
    due = ("jobs", "job.due")
    assert heard == {"ada": [jobs], "bob": [news, due], "eye": [], "root": [news, jobs, jobs, due]}


def test_handing_in() -> None:
    """What is no event is refused, and so is who may not hand it in, and a feed that there is not."""
    house = House()
    assert house.post("ada", "news", {"type": "a"}).status == 403
    assert house.post("root", "none", {"type": "a"}).status == 404
    bodies: list[Any] = [{}, {"type": ""}, {"type": "a", "colour": 1}, {"specversion": "1.0", "type": "a"}, []]
    for body in bodies:
        assert house.post("root", "news", body).status == 400, body
    assert json.loads(house.post("root", "news", {"type": "a"}).body) == {"id": "new-id"}


def test_commands() -> None:
    """A client may change what it hears while it is connected; what can't be obeyed is said."""
    house = House()
    ear = house.socket("root", "?topics=news")
    ear.heard()
    [told] = ear.say({"command": "subscribe", "topic": "sessions", "filter": {"types": ["sessiond.session.ended"]}})
    assert (told["type"], told["data"]["topic"]) == ("sessiond.feed.subscribed", "sessions")
    made = house.make("ada")
    assert ear.heard() == []
    house.broker.dispatch(made, Release())
    house.advance(1)
    assert ear.types() == ["session.ended"]
    ear.say({"command": "subscribe", "topic": "sessions"})
    house.make("ada")
    assert ear.types() == ["session.reserved"]
    [told] = ear.say({"command": "unsubscribe", "topic": "sessions"})
    assert told["type"] == "sessiond.feed.unsubscribed"
    house.make("ada")
    assert ear.heard() == []
    commands: list[Any] = [
        {"command": "subscribe", "topic": "none"},
        {"command": "jump", "topic": "news"},
        {"command": "subscribe", "topic": "news", "filter": []},
        {"command": "subscribe", "topic": "news", "filter": {"types": ["a b"]}},
        [],
    ]
    for command in commands:
        [told] = ear.say(command)
        assert told["type"] == "sessiond.feed.refused", command
    ear.visitor.send(frame(BINARY, b"x"))
    assert ear.visitor.closed == (1003, "commands are text")


def test_refused() -> None:
    """Who may not hear, or asks for what there is not, is told so before anything is opened."""
    house = House()
    assert house.socket(None).visitor.status == 401
    assert house.socket("nobody").visitor.status == 401
    assert house.socket("ada", "?topics=none").visitor.status == 404
    for query in ("?types=a%20b", "?epoch=a", "?after=1", "?epoch=a&after=x", "?session=", "?types=" + "a," * 40):
        assert house.socket("ada", query).visitor.status == 400, query
    assert house.socket("ada", "", "Origin: https://elsewhere.example").visitor.status == 403


def test_a_ticket() -> None:
    """A caller's ticket opens the feed once."""
    house = House()
    ticket = house.tickets.issue("ada", Caller("ada", frozenset({Scope.READ})), 20.0).ticket
    assert house.socket(None, f"?ticket={ticket}").types() == ["feed.opened"]
    assert house.socket(None, f"?ticket={ticket}").visitor.status == 401


def test_stream() -> None:
    """A stream tells the same, each fact with its place, and a browser's own reconnection resumes."""
    house = House()
    visitor = house.stream("ada")
    assert visitor.status == 200
    assert b"Content-Type: text/event-stream" in visitor.head
    house.make("ada")
    house.advance(0)
    told = visitor.look().body
    assert b"sessiond.feed.opened" in told
    assert b"id: unreliable:1\ndata: {" in told
    again = house.stream("ada", "", "Last-Event-ID: unreliable:0")
    assert b'"recovered":true' in again.body
    assert b"id: unreliable:1\n" in again.body
    house.advance(15)
    assert b":\n\n" in visitor.look().body


def test_stream_of_a_page() -> None:
    """Pages of admitted origins may read it, others not."""
    house = House()
    shown = house.stream("ada", "", "Origin: http://localhost")
    assert b"Access-Control-Allow-Origin: http://localhost" in shown.head
    assert house.stream("ada", "", "Origin: https://elsewhere.example").status == 403


def test_the_end() -> None:
    """When the daemon stops, WebSockets are closed and streams come to an end; nothing is left of either."""
    house = House()
    ear, visitor = house.socket("ada"), house.stream("ada")
    house.feed.close()
    house.advance(10)
    assert ear.visitor.closed == (1001, "shutting-down")
    assert visitor.look().body.endswith(b"0\r\n\r\n")
    assert len(house.topics) == 0
    assert [call for call in house.reactor.getDelayedCalls() if "keep_alive" in str(call)] == []
