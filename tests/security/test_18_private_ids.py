"""Line 18: what each answer tells each kind of caller, member by member. A new member fails here until it is reviewed.

Whoever adds one: may everybody who gets this answer know it? It is no secret, no process id, no path, no port, no
other caller's? Then add it to the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve

from sessiond.core.services import Integer, OptionType, Pattern, Plan
from sessiond.core.values import State
from sessiond.meters import Meters
from sessiond.web.health import Health, Metrics, Pressure, Readiness
from sessiond.web.openapi import DOCUMENT
from tests.broker.world import POOLS, SERVICES, SIZES, service
from tests.fakes.launchers import DiesAtOnce, FailsToStart
from tests.web.http import ANYONE, TOKENS_ONLY, Api, Received, bearer, fetch, site_at, token

TOKENS = (
    token("ada", "launch", groups=["designers"]),
    *(token("bob", "launch"), token("eye", "read"), token("root", "operate")),
)
OPTIONS: dict[str, OptionType] = {**SIZES, "depth": Integer(8, 32, 24), "name": Pattern("[a-z]+", "x", 16)}

SESSION = {
    *("id", "service", "kind", "slot", "owner", "state", "step", "since", "created_at", "position", "eta_s"),
    *("waiting_for", "deadlines", "deadlines[].name", "deadlines[].at", "deadlines[].in_s", "reported_at", "suspect"),
    *("reason", "cause", "exit", "exit.code", "exit.signal"),
}
NEW_SESSION = SESSION | {"token", "application_secret", "tunnel_url", "url"}
SERVICE = {
    *("name", "title", "kind", "count", "used", "queued", "cause", "any_options"),
    *("options", "options.size", "options.depth", "options.name"),
    *("options.size.type", "options.size.of", "options.size.default"),
    *("options.depth.type", "options.depth.minimum", "options.depth.maximum", "options.depth.default"),
    *("options.name.type", "options.name.pattern", "options.name.max_length"),
    *("options.name.optional", "options.name.default"),
}
TICKET = {"ticket", "expires_at", "expires_in_s"}
REFUSAL = {"type", "title", "status", "code"}
OWNER, READER, OTHER, OPERATOR, NOBODY = "ada", "eye", "bob", "root", ""
UNKNOWN, FORBIDDEN, UNPROVEN = "unknown-session", "forbidden", "unauthenticated"


def within(name: str, members: set[str]) -> set[str]:
    """Give the members of a list's items by their full names."""
    return {name, *(f"{name}[].{member}" for member in members)}


REVIEWED: dict[tuple[str, str], dict[str, set[str] | str]] = {
    ("get", "/services"): {who: within("services", SERVICE) for who in (OWNER, READER, OTHER, OPERATOR)},
    ("get", "/sessions"): {
        **{who: within("sessions", SESSION) for who in (OWNER, OPERATOR)},
        **{who: {"sessions"} for who in (READER, OTHER)},
    },
    ("post", "/sessions"): {**dict.fromkeys((OWNER, OTHER, OPERATOR), NEW_SESSION), READER: FORBIDDEN},
    ("get", "/sessions/{id}"): {OWNER: SESSION, OPERATOR: SESSION, READER: UNKNOWN, OTHER: UNKNOWN},
    ("delete", "/sessions/{id}"): {OWNER: SESSION, OPERATOR: SESSION, READER: FORBIDDEN, OTHER: UNKNOWN},
    ("post", "/sessions/{id}/extend"): {OWNER: SESSION, OPERATOR: SESSION, READER: FORBIDDEN, OTHER: UNKNOWN},
    ("get", "/sessions/{id}/log"): {OWNER: {"lines"}, OPERATOR: {"lines"}, READER: UNKNOWN, OTHER: UNKNOWN},
    ("post", "/sessions/{id}/tickets"): {
        **dict.fromkeys((OWNER, OPERATOR), TICKET | {"tunnel_url", "url"}),
        READER: FORBIDDEN,
        OTHER: UNKNOWN,
    },
    ("post", "/tickets"): dict.fromkeys((OWNER, READER, OTHER, OPERATOR), TICKET),
    ("post", "/sessions/{id}/liveliness"): dict.fromkeys((OWNER, READER, OTHER, OPERATOR), UNPROVEN),
}
"""The members of each answer by who asks, or the code of the refusal. What belongs to a session is Ada's."""

