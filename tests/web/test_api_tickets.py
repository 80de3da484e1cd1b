"""Tickets over REST: who gets them, what is told, and what they are good for."""

from __future__ import annotations

from typing import Any

import pytest

from sessiond.core.tickets import LIFETIME_S, MOST_OF_OWNER
from sessiond.web.openapi import document
from tests.web.http import ANYONE, TOKENS_ONLY, Api, Received, bearer, token

CALLERS = (
    *(token("ada", "launch"), token("bob", "launch"), token("root", "operate"), token("eye", "read")),
    token("mute"),
)


def guarded() -> Api:
    """Give a daemon that asks for tokens."""
    return Api(*CALLERS, face=TOKENS_ONLY)


def ticket_of(api: Api, name: str, body: Any = None) -> str:
    """Get a ticket for a caller."""
    received = api.post("/tickets", body, headers=bearer(name))
    assert received.status == 201, received
    return str(received.json["ticket"])


def visible(api: Api, ticket: str, path: str = "/sessions") -> Received:
    """Get something by ticket."""
    return api.get(f"{path}?ticket={ticket}")


def test_for_a_session() -> None:
    """A session's owner gets a ticket that opens it, with a URL that holds the ticket and not the token."""
    api = guarded()
    made = api.create(headers=bearer("ada"))
    received = api.post(f"/sessions/{made['id']}/tickets", headers=bearer("ada"))
    told = received.json
    assert (received.status, told["expires_in_s"], told["expires_at"]) == (201, LIFETIME_S, "1970-01-12T13:47:40Z")
    assert told["tunnel_url"] == f"ws://127.0.0.1:9000/tunnel?ticket={told['ticket']}"
    assert made["token"] not in str(told)
    assert api.broker.by_ticket(told["ticket"]).id == made["id"]


@pytest.mark.parametrize(
    ("name", "code", "status"),
    [("bob", "unknown-session", 404), ("eye", "forbidden", 403), ("mute", "forbidden", 403), ("eve", "", 401)],
)
def test_not_for_others(name: str, code: str, status: int) -> None:
    """Only the owner and operators get tickets for a session, and it takes more than to read."""
    api = guarded()
    session_id = api.create(headers=bearer("ada"))["id"]
    api.post(f"/sessions/{session_id}/tickets", headers=bearer(name)).refused(code or "unauthenticated", status)
    assert api.post(f"/sessions/{session_id}/tickets", headers=bearer("root")).status == 201


def test_not_for_what_has_ended() -> None:
    """There is no ticket for a session that is over, or never was."""
    api = guarded()
    session_id = api.create(headers=bearer("ada"))["id"]
    api.fetch("DELETE", f"/sessions/{session_id}", headers=bearer("ada"))
    for _ in range(2):
        api.post(f"/sessions/{session_id}/tickets", headers=bearer("ada")).refused("not-accepting", 409)
        api.world.advance(0.0)
    api.post("/sessions/plain-zzzzzz/tickets", headers=bearer("ada")).refused("unknown-session", 404)


def test_for_a_caller() -> None:
    """A caller's ticket shows what the caller would see, once."""
    api = guarded()
    mine, other = api.create(headers=bearer("ada"))["id"], api.create(headers=bearer("bob"))["id"]
    ticket = ticket_of(api, "ada")
    assert [session["id"] for session in visible(api, ticket).json["sessions"]] == [mine]
    visible(api, ticket).refused("unauthenticated", 401)
    for path, status in (("/services", 200), (f"/sessions/{mine}", 200), (f"/sessions/{mine}/log", 200)):
        assert visible(api, ticket_of(api, "ada"), path).status == status
    visible(api, ticket_of(api, "ada"), f"/sessions/{other}").refused("unknown-session", 404)


def test_changes_nothing() -> None:
    """No ticket makes, ends or extends anything, nor gets more tickets."""
    api = guarded()
    session_id = api.create(headers=bearer("ada"))["id"]
    ticket = ticket_of(api, "ada")
    for method, path in (
        ("POST", "/sessions"),
        ("POST", "/tickets"),
        ("POST", f"/sessions/{session_id}/tickets"),
        ("POST", f"/sessions/{session_id}/extend"),
        ("POST", f"/sessions/{session_id}/liveliness"),
        ("DELETE", f"/sessions/{session_id}"),
    ):
        api.fetch(method, f"{path}?ticket={ticket}", {}).refused("unauthenticated", 401)
    assert visible(api, ticket).status == 200


