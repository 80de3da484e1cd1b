"""The description of the API, held against the API and against the format's own rules.

Beside what is here, every answer that a test of the API gets is held against it (``tests/web/http.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve
from openapi_spec_validator import OpenAPIV31SpecValidator
from twisted.web.resource import Resource

from sessiond.broker import Tickets
from sessiond.config import Callers, Listener
from sessiond.config.values import Face as Served
from sessiond.core.errors import SHAPES, Code
from sessiond.core.services import Choice, Integer, Pattern
from sessiond.core.values import Reason
from sessiond.meters import Meters
from sessiond.site import Sources, tree_of
from sessiond.web import api_sessions, orders
from sessiond.web.access import Access
from sessiond.web.api_sessions import PARTS
from sessiond.web.openapi import BESIDE, DOCUMENT, EXTENSION, ORDER, SCHEMAS, document
from sessiond.web.shapes import option_shape
from sessiond.web.wire import WebSite
from tests.broker.world import World
from tests.fakes.launchers import FailsToStart
from tests.web.described import MOUNT, WHOLE, described, faults, undescribed
from tests.web.http import ANYONE, TOKENS_ONLY, Api, fetch, token

VERBS = {"get", "post", "put", "patch", "delete"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give each operation, with its path and method."""
    for path, item in WHOLE["paths"].items():
        for method in VERBS & item.keys():
            yield path, method, item[method]


def tree(world: World, *serves: Served) -> Resource:
    """Give the resources of a listener."""
    broker = world.broker
    meters, access = Meters(broker.catalogue.services, broker.clock), Access((), Tickets(world.entropy, broker.clock))
    sources = Sources(broker, access, meters, (), lambda face: Resource())
    return tree_of(Listener("web", "tcp:9000", frozenset(serves), Callers.ANYONE), sources)


def paths_below(resource: Resource, path: str = "") -> Iterator[str]:
    """Name everything in a tree that is no mere branch."""
    children = {name.decode(): child for name, child in resource.children.items()}
    for name, child in children.items():
        yield from paths_below(child, f"{path}/{name}")
    if not children:
        yield path
    if path == f"{MOUNT}/sessions":
        yield f"{path}/{{id}}"
        yield from (f"{path}/{{id}}/{part.decode()}" for part in PARTS)


def test_keeps_the_rules() -> None:
    """The document is valid by the schema of OpenAPI 3.1, and so is every schema in it."""
    assert [error.message for error in OpenAPIV31SpecValidator(WHOLE).iter_errors()] == []


def test_served_to_all() -> None:
    """The document is served, to those without a token too, and tells what its listener serves beside the API."""
    assert Api(token("ada", "launch"), face=TOKENS_ONLY).get("/openapi.json").json == document()
    assert Api().get("/openapi.json").json == document(anyone=True)
    assert document()["paths"].keys() == DOCUMENT["paths"].keys()
    for face, paths in BESIDE.items():
        assert document({face})["paths"].keys() - DOCUMENT["paths"].keys() == paths.keys()


def test_says_where_it_is() -> None:
    """The paths begin where clients reach the listener, also below a proxy's path."""
    behind = Api(face=evolve(ANYONE, public_url="https://example.org/sessions/"))
    told = behind.get("/openapi.json").json
    assert told["servers"] == [{"url": "/sessions/api/v1"}]
    assert Api().get("/openapi.json").json["servers"] == [{"url": "/api/v1"}]
    assert document({Served.HEALTH}, "/sessions")["paths"]["/healthz"]["servers"] == [{"url": "/sessions/"}]


def test_tells_who_must_prove_themselves() -> None:
    """Where callers need a token the document says so, and where they need none that they may bring one."""
    assert document()["security"] == [{"caller": []}]
    assert document(anyone=True)["security"] == [{"caller": []}, {}]
    own = {told["operationId"]: told["security"] for _, verb, told in operations() if "security" in told}
    assert own.pop("report") == [{"child": []}]
    assert [own.pop(name) for name in ("getDocument", "getHealth", "getReadiness")] == [[], [], []]
    assert own == {told["operationId"]: [{"caller": []}, {"ticket": []}] for _, verb, told in operations()
                   if verb == "get" and told["operationId"] in own}  # fmt: skip
    assert document(anyone=True)["paths"]["/services"]["get"]["security"] == [{"caller": []}, {"ticket": []}, {}]


