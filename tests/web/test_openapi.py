"""The description of the API, held against the API."""

from __future__ import annotations

from typing import Any

import pytest

from sessiond.core.errors import Code
from sessiond.core.values import Reason
from sessiond.web.openapi import DOCUMENT, SCHEMAS
from tests.fakes.launchers import FailsToStart
from tests.web.http import TOKENS_ONLY, Api, token

VERBS = {"get", "post", "delete"}


def conforms(value: Any, schema: dict[str, Any]) -> bool:
    """Say whether a value is as a schema says: those keywords that the document uses."""
    if "$ref" in schema:
        return conforms(value, SCHEMAS[schema["$ref"].rpartition("/")[2]])
    if "allOf" in schema:
        return all(conforms(value, part) for part in schema["allOf"])
    if "anyOf" in schema or "oneOf" in schema:
        return any(conforms(value, part) for part in schema.get("anyOf", schema.get("oneOf", ())))
    if "const" in schema:
        return bool(value == schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    types: dict[str, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}
    types |= {"object": dict, "array": list}
    if not isinstance(value, types[schema["type"]]):
        return False
    if schema["type"] == "object":
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        inner = {name: known.get(name, others) for name in value}
        complete = value.keys() >= set(schema.get("required", ()))
        return complete and all(kind is True or conforms(value[name], kind) for name, kind in inner.items())
    return schema["type"] != "array" or all(conforms(item, schema["items"]) for item in value)


def schema_of(path: str, verb: str, status: int) -> dict[str, Any]:
    """Give the schema of an answer."""
    content = DOCUMENT["paths"][path][verb]["responses"][str(status)]["content"]
    return next(iter(content.values()))["schema"]  # type: ignore[no-any-return]


def test_served_to_all() -> None:
    """The document is served, to those without a token too."""
    received = Api(token("ada", "launch"), face=TOKENS_ONLY).get("/openapi.json")
    assert (received.status, received.json) == (200, DOCUMENT)


def test_refers_to_what_is_there() -> None:
    """Every reference in the document leads somewhere."""

    def refs(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [found for value in node.values() for found in refs(value)]
        return [found for value in node for found in refs(value)] if isinstance(node, list | tuple) else []

    assert {ref.rpartition("/")[2] for ref in refs(DOCUMENT)} == SCHEMAS.keys()


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_paths_are_there(path: str) -> None:
    """Each path of the document offers exactly the methods that it says."""
    api = Api()
    session_id = api.create()["id"]
    allowed = api.fetch("OPTIONS", path.replace("{id}", session_id)).headers["allow"]
    offered = {verb.lower() for verb in allowed.split(", ")}
    assert offered & VERBS == DOCUMENT["paths"][path].keys() & VERBS


def test_answers_conform() -> None:
    """What is answered is what the document says."""
    api = Api()
    made = api.post("/sessions", {"service": "plain"})
    session_id = made.json["id"]
    api.world.advance(0.0)
    body = {"deadline": "lifetime", "by_s": 1}
    for received, where in (
        (made, ("/sessions", "post", 201)),
        (api.post("/sessions", {"service": "lazy", "owner": "ada"}), ("/sessions", "post", 201)),
        (api.post("/sessions", {"service": "lazy"}), ("/sessions", "post", 202)),
        (api.get("/services"), ("/services", "get", 200)),
        (api.get("/sessions"), ("/sessions", "get", 200)),
        (api.get(f"/sessions/{session_id}"), ("/sessions/{id}", "get", 200)),
        (api.get(f"/sessions/{session_id}/log"), ("/sessions/{id}/log", "get", 200)),
        (api.post(f"/sessions/{session_id}/extend", body), ("/sessions/{id}/extend", "post", 200)),
        (api.fetch("DELETE", f"/sessions/{session_id}"), ("/sessions/{id}", "delete", 200)),
        (api.get("/sessions/nothing"), ("/sessions/{id}", "get", 404)),
        (api.post("/sessions", {"service": 1}), ("/sessions", "post", 400)),
    ):
        assert received.status == where[2]
        assert conforms(received.json, schema_of(*where)), (received.json, where)


def test_failure_conforms() -> None:
    """A launch that failed is told as the document says."""
    api = Api()
    api.world.launcher.script = FailsToStart()
    connection = api.connect()
    connection.send("POST", "/api/v1/sessions", {"service": "plain", "wait": "ready"})
    api.world.advance(0.0)
    document = connection.received().refused("launch-failed", 502)
    assert conforms(document, schema_of("/sessions", "post", 502))
    assert document.keys() <= SCHEMAS["Problem"]["properties"].keys()


def test_checks_can_fail() -> None:
    """The check that these tests rely on finds what is wrong."""
    assert not conforms({"type": "x", "title": "y", "status": 1, "code": "nonsense"}, SCHEMAS["Problem"])
    assert not conforms({"id": "x"}, SCHEMAS["Session"])


def test_closed_lists() -> None:
    """Codes and reasons are told as complete lists."""
    assert SCHEMAS["Problem"]["properties"]["code"]["enum"] == [code.value for code in Code]
    assert SCHEMAS["Problem"]["properties"]["reason"]["enum"] == [reason.value for reason in Reason]
