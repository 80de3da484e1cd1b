"""The daemon's own methods: the rights of REST, and facts for those who may see them."""

from __future__ import annotations

import json
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
from twisted.internet.defer import Deferred

from sessiond.broker import Broker, Tickets
from sessiond.bus.local import LocalBus
from sessiond.clock import SteadyClock
from sessiond.config import ApiToken, Callers, Listener
from sessiond.config import Face as Served
from sessiond.core.services import Catalogue, Plan, Pool, Service
from sessiond.core.values import Kind
from sessiond.entropy import SystemEntropy, digest
from sessiond.meters import Meters, Traffic
from sessiond.site import Sources, site_of
from sessiond.web.access import Access, Caller, Scope
from sessiond.ws.rpc.own import OwnLinks
from sessiond.ws.rpc.packed import HEAD
from tests.fakes.frames import BINARY, PONG, TEXT, frame, request
from tests.fakes.launchers import FailsToStart
from tests.results import result_of
from tests.ws.indoors import AnyLease, Indoors, Visitor
from tests.ws.rpc.links import call, hello

TOKENS = {"ada": "launch", "bob": "launch", "eve": "read", "root": "operate"}


class Office(Indoors):
    """A daemon that serves nothing but calls."""

    def __init__(self, callers: Callers = Callers.TOKEN) -> None:
        super().__init__()
        services = {name: Service(name, Kind.TCP, "process", Plan(), pool=name) for name in ("desk", "lab")}
        services["secret"] = Service("secret", Kind.TCP, "process", Plan(), pool="desk", group="insiders")
        catalogue = Catalogue(services, {name: Pool(name, 2) for name in ("desk", "lab")})
        bus = LocalBus()
        self.broker = Broker(
            catalogue, self.store, bus, {"process": self.launcher}, AnyLease(), SystemEntropy(), self.clock
        )
        result_of(Deferred.fromCoroutine(self.broker.open()))
        tokens = [ApiToken(name, digest(name), frozenset({scope})) for name, scope in TOKENS.items()]
        self.tickets: Tickets[Caller] = Tickets(SystemEntropy(), self.clock)
        access = Access(() if callers is Callers.ANYONE else tokens, self.tickets)
        self.links = OwnLinks(self.broker, access, self.reactor)
        bus.subscribe(self.links.hear)
        meters = Meters((), self.clock, lambda: Traffic(0, 0, 0))
        sources = Sources(self.broker, access, meters, (), self.tunnels.resource, rpc=self.links.resource)
        listener = Listener("web", "tcp:0", frozenset({Served.RPC}), callers, port=80, hosts=("localhost",))
        self.site = site_of(listener, sources, self.reactor)
        self.clock = SteadyClock(self.reactor, self.reactor.seconds, 1_000_000.0)

    def client(self, secret: str | None, *lines: str) -> Client:
        """Connect, and say hello."""
        visitor = self.visit(request("/rpc", *lines))
        assert visitor.status == 101, visitor.body
        return Client(self, visitor, secret)


class Client:
    """One that calls.

    :ivar hello: what it was told.
    """

    def __init__(self, office: Office, visitor: Visitor, secret: str | None) -> None:
        self.office, self.visitor = office, visitor
        self._read = 0
        self._facts: list[tuple[str, str]] = []
        self.hello = self.say(hello(secret))[0]

    def say(self, message: Any) -> list[Any]:
        """Send, and give what came since."""
        self.visitor.send(frame(TEXT, json.dumps(message).encode()))
        return self.took()

    def took(self) -> list[Any]:
        """Give what came since."""
        self.office.advance(0)
        self.visitor.look()
        found = [json.loads(one.payload) for one in self.visitor.read[self._read :] if one.opcode == TEXT]
        self._read = len(self.visitor.read)
        told = [one["result"] for one in found if one["id"].startswith("publish:sessiond.facts")]
        self._facts += [(one["type"], one["owner"]) for one in told]
        return found

    def call(self, method: str, *args: Any) -> Any:
        """Call; give the result, or the error."""
        [told] = [one for one in self.say(call(method, *args)) if one["id"] == "rpc:c2:0"]
        return told.get("result", told.get("error"))

    def facts(self) -> list[tuple[str, str]]:
        """Give the facts that came, as types and owners."""
        self.took()
        return self._facts