BODIES: dict[str, Any] = {
    "/sessions": {"service": "plain"},
    "/sessions/{id}/extend": {"deadline": "lifetime", "by_s": 1},
}


def members(value: Any, place: str = "") -> Iterator[str]:
    """Name every member of a document, those of items of lists together."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{place}{name}"
            yield from members(inner, f"{place}{name}.")
    elif isinstance(value, list):
        for inner in value:
            yield from members(inner, f"{place.removesuffix('.')}[].")


class House:
    """A daemon with sessions of Ada's in many states."""

    def __init__(self) -> None:
        services = (
            *(evolve(SERVICES[0], options=OPTIONS, title="Plain"), *SERVICES[1:]),
            service("closed", Plan(), group="designers"),
        )
        pools = {**POOLS, "plain": 20, "closed": 2}
        self.api = Api(*TOKENS, face=TOKENS_ONLY, services=services, pools=pools)
        self.ids = [self.make("plain"), self.make("shared"), self.make("shared"), self.make("shared")]
        for script in (FailsToStart(), DiesAtOnce()):
            self.api.world.launcher.script = script
            self.ids.append(self.make("plain"))

    def make(self, name: str) -> str:
        """Make a session of Ada's."""
        return str(self.api.create(name, bearer(OWNER))["id"])

    def ask(self, verb: str, path: str, who: str, session_id: str) -> Received:
        """Call the API as somebody."""
        headers = bearer(who) if who else {}
        where = path.replace("{id}", session_id)
        return self.api.fetch(verb.upper(), where, BODIES.get(path), headers=headers)


def test_all_are_reviewed() -> None:
    """Every route and method of the API stands in the table."""
    routes = {
        (verb, path) for path, item in DOCUMENT["paths"].items() for verb in item.keys() & {"get", "post", "delete"}
    }
    assert REVIEWED.keys() == routes - {("get", "/openapi.json")}  # the document itself, which is no secret


@pytest.mark.parametrize("who", [OWNER, READER, OTHER, OPERATOR])
@pytest.mark.parametrize(("verb", "path"), REVIEWED)
def test_members(verb: str, path: str, who: str) -> None:
    """Each answer has the members that were reviewed for this caller, and no others, whatever state a session is in."""
    house, expected = House(), REVIEWED[verb, path][who]
    answers = [house.ask(verb, path, who, session_id) for session_id in house.ids]
    if isinstance(expected, str):
        assert {received.json["code"] for received in answers} == {expected}
        assert {member for received in answers for member in members(received.json)} <= REFUSAL | {"detail"}
        return
    found = {member for received in answers if received.status < 400 for member in members(received.json)}
    assert found - expected == set()
    # What shows in no state at all has no place in the table. Only what has ended has an exit.
    assert {member for member in expected - found if verb == "get" or ".exit." not in f".{member}"} == set()


@pytest.mark.parametrize(("verb", "path"), REVIEWED)
def test_nobody(verb: str, path: str) -> None:
    """Who proves nothing is told nothing, and cannot tell what is there from what is not."""
    house = House()
    there, nowhere = (house.ask(verb, path, NOBODY, session_id) for session_id in (house.ids[0], "plain-zzzzzz"))
    assert there.json == nowhere.json
    assert (there.status, set(there.json)) == (401, REFUSAL)


def test_others_cannot_tell() -> None:
    """Another's session is answered as one that never was."""
    house = House()
    for (verb, path), roles in REVIEWED.items():
        if roles[OTHER] == UNKNOWN:
            there, nowhere = (house.ask(verb, path, OTHER, one) for one in (house.ids[0], "plain-zzzzzz"))
            assert (there.status, there.json) == (nowhere.status, nowhere.json), (verb, path)


def test_failed_launch() -> None:
    """A launch that failed is told with these members; the output of the program only to those who may read it."""
    house = House()
    house.api.world.launcher.script = FailsToStart()
    connection = house.api.connect()
    connection.send("POST", "/api/v1/sessions", {"service": "plain", "wait": "ready"}, bearer(OWNER))
    house.api.world.advance(0.0)
    told = connection.received().refused("launch-failed", 502)
    assert set(told) == REFUSAL | {"detail", "session", "reason", "cause", "log"}


