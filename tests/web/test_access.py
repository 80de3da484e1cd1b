"""Who calls, from where, and what that caller may."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.web.server import Request

from sessiond.broker import Tickets
from sessiond.config.values import ApiToken, Callers, Listener
from sessiond.core.errors import Code, Refused
from sessiond.core.tickets import LIFETIME_S
from sessiond.web.access import Access, Caller, Face, Scope, scopes_of
from sessiond.web.answers import Answer
from sessiond.web.leaf import ApiLeaf
from tests.broker.world import SERVICES, World
from tests.core.sessions import blank
from tests.web.http import ANYONE, HOST, TOKENS_ONLY, Received, bearer, fetch, site_at, token

PUBLIC = Face(Callers.TOKEN, "https://sessions.example.org/base", ("https://portal.example.org",), ("inner:8080",))
READ, LAUNCH, OPERATE = Scope


class WhoAmI(ApiLeaf):
    """Says who calls."""

    async def get(self, request: Request, caller: Caller) -> Answer:
        """Say so."""
        return Answer(
            {"owner": caller.owner, "proven": caller.proven, "scopes": sorted(s.value for s in caller.scopes)}
        )

    post = delete = get


def ask(
    face: Face,
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    *tokens: ApiToken,
    method: str = "GET",
    host: str | None = HOST,
    local: IAddress | None = None,
) -> Received:
    """Ask who calls."""
    site = site_at("/who", WhoAmI(Access(tokens), face))
    return fetch(
        site, method, "/who", headers=headers or {}, host=host, local=local or IPv4Address("TCP", "127.0.0.1", 9000)
    )


def test_scopes() -> None:
    """Each scope includes those before it, and unknown names give nothing."""
    assert scopes_of(["read"]) == {READ}
    assert scopes_of(["launch"]) == {READ, LAUNCH}
    assert scopes_of(["operate", "read"]) == {READ, LAUNCH, OPERATE}
    assert scopes_of(["root", "READ"]) == frozenset()


def test_face_of_listener() -> None:
    """A listener's face is what its configuration says."""
    listener = Listener("web", "ssl:1", frozenset(), Callers.ANYONE, "https://x", ("https://y",), ("z",))
    assert Face.of(listener) == Face(Callers.ANYONE, "https://x", ("https://y",), ("z",), secure=True)


def test_bearer() -> None:
    """A token says who calls, whatever kind of listener it is used on."""
    for face in (TOKENS_ONLY, ANYONE):
        told = ask(face, bearer("ada"), token("ada", "launch"), token("bob", "operate")).json
        assert told == {"owner": "ada", "proven": True, "scopes": ["launch", "read"]}


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer ada-token x",
        "Bearer\tada-token",
        "Bearer ada-tokén",
        "Bearer " + "a" * 600,
        "Basic YWRhOmFkYS10b2tlbg==",
        "ada-token",
        "Token ada-token",
    ],
)
def test_no_bearer(sent: str) -> None:
    """Whatever is no known token is refused alike, with the way in named."""
    received = ask(TOKENS_ONLY, {"Authorization": sent}, token("ada", "launch"))
    if sent.isascii():
        received.refused("unauthenticated", 401)
        assert received.headers["www-authenticate"] == 'Bearer realm="sessiond"'
    else:
        received.refused("bad-request", 400)


def test_wrong_bearer_is_nobody_not_anyone() -> None:
    """A wrong token is refused even where none is needed: its sender believes to be somebody."""
    ask(ANYONE, bearer("eve"), token("ada", "launch")).refused("unauthenticated", 401)


def test_scheme_in_any_case() -> None:
    """The word Bearer may be written in any case (RFC 9110 section 11.1)."""
    assert ask(TOKENS_ONLY, {"Authorization": "bEARER ada-token"}, token("ada", "read")).json["owner"] == "ada"


