"""The pages of a session's program: who may see them, and when a browser counts as connected."""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectionRefusedError as Nobody
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from sessiond.core.events import Release
from sessiond.core.values import State
from sessiond.web.visits import GRACE_S, READY_S, UNCUT_S
from tests.fakes.launchers import DiesAtOnce, NeverReady
from tests.ws.browsing import Browser, connected, header, raw, reader, served, why
from tests.ws.indoors import Indoors

# -- who may see them --------------------------------------------------------------------------------------------------


def test_a_cookie_for_a_token() -> None:
    """The token is taken out of the URL, and a cookie for this session alone takes its place."""
    house = Indoors()
    made = house.reserve("book")
    browser = Browser(house, made)
    visitor = browser.come(below="/a%2Fb/", more="&x=%26")
    assert (visitor.status, header(visitor, "Location")) == (303, f"{browser.path}/a%2Fb/?x=%26")
    given = header(visitor, "Set-Cookie") or ""
    secret = given.partition("=")[2].partition(";")[0]
    assert given == (
        f"sessiond-{made.session.id}={secret}; Path=/session/{made.session.id}/; HttpOnly; SameSite=Strict"
    )
    assert len(secret) >= 43
    assert made.token not in visitor.head.decode()
    assert connected(house, made)
    assert house.dials == 0


def test_passed_through() -> None:
    """With the cookie the program is asked, without it and with what it should know of where it is."""
    house, made, browser = reader()
    visitor = browser.ask(
        "/a%2Fb//c?x=%26&token=other", "X-Own: 1", "X-Forwarded-For: evil", "Connection: X-Hop", "X-Hop: 1"
    )
    program = served(house, visitor)
    assert program.sent().decode().split("\r\n") == [
        "GET /a%2Fb//c?x=%26 HTTP/1.1",
        "Connection: close",
        "Host: localhost",
        "X-Own: 1",
        f"X-Forwarded-Prefix: /session/{made.session.id}",
        "X-Forwarded-Host: localhost",
        "X-Forwarded-Proto: http",
        "X-Forwarded-For: 127.0.0.1",
        "",
        "",
    ]
    assert (visitor.status, visitor.body) == (200, b"hello")
    assert header(visitor, "Content-Type") == "text/plain"
    assert header(visitor, "Content-Length") == "5"
    assert not visitor.wire.gone


def refusals(house: Indoors, path: str, secrets: tuple[str, ...]) -> dict[str, bytes]:
    """Ask without what opens a session, in many ways."""
    lines = {
        "nothing": (),
        "a cookie of nothing": (f"Cookie: sessiond-{path.split('/')[2]}=x",),
        "a token as a cookie": (f"Cookie: sessiond-{path.split('/')[2]}={secrets[0]}",),
        "another's cookie": (f"Cookie: {secrets[1]}",),
        "another's cookie under this name": (f"Cookie: sessiond-{path.split('/')[2]}={secrets[1].partition('=')[2]}",),
        "a wrong bearer": ("Authorization: Bearer x",),
        "another's token as a bearer": (f"Authorization: Bearer {secrets[2]}",),
        "a basic one": ("Authorization: Basic eDp5",),
    }
    requests = {name: raw("GET", path, *more) for name, more in lines.items()}
    requests["a wrong token"] = raw("GET", f"{path}?token=x")
    requests["another's token"] = raw("GET", f"{path}?token={secrets[2]}")
    requests["a wrong ticket"] = raw("GET", f"{path}?ticket=x")
    requests["a token in a post"] = raw("POST", f"{path}?token={secrets[0]}", body=b"x")
    answers = {}
    for name, request in requests.items():
        visitor = house.visit(request)
        assert (visitor.status, visitor.problem["code"]) == (403, "forbidden"), name
        answers[name] = visitor.body
    return answers


def test_all_the_same() -> None:
    """Whoever shows nothing that opens a session is told the same, whether there is one or not."""
    house, made, _ = reader("twobook")
    other = Browser(house, house.reserve("twobook"))
    other.come()
    secrets = (made.token, other.cookie, other.made.token)
    answers = refusals(house, f"/session/{made.session.id}/", secrets)
    answers |= {f"nowhere, {key}": value for key, value in refusals(house, "/session/book-zzzzzz/", secrets).items()}
    assert len(set(answers.values())) == 1
    assert house.dials == 0