def test_narrowed() -> None:
    """A ticket is good for the scopes that were asked for; one too few shows, and uses it up."""
    api = guarded()
    assert visible(api, ticket_of(api, "root", {"scopes": ["read"]})).status == 200
    mine = api.create(headers=bearer("ada"))["id"]
    assert visible(api, ticket_of(api, "root"), f"/sessions/{mine}").status == 200
    narrow = ticket_of(api, "root", {"scopes": ["launch"]})
    visible(api, narrow, f"/sessions/{mine}").refused("unknown-session", 404)
    visible(api, narrow).refused("unauthenticated", 401)


def test_shortened() -> None:
    """A ticket expires when its caller said."""
    api = guarded()
    told = api.post("/tickets", {"lifetime_s": 1.5}, headers=bearer("ada")).json
    assert (told["expires_in_s"], told["expires_at"]) == (1.5, "1970-01-12T13:46:41Z")
    api.world.clock.advance(1.5)
    visible(api, told["ticket"]).refused("unauthenticated", 401)


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        ({"scopes": []}, "bad-request", 400),
        ({"scopes": "read"}, "bad-request", 400),
        ({"scopes": ["read", "root"]}, "bad-request", 400),
        ({"scopes": [["read"]]}, "bad-request", 400),
        ({"scopes": ["operate"]}, "forbidden", 403),
        ({"lifetime_s": 0}, "bad-request", 400),
        ({"lifetime_s": 60.1}, "bad-request", 400),
        ({"lifetime_s": -1}, "bad-request", 400),
        ({"lifetime_s": True}, "bad-request", 400),
        ({"lifetime_s": "10"}, "bad-request", 400),
        ({"owner": "bob"}, "bad-request", 400),
        ({"groups": ["designers"]}, "bad-request", 400),
        (b"{}", "unsupported", 415),
        (b"x", "unsupported", 415),
    ],
)
def test_refused_bodies(body: Any, code: str, status: int) -> None:
    """A body narrows, and nothing else: nobody gets more than he has, longer than a minute, or another's name."""
    guarded().post("/tickets", body, headers=bearer("ada")).refused(code, status)


@pytest.mark.parametrize(
    "body", [None, b"", {}, {"scopes": ["read"]}, {"scopes": ["launch", "read"], "lifetime_s": 60}]
)
def test_accepted_bodies(body: Any) -> None:
    """A body may be left out, in whole or in part."""
    received = guarded().post("/tickets", body, headers=bearer("ada"))
    assert received.status == 201


def test_who_may_have_one() -> None:
    """Whoever may read may have a ticket; whoever may nothing has none."""
    api = guarded()
    assert visible(api, ticket_of(api, "eye")).status == 200
    api.post("/tickets", headers=bearer("mute")).refused("forbidden", 403)
    api.post("/tickets").refused("unauthenticated", 401)


def test_nobody_proves_nothing() -> None:
    """A ticket of a caller without a name stands for that, and for no more."""
    api = Api(*CALLERS, face=ANYONE)
    mine, other = api.create()["id"], api.create(headers=bearer("ada"))["id"]
    ticket = str(api.post("/tickets").json["ticket"])
    assert [session["id"] for session in visible(api, ticket).json["sessions"]] == [mine]
    assert other != mine
    api.post("/tickets", headers={"Origin": "https://evil.example"}).refused("forbidden", 403)


def test_too_many() -> None:
    """Who asks for tickets and does not use them gets no more for a while; others do."""
    api = guarded()
    session_id = api.create(headers=bearer("ada"))["id"]
    for _ in range(MOST_OF_OWNER):
        ticket_of(api, "ada")
        api.broker.issue_ticket(api.broker.session(session_id), "ada")
    for path in ("/tickets", f"/sessions/{session_id}/tickets"):
        received = api.post(path, headers=bearer("ada"))
        document = received.refused("quota", 429)
        assert LIFETIME_S <= document["retry_after_s"] <= LIFETIME_S + 4.0
        assert int(received.headers["retry-after"]) >= LIFETIME_S
    assert api.post("/tickets", headers=bearer("bob")).status == 201
    api.world.advance(LIFETIME_S)
    assert api.post("/tickets", headers=bearer("ada")).status == 201


def test_described() -> None:
    """The document says where a ticket is taken: where nothing is changed."""
    for path, item in document()["paths"].items():
        for verb in item.keys() & {"get", "post", "delete"}:
            taken = {"ticket": []} in item[verb].get("security", ())
            assert taken is (verb == "get" and path != "/openapi.json"), (path, verb)
