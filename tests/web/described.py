"""Answers, held against the OpenAPI document: whether it has them, and whether they are as it says."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from jsonschema import Draft202012Validator

from sessiond.config.values import Face
from sessiond.web.openapi import document

Json = dict[str, Any]

WHOLE = document(frozenset(Face))
"""The document of a listener that serves everything."""

MOUNT = "/api/v1"
PROBLEM: Json = {"$ref": "#/components/schemas/Problem"}


def closed(schema: Json) -> Json:
    """Give a schema that takes no member which it does not name: what is new must be described first."""
    found = _within(schema)
    return found if "additionalProperties" in found else {**found, "unevaluatedProperties": False}


def _within(schema: Json) -> Json:
    found = dict(schema)
    for word in ("allOf", "anyOf", "oneOf"):
        if word in found:
            found[word] = [_within(part) for part in found[word]]
    if "properties" in found:
        found["properties"] = {name: closed(part) for name, part in found["properties"].items()}
    for word in ("items", "additionalProperties"):
        if isinstance(found.get(word), dict):
            found[word] = closed(found[word])
    return found


COMPONENTS = {"schemas": {name: _within(schema) for name, schema in WHOLE["components"]["schemas"].items()}}


def faults(value: object, schema: Json) -> list[str]:
    """Say what is wrong with a value; a member that the schema does not name is."""
    whole = {**closed(schema), "components": COMPONENTS}
    checked = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [f"{error.json_path}: {error.message}" for error in checked.iter_errors(value)]


@functools.cache
def described(method: str, path: str) -> Json | None:
    """Find what the document says of a request; ``None`` where it has none such.

    :param path: from the root, with its query.
    """
    for template, item in WHOLE["paths"].items():
        mount = "" if "servers" in item else MOUNT
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(mount + template))
        if re.fullmatch(pattern, path.partition("?")[0]):
            found: Json | None = item.get(method.lower())
            return found
    return None


def undescribed(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> list[str]:
    """Say what of an answer the document does not have.

    Of HEAD, OPTIONS, methods that are not offered and paths where nothing is, it says only that refusals are problem
    documents.

    :param headers: by names in lower case.
    """
    asked = described(method, path)
    if asked is None:
        return faults(json.loads(body), PROBLEM) if status >= HTTPStatus.BAD_REQUEST and body else []
    told = asked["responses"].get(str(status))
    if told is None:
        return [f"{method} {path}: {status} is not described: {body!r}"]
    found = [f"{name} is not there" for name in _needed(told) if name.lower() not in headers]
    if "content" not in told:
        return [*found, *([f"a body that is not described: {body!r}"] if body else [])]
    kind = headers.get("content-type", "")
    if kind not in told["content"]:
        return [*found, f"{kind!r} is not described"]
    value = json.loads(body) if "json" in kind else body.decode()
    return found + faults(value, told["content"][kind]["schema"])


def _needed(told: Json) -> list[str]:
    return [name for name in told["headers"] if WHOLE["components"]["headers"][name].get("required")]
