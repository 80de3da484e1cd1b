"""The OpenAPI 3.1 document of ``/api/v1``. Its closed lists are read from the core, so they are never out of date."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

from sessiond import __version__
from sessiond.core.errors import SHAPES, Code
from sessiond.core.tickets import LIFETIME_S
from sessiond.core.values import Deadline, Kind, Liveliness, Reason, State, StopStep
from sessiond.web.access import Scope
from sessiond.web.answers import PROBLEM
from sessiond.web.shapes import WAITING_FOR

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "number"}
WHOLE: Json = {"type": "integer"}
FLAG: Json = {"type": "boolean"}
INSTANT: Json = {"type": "string", "format": "date-time"}


def words(of: Iterable[Enum] | Iterable[str]) -> Json:
    """Describe one of some words."""
    return {"enum": [word.value if isinstance(word, Enum) else word for word in of]}


def maybe(schema: Json) -> Json:
    """Describe something that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def listing(schema: Json) -> Json:
    """Describe a list."""
    return {"type": "array", "items": schema}


def record(properties: Json, required: Iterable[str] | None = None, **more: Any) -> Json:
    """Describe an object; all of its members are always there unless ``required`` names fewer."""
    needed = list(properties if required is None else required)
    return {"type": "object", "properties": properties, "required": needed, **more}


def ref(name: str) -> Json:
    """Point to a schema by name."""
    return {"$ref": f"#/components/schemas/{name}"}


