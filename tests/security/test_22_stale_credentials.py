"""Line 22: after each event that voids a secret it opens nothing, and live tunnels are closed within a second."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import define
from twisted.internet.defer import Deferred

from sessiond.broker import Request, Reservation
from sessiond.core import events
from sessiond.core.tickets import LIFETIME_S
from sessiond.core.values import Deadline, Liveliness, State
from sessiond.entropy import SystemEntropy
from tests.e2e.places import Place, place
from tests.e2e.running import Running, running
from tests.e2e.wire import Refusal, Tunnel
from tests.fakes.frames import PONG, frame, payload_of, request
from tests.fakes.launchers import IgnoresKill, Script
from tests.results import result_of
from tests.web.http import TOKENS_ONLY, Api, Received, bearer, token
from tests.ws.indoors import Indoors, Visitor

__all__ = ["place"]

SOON_S = 0.99
"""When a tunnel must be closed."""

# -- what happens to a session that has a live tunnel ------------------------------------------------------------------


@define
class Live:
    """A session with a client in it, and more secrets that open it."""

    house: Indoors
    made: Reservation
    visitor: Visitor
    ticket: str

    @property
    def id(self) -> str:
        """Give the session's id."""
        return self.made.session.id

    def happen(self, event: events.Event) -> None:
        """Have something happen to the session."""
        self.house.broker.dispatch(self.id, event)

    def status(self, query: str) -> int:
        """Say how a client is answered."""
        return self.house.visit(request(f"/tunnel?{query}")).status


def live(script: Script | None = None) -> Live:
    """Get a session that is connected."""
    house = Indoors()
    made = house.reserve(script=script)
    visitor = house.visit(request(f"/tunnel?token={made.token}"))
    house.answer_dial()
    ticket = house.broker.issue_ticket(house.broker.session(made.session.id), "").ticket
    assert house.state(made) is State.CONNECTED
    return Live(house, made, visitor, ticket)


def lifetime_over(session: Live) -> None:
    """Let the time pass for which the session may live at all."""
    session.happen(events.SetDeadline(Deadline.LIFETIME, session.house.clock.now()))


ENDS: dict[str, tuple[Callable[[Live], object], int]] = {
    "released": (lambda session: session.happen(events.Release()), 4410),
    "the lifetime is over": (lifetime_over, 4401),
    "the program exits": (lambda session: session.house.child(session.made).exit(0), 4500),
    "the program crashes": (lambda session: session.house.child(session.made).exit(11), 4500),
    "the program announces its end": (lambda session: session.happen(events.Report(Liveliness.DISCONNECT)), 4500),
    "the client has finished": (lambda session: session.happen(events.ClientDone()), 4500),
    "the daemon stops": (lambda session: session.happen(events.Shutdown()), 1001),
}


@pytest.mark.parametrize("name", ENDS)
def test_live_tunnel_is_closed(name: str) -> None:
    """Whatever ends a session, its tunnel is closed within a second, with the code that says why."""
    end, code = ENDS[name]
    session = live()
    assert session.visitor.closed is None
    end(session)
    session.house.advance(SOON_S)
    assert session.visitor.closed is not None
    assert session.visitor.closed[0] == code


@pytest.mark.parametrize("name", ENDS)
def test_secrets_of_what_has_ended(name: str) -> None:
    """Once a session has ended, neither its token nor a ticket opens anything, and its program is not heard."""
    end, _ = ENDS[name]
    session = live()
    secret = session.house.broker.session(session.id).child_secret
    end(session)
    session.house.advance(10.0)
    assert session.house.state(session.made) is State.ENDED
    for query in (f"token={session.made.token}", f"ticket={session.ticket}"):
        assert session.status(query) == 401
    assert session.house.broker.session(session.id).child_secret == ""
    assert secret


def test_while_it_is_being_ended() -> None:
    """From the moment of its release on nobody comes in, though the program still runs."""
    session = live(IgnoresKill())
    session.happen(events.Release())
    for status in (409, 401):  # the ticket is used up
        assert session.house.state(session.made) is State.STOPPING
        assert session.status(f"token={session.made.token}") == 409
        assert session.status(f"ticket={session.ticket}") == status
        session.house.advance(10.0)