def test_has_every_route() -> None:
    """What is mounted is described, and what is described is mounted; the tunnel is no REST."""
    serves = (Served.API, Served.TUNNEL, *BESIDE)
    mounted = set(paths_below(tree(World(), *serves)))
    told = {("" if "servers" in item else MOUNT) + path for path, item in WHOLE["paths"].items()}
    assert mounted - {"/tunnel"} == told
    # Pages and files, programs' own, and dialects, whose wires are other people's.
    others = {Served.CHILD, Served.PORTAL, Served.STATIC}
    others |= {Served.NEXUS, Served.NEXUS_TUNNEL, Served.GENIUS2, Served.HOOPS, Served.RPC, Served.WSLINK}
    assert others == set(Served) - set(serves)


@pytest.mark.parametrize("path", WHOLE["paths"])
def test_paths_are_there(path: str) -> None:
    """Each path of the document offers exactly the methods that it says, and HEAD and OPTIONS with them."""
    world, item = World(), WHOLE["paths"][path]
    mount = "" if "servers" in item else MOUNT
    site = WebSite(tree(world, Served.API, *BESIDE), world.clock)
    whole = mount + path.replace("{id}", world.ready("plain").id)
    allowed = fetch(site, "OPTIONS", whole).headers["allow"]
    offered = {verb.lower() for verb in allowed.split(", ")}
    assert offered - {"head", "options"} == item.keys() & VERBS
    assert ("head" in offered) == ("get" in item)


def test_operations_are_told_apart() -> None:
    """Each operation has a name of its own, and a link leads to one of them."""
    names = [told["operationId"] for _, _, told in operations()]
    assert len(names) == len(set(names))
    links = [link for _, _, told in operations() for answer in told["responses"].values()
             for link in answer.get("links", {}).values()]  # fmt: skip
    assert links
    assert {link["operationId"] for link in links} <= set(names)