def test_by_ticket() -> None:
    """A ticket does once what the token does."""
    house = Indoors()
    made = house.reserve("twobook")
    ticket = house.broker.issue_ticket(made.session, "ada").ticket
    path = f"/session/{made.session.id}/"
    assert house.visit(raw("GET", f"{path}?ticket={ticket}")).status == 303
    assert house.visit(raw("GET", f"{path}?ticket={ticket}")).status == 403
    assert house.visit(raw("GET", f"{path}?ticket={ticket}&token={made.token}")).status == 400


def test_come_again() -> None:
    """A browser that has a cookie and comes with the token once more keeps it."""
    _, _, browser = reader()
    visitor = browser.house.visit(
        raw("GET", f"{browser.path}/?token={browser.made.token}", f"Cookie: {browser.cookie}")
    )
    assert (visitor.status, header(visitor, "Set-Cookie")) == (303, None)


def test_of_another_site() -> None:
    """Who follows another site's link gets a page that goes on: a strict cookie would not come along otherwise."""
    house = Indoors()
    made = house.reserve("book")
    browser = Browser(house, made)
    visitor = browser.come("Sec-Fetch-Site: cross-site", more="&x='\"><b>&y=1")
    assert visitor.status == 200
    assert f'url={browser.path}/?x=&#x27;&quot;&gt;&lt;b&gt;&amp;y=1"'.encode() in visitor.body
    assert made.token.encode() not in visitor.body
    assert header(visitor, "Referrer-Policy") == "no-referrer"
    assert browser.cookie


def test_bearer() -> None:
    """A program shows the token with each request; it does not reach the session's program, what is that's own does."""
    house = Indoors()
    made = house.reserve("book")
    browser = Browser(house, made)
    visitor = browser.ask("/", f"Authorization: Bearer {made.token}", method="POST", body=b"x")
    program = served(house, visitor)
    assert visitor.status == 200
    assert b"Authorization" not in program.sent()
    assert browser.ask("/", "Authorization: Bearer x").status == 403
    house.advance(GRACE_S)
    assert browser.come().status == 303
    visitor = browser.ask("/", "Authorization: Bearer x")
    assert b"Authorization: Bearer x" in served(house, visitor).sent()
    visitor = browser.ask("/", f"Authorization: Bearer {made.token}")
    assert b"Authorization" not in served(house, visitor).sent()