def test_ticket_of_an_open_tunnel() -> None:
    """The ticket that opened a tunnel opens no second one, while that is open or after it."""
    house = Indoors()
    made = house.reserve()
    ticket = house.broker.issue_ticket(house.broker.session(made.session.id), "").ticket
    first = house.visit(request(f"/tunnel?ticket={ticket}"))
    assert first.status == 101
    house.answer_dial()
    assert house.visit(request(f"/tunnel?ticket={ticket}")).status == 401
    first.wire.vanish()
    house.advance(1.0)
    assert house.visit(request(f"/tunnel?ticket={ticket}")).status == 401
    assert house.visit(request(f"/tunnel?token={made.token}")).status == 101


def test_old_ticket() -> None:
    """A ticket that nobody used is void after its minute, although the session and its tunnel live on."""
    session = live()
    for _ in range(6):
        session.house.advance(LIFETIME_S / 6)
        session.visitor.send(frame(PONG))
    assert session.status(f"ticket={session.ticket}") == 401
    assert session.visitor.closed is None
    assert session.house.state(session.made) is State.CONNECTED


def ordered(house: Indoors) -> Reservation:
    """Ask for a session with an Idempotency-Key, again and again the same."""
    wanted = Request("desk", "ada", key="order")
    made: Reservation = result_of(Deferred.fromCoroutine(house.broker.reserve(wanted)))
    house.advance(0)
    return made


def test_new_token() -> None:
    """A repeated request voids the old token and its tickets at once; its tunnels, which are its owner's, go on."""
    house = Indoors()
    old = ordered(house)
    visitor = house.visit(request(f"/tunnel?token={old.token}"))
    program = house.answer_dial()
    ticket = house.broker.issue_ticket(house.broker.session(old.session.id), "ada").ticket
    new = ordered(house)
    assert new.session.id == old.session.id
    for query in (f"token={old.token}", f"ticket={ticket}"):
        assert house.visit(request(f"/tunnel?{query}")).status == 401
    assert house.visit(request(f"/tunnel?token={new.token}")).status == 409
    program.receive(b"still here")
    assert payload_of(visitor.look().read) == b"still here"


# -- over REST ---------------------------------------------------------------------------------------------------------


class Portal:
    """A daemon whose API is called, and a session of Ada's."""

    def __init__(self) -> None:
        self.api = Api(token("ada", "launch"), face=TOKENS_ONLY)
        made = self.api.post("/sessions", {"service": "vital"}, headers={**bearer("ada"), "Idempotency-Key": "order"})
        self.api.world.advance(0.0)
        self.id, self.token = made.json["id"], made.json["token"]
        self.secret = self.api.broker.session(self.id).child_secret

    def report(self, secret: str) -> Received:
        """Have a program report."""
        path = f"/sessions/{self.id}/liveliness?liveliness=ping"
        return self.api.post(path, headers={"Authorization": f"Bearer {secret}"})

    def ticket(self) -> str:
        """Get a ticket for Ada."""
        return str(self.api.post("/tickets", headers=bearer("ada")).json["ticket"])

    def visible(self, ticket: str) -> int:
        """Say how a caller with a ticket is answered."""
        return self.api.get(f"/sessions?ticket={ticket}").status


@pytest.mark.parametrize("passed_s", [0.0, 1.0, LIFETIME_S - 1.0, LIFETIME_S, 3600.0])
def test_caller_ticket_is_replayed(passed_s: float) -> None:
    """A caller's ticket that was used opens nothing, however soon or late it is tried again."""
    portal = Portal()
    ticket = portal.ticket()
    assert portal.visible(ticket) == 200
    portal.api.world.clock.advance(passed_s)
    assert portal.visible(ticket) == 401


