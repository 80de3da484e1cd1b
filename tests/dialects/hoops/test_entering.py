"""Viewers come in: by a connection that spawns, and by their program's port (spec 4.4 and 6)."""

import pytest

from sessiond.config import EndpointForm, PortGuard, SpawnAccess
from sessiond.core.values import Reason, State
from sessiond.web.access import Caller, Scope
from tests.dialects.hoops.house import PAGE, House
from tests.fakes.frames import request

DIRECT = "/?renderingLocation="
TAKEN = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n"


@pytest.mark.parametrize(
    ("query", "kind"),
    [("csr", "viewer"), ("ssr", "painter"), ("SSR", "viewer"), ("", "viewer"), ("ssr&token=secret&a=b", "painter")],
)
def test_direct(query: str, kind: str) -> None:
    """It is held until the program is ready, and then is the program's, with the query but for secrets."""
    house = House()
    visitor = house.view(DIRECT + query, PAGE)
    assert house.session.service == kind
    house.advance(20)
    assert visitor.look().status == 0
    house.report()
    program = house.answer_dial()
    head = program.sent()
    assert head.startswith(b"GET " + (DIRECT + query).replace("token=secret&", "").encode() + b" HTTP/1.1\r\n")
    assert b"secret" not in head
    program.receive(TAKEN)
    assert visitor.look().head.startswith(b"HTTP/1.1 101 ")
    assert house.session.state is State.CONNECTED


def test_direct_on_other_paths() -> None:
    """The operator names paths beside the root; elsewhere nothing spawns."""
    house = House(direct_paths=("/view/er",))
    house.view("/view/er?renderingLocation=ssr", PAGE)
    assert house.session.service == "painter"
    assert house.view("/view", PAGE).status == 404
    assert len(house.launcher.launches) == 1


def test_root_without_upgrade_spawns_nothing() -> None:
    """A page at the root is a page."""
    house = House()
    assert house.ask("GET", "/?renderingLocation=csr", PAGE).answer.status == 404
    assert house.ask("GET", "/?renderingLocation=csr", PAGE, "Upgrade: h2c").answer.status == 400
    assert not house.launcher.launches


@pytest.mark.parametrize(
    ("lines", "status"), [((), 401), (("Origin: http://evil.example",), 403), (("Origin: null",), 403)]
)
def test_direct_is_for_listed_pages(lines: tuple[str, ...], status: int) -> None:
    """Who may not spawn is turned away before anything starts."""
    house = House()
    visitor = house.view(DIRECT + "csr", *lines)
    assert visitor.status == status
    assert visitor.problem["result"] == "error"
    assert not house.launcher.launches


def test_direct_by_ticket() -> None:
    """A ticket in the path lets a program of a portal's in."""
    house = House(access=SpawnAccess.TOKEN)
    caller = Caller("portal", frozenset({Scope.READ, Scope.LAUNCH}), proven=True)
    ticket = house.tickets.issue("portal", caller).ticket
    visitor = house.view(f"/t/{ticket}/?renderingLocation=csr", PAGE)
    assert house.session.owner == "portal"
    house.report()
    program = house.answer_dial()
    assert ticket.encode() not in program.sent()
    program.receive(TAKEN)
    assert visitor.look().status == 101


def test_direct_failure() -> None:
    """A program that fails is told in a whole answer."""
    house = House()
    visitor = house.view(DIRECT + "csr", PAGE)
    house.end(6)
    visitor.look()
    assert visitor.status == 500
    assert visitor.problem["reason"] == "launch failed: invalid licence, exit-code=6"
    assert b"\r\nConnection: close" in visitor.head
    assert f"Content-Length: {len(visitor.body)}".encode() in visitor.head


def test_direct_not_in_time() -> None:
    """Nothing is held longer than a client waits."""
    house = House()
    visitor = house.view(DIRECT + "csr", PAGE)
    house.advance(55.1)
    assert visitor.look().status == 504


def test_direct_hang_up() -> None:
    """A viewer that goes while it is held has its program ended at once."""
    house = House()
    visitor = house.view(DIRECT + "csr", PAGE)
    visitor.wire.vanish()
    house.advance(0)
    assert house.session.reason is Reason.CALLER_GONE
    assert house.program.gone