SERVICE = record(
    {
        "name": TEXT,
        "title": maybe(TEXT),
        "kind": words(Kind),
        "count": {**WHOLE, "description": "How many slots its pool has."},
        "used": WHOLE,
        "queued": {**WHOLE, "description": "How many wait for a slot."},
        "options": {"type": "object", "additionalProperties": ref("Option")},
    }
)
OPTION: Json = {
    "oneOf": [
        record({"type": {"const": "choice"}, "of": listing(TEXT), "default": TEXT}),
        record({"type": {"const": "integer"}, "minimum": WHOLE, "maximum": WHOLE, "default": WHOLE}),
        record({"type": {"const": "pattern"}, "pattern": TEXT, "max_length": WHOLE, "default": TEXT}),
        record({"type": {"const": "file"}, "suffixes": listing(TEXT), "max_length": WHOLE, "default": TEXT}),
    ]
}
SESSION = record(
    {
        "id": TEXT,
        "service": TEXT,
        "kind": maybe(words(Kind)),
        "slot": maybe(WHOLE),
        "owner": TEXT,
        "state": words(State),
        "step": {**maybe(words(StopStep)), "description": "How hard it is being ended."},
        "since": {**INSTANT, "description": "When it came into its state."},
        "created_at": INSTANT,
        "position": {**maybe(WHOLE), "description": "Its place in the queue, from 1, with owners served in turn."},
        "eta_s": {
            **maybe(NUMBER),
            "description": "Seconds until it probably has a slot, where anything tells; null in lists.",
        },
        "waiting_for": {**maybe(words(WAITING_FOR)), "description": "Why it is not ready yet."},
        "deadlines": listing(record({"name": words(Deadline), "at": INSTANT, "in_s": NUMBER})),
        "reported_at": {**maybe(INSTANT), "description": "When its program last reported by itself."},
        "suspect": {**FLAG, "description": "Its program has been silent for too long."},
        "reason": {**maybe(words(Reason)), "description": "Why it ended, or is being ended."},
        "cause": {**maybe(TEXT), "description": "The reason in more words."},
        "exit": maybe(record({"code": maybe(WHOLE), "signal": maybe(WHOLE)})),
    }
)
NEW_SESSION: Json = {
    "allOf": [
        ref("Session"),
        record(
            {
                "token": {**TEXT, "description": "The session's secret; told this once."},
                "tunnel_url": {**TEXT, "description": "Opens its tunnel; holds the token."},
            },
            required=(),
        ),
    ]
}
ORDER = record(
    {
        "service": TEXT,
        "options": {"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
        "owner": {**maybe(TEXT), "maxLength": 128, "description": "Another's name takes the scope operate."},
        "wait": {**words(("none", "ready")), "default": "none"},
    },
    required=("service",),
    additionalProperties=False,
)
EXTENSION = record({"deadline": words(Deadline), "by_s": {**NUMBER, "exclusiveMinimum": 0}}, additionalProperties=False)
PROBLEM_SCHEMA = record(
    {
        "type": TEXT,
        "title": TEXT,
        "status": WHOLE,
        "code": words(Code),
        "detail": TEXT,
        "retry_after_s": {**NUMBER, "description": "Retry-After says the same in whole seconds."},
        "session": {**TEXT, "description": "The session that failed."},
        "reason": words(Reason),
        "cause": TEXT,
        "log": {**listing(TEXT), "description": "The last lines of the program's output."},
    },
    required=("type", "title", "status", "code"),
)
TICKET = record(
    {
        "ticket": {**TEXT, "description": "Good for one use; told this once."},
        "expires_at": INSTANT,
        "expires_in_s": NUMBER,
    }
)
SESSION_TICKET: Json = {
    "allOf": [
        ref("Ticket"),
        record({"tunnel_url": {**TEXT, "description": "Opens the session's tunnel, once; holds the ticket."}}),
    ]
}
TICKET_ORDER = record(
    {
        "scopes": {
            **listing(words(Scope)),
            "minItems": 1,
            "description": "What it is to be good for at most; all that the caller may, where this is left out.",
        },
        "lifetime_s": {**NUMBER, "exclusiveMinimum": 0, "maximum": LIFETIME_S, "default": LIFETIME_S},
    },
    required=(),
    additionalProperties=False,
)
SCHEMAS = {
    "Service": SERVICE,
    "Option": OPTION,
    "Session": SESSION,
    "NewSession": NEW_SESSION,
    "Order": ORDER,
    "Extension": EXTENSION,
    "Ticket": TICKET,
    "SessionTicket": SESSION_TICKET,
    "TicketOrder": TICKET_ORDER,
    "Problem": PROBLEM_SCHEMA,
}


def good(status: int, said: str, schema: Json) -> Json:
    """Describe a good answer."""
    return {str(status): {"description": said, "content": {"application/json": {"schema": schema}}}}


def answers(schema: Json, said: str, *codes: Code) -> Json:
    """Describe the good answer, and the refusals that are likely."""
    return {**good(200, said, schema), **refusals(*codes)}


def refusals(*codes: Code) -> Json:
    """Describe refusals by status; every other one has the same form."""
    found: dict[str, list[Code]] = {}
    for code in (Code.BAD_REQUEST, Code.UNAUTHENTICATED, Code.FORBIDDEN, *codes):
        found.setdefault(str(SHAPES[code].http), []).append(code)
    content = {PROBLEM: {"schema": ref("Problem")}}
    return {
        status: {"description": ", ".join(sorted(code.value for code in told)), "content": content}
        for status, told in sorted(found.items())
    }


def parameter(name: str, where: str, schema: Json, said: str) -> Json:
    """Describe a parameter."""
    return {"name": name, "in": where, "required": where == "path", "schema": schema, "description": said}


def body(name: str, *, needed: bool = True) -> Json:
    """Describe a body."""
    return {"required": needed, "content": {"application/json": {"schema": ref(name)}}}


ID = parameter("id", "path", TEXT, "The session's id.")
KEY = parameter(
    "Idempotency-Key",
    "header",
    {**TEXT, "minLength": 1, "maxLength": 128},
    "A repeat with the same key gives the same session with a new token; the old token is void.",
)
PREFER = parameter("Prefer", "header", TEXT, "wait=0: rather be refused than wait in the queue (RFC 7240).")
LINES = parameter("lines", "query", {**WHOLE, "minimum": 1, "maximum": 1000, "default": 100}, "How many lines at most.")
WORD = {**parameter("liveliness", "query", words(Liveliness), "What the program says."), "required": True}
START = (
    *(Code.BAD_OPTION, Code.UNKNOWN_SERVICE, Code.NOT_ACCEPTING, Code.TOO_LARGE, Code.UNSUPPORTED, Code.FULL),
    *(Code.QUOTA, Code.LAUNCH_FAILED, Code.LAUNCH_TIMEOUT, Code.SUSPENDED, Code.STORE_UNAVAILABLE, Code.SHUTTING_DOWN),
)
EITHER: list[Json] = [{"caller": []}, {"ticket": []}]
GET_SERVICES = {
    "summary": "What this caller may launch",
    "security": EITHER,
    "responses": answers(record({"services": listing(ref("Service"))}), "The services."),
}
GET_SESSIONS = {
    "summary": "The caller's sessions; all of them for the scope operate",
    "security": EITHER,
    "responses": answers(record({"sessions": listing(ref("Session"))}), "The sessions."),
}
POST_SESSIONS = {
    "summary": "Make a session",
    "description": "With wait: ready it is launched at once, and the answer waits for that, 55 seconds at most. A "
    "client that hangs up meanwhile gives the session up, unless it has sent an Idempotency-Key.",
    "parameters": [KEY, PREFER],
    "requestBody": body("Order"),
    "responses": {
        **good(200, "A repeat whose session has ended.", ref("Session")),
        **good(201, "It has a slot, and is ready if that was waited for.", ref("NewSession")),
        **good(202, "It is in the queue, or not ready yet.", ref("NewSession")),
        **refusals(*START),
    },
}
GET_SESSION = {
    "summary": "How a session stands",
    "security": EITHER,
    "responses": answers(ref("Session"), "It.", Code.UNKNOWN_SESSION),
}
DELETE_SESSION = {
    "summary": "End a session; repeating is harmless",
    "responses": answers(ref("Session"), "It, being ended.", Code.UNKNOWN_SESSION),
}
GET_LOG = {
    "summary": "The last lines of the program's output",
    "security": EITHER,
    "parameters": [LINES],
    "responses": answers(record({"lines": listing(TEXT)}), "The lines.", Code.UNKNOWN_SESSION),
}
POST_EXTEND = {
    "summary": "Push a deadline on, as far as the service allows",
    "requestBody": body("Extension"),
    "responses": answers(ref("Session"), "The session.", Code.UNKNOWN_SESSION, Code.NOT_ACCEPTING),
}
POST_SESSION_TICKETS = {
    "summary": "A ticket that opens the session's tunnel once, in the place of its token",
    "responses": {
        **good(201, "The ticket.", ref("SessionTicket")),
        **refusals(Code.UNKNOWN_SESSION, Code.NOT_ACCEPTING, Code.QUOTA),
    },
}
POST_TICKETS = {
    "summary": "A ticket that stands for this caller once, in the place of its token",
    "description": "For what can send no header: links, and feeds and sockets of pages. It goes as the argument "
    "ticket into the URL of a GET.",
    "requestBody": body("TicketOrder", needed=False),
    "responses": {
        **good(201, "The ticket.", ref("Ticket")),
        **refusals(Code.TOO_LARGE, Code.UNSUPPORTED, Code.QUOTA),
    },
}
POST_LIVELINESS = {
    "summary": "A report of the session's own program",
    "parameters": [WORD],
    "security": [{"child": []}],
    "responses": {"204": {"description": "Taken."}, **refusals(Code.NOT_ACCEPTING)},
}
DOCUMENT: Json = {
    "openapi": "3.1.0",
    "info": {"title": "sessiond", "version": __version__, "summary": "Interactive sessions for web portals"},
    "servers": [{"url": "."}],
    "security": [{"caller": []}],
    "paths": {
        "/services": {"get": GET_SERVICES},
        "/tickets": {"post": POST_TICKETS},
        "/sessions": {"get": GET_SESSIONS, "post": POST_SESSIONS},
        "/sessions/{id}": {"parameters": [ID], "get": GET_SESSION, "delete": DELETE_SESSION},
        "/sessions/{id}/log": {"parameters": [ID], "get": GET_LOG},
        "/sessions/{id}/extend": {"parameters": [ID], "post": POST_EXTEND},
        "/sessions/{id}/tickets": {"parameters": [ID], "post": POST_SESSION_TICKETS},
        "/sessions/{id}/liveliness": {"parameters": [ID], "post": POST_LIVELINESS},
    },
    "components": {
        "schemas": SCHEMAS,
        "securitySchemes": {
            "caller": {"type": "http", "scheme": "bearer", "description": "An API token."},
            "ticket": {"type": "apiKey", "in": "query", "name": "ticket", "description": "A caller's ticket, once."},
            "child": {"type": "http", "scheme": "bearer", "description": "The session's child secret."},
        },
    },
}