def test_child_secret_after_the_end() -> None:
    """A program reports until its session has ended, and not a moment longer; no other secret does it for it."""
    portal = Portal()
    assert portal.report(portal.secret).status == 204
    assert portal.report(portal.token).status == portal.report(portal.ticket()).status == 401
    portal.api.fetch("DELETE", f"/sessions/{portal.id}", headers=bearer("ada"))
    portal.api.world.advance(20.0)
    assert portal.api.broker.session(portal.id).state is State.ENDED
    for secret in (portal.secret, ""):
        assert portal.report(secret).status == 401


def test_forgotten_session() -> None:
    """When a session is forgotten, its secrets are those of nothing."""
    portal = Portal()
    portal.api.fetch("DELETE", f"/sessions/{portal.id}", headers=bearer("ada"))
    portal.api.world.advance(3700.0)
    assert portal.api.get(f"/sessions/{portal.id}", headers=bearer("ada")).status == 404
    assert portal.report(portal.secret).status == 401
    assert portal.api.post(f"/sessions/{portal.id}/tickets", headers=bearer("ada")).status == 404


def test_token_is_no_bearer() -> None:
    """A session's token or ticket is no API token, and an API token opens no tunnel."""
    portal, session = Portal(), live()
    ticket = portal.api.post(f"/sessions/{portal.id}/tickets", headers=bearer("ada")).json["ticket"]
    for secret in (portal.token, ticket):
        assert portal.api.get("/sessions", headers={"Authorization": f"Bearer {secret}"}).status == 401
        assert portal.visible(secret) == 401
    for query in ("token=ada-token", f"ticket={portal.ticket()}"):
        assert session.status(query) == 401
    # Neither was used up where it did not belong.
    assert portal.api.broker.by_ticket(ticket).id == portal.id


# -- across runs of a real daemon --------------------------------------------------------------------------------------

CONFIG = """
[services.later]
kind = "tcp"
launcher = "process"
launch = "on-connect"
command = ["${{python}}", "-S", "{echo}", "${{port}}"]
ports = "{first}-{last}"
count = 2
limits = {{ reservation = "1h" }}
"""
ECHO = Path(__file__).parents[1] / "e2e" / "programs" / "echo.py"


def told(name: str, secret: str) -> str:
    """Write an API token's table."""
    return f'[tokens.{name}]\ndigest = "sha256:{hashlib.sha256(secret.encode()).hexdigest()}"\nscopes = ["launch"]\n'


def refused(daemon: Running, query: str) -> int:
    """Say with which status a tunnel is refused; 101 where it is not."""
    try:
        with Tunnel(f"ws://{daemon.netloc}/tunnel?{query}"):
            return 101
    except Refusal as refusal:
        return refusal.status


def test_new_run_with_other_tokens(place: Place) -> None:
    """After a restart tickets are void, and an API token that was removed is nobody's; a session keeps its token."""
    ada, bob = SystemEntropy().token(), SystemEntropy().token()
    first, last = place.ports
    services = CONFIG.format(echo=ECHO, first=first, last=last)
    with running(place.configure(services + told("ada", ada))) as daemon:
        daemon.ready()
        body = {"service": "later"}
        made = daemon.call("POST", "/api/v1/sessions", body, Authorization=f"Bearer {ada}").json
        paths = ("/api/v1/tickets", f"/api/v1/sessions/{made['id']}/tickets")
        tickets = [daemon.call("POST", path, Authorization=f"Bearer {ada}").json["ticket"] for path in paths]
        assert daemon.call("GET", f"/api/v1/sessions/{made['id']}", Authorization=f"Bearer {ada}").status == 200
        daemon.kill()
    with running(place.configure(services + told("bob", bob))) as daemon:
        daemon.ready()
        assert daemon.call("GET", "/api/v1/sessions", Authorization=f"Bearer {ada}").status == 401
        assert daemon.call("GET", f"/api/v1/sessions?ticket={tickets[0]}").status == 401
        assert refused(daemon, f"ticket={tickets[1]}") == 401
        assert daemon.call("GET", f"/api/v1/sessions/{made['id']}", Authorization=f"Bearer {bob}").status == 404
        assert refused(daemon, f"token={made['token']}") == 101