def test_life_of_a_session() -> None:
    """Seen, reserved, extended, released, all by calls; the facts come as they happen."""
    office = Office()
    ada = office.client("ada")
    assert [one["name"] for one in ada.call("sessiond.services")["services"]] == ["desk", "lab"]
    made = ada.call("sessiond.reserve", {"service": "desk", "wait": "ready"}, "key-1")
    assert (made["state"], made["owner"]) == ("ready", "ada")
    assert made["tunnel_url"].startswith("ws://localhost/tunnel?token=")
    again = ada.call("sessiond.reserve", {"service": "desk"}, "key-1")
    assert again["id"] == made["id"]
    assert [one["id"] for one in ada.call("sessiond.sessions")["sessions"]] == [made["id"]]
    before = {one["name"]: one["at"] for one in ada.call("sessiond.session", made["id"])["deadlines"]}
    longer = ada.call("sessiond.extend", made["id"], "connect", 30)
    assert {one["name"]: one["at"] for one in longer["deadlines"]}["connect"] > before["connect"]
    assert ada.call("sessiond.release", made["id"])["reason"] == "released"
    office.advance(1)
    assert ("session.ended", "ada") in ada.facts()


def test_facts() -> None:
    """Each caller hears of his own sessions, operators of all, and who can't read of none."""
    office = Office()
    clients = {name: office.client(name) for name in TOKENS}
    clients["ada"].say(call("sessiond.reserve", {"service": "desk"}))
    clients["bob"].say(call("sessiond.reserve", {"service": "lab"}))
    office.advance(1)
    heard = {name: {owner for _, owner in client.facts()} for name, client in clients.items()}
    assert heard["root"] == {"ada", "bob"}
    assert heard["eve"] == set()


def test_rights() -> None:
    """Scopes, owners and groups are those of REST, and so are the codes."""
    office = Office()
    ada, bob, eve, root = (office.client(name) for name in ("ada", "bob", "eve", "root"))
    made = ada.call("sessiond.reserve", {"service": "desk"})
    cases = [
        (bob, "sessiond.session", [made["id"]], "unknown-session", 404),
        (bob, "sessiond.release", [made["id"]], "unknown-session", 404),
        (eve, "sessiond.reserve", [{"service": "desk"}], "forbidden", 403),
        (ada, "sessiond.reserve", [{"service": "secret"}], "unknown-service", 404),
        (ada, "sessiond.reserve", [{"service": "nowhere"}], "unknown-service", 404),
        (ada, "sessiond.reserve", [{"service": "desk", "owner": "bob"}], "forbidden", 403),
        (ada, "sessiond.reserve", ["desk"], "bad-request", 400),
        (ada, "sessiond.reserve", [{"service": "desk", "colour": 1}], "bad-request", 400),
        (ada, "sessiond.session", [5], "bad-request", 400),
        (ada, "sessiond.extend", [made["id"], "nothing", 1], "bad-request", 400),
    ]
    for client, method, args, code, status in cases:
        told = client.call(method, *args)
        assert (told["code"], told["data"]["code"], told["data"]["status"]) == (-32001, code, status), (method, args)
    assert root.call("sessiond.session", made["id"])["owner"] == "ada"
    assert root.call("sessiond.release", made["id"])["reason"] == "released"


def test_failed_launch() -> None:
    """A launch that fails is told with its cause."""
    office = Office()
    office.launcher.script = FailsToStart()
    told = office.client("ada").call("sessiond.reserve", {"service": "desk", "wait": "ready"})
    assert (told["data"]["code"], told["data"]["status"]) == ("launch-failed", 502)