def test_direct_early_bytes() -> None:
    """Up to 64 KiB wait with it; more is refused, and the program is ended."""
    house = House()
    visitor = house.view(DIRECT + "csr", PAGE)
    visitor.send(b"e" * (64 << 10))
    assert visitor.look().status == 0
    visitor.send(b"e")
    house.advance(0)
    assert visitor.look().status == 400
    assert house.program.gone


# -- by port -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/wsproxy/11000", "/wssproxy/11000", "/wsproxy/11000/", "/wssproxy/11000/a/b?c=d"])
def test_by_port(path: str) -> None:
    """The program gets its own root, whatever stands behind the port; a second viewer is one too many."""
    house = House(endpoint=EndpointForm.PROXY_PORT)
    house.ready()
    visitor = house.view(path, PAGE, "Sec-WebSocket-Protocol: binary", "Cookie: a=b", "Authorization: Basic eA==")
    program = house.answer_dial()
    head = program.sent()
    assert head.startswith(b"GET / HTTP/1.1\r\n")
    assert b"Sec-WebSocket-Protocol: binary\r\n" in head
    assert b"Origin: http://localhost\r\n" in head
    assert b"Cookie" not in head
    assert b"Authorization" not in head
    program.receive(TAKEN)
    assert visitor.look().status == 101
    second = house.view(path, PAGE)
    assert second.status == 409


def test_more_prefixes() -> None:
    """Sites have rewriters of their own."""
    house = House(proxy_prefixes=("streaming",))
    house.ready()
    house.view("/streaming/11000", PAGE)
    assert house.dials == 1
    assert house.view("/wsproxy/11000", PAGE).status == 404


@pytest.mark.parametrize("port", ["11001", "0", "-1", "1e4", "99999", "110000", "%C2%B2", "ssh"])
def test_no_such_port(port: str) -> None:
    """A port that no viewer has leads nowhere, and is not dialled."""
    house = House()
    house.ready()
    assert house.view(f"/wsproxy/{port}", PAGE).status == 404
    assert house.dials == 0


def test_guards() -> None:
    """Ports can be guessed: only listed pages come, only from the address that asked, and only once it is ready."""
    house = House()
    asked = house.spawn()
    assert house.view("/wsproxy/11000", PAGE).status == 409
    house.report()
    assert asked.answer.status == 200
    assert house.view("/wsproxy/11000").status == 403
    assert house.view("/wsproxy/11000", "Origin: http://evil.example").status == 403
    house.faces._front._addresses[house.session.id] = "192.0.2.7"
    assert house.view("/wsproxy/11000", PAGE).status == 403
    assert house.dials == 0


def test_guard_is_off() -> None:
    """Where the operator says so, any address may come."""
    house = House(port_guard=PortGuard.NONE, access=SpawnAccess.OPEN)
    house.ready()
    house.faces._front._addresses[house.session.id] = "192.0.2.7"
    house.view("/wsproxy/11000")
    assert house.dials == 1


@pytest.mark.parametrize("answer", [b"HTTP/1.1 403 Forbidden\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"junk\r\n\r\n"])
def test_program_refuses(answer: bytes) -> None:
    """It is 502."""
    house = House()
    house.ready()
    visitor = house.view("/wsproxy/11000", PAGE)
    house.answer_dial().receive(answer)
    house.advance(0)
    assert visitor.look().status == 502


def test_addresses_are_forgotten() -> None:
    """What is kept of a session goes with it."""
    house = House()
    house.ready()
    assert len(house.faces._front._addresses) == 1
    house.end()
    assert house.faces._front._addresses == {}


def test_bytes_behind_the_request() -> None:
    """A viewer that does not wait for the answer loses nothing."""
    house = House()
    visitor = house.visit(request(DIRECT + "csr", PAGE) + b"early")
    visitor.send(b" bird")
    house.report()
    program = house.answer_dial()
    assert program.sent().endswith(b"\r\n\r\nearly bird")