@pytest.mark.parametrize("name", ["Host", "Origin", "Authorization"])
def test_doubled_header(name: str) -> None:
    """A header that stands twice is refused, whatever it says: checks would read the one and others the other."""
    value = {"Host": HOST, "Origin": f"http://{HOST}", "Authorization": "Bearer ada-token"}[name]
    pairs = [(name, value)] * (1 if name == "Host" else 2)
    ask(ANYONE, pairs, token("ada", "read")).refused("bad-request", 400)


def test_scope_is_needed() -> None:
    """Each method takes its scope."""
    ask(TOKENS_ONLY, bearer("ada"), token("ada", "read"), method="POST").refused("forbidden", 403)
    ask(TOKENS_ONLY, bearer("ada"), token("ada", "read"), method="DELETE").refused("forbidden", 403)
    ask(TOKENS_ONLY, bearer("ada"), token("ada")).refused("forbidden", 403)
    assert ask(TOKENS_ONLY, bearer("ada"), token("ada", "launch"), method="POST").status == 200


def test_anyone() -> None:
    """Who proves nothing may all where there are no tokens, and may launch where names count for something."""
    assert ask(ANYONE).json == {"owner": "", "proven": False, "scopes": ["launch", "operate", "read"]}
    assert ask(ANYONE, {}, token("ada", "operate")).json["scopes"] == ["launch", "read"]
    ask(TOKENS_ONLY).refused("unauthenticated", 401)


@pytest.mark.parametrize("host", [None, "", "a b", "example.org.", "user@127.0.0.1:9000", "127.0.0.1:9000/x", "[::1"])
def test_bad_host(host: str | None) -> None:
    """A request must name one valid Host."""
    ask(ANYONE, host=host).refused("bad-request", 400)


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:9000",
        "localhost",
        "localhost:9001",
        "127.0.0.1",
        "127.0.0.1.evil.test:9000",
        "[::1]:9000",
    ],
)
def test_strange_host(host: str) -> None:
    """A page whose name was made to point here sends that name, and is refused; a token proves another way."""
    ask(ANYONE, host=host).refused("forbidden", 403)
    assert ask(ANYONE, bearer("ada"), token("ada", "read"), host=host).status == 200


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1:9000", IPv4Address("TCP", "127.0.0.1", 9000)),
        ("LocalHost:9000", IPv4Address("TCP", "127.0.0.1", 9000)),
        ("[::1]:9000", IPv6Address("TCP", "::1", 9000)),
        ("localhost", UNIXAddress("/run/x")),
        ("inner:8080", UNIXAddress("/run/x")),
        ("inner:8080", IPv4Address("TCP", "10.0.0.1", 9000)),
        ("sessions.example.org", IPv4Address("TCP", "10.0.0.1", 9000)),
        ("sessions.example.org:443", IPv4Address("TCP", "10.0.0.1", 9000)),
        ("10.0.0.1:9000", IPv4Address("TCP", "10.0.0.1", 9000)),
    ],
)
def test_own_host(host: str, local: IAddress) -> None:
    """The address itself, the public name and what the operator named are served."""
    assert ask(evolve(PUBLIC, callers=Callers.ANYONE), host=host, local=local).status == 200


@pytest.mark.parametrize(
    "host", ["sessions.example.org:80", "sessions.example.org:8443", "inner", "inner:80", "x.inner:8080"]
)
def test_nearly_own_host(host: str) -> None:
    """What only looks like a name of ours is not one."""
    ask(evolve(PUBLIC, callers=Callers.ANYONE), host=host).refused("forbidden", 403)


STRANGERS = (
    *("null", "http://evil.test", f"https://{HOST}", f"http://{HOST}.evil.test", f"http://evil.test/{HOST}"),
    *("http://127.0.0.1", "http://127.0.0.1:9001", "http://127.0.0.1:90", "http://localhost:9000", f"ws://{HOST}"),
    *(f"http://{HOST}, http://{HOST}", f"http://user@{HOST}", f"http://{HOST}/", "file://", "garbage"),
)