@pytest.mark.parametrize("secret", ["wrong", "", None, "wslink-secret"])
def test_nobody(secret: str | None) -> None:
    """Who proves nothing may call nothing."""
    office = Office()
    client = office.client(secret)
    assert client.hello["error"]["message"] == "Authentication failed"
    assert client.call("sessiond.services")["code"] == -32000


def test_tickets() -> None:
    """A ticket lets one client in, once."""
    office = Office()
    caller = Caller("ada", frozenset({Scope.READ}), proven=True)
    ticket = office.tickets.issue(caller.owner, caller).ticket
    assert "result" in office.client(ticket).hello
    assert "error" in office.client(ticket).hello


def test_bearer_and_anyone() -> None:
    """A bearer needs no secret; where anyone may call, nobody does, but for pages of others."""
    office = Office()
    assert office.client(None, "Authorization: Bearer ada").call("sessiond.sessions") == {"sessions": []}
    for lines in (("Origin: https://evil.example",), ("Origin: null",), ("Authorization: Bearer wrong",)):
        assert office.visit(request("/rpc", *lines)).status in (401, 403)
    assert "result" in office.client("ada", "Origin: http://localhost").hello
    open_office = Office(Callers.ANYONE)
    assert "result" in open_office.client("wslink-secret").hello
    assert open_office.visit(request("/rpc", "Origin: https://evil.example")).status == 403
    assert open_office.visit(request("/rpc", host="evil.example")).status == 403


def test_exit_and_stop() -> None:
    """A client that asks for the end, as pages do that leave, has its own; others have theirs when the daemon stops."""
    office = Office()
    ada, other = office.client("ada"), office.client("ada")
    assert ada.say({"id": "system:c0:1", "method": "application.exit"})[0]["result"] is None
    office.advance(0.1)
    assert ada.visitor.closed == (1001, "Server shutdown")
    assert other.call("sessiond.sessions") == {"sessions": []}
    bob = office.client("bob")
    assert bob.call("sessiond.sessions") == {"sessions": []}
    office.links.close()
    assert bob.visitor.closed == (1001, "Server shutdown")


def test_dead_client() -> None:
    """One that answers no ping is let go; one that does, but never ends what it began to send, too."""
    office = Office()
    dead, slow = office.client("ada"), office.visit(request("/rpc"))
    slow.send(frame(BINARY, HEAD.pack(1, 0, 100) + b"x"))
    office.advance(29)
    assert dead.visitor.closed is None
    office.advance(2)
    slow.send(frame(PONG))
    office.advance(14)
    assert dead.visitor.wire.gone
    assert slow.closed == (1008, "no hello in time")


def test_message_that_does_not_go_on() -> None:
    """A client that lives and never ends what it began to send is let go, with its memory."""
    office = Office()
    visitor = office.visit(request("/rpc"))
    content = msgpack.packb(hello("ada"))
    visitor.send(frame(BINARY, HEAD.pack(1, 0, len(content)) + content))
    visitor.send(frame(BINARY, HEAD.pack(2, 0, 1000) + b"x"))
    for _ in range(2):
        office.advance(30)
        assert visitor.closed is None
        visitor.send(frame(PONG))
    office.advance(31)
    assert visitor.closed == (1002, "a message does not go on")


def test_many_sessions() -> None:
    """The list is whole, however long it is."""
    office = Office()
    ada = office.client("ada")
    for _ in range(2):
        ada.call("sessiond.reserve", {"service": "desk"})
    assert len(ada.call("sessiond.sessions")["sessions"]) == 2


def test_no_upgrade() -> None:
    """Anything but a WebSocket is told what this is."""
    office = Office()
    visitor = office.visit(b"GET /rpc HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (visitor.status, visitor.problem["code"]) == (400, "bad-request")