def test_everything_is_used() -> None:
    """Every reference in the document leads somewhere, and there is nothing that none leads to."""

    def refs(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from refs(value)

    components = WHOLE["components"]
    named = {f"#/components/{kind}/{name}" for kind in ("schemas", "headers") for name in components[kind]}
    assert set(refs(WHOLE)) == named


def test_examples_conform() -> None:
    """What the document shows as an example is as it says."""
    shown = 0
    for path, method, told in operations():
        for place in (told.get("requestBody", {}), *told["responses"].values()):
            for content in place.get("content", {}).values():
                examples = [example["value"] for example in content.get("examples", {}).values()]
                for example in [*examples, *([content["example"]] if "example" in content else [])]:
                    assert faults(example, content["schema"]) == [], (method, path)
                    shown += 1
    for path, item in WHOLE["paths"].items():
        for told in (item, *(item[method] for method in VERBS & item.keys())):
            for parameter in told.get("parameters", []):
                assert faults(parameter["example"], parameter["schema"]) == [], (path, parameter["name"])
                shown += 1
    assert shown > 40


def test_refusals_are_those_of_the_table() -> None:
    """A refusal is described below the status that its code has, and every code that REST can give has its place."""
    told = set()
    for _, _, operation in operations():
        for status, answer in operation["responses"].items():
            for example in answer.get("content", {}).get("application/problem+json", {}).get("examples", {}):
                assert SHAPES[Code(example)].http == int(status)
                told.add(Code(example))
    elsewhere = {
        # Told for all paths in one sentence.
        *(Code.NOT_FOUND, Code.METHOD_NOT_ALLOWED),
        # Of the tunnel, and of files.
        *(Code.NO_SESSION_NAMED, Code.ALREADY_CONNECTED, Code.UNREACHABLE, Code.BAD_RANGE),
        # Not given by this version.
        Code.EXPIRED,
    }
    assert told == set(Code) - elsewhere


def test_answers_conform() -> None:
    """What is answered is what the document says: each of its good answers was seen here."""
    api = Api()
    session_id = api.create("plain", headers={"Idempotency-Key": "k"})["id"]
    api.world.advance(0.0)
    secret, ticketed = api.broker.session(session_id).child_secret, api.create("shared")["id"]
    seen = {
        ("getDocument", api.get("/openapi.json").status),
        ("getServices", api.get("/services").status),
        ("makeSession", api.post("/sessions", {"service": "lazy", "owner": "ada"}).status),
        ("makeSession", api.post("/sessions", {"service": "lazy"}).status),
        ("getSessions", api.get("/sessions").status),
        ("getSession", api.get(f"/sessions/{session_id}").status),
        ("getLog", api.get(f"/sessions/{session_id}/log").status),
        ("report", api.post(f"/sessions/{session_id}/liveliness?liveliness=ping", None,
                            headers={"Authorization": f"Bearer {secret}"}).status),
        ("extendSession", api.post(f"/sessions/{session_id}/extend", {"deadline": "lifetime", "by_s": 1}).status),
        ("endSession", api.fetch("DELETE", f"/sessions/{session_id}").status),
        ("makeTicket", api.post("/tickets").status),
        ("makeSessionTicket", api.post(f"/sessions/{ticketed}/tickets").status),
        ("makeSession", api.post("/sessions", {"service": "plain"}, headers={"Idempotency-Key": "k"}).status),
    }  # fmt: skip
    of_the_api = [told for path, _, told in operations() if path in DOCUMENT["paths"]]
    good = {(told["operationId"], int(status)) for told in of_the_api for status in told["responses"] if status < "300"}
    assert seen == good


def test_answers_at_the_root_conform() -> None:
    """So is what those get who watch the daemon, in good times and in bad."""
    world, seen = World(), set()
    site = WebSite(tree(world, *BESIDE), world.clock)

    def look(path: str) -> None:
        received = fetch(site, "GET", path)
        assert undescribed("GET", path, received.status, received.headers, received.body) == []
        seen.add((path, received.status))

    for path in ("/healthz", "/readyz", "/metrics"):
        look(path)
    session = world.ready("plain")
    world.store.broken = True
    world.connect(session.id)
    look("/readyz")
    world.broker.accepting = False
    look("/readyz")
    assert seen == {("/healthz", 200), ("/readyz", 200), ("/readyz", 503), ("/metrics", 200)}


def test_failure_conforms() -> None:
    """A launch that failed is told as the document says, with all that is known."""
    api = Api()
    api.world.launcher.script = FailsToStart()
    connection = api.connect()
    connection.send("POST", "/api/v1/sessions", {"service": "plain", "wait": "ready"})
    api.world.advance(0.0)
    document = connection.received().refused("launch-failed", 502)
    assert {"session", "reason", "cause", "log"} <= document.keys()


@pytest.mark.parametrize("option", [Choice(("a", "b"), "a"), Integer(1, 9, 5), Pattern("[a-z]+", "x")])
def test_options_conform(option: Choice | Integer | Pattern) -> None:
    """Each type of option is told as the document says."""
    assert faults(option_shape(option), {"$ref": "#/components/schemas/Option"}) == []


def test_bodies_are_those_that_are_read() -> None:
    """What the document lets a body hold is what the API reads, and each bound is the API's own."""
    assert ORDER["properties"].keys() == orders.ORDER
    assert EXTENSION["properties"].keys() == orders.EXTENSION
    assert ORDER["properties"]["wait"]["enum"] == list(orders.WAITS)
    for length, status in ((orders.OWNER_LENGTH, 201), (orders.OWNER_LENGTH + 1, 400)):
        assert Api().post("/sessions", {"service": "plain", "owner": "x" * length}).status == status
    for length, status in ((orders.KEY_LENGTH, 201), (orders.KEY_LENGTH + 1, 400)):
        headers = {"Idempotency-Key": "x" * length}
        assert Api().post("/sessions", {"service": "plain"}, headers=headers).status == status
    api = Api()
    path = f"/sessions/{api.create()['id']}"
    assert api.get(f"{path}/log?lines={api_sessions.MOST_LINES}").status == 200
    assert api.get(f"{path}/log?lines={api_sessions.MOST_LINES + 1}").status == 400


def test_closed_lists() -> None:
    """Codes and reasons are told as complete lists."""
    assert SCHEMAS["Problem"]["properties"]["code"]["enum"] == [code.value for code in Code]
    assert SCHEMAS["Problem"]["properties"]["reason"]["enum"] == [reason.value for reason in Reason]


def test_checks_can_fail() -> None:
    """The check that these tests rely on finds what is wrong: within answers, and around them."""
    problem = {"$ref": "#/components/schemas/Problem"}
    whole = {"type": "urn:sessiond:problem:full", "title": "y", "status": 503, "code": "full"}
    assert faults(whole, problem) == []
    assert faults({**whole, "code": "nonsense"}, problem)
    assert faults({**whole, "secret": "new"}, problem)
    assert faults({"id": "x"}, {"$ref": "#/components/schemas/Session"})
    api = Api()
    received = api.get("/services")
    path = f"{MOUNT}/services"
    assert described("GET", path)
    assert not described("PUT", path)
    for status, headers, body in (
        (418, received.headers, received.body),
        (200, {**received.headers, "content-type": "text/html"}, received.body),
        (200, {"content-type": "application/json"}, received.body),
        (200, received.headers, b'{"services": [{"name": "x"}]}'),
        (200, received.headers, received.body.replace(b'"count"', b'"counted"', 1)),
    ):
        assert undescribed("GET", path, status, headers, body)
    assert undescribed("PUT", path, 405, received.headers, b'{"code": "none"}')