@pytest.mark.parametrize("origin", STRANGERS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_strange_origin(origin: str, method: str) -> None:
    """No page of another origin may call, not even with a token, and no answer is readable for it."""
    for headers in ({}, bearer("ada")):
        received = ask(ANYONE, {"Origin": origin, **headers}, token("ada", "operate"), method=method)
        received.refused("forbidden", 403)
        assert "access-control-allow-origin" not in received.headers


def test_own_origin() -> None:
    """Pages of the listener itself may call."""
    received = ask(ANYONE, {"Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}, method="POST")
    assert received.status == 200


@pytest.mark.parametrize(
    ("origin", "passes"),
    [
        ("https://sessions.example.org", True),
        ("https://portal.example.org", True),
        ("HTTPS://PORTAL.example.org:443", True),
        ("http://portal.example.org", False),
        ("https://portal.example.org:8443", False),
        ("https://a.portal.example.org", False),
        ("https://portal.example.org.evil.test", False),
        ("https://portal.example.orga", False),
        ("https://portal.example.org.", False),
        (f"http://{HOST}", False),
        ("null", False),
        (None, True),
    ],
)
def test_check_origin(origin: str | None, passes: bool) -> None:
    """The public URL's origin and those that the operator named pass, as wholes, and so does a program."""
    access = Access(())
    if passes:
        access.check_origin(origin, HOST, PUBLIC)
    else:
        with pytest.raises(Refused) as refused:
            access.check_origin(origin, HOST, PUBLIC)
        assert refused.value.code is Code.FORBIDDEN


def test_origin_over_tls() -> None:
    """A listener that speaks TLS has pages of https only."""
    face = Face(secure=True)
    assert face.admits_origin("https://a.example", "a.example")
    assert not face.admits_origin("http://a.example", "a.example")
    assert not Face().admits_origin("https://a.example", "a.example")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_other_site(site: str) -> None:
    """A request that another site caused is refused where nobody proves who he is."""
    ask(ANYONE, {"Sec-Fetch-Site": site}).refused("forbidden", 403)
    assert ask(ANYONE, {"Sec-Fetch-Site": site, **bearer("ada")}, token("ada", "read")).status == 200


def test_admitted_page_of_other_site() -> None:
    """A page that the operator admitted is of another site by nature."""
    face = Face(Callers.ANYONE, origins=("https://portal.example.org",))
    headers = {"Origin": "https://portal.example.org", "Sec-Fetch-Site": "cross-site"}
    received = ask(face, headers, method="POST")
    assert (received.status, received.headers["access-control-allow-origin"]) == (200, "https://portal.example.org")


@pytest.mark.parametrize("site", [None, "same-origin", "none"])
def test_own_site(site: str | None) -> None:
    """What our own page or the user himself asks passes, and what a program asks."""
    assert ask(ANYONE, {} if site is None else {"Sec-Fetch-Site": site}).status == 200


def test_owns() -> None:
    """A caller owns what stands in its name; an operator owns all."""
    session = blank()
    assert Caller("ada").owns(session)
    assert not Caller("bob", frozenset({READ, LAUNCH}), proven=True).owns(session)
    assert not Caller("").owns(session)
    assert Caller("bob", frozenset({OPERATE})).owns(session)


def test_nobody_owns_a_warm_session() -> None:
    """A session that waits for its user is not that of callers without a name; operators see it."""
    session = evolve(blank(), owner="", claimed=False)
    assert not Caller("").owns(session)
    assert Caller("").owns(evolve(session, claimed=True))
    assert Caller("bob", frozenset({OPERATE})).owns(session)


ADA = Caller("ada", frozenset({READ, LAUNCH}), frozenset({"designers"}), proven=True)


class Doorman:
    """Somebody who asks for callers by ticket."""

    def __init__(self, face: Face = TOKENS_ONLY) -> None:
        world = World()
        self.tickets: Tickets[Caller] = Tickets(world.entropy, world.broker.clock)
        self.world = world
        self.site = site_at("/who", WhoAmI(Access([token("ada", "launch")], self.tickets), face))

    def ticket(self, lifetime_s: float = LIFETIME_S) -> str:
        """Give a ticket that stands for Ada."""
        return self.tickets.issue("ada", ADA, lifetime_s).ticket

    def ask(self, ticket: str, method: str = "GET", **more: Any) -> Received:
        """Ask who calls."""
        return fetch(self.site, method, f"/who?ticket={ticket}", **more)


@pytest.mark.parametrize("face", [TOKENS_ONLY, ANYONE])
def test_ticket(face: Face) -> None:
    """A ticket says who calls, once, on any kind of listener and under any Host; then it is nobody's."""
    house = Doorman(face)
    ticket = house.ticket()
    told = house.ask(ticket, host="elsewhere.example", headers={"Sec-Fetch-Site": "cross-site"}).json
    assert told == {"owner": "ada", "proven": True, "scopes": ["launch", "read"]}
    for wrong in (ticket, "", "wrong", "ada-token", house.ticket(1.0)[:-1]):
        house.ask(wrong).refused("unauthenticated", 401)


def test_ticket_in_time() -> None:
    """A ticket is good for a minute, or for less where its caller said so."""
    house = Doorman()
    first, short, whole = house.ticket(), house.ticket(10.0), house.ticket()
    house.world.clock.advance(10.0)
    house.ask(short).refused("unauthenticated", 401)
    assert house.ask(first).status == 200
    house.world.clock.advance(50.0)
    house.ask(whole).refused("unauthenticated", 401)


@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD"])
def test_ticket_is_for_get(method: str) -> None:
    """Nothing can be changed by following a link, not even where nobody need say who he is; the ticket stays good."""
    house = Doorman(ANYONE)
    ticket = house.ticket()
    assert house.ask(ticket, method).status == 401
    assert house.ask(ticket).json["owner"] == "ada"


@pytest.mark.parametrize(
    ("more", "code", "status"),
    [
        ({"headers": {"Origin": "https://evil.example"}}, "forbidden", 403),
        ({"headers": {"Origin": "null"}}, "forbidden", 403),
        ({"headers": bearer("ada")}, "bad-request", 400),
        ({"host": None}, "bad-request", 400),
    ],
)
def test_ticket_that_is_not_looked_at(more: dict[str, Any], code: str, status: int) -> None:
    """What is refused before anybody asks who calls leaves a ticket as it was."""
    house = Doorman()
    ticket = house.ticket()
    house.ask(ticket, **more).refused(code, status)
    house.ask(f"{ticket}&ticket={ticket}").refused("bad-request", 400)
    assert house.ask(ticket).json["owner"] == "ada"


def test_no_tickets() -> None:
    """Where no tickets are given, one is refused as any that is not known."""
    site = site_at("/who", WhoAmI(Access(()), ANYONE))
    fetch(site, "GET", "/who?ticket=x").refused("unauthenticated", 401)


def test_sees() -> None:
    """A service with a group is seen by that group and by proven operators only."""
    service = evolve(SERVICES[0], group="designers")
    assert Caller().sees(SERVICES[0])
    assert Caller("ada", groups=frozenset({"designers"}), proven=True).sees(service)
    assert Caller("root", frozenset({OPERATE}), proven=True).sees(service)
    assert not Caller("bob", groups=frozenset({"others"}), proven=True).sees(service)
    assert not Caller("", frozenset({OPERATE})).sees(service)


def test_owner_for() -> None:
    """Only an operator makes sessions in another's name."""
    ada = Caller("ada", frozenset({LAUNCH}), proven=True)
    assert (ada.owner_for(None), ada.owner_for("ada")) == ("ada", "ada")
    with pytest.raises(Refused):
        ada.owner_for("bob")
    with pytest.raises(Refused):
        ada.owner_for("")
    assert Caller("root", frozenset({OPERATE})).owner_for("bob") == "bob"


def test_base_url() -> None:
    """URLs begin with the public URL, else with the Host, in one form, and with nothing that was not checked."""
    assert PUBLIC.base_url("whatever") == "https://sessions.example.org/base"
    assert Face().base_url("EXAMPLE.org:80") == "http://example.org"
    assert Face(secure=True).base_url("[::1]:9000") == "https://[::1]:9000"
    for host in (None, "a b", "x/../y"):
        with pytest.raises(Refused):
            Face().base_url(host)
