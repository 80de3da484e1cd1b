"""Programs report at an address that holds their session's secret; nobody else does."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from sessiond.core.errors import Code, Refused
from sessiond.core.session import Session
from sessiond.core.values import Liveliness, Reason, State
from sessiond.entropy import SystemEntropy
from sessiond.web.answers import Answer
from sessiond.web.bodies import BODY_BYTES
from sessiond.web.child import Base, ChildRoot
from sessiond.web.door import Door, DoorSite
from tests.broker.world import World
from tests.web.http import Connection, Received


class Words:
    """A protocol of others: other statuses, and silence is allowed."""

    def what(self, word: str | None) -> Liveliness | None:
        """Read two words of its own."""
        if word is None:
            return None
        if word not in ("up", "down"):
            raise Refused(Code.BAD_REQUEST)
        return Liveliness.PING if word == "up" else Liveliness.DISCONNECT

    def taken(self) -> Answer:
        """Say so."""
        return Answer({"fine": True}, 201)

    def refused(self, refused: Refused) -> Answer:
        """Say which."""
        return Answer({"sorry": refused.code.value}, 418)


class House:
    """One session, and the child listener."""

    def __init__(self, *bases: Base) -> None:
        self.world = World()
        self.session: Session = self.world.ready("vital")
        self.site = DoorSite(ChildRoot(self.world.broker, bases), self.world.clock, Door())
        self.secret = self.session.child_secret

    def post(self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Received:
        """Send a report."""
        connection = Connection(self.site)
        connection.send("POST", path.format(id=self.session.id, secret=self.secret), body, headers or {})
        self.world.advance(0.0)
        return connection.received()

    @property
    def state(self) -> State:
        """The session's state."""
        return self.world.state(self.session.id)

    @property
    def reason(self) -> Reason | None:
        """Why it ended."""
        return self.world.broker.session(self.session.id).reason


@pytest.mark.parametrize("path", ["/{secret}/{id}", "//{secret}//{id}", "/{secret}/{id}/", "/{secret}//{id}//"])
def test_report(path: str) -> None:
    """A ping keeps a session alive, a disconnect ends it; slashes may be doubled."""
    house = House()
    for _ in range(4):
        house.world.advance(10.0)
        answer = house.post(path + "?liveliness=ping")
        assert (answer.status, answer.body) == (204, b"")
    assert house.state is State.READY
    assert house.post(path + "?liveliness=disconnect", b"x" * BODY_BYTES).status == 204
    assert house.reason is Reason.FINISHED


@pytest.mark.parametrize("path", ["/{secret}/x-abcdef", "/x/{id}", "/{secret}x/{id}", "/%C3%BC/{id}", "/{secret}/%FF"])
def test_who_has_not_the_secret(path: str) -> None:
    """A wrong secret and an unknown session are the same."""
    house = House()
    house.post(path + "?liveliness=disconnect").refused("unknown-session", 404)
    assert house.state is State.READY


@pytest.mark.parametrize("path", ["/", "/{id}", "/{secret}", "/{secret}/a/{id}", "/api/v1/sessions/{id}/liveliness"])
def test_elsewhere(path: str) -> None:
    """There is nothing else on this listener."""
    house = House()
    house.post(path + "?liveliness=disconnect").refused("not-found", 404)
    assert house.state is State.READY


def test_another_programs_secret() -> None:
    """A program's secret is good for its own session."""
    house = House()
    other = house.world.ready("plain")
    house.post(f"/{other.child_secret}/{{id}}?liveliness=disconnect").refused("unknown-session", 404)
    assert house.state is State.READY


def test_ended() -> None:
    """A report that comes too late changes nothing."""
    house = House()
    house.post("/{secret}/{id}?liveliness=disconnect")
    house.world.advance(60.0)
    assert house.state is State.ENDED
    house.post("/{secret}/{id}?liveliness=ready").refused("unknown-session", 404)


@pytest.mark.parametrize("query", ["", "?liveliness=", "?liveliness=PING", "?liveliness=ping&liveliness=ping"])
def test_nonsense(query: str) -> None:
    """A report is one of three words."""
    house = House()
    house.post("/{secret}/{id}" + query).refused("bad-request", 400)


def test_refused_before() -> None:
    """No page reports, nothing but POST does, and a body has its limit."""
    house = House()
    house.post("/{secret}/{id}?liveliness=ping", headers={"Origin": "http://127.0.0.1:9000"}).refused("forbidden", 403)
    assert house.post("/{secret}/{id}?liveliness=ping", b"x" * (BODY_BYTES + 1)).status == 413
    connection = Connection(house.site)
    connection.send("GET", f"/{house.secret}/{house.session.id}?liveliness=ping")
    connection.received().refused("method-not-allowed", 405)


def test_words_of_others() -> None:
    """A base has its own words and statuses, for everything behind it."""
    house = House(Base((b"api", b"up"), Words()), Base((b"open",), Words(), without_secret=True))
    for path in ("/{secret}/api/up/{id}", "/{secret}/api//up/{id}/", "/open/{id}", "/{secret}/open/{id}"):
        for query in ("", "?liveliness=up"):
            assert (house.post(path + query).status, house.state) == (201, State.READY)
        assert house.post(path + "?liveliness=ping").json == {"sorry": "bad-request"}
    for path in ("/{secret}/api/up/x", "/x/api/up/{id}", "/x/open/{id}", "/open/x"):
        assert house.post(path + "?liveliness=up").json == {"sorry": "unknown-session"}
    house.post("/api/up/{id}?liveliness=up").refused("not-found", 404)
    assert house.post("/open/{id}?liveliness=down").status == 201
    assert house.reason is Reason.FINISHED


def test_the_log() -> None:
    """A secret stands in no line of the log, the id does."""
    lines = list[str]()

    class Lines:
        """Takes what is logged."""

        def __call__(self, event: LogEvent) -> None:
            lines.append(formatEvent(event))

    house, secret, observer = House(), SystemEntropy().token(), Lines()
    globalLogPublisher.addObserver(observer)  # type: ignore[arg-type]
    try:
        house.post(f"/{secret}/{{id}}?liveliness=ping")
    finally:
        globalLogPublisher.removeObserver(observer)  # type: ignore[arg-type]
    (line,) = (line for line in lines if "POST" in line)
    assert house.session.id in line
    assert secret not in line
