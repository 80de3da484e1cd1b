"""The OpenAPI 3.1 document of ``/api/v1``. Its closed lists are read from the core, so they are never out of date.

An answer's members are open: a client takes no harm from one that it does not know, and a later version may have more.
What a request may hold is closed, as it is where requests are read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum
from http import HTTPStatus
from typing import Any

from sessiond import __version__
from sessiond.config.values import Face
from sessiond.core.errors import PROBLEM_TYPE, SHAPES, Code, Refused
from sessiond.core.tickets import LIFETIME_S
from sessiond.core.values import Deadline, Kind, Liveliness, Reason, State, StopStep
from sessiond.meters import CONTENT_TYPE
from sessiond.web.access import Scope
from sessiond.web.answers import GUARDS, JSON, PROBLEM, problem
from sessiond.web.api_sessions import LAST_LINES, LINES, MOST_LINES
from sessiond.web.bodies import BODY_BYTES
from sessiond.web.orders import KEY_LENGTH, MOST_EXTENSION_S, OWNER_LENGTH, WAITS
from sessiond.web.shapes import WAITING_FOR

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "number"}
WHOLE: Json = {"type": "integer"}
FLAG: Json = {"type": "boolean"}
INSTANT: Json = {"type": "string", "format": "date-time"}
COUNT: Json = {"type": "integer", "minimum": 0}
ABOUT = f"""\
Everything takes and gives JSON. A path offers the methods that are named here, HEAD with each GET, and OPTIONS, which
answers 204 with `Allow` and is what browsers ask first (CORS preflight); any other is answered 405. What is no path at
all is answered 404. Both are problem documents, like every refusal (RFC 9457); clients go by `code`.