SITES: dict[str, tuple[str, tuple[str, ...], int]] = {
    "its own page": ("POST", ("Origin: http://localhost", "Sec-Fetch-Site: same-origin"), 200),
    "its own page without an origin": ("GET", ("Sec-Fetch-Site: same-origin",), 200),
    "an address that was typed": ("GET", ("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"), 200),
    "another site's page": ("POST", ("Origin: https://evil.example",), 403),
    "another site's script": ("GET", ("Origin: https://evil.example", "Sec-Fetch-Site: cross-site"), 403),
    "another site's picture": ("GET", ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"), 403),
    "a page of the same domain": ("GET", ("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors"), 403),
    "another site's frame": (
        "GET",
        ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"),
        403,
    ),
    "another site's link": (
        "GET",
        ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"),
        200,
    ),
    "another site's form": (
        "POST",
        ("Origin: null", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"),
        403,
    ),
    "a program": ("POST", (), 200),
}


@pytest.mark.parametrize("name", SITES)
def test_other_sites(name: str) -> None:
    """Other sites may lead here, and do nothing else, whatever cookies a browser has."""
    method, lines, status = SITES[name]
    house, _, browser = reader()
    visitor = browser.ask("/", *lines, method=method, body=b"x" if method == "POST" else b"")
    if status == 200:
        served(house, visitor)
    assert visitor.status == status
    assert house.dials == (status == 200)


def test_void_cookies() -> None:
    """A cookie opens nothing once its session has ended, or its token is void."""
    house, made, browser = reader()
    house.broker.dispatch(made.session.id, Release())
    house.advance(30)
    assert house.state(made) is State.ENDED
    assert browser.ask().problem["code"] == "forbidden"
    assert browser.come().status == 403


def test_redirected_below() -> None:
    """Without the slash at its end the address leads to the one with it, for whoever asks."""
    house, _, browser = reader()
    visitor = browser.ask("?token=t")
    assert (visitor.status, header(visitor, "Location")) == (308, f"{browser.path}/?token=t")
    assert house.visit(raw("POST", "/session/nowhere", body=b"x")).status == 308
    assert house.visit(raw("GET", "/session/a%22b")).status == 403


def test_methods() -> None:
    """What is asked of a proxy and not of a program is refused."""
    _, _, browser = reader()
    for method in ("TRACE", "CONNECT"):
        assert browser.ask(method=method).status == 405


def test_another_kind() -> None:
    """A session whose program has no pages shows none."""
    house = Indoors()
    for service in ("desk", "viewer"):
        made = house.reserve(service)
        browser = Browser(house, made)
        assert browser.come().problem["code"] == "not-found"
        assert browser.ask("/", f"Authorization: Bearer {made.token}").status == 403
        assert house.state(made) is State.READY


# -- clients -----------------------------------------------------------------------------------------------------------


def test_one_client() -> None:
    """The first browser is the one client; another's token is refused while that is there, and taken afterwards."""
    house, made, first = reader()
    second = Browser(house, made)
    assert second.come().problem["code"] == "already-connected"
    assert not second.cookie
    house.advance(GRACE_S - 1)
    assert second.come().status == 409
    served(house, first.ask())
    house.advance(GRACE_S - 1)
    assert second.come().status == 409
    house.advance(1)
    assert house.state(made) is State.READY
    assert second.come().status == 303
    assert first.ask().problem["code"] == "already-connected"


def test_two_clients() -> None:
    """Where two may come, the third is one too many, however many requests each has."""
    house, made, first = reader("twobook")
    second, third = Browser(house, made), Browser(house, made)
    assert second.come().status == 303
    for browser in (first, second, first, second):
        served(house, browser.ask())
    assert third.come().status == 409
    assert house.tunnels_of(made) == 2


def test_takeover() -> None:
    """A newcomer takes the place: what runs for the other is broken off, and its cookie opens nothing more."""
    house, made, first = reader("takebook")
    waiting, begun = first.ask("/1"), first.ask("/2")
    house.answer_dial().receive(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel")
    second = Browser(house, made)
    assert second.come().status == 303
    house.advance(0)
    assert waiting.look().problem["code"] == "already-connected"
    assert begun.look().wire.aborted
    assert first.ask().status == 403
    assert connected(house, made)


def test_connected_while_it_asks() -> None:
    """A browser counts as connected from its coming to a while after its last request; then its session lingers."""
    house, made, browser = reader()
    assert connected(house, made)
    house.advance(GRACE_S - 1)
    visitor = browser.ask()
    house.answer_dial()
    house.advance(10 * GRACE_S)
    assert connected(house, made)
    assert house.broker.session(made.session.id).served
    visitor.wire.vanish()
    house.advance(GRACE_S - 1)
    assert connected(house, made)
    house.advance(1)
    assert house.state(made) is State.READY
    house.advance(15)
    assert house.state(made) is State.ENDED


def test_comes_back() -> None:
    """A request that comes while the session lingers has it connected again."""
    house, made, browser = reader()
    served(house, browser.ask())
    house.advance(GRACE_S + 5)
    assert house.state(made) is State.READY
    visitor = browser.ask()
    served(house, visitor)
    assert visitor.status == 200
    assert connected(house, made)


def test_idle() -> None:
    """Bytes of the browser keep a session from being idle, and nothing else does."""
    house, made, browser = reader("idlebook")
    served(house, browser.ask())
    house.advance(50)
    visitor = browser.ask(method="POST", body=b"x")
    house.answer_dial()
    house.advance(99)
    assert connected(house, made)
    house.advance(2)
    assert house.state(made) is not State.CONNECTED
    assert why(house, made) == "idle"
    assert visitor.look().problem["code"] == "unreachable"


def test_goes_before_it_was_let_in() -> None:
    """A browser that hangs up before it has its cookie leaves its place at once."""
    house = Indoors()
    made = house.reserve("book")
    house.store.slow = True
    browser = Browser(house, made)
    visitor = browser.come()
    assert visitor.status == 0
    visitor.wire.vanish()
    house.store.flush()
    house.store.slow = False
    house.advance(0)
    assert house.state(made) is State.READY
    assert browser.come().status == 303


# -- readiness ---------------------------------------------------------------------------------------------------------


def test_launched_by_coming() -> None:
    """Coming starts the program; the request that follows waits for it."""
    house, made, browser = reader("lazybook", script=NeverReady())
    assert house.state(made) is State.LAUNCHING
    visitor = browser.ask()
    house.advance(10)
    assert (visitor.look().status, house.dials) == (0, 0)
    house.child(made).become_ready()
    house.advance(0)
    served(house, visitor)
    assert visitor.status == 200


def test_not_ready_in_time() -> None:
    """A request waits so long, and then is told that the program was not ready."""
    house, made, browser = reader("lazybook", script=NeverReady())
    visitor = browser.ask()
    house.advance(READY_S)
    assert (visitor.look().status, visitor.problem["code"]) == (504, "launch-timeout")
    visitor = browser.ask()
    house.advance(5)
    assert visitor.look().status == 504
    assert why(house, made) == "launch-timeout"


def test_dies_at_its_start() -> None:
    """A program that dies before it is ready is a failure of its own."""
    house = Indoors()
    made = house.reserve("lazybook", DiesAtOnce(exit_s=1.0))
    browser = Browser(house, made)
    browser.come()
    visitor = browser.ask()
    house.advance(2)
    assert visitor.look().status == 502
    assert house.dials == 0


def test_not_reached() -> None:
    """A program that nobody can reach is told once the broker knows no better reason; a later request tries again."""
    house, made, browser = reader()
    first, second = browser.ask("/1"), browser.ask("/2")
    for _, _, factory, *_ in house.reactor.tcpClients[-2:]:
        factory.clientConnectionFailed(None, Failure(Nobody()))
    house.advance(0.5)
    assert first.look().status == 0
    house.advance(1)
    for visitor in (first, second):
        assert (visitor.look().status, visitor.problem["code"]) == (502, "unreachable")
    assert house.state(made) is State.READY
    visitor = browser.ask()
    served(house, visitor)
    assert visitor.status == 200


def test_not_reached_any_more() -> None:
    """Where it was reached before, a request that does not reach it ends alone, and at once."""
    house, made, browser = reader()
    served(house, browser.ask())
    visitor = browser.ask()
    house.refuse_dial()
    house.advance(0)
    assert visitor.look().problem["code"] == "unreachable"
    assert connected(house, made)
    assert UNCUT_S > 1.0


# -- what is left ------------------------------------------------------------------------------------------------------


def test_the_log() -> None:
    """No secret stands in the log, wherever in the address it was put."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
    try:
        house, made, browser = reader()
        served(house, browser.ask())
        browser.ask(f"?token={made.token}")
        uuid = "0190a5b8-4c3e-7d2a-9f1e-0123456789ab"
        house.visit(raw("GET", f"/session/{uuid}/"))
        house.visit(raw("GET", f"/session/{made.token}/?token=x"))
        browser.ask(f"/{made.token}")
    finally:
        globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]
    text = "\n".join([*(formatEvent(event) for event in events), *(repr(event) for event in events)])
    assert made.session.id in text
    for secret in (made.token, browser.cookie.partition("=")[2], uuid):
        assert secret not in text


def test_nothing_is_left() -> None:
    """Once all have gone and the session is forgotten, no timer runs for them."""
    house, made, browser = reader()
    served(house, browser.ask())
    visitor = browser.ask("/", "Content-Length: 10", method="POST")
    program = house.answer_dial()
    house.broker.dispatch(made.session.id, Release())
    house.advance(30)
    assert program.gone
    visitor.wire.vanish()
    house.advance(4000)
    names = {getattr(call.func, "__qualname__", "") for call in house.reactor.getDelayedCalls()}
    assert not {name for name in names if name.startswith(("Stay", "Passing", "Upload", "Body", "WebChannel._too"))}
