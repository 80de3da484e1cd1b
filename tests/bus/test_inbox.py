"""The inbox: feeds become events, each alone, and every interruption is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from sessiond.bus.amqp.inbox import LOOK_S, Inbox
from sessiond.bus.amqp.messages import BODY_BYTES, Received, event_of
from sessiond.bus.amqp.seam import Feed, Lost
from sessiond.bus.cloudevents import NoEvent, encode
from sessiond.bus.topics import GAP
from sessiond.clock import SteadyClock
from sessiond.core.facts import CloudEvent
from sessiond.entropy import SystemEntropy
from tests.fakes.amqp import HeldWire
from tests.reactor import LoggedFailures
from tests.results import failure_of, result_of

FEEDS = (Feed("jobs", "cloud", "#"), Feed("news", "press", "a.*"))


class Unwilling(Exception):
    """What a taker raises."""


class Taking:
    """An inbox whose connections the test makes."""

    def __init__(self) -> None:
        self.time = Clock()
        self.taken: list[tuple[str, CloudEvent]] = []
        self.unwilling = False
        clock = SteadyClock(self.time, self.time.seconds, 1000.0)
        self.inbox = Inbox(FEEDS, self.emit, clock, SystemEntropy(), "/test")
        self.wire = HeldWire()

    def emit(self, feed: str, event: CloudEvent) -> None:
        """Take an event."""
        if self.unwilling:
            raise Unwilling
        self.taken.append((feed, event))

    def connect(self, **refused: str) -> HeldWire:
        """Make a connection."""
        self.wire = HeldWire()
        self.wire.opened.callback(None)
        self.wire.refused = refused
        result_of(Deferred.fromCoroutine(self.inbox.begin(self.wire)))
        return self.wire

    def lose(self) -> None:
        """Lose it."""
        self.wire.abort("lost")
        self.inbox.lost()

    def gaps(self) -> list[tuple[str, Any]]:
        """Give the gaps that were told."""
        return [(feed, event.data) for feed, event in self.taken if event.type == GAP]


def test_events() -> None:
    """Messages become events of their feed, with ids that are unique where they had none."""
    taking = Taking()
    wire = taking.connect()
    wire.inlets["jobs"].tell(b'{"n":1}')
    wire.inlets["news"].tell(b'{"n":2}')
    assert [(feed, event.type, event.data) for feed, event in taking.taken] == [
        ("jobs", "a.b", {"n": 1}),
        ("news", "a.b", {"n": 2}),
    ]
    assert len({event.id for _, event in taking.taken}) == 2
    assert taking.inbox.is_whole


def test_gap_after_a_loss() -> None:
    """After a loss each feed is told since when its messages may be missing; at the first start there is no gap."""
    taking = Taking()
    wire = taking.connect()
    assert taking.gaps() == []
    taking.time.advance(5)
    wire.inlets["jobs"].tell(b"1")
    taking.time.advance(2)
    taking.lose()
    assert not taking.inbox.is_whole
    taking.time.advance(30)
    taking.connect()
    until = "1970-01-01T00:17:17.000Z"
    assert taking.gaps() == [
        ("jobs", {"from": "1970-01-01T00:16:45.000Z", "to": until}),
        ("news", {"from": "1970-01-01T00:16:40.000Z", "to": until}),
    ]


def test_one_feed_refused() -> None:
    """A feed that can't be consumed is tried again each ten seconds, and the other is not touched."""
    taking = Taking()
    wire = taking.connect(jobs="403 ACCESS_REFUSED")
    wire.inlets["news"].tell(b"1")
    assert not taking.inbox.is_whole
    taking.time.advance(LOOK_S)
    assert "jobs" not in wire.inlets
    wire.refused = {}
    taking.time.advance(LOOK_S)
    assert taking.inbox.is_whole
    assert taking.gaps() == []  # it was not there before
    assert wire.inlets["news"].bound == 3


def test_one_feed_ends() -> None:
    """A feed whose queue or exchange is gone is consumed anew, with a gap of its own."""
    taking = Taking()
    wire = taking.connect()
    wire.inlets["jobs"].why = "404 NOT_FOUND"
    taking.time.advance(LOOK_S)
    assert taking.inbox.is_whole
    assert [feed for feed, _ in taking.gaps()] == ["jobs"]


def test_lost_while_looked_after() -> None:
    """A connection that is lost leaves no timer, and its set-up fails where it is lost within that."""
    taking = Taking()
    taking.connect()
    taking.lose()
    assert taking.time.getDelayedCalls() == []
    wire = HeldWire()
    wire.opened.callback(None)
    wire.abort("lost")
    failure_of(Deferred.fromCoroutine(taking.inbox.begin(wire)), Lost)
    taking.inbox.lost()
    assert taking.time.getDelayedCalls() == []


def test_raising_taker(logged_failures: LoggedFailures) -> None:
    """Whoever takes an event and raises is logged, and is told the next."""
    taking = Taking()
    inlet = taking.connect().inlets["jobs"]
    taking.unwilling = True
    inlet.tell(b"1")
    taking.unwilling = False
    inlet.tell(b"2")
    assert len(taking.taken) == 1
    assert logged_failures.take(Unwilling)


@pytest.mark.parametrize(
    ("received", "event"),
    [
        (Received("a.b", b"[1]", id="m", at=7), CloudEvent("m", "/amqp/x%2Fy", "a.b", time=7.0, data=[1])),
        (Received("a", b'"\\ud83d\\ude00"'), CloudEvent("own", "/amqp/x%2Fy", "a", data="\U0001f600")),
        (Received("", b"null"), CloudEvent("own", "/amqp/x%2Fy", "feed")),
        (Received("a\n", b"0", id="x" * 300), CloudEvent("own", "/amqp/x%2Fy", "feed", data=0)),
        (
            Received("a", b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1},"topic":"z"}'),
            CloudEvent("1", "/s", "t", data={"a": 1}, extensions={"topic": "z"}),
        ),
    ],
)
def test_read(received: Received, event: CloudEvent) -> None:
    """A CloudEvent is read as it is, anything else becomes the data of one."""
    assert event_of(received, "x/y", "feed", "own") == event


@pytest.mark.parametrize(
    "received",
    [
        Received("a", b""),
        Received("a", b"\xff"),
        Received("a", b"[NaN]"),
        Received("a", b'["\\ud800"]'),
        Received("a", b"[" * 100_000),
        Received("a", b'"' + b"x" * BODY_BYTES + b'"'),
        Received("a", b"9" * 10_000),
        Received("a", b"{}", content_type="application/cloudevents+json; charset=utf-8"),
        Received("a", b'{"specversion":"0.3"}'),
    ],
)
def test_unread(received: Received) -> None:
    """What is neither JSON nor, where it says that it is one, a CloudEvent, is no event."""
    with pytest.raises(NoEvent):
        event_of(received, "x", "feed", "own")


@given(
    body=st.one_of(st.binary(), st.text().map(str.encode), st.just(b'{"specversion":"1.0"}')),
    key=st.text(),
    content_type=st.none() | st.text(),
    id_=st.none() | st.text(),
    at=st.none() | st.integers(0, 2**32),
)
def test_anything(body: bytes, key: str, content_type: str | None, id_: str | None, at: int | None) -> None:
    """Whatever comes is an event that can be written, or none."""
    try:
        event = event_of(Received(key, body, content_type, id_, at), "x", "feed", "own")
    except NoEvent:
        return
    assert encode(event)