Pages call from the listener's own origin or from one that its configuration names; they may read `Location` and
`Retry-After`. A body has {BODY_BYTES // 1024} KiB at most. Members of answers that a client does not know are to be
passed over.

A session's tunnel is a WebSocket, which this form of description has no words for: its address is `tunnel_url`.
"""


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


def ref(name: str, kind: str = "schemas") -> Json:
    """Point to a schema by name, or to another kind of component."""
    return {"$ref": f"#/components/{kind}/{name}"}


SERVICE = record(
    {
        "name": TEXT,
        "title": maybe(TEXT),
        "kind": words(Kind),
        "count": {**COUNT, "description": "How many slots its pool has."},
        "used": COUNT,
        "queued": {**COUNT, "description": "How many wait for a slot."},
        "cause": {**maybe(TEXT), "description": "Why it can't be started as it is set up."},
        "any_options": {**FLAG, "description": "Whether texts may be given for options that are not declared."},
        "options": {"type": "object", "additionalProperties": ref("Option")},
    }
)
OPTIONAL: Json = {"optional": {**FLAG, "description": "Whether it may be empty too."}}
OPTION: Json = {
    "oneOf": [
        record({"type": {"const": "choice"}, "of": listing(TEXT), "default": TEXT}),
        record({"type": {"const": "integer"}, "minimum": WHOLE, "maximum": WHOLE, "default": WHOLE}),
        record({"type": {"const": "pattern"}, "pattern": TEXT, "max_length": WHOLE, **OPTIONAL, "default": TEXT}),
        record(
            {"type": {"const": "file"}, "suffixes": listing(TEXT), "max_length": WHOLE, **OPTIONAL, "default": TEXT}
        ),
        record({"type": {"const": "folders"}, "max_length": WHOLE, "default": TEXT}),
    ]
}
SESSION = record(
    {
        "id": TEXT,
        "service": TEXT,
        "kind": maybe(words(Kind)),
        "slot": maybe(COUNT),
        "owner": TEXT,
        "state": words(State),
        "step": {**maybe(words(StopStep)), "description": "How hard it is being ended."},
        "since": {**INSTANT, "description": "When it came into its state."},
        "created_at": INSTANT,
        "position": {
            **maybe({**WHOLE, "minimum": 1}),
            "description": "Its place in the queue, from 1, with owners served in turn.",
        },
        "eta_s": {
            **maybe(NUMBER),
            "description": "Seconds until it probably has a slot, where anything tells; null in lists.",
        },
        "waiting_for": {**maybe(words(WAITING_FOR)), "description": "Why it is not ready yet."},
        "deadlines": listing(record({"name": words(Deadline), "at": INSTANT, "in_s": {**NUMBER, "minimum": 0}})),
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
                "application_secret": {**maybe(TEXT), "description": "What its program wants to hear of its clients."},
                "tunnel_url": {**TEXT, "format": "uri", "description": "Opens its tunnel; holds the token."},
                "url": {
                    **maybe({**TEXT, "format": "uri"}),
                    "description": "Shows its pages (kind http), or is its program's WebSocket; holds the token.",
                },
            }
        ),
    ]
}
ORDER = record(
    {
        "service": TEXT,
        "options": {
            "type": "object",
            "additionalProperties": {"type": ["string", "integer"]},
            "description": "Values for the service's options; each has a default.",
        },
        "owner": {
            **maybe({**TEXT, "maxLength": OWNER_LENGTH}),
            "description": "Another's name, of printable characters, takes the scope operate.",
        },
        "wait": {**words(WAITS), "default": "none"},
    },
    required=("service",),
    additionalProperties=False,
)
EXTENSION = record(
    {
        "deadline": words(Deadline),
        "by_s": {**NUMBER, "exclusiveMinimum": 0, "maximum": MOST_EXTENSION_S, "description": "Seconds to push it on."},
    },
    additionalProperties=False,
)
PROBLEM_SCHEMA = record(
    {
        "type": {**TEXT, "pattern": f"^{PROBLEM_TYPE}[a-z-]+$"},
        "title": TEXT,
        "status": {**WHOLE, "minimum": 400, "maximum": 599},
        "code": words(Code),
        "detail": TEXT,
        "retry_after_s": {**NUMBER, "minimum": 0, "description": "Retry-After says the same in whole seconds."},
        "session": {**TEXT, "description": "The session that failed."},
        "reason": words(Reason),
        "cause": TEXT,
        "log": {**listing(TEXT), "maxItems": LAST_LINES, "description": "The last lines of the program's output."},
    },
    required=("type", "title", "status", "code"),
)
TICKET = record(
    {
        "ticket": {**TEXT, "description": "Good for one use; told this once."},
        "expires_at": INSTANT,
        "expires_in_s": {**NUMBER, "minimum": 0},
    }
)
SESSION_TICKET: Json = {
    "allOf": [
        ref("Ticket"),
        record(
            {
                "tunnel_url": {
                    **TEXT,
                    "format": "uri",
                    "description": "Opens the session's tunnel, once; holds the ticket.",
                },
                "url": {
                    **maybe({**TEXT, "format": "uri"}),
                    "description": "The session's pages or its program's WebSocket, once; holds the ticket.",
                },
            }
        ),
    ]
}
TICKET_ORDER = record(
    {
        "scopes": {
            **maybe({**listing(words(Scope)), "minItems": 1}),
            "description": "What it is to be good for at most; all that the caller may, where this is left out.",
        },
        "lifetime_s": {**NUMBER, "exclusiveMinimum": 0, "maximum": LIFETIME_S, "default": LIFETIME_S},
    },
    required=(),
    additionalProperties=False,
)
READINESS = record(
    {
        "ready": FLAG,
        "accepting": {**FLAG, "description": "New sessions are taken."},
        "unsaved": {**COUNT, "description": "How many sessions wait for a store that fails."},
        "bus": {
            "enum": ["up", "blocked", "away"],
            "description": "How RabbitMQ stands, where facts go there; whatever it says, sessions are taken.",
        },
    },
    ("ready", "accepting", "unsaved"),
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
    "Readiness": READINESS,
}
HEADERS: Json = {
    **{name: {"required": True, "schema": {"const": value}} for name, value in GUARDS.items()},
    "Location": {"required": True, "schema": TEXT, "description": "The session, relative to the request."},
    "Retry-After": {"schema": COUNT, "description": "Seconds after which to come again, where that is known."},
    "WWW-Authenticate": {"required": True, "schema": TEXT},
}
COMES_LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


def answer(said: str, content: Json | None = None, *headers: str) -> Json:
    """Describe an answer; each has the headers that guard it."""
    named = {name: ref(name, "headers") for name in (*GUARDS, *headers)}
    return {"description": said, "headers": named, **({} if content is None else {"content": content})}


def good(status: int, said: str, schema: Json, example: object = None, *headers: str) -> Json:
    """Describe a good answer."""
    shown = {} if example is None else {"example": example}
    return {str(status): answer(said, {JSON: {"schema": schema, **shown}}, *headers)}


def refusals(*codes: Code, more: Json | None = None) -> Json:
    """Describe refusals by status.

    :param more: the schema of what each says beside the usual.
    """
    found: dict[int, list[Code]] = {}
    for code in codes:
        found.setdefault(SHAPES[code].http, []).append(code)
    return {str(status): refusal(status, told, more) for status, told in sorted(found.items())}


def refusal(status: int, codes: list[Code], more: Json | None = None) -> Json:
    """Describe the refusals that share a status: a problem document with one of some codes."""
    narrowed = {"properties": {"status": {"const": status}, "code": words(codes)}}
    schemas = [ref("Problem"), narrowed, *([] if more is None else [more])]
    content: Json = {"schema": {"allOf": schemas}}
    if more is None:
        content["examples"] = {code.value: {"value": problem(Refused(code)).body} for code in codes}
    headers = ["Retry-After"] if status in COMES_LATER else []
    headers += ["WWW-Authenticate"] if status == HTTPStatus.UNAUTHORIZED else []
    said = "; ".join(SHAPES[code].title for code in codes) + "."
    return answer(said, {PROBLEM: content}, *headers)


ALWAYS = (Code.BAD_REQUEST, Code.TOO_LARGE, Code.TOO_SLOW, Code.INTERNAL)
"""What any request may be answered."""
ASKED = (*ALWAYS, Code.UNAUTHENTICATED, Code.FORBIDDEN)
"""What a request may be answered whose caller is asked who that is."""
START = (
    *(Code.BAD_OPTION, Code.UNKNOWN_SERVICE, Code.NOT_ACCEPTING, Code.UNSUPPORTED, Code.FULL, Code.SUSPENDED),
    *(
        Code.CANNOT_START,
        Code.QUOTA,
        Code.LAUNCH_FAILED,
        Code.LAUNCH_TIMEOUT,
        Code.STORE_UNAVAILABLE,
        Code.SHUTTING_DOWN,
    ),
)
"""What an order may be answered beside that."""


def parameter(name: str, where: str, schema: Json, said: str, *, needed: bool = False, example: object = None) -> Json:
    """Describe a parameter."""
    shown = {} if example is None else {"example": example}
    return {"name": name, "in": where, "required": needed, "schema": schema, "description": said, **shown}


def body(name: str, *examples: Json, needed: bool = True) -> Json:
    """Describe a body."""
    shown = {str(number): {"value": example} for number, example in enumerate(examples, 1)}
    return {"required": needed, "content": {JSON: {"schema": ref(name), "examples": shown}}}


EXAMPLE: Json = {
    "id": "clock-k3v9q2",
    "service": "clock",
    "kind": "rfb",
    "slot": 0,
    "owner": "portal",
    "state": "ready",
    "step": None,
    "since": "2026-01-01T12:00:00Z",
    "created_at": "2026-01-01T12:00:00Z",
    "position": None,
    "eta_s": None,
    "waiting_for": None,
    "deadlines": [
        {"name": "connect", "at": "2026-01-01T12:01:00Z", "in_s": 60.0},
        {"name": "lifetime", "at": "2026-01-01T13:00:00Z", "in_s": 3599.8},
    ],
    "reported_at": None,
    "suspect": False,
    "reason": None,
    "cause": None,
    "exit": None,
}
TOKEN = "bH94VcB1qmPWvlPYhsQ7r9hQU-Vt6Nc3qZQmcNLFQKo"  # noqa: S105 - opens nothing
NEW_EXAMPLE: Json = {
    **EXAMPLE,
    "token": TOKEN,
    "application_secret": None,
    "tunnel_url": f"ws://127.0.0.1:9000/tunnel?token={TOKEN}",
    "url": None,
}
QUEUED_EXAMPLE: Json = {
    **NEW_EXAMPLE,
    "state": "queued",
    "slot": None,
    "position": 1,
    "waiting_for": "slot",
    "deadlines": [{"name": "queue", "at": "2026-01-01T12:00:30Z", "in_s": 30.0}],
}
ENDED_EXAMPLE: Json = {
    **EXAMPLE,
    "state": "ended",
    "reason": "released",
    "exit": {"code": None, "signal": 15},
    "deadlines": [{"name": "retention", "at": "2026-01-01T13:00:00Z", "in_s": 3600.0}],
}
ENDING_EXAMPLE: Json = {
    **EXAMPLE,
    "state": "stopping",
    "step": "term",
    "reason": "released",
    "deadlines": [{"name": "step", "at": "2026-01-01T12:00:15Z", "in_s": 5.0}],
}
TICKET_EXAMPLE: Json = {"ticket": TOKEN, "expires_at": "2026-01-01T12:01:00Z", "expires_in_s": 60.0}
SERVICE_EXAMPLE: Json = {
    "name": "clock",
    "title": None,
    "kind": "rfb",
    "count": 4,
    "used": 1,
    "queued": 0,
    "cause": None,
    "any_options": False,
    "options": {"size": {"type": "choice", "of": ["480x360", "800x600"], "default": "480x360"}},
}

ID = parameter("id", "path", TEXT, "The session's id.", needed=True, example=EXAMPLE["id"])
KEY = parameter(
    "Idempotency-Key",
    "header",
    {**TEXT, "minLength": 1, "maxLength": KEY_LENGTH, "pattern": "^[ -~]*$"},
    "A repeat with the same key gives the same session with a new token; the old token is void.",
    example="order-4711",
)
PREFER = parameter(
    "Prefer",
    "header",
    TEXT,
    "wait=0: rather be refused than wait in the queue (RFC 7240).",
    example="wait=0",
)
LAST = parameter(
    "lines",
    "query",
    {**WHOLE, "minimum": 1, "maximum": MOST_LINES, "default": LINES},
    "How many lines at most.",
    example=20,
)
WORD = parameter(
    "liveliness", "query", words(Liveliness), "What the program says.", needed=True, example=Liveliness.PING.value
)
LINKS = {
    name: {"operationId": name, "parameters": {"id": "$response.body#/id"}}
    for name in ("getSession", "endSession", "getLog", "extendSession", "makeSessionTicket")
}
"""What may follow once there is a session."""

GET_SERVICES = {
    "operationId": "getServices",
    "summary": "What this caller may launch",
    "responses": {
        **good(200, "The services.", record({"services": listing(ref("Service"))}), {"services": [SERVICE_EXAMPLE]}),
        **refusals(*ASKED),
    },
}
GET_SESSIONS = {
    "operationId": "getSessions",
    "summary": "The caller's sessions; all of them for the scope operate",
    "responses": {
        **good(200, "The sessions.", record({"sessions": listing(ref("Session"))}), {"sessions": [EXAMPLE]}),
        **refusals(*ASKED),
    },
}
MADE = {
    **good(201, "It has a slot, and is ready if that was waited for.", ref("NewSession"), NEW_EXAMPLE, "Location"),
    **good(202, "It is in the queue, or not ready yet.", ref("NewSession"), QUEUED_EXAMPLE, "Location"),
}
POST_SESSIONS = {
    "operationId": "makeSession",
    "summary": "Make a session",
    "description": "With wait: ready it is launched at once, and the answer waits for that, "
    f"{WAITS['ready']:.0f} seconds at most. A client that hangs up meanwhile gives the session up, unless it has sent "
    "an Idempotency-Key.",
    "parameters": [KEY, PREFER],
    "requestBody": body(
        "Order", {"service": "clock"}, {"service": "clock", "options": {"size": "800x600"}, "wait": "ready"}
    ),
    "responses": {
        **good(200, "A repeat whose session has ended.", ref("Session"), ENDED_EXAMPLE),
        **{status: {**told, "links": LINKS} for status, told in MADE.items()},
        **refusals(*ASKED, *START),
    },
}
GET_SESSION = {
    "operationId": "getSession",
    "summary": "How a session stands",
    "responses": {**good(200, "It.", ref("Session"), EXAMPLE), **refusals(*ASKED, Code.UNKNOWN_SESSION)},
}
DELETE_SESSION = {
    "operationId": "endSession",
    "summary": "End a session; repeating is harmless",
    "responses": {
        **good(200, "It, being ended.", ref("Session"), ENDING_EXAMPLE),
        **refusals(*ASKED, Code.UNKNOWN_SESSION),
    },
}
GET_LOG = {
    "operationId": "getLog",
    "summary": "The last lines of the program's output",
    "parameters": [LAST],
    "responses": {
        **good(
            200,
            "The lines.",
            record({"lines": {**listing(TEXT), "maxItems": MOST_LINES}}),
            {"lines": ["listening on /run/sessiond/0/clock-k3v9q2/endpoint.sock"]},
        ),
        **refusals(*ASKED, Code.UNKNOWN_SESSION),
    },
}
POST_EXTEND = {
    "operationId": "extendSession",
    "summary": "Push a deadline on, as far as the service allows",
    "requestBody": body("Extension", {"deadline": "lifetime", "by_s": 1800}),
    "responses": {
        **good(200, "The session.", ref("Session"), EXAMPLE),
        **refusals(*ASKED, Code.UNKNOWN_SESSION, Code.NOT_ACCEPTING, Code.UNSUPPORTED),
    },
}
POST_SESSION_TICKETS = {
    "operationId": "makeSessionTicket",
    "summary": "A ticket that opens the session's tunnel once, in the place of its token",
    "responses": {
        **good(
            201,
            "The ticket.",
            ref("SessionTicket"),
            {**TICKET_EXAMPLE, "tunnel_url": f"ws://127.0.0.1:9000/tunnel?ticket={TOKEN}", "url": None},
        ),
        **refusals(*ASKED, Code.UNKNOWN_SESSION, Code.NOT_ACCEPTING, Code.QUOTA),
    },
}
POST_TICKETS = {
    "operationId": "makeTicket",
    "summary": "A ticket that stands for this caller once, in the place of its token",
    "description": "For what can send no header: links, and feeds and sockets of pages. It goes as the argument "
    "ticket into the URL of a GET.",
    "requestBody": body("TicketOrder", {"scopes": ["read"], "lifetime_s": 20}, needed=False),
    "responses": {
        **good(201, "The ticket.", ref("Ticket"), TICKET_EXAMPLE),
        **refusals(*ASKED, Code.UNSUPPORTED, Code.QUOTA),
    },
}
POST_LIVELINESS = {
    "operationId": "report",
    "summary": "A report of the session's own program",
    "parameters": [WORD],
    "security": [{"child": []}],
    "responses": {
        "204": answer("Taken."),
        **refusals(*ASKED, Code.NOT_ACCEPTING),
    },
}
GET_DOCUMENT = {
    "operationId": "getDocument",
    "summary": "This document",
    "security": [],
    "responses": {
        **good(200, "It.", record({"openapi": TEXT}, additionalProperties=True)),
        **refusals(*ALWAYS, Code.FORBIDDEN),
    },
}
GET_HEALTH = {
    "operationId": "getHealth",
    "summary": "Whether the process runs and answers",
    "security": [],
    "responses": {
        **good(
            200,
            "It does.",
            record({"status": {"const": "ok"}, "version": TEXT}),
            {"status": "ok", "version": __version__},
        ),
        **refusals(*ALWAYS),
    },
}
GET_READINESS = {
    "operationId": "getReadiness",
    "summary": "Whether sessions are accepted and recorded now",
    "security": [],
    "responses": {
        **good(200, "They are.", ref("Readiness"), {"ready": True, "accepting": True, "unsaved": 0}),
        **refusals(*ALWAYS),
        **refusals(Code.SHUTTING_DOWN, Code.STORE_UNAVAILABLE, more=ref("Readiness")),
    },
}
GET_METRICS = {
    "operationId": "getMetrics",
    "summary": "The metrics, as Prometheus reads them",
    "responses": {"200": answer("They.", {CONTENT_TYPE: {"schema": TEXT}}), **refusals(*ASKED)},
}
POOL = {
    "is_available": {**FLAG, "description": "One more session would be taken."},
    "reason": {**maybe(words(Code)), "description": "What it would be refused for."},
    "running": {**WHOLE, "description": "Slots that are held."},
    "queued": WHOLE,
    "max_concurrent": WHOLE,
    "max_queued": WHOLE,
}
PRESSURE = record(
    {
        **POOL,
        "recently_rejected": {**WHOLE, "description": "How many were refused within the last five minutes."},
        "cpu": {**WHOLE, "description": "The load of the machine for each processor, in percent."},
        "memory": {**WHOLE, "description": "Of the machine, in percent."},
        "date": INSTANT,
        "pools": listing(record({"name": TEXT, **POOL})),
    }
)
GET_PRESSURE = {
    "operationId": "getPressure",
    "summary": "Whether one more session would be taken, and how full everything is that the caller may start",
    "responses": {**good(200, "How it stands.", PRESSURE), **refusals(*ASKED)},
}
DOCUMENT: Json = {
    "openapi": "3.1.0",
    "info": {
        "title": "sessiond",
        "version": __version__,
        "summary": "Interactive sessions for web portals",
        "description": ABOUT,
        "license": {"name": "MIT", "identifier": "MIT"},
    },
    "paths": {
        "/services": {"get": GET_SERVICES},
        "/tickets": {"post": POST_TICKETS},
        "/sessions": {"get": GET_SESSIONS, "post": POST_SESSIONS},
        "/sessions/{id}": {"parameters": [ID], "get": GET_SESSION, "delete": DELETE_SESSION},
        "/sessions/{id}/log": {"parameters": [ID], "get": GET_LOG},
        "/sessions/{id}/extend": {"parameters": [ID], "post": POST_EXTEND},
        "/sessions/{id}/tickets": {"parameters": [ID], "post": POST_SESSION_TICKETS},
        "/sessions/{id}/liveliness": {"parameters": [ID], "post": POST_LIVELINESS},
        "/openapi.json": {"get": GET_DOCUMENT},
    },
    "components": {
        "schemas": SCHEMAS,
        "headers": HEADERS,
        "securitySchemes": {
            "caller": {
                "type": "http",
                "scheme": "bearer",
                "description": "An API token.",
            },
            "ticket": {"type": "apiKey", "in": "query", "name": "ticket", "description": "A caller's ticket, once."},
            "child": {"type": "http", "scheme": "bearer", "description": "The session's child secret."},
        },
    },
}
"""What the document of every listener with the API has."""

BESIDE: dict[Face, Json] = {
    Face.HEALTH: {"/healthz": {"get": GET_HEALTH}, "/readyz": {"get": GET_READINESS}},
    Face.METRICS: {"/metrics": {"get": GET_METRICS}, "/pressure": {"get": GET_PRESSURE}},
}
"""What stands at the root of a listener that serves it."""


def document(serves: Collection[Face] = (), prefix: str = "", *, anyone: bool = False) -> Json:
    """Give the document of a listener, with what it serves at its root beside the API.

    :param prefix: the path below which clients reach the listener's root, if a proxy puts it there.
    :param anyone: whether it lets callers without a token pass.
    """
    beside = {path: item for face, paths in BESIDE.items() if face in serves for path, item in paths.items()}
    at_root = {path: {"servers": [{"url": f"{prefix}/"}], **item} for path, item in beside.items()}
    unproven: list[Json] = [{}] if anyone else []
    own = {"servers": [{"url": f"{prefix}/api/v1"}], "security": [{"caller": []}, *unproven]}
    by_ticket = {"security": [{"caller": []}, {"ticket": []}, *unproven]}
    paths = {**DOCUMENT["paths"], **at_root}
    told = {path: {**item, **({"get": {**by_ticket, **item["get"]}} if "get" in item else {})}
            for path, item in paths.items()}  # fmt: skip
    return {**DOCUMENT, **own, "paths": told}