def test_refusals_with_more() -> None:
    """A refusal that says when to come again, and what is the matter, has two members more."""
    api = Api(services=(SERVICES[0],), pools={"plain": 0})
    told = api.post("/sessions", {"service": "plain"}).refused("full", 503)
    assert set(told) == REFUSAL | {"retry_after_s", "detail"}


def test_nothing_private_is_told() -> None:
    """What only the daemon knows of a session stands in no answer, by its value either."""
    house = House()
    api = house.api
    told = [
        house.ask(verb, path, who, one) for verb, path in REVIEWED for who in (OWNER, OPERATOR) for one in house.ids
    ]
    everything = b"".join(received.body + repr(received.headers).encode() for received in told)
    sessions = [api.broker.session(session_id) for session_id in house.ids]
    private = {secret for session in sessions for secret in (session.nonce, session.child_secret)} - {""}
    private |= {session.token_digest.hex() for session in sessions} - {""}
    assert len(private) > len(house.ids)
    assert not [value for value in private if re.search(rb"\b" + re.escape(value.encode()) + rb"\b", everything)]
    for word in (b"nonce", b"child_secret", b"digest", b"endpoint", b"program", b"pid", b"leases", b"plan", b"key"):
        assert not re.search(rb'"[a-z_]*' + word + rb'[a-z_]*":', everything), word


HEADERS = {
    *("date", "content-type", "content-length", "cache-control", "x-content-type-options", "referrer-policy"),
    *("vary", "location", "www-authenticate"),
}


def test_headers() -> None:
    """No header tells more than the answer does: no name or version of a server, no cookie."""
    house = House()
    for verb, path in REVIEWED:
        for who in (OWNER, READER, OTHER, OPERATOR, NOBODY):
            assert house.ask(verb, path, who, house.ids[0]).headers.keys() <= HEADERS, (verb, path, who)


def test_what_watches() -> None:
    """Health, readiness and metrics tell of the daemon and its services; no label tells a session, owner or address."""
    house = House()
    broker, clock = house.api.broker, house.api.world.clock
    assert set(fetch(site_at("/x", Health(), clock), "GET", "/x").json) == {"status", "version"}
    assert set(fetch(site_at("/x", Readiness(broker), clock), "GET", "/x").json) == {"ready", "accepting", "unsaved"}
    meters = Meters(broker.catalogue.services, broker.clock)
    for stored in house.api.world.bus.facts:
        meters.hear(stored)
    watching = site_at("/x", Metrics(meters, broker, house.api.access, TOKENS_ONLY), clock)
    text = fetch(watching, "GET", "/x", headers=bearer(READER)).body.decode()
    assert set(re.findall(r'([a-z_]+)="', text)) == {"service", "state", "reason", "pool", "le", "status", "to", "code"}
    assert not [word for word in (*house.ids, OWNER, OTHER) if word in text]


def test_lists_differ() -> None:
    """A service of a group is told to that group and to operators only."""
    house = House()
    for who, closed in ((OWNER, True), (OTHER, False), (READER, False), (OPERATOR, True)):
        names = [one["name"] for one in house.ask("get", "/services", who, "").json["services"]]
        assert ("closed" in names) is closed


def test_without_a_name() -> None:
    """Who brings no token where none is needed sees what nobody owns, and no session of a name."""
    api = Api(*TOKENS, face=ANYONE)
    api.create("plain", bearer(OWNER))
    mine = api.create("plain")["id"]
    assert [one["id"] for one in api.get("/sessions").json["sessions"]] == [mine]
    assert api.broker.session(mine).state is State.READY


def test_pressure() -> None:
    """How full everything is is told of pools, and of no session, owner or address."""
    house = House()
    broker, meters = house.api.broker, Meters(house.api.broker.catalogue.services, house.api.broker.clock)
    pressure = Pressure(meters, broker, house.api.access, TOKENS_ONLY)
    told = fetch(site_at("/x", pressure, house.api.world.clock), "GET", "/x", headers=bearer(READER)).json
    of_pool = {"name", "is_available", "reason", "running", "queued", "max_concurrent", "max_queued"}
    of_all = {"recently_rejected", "cpu", "memory", "date", "pools"}
    assert set(told) == of_all | of_pool - {"name"}
    assert all(set(pool) == of_pool for pool in told["pools"])
