"""``/api/…`` for operators: how the viewers stand, a sweep, and the end of the daemon (spec 5)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from attrs import frozen
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.web.server import Request

from sessiond.core.errors import Code, Refused
from sessiond.core.session import Session
from sessiond.core.values import LeaseKind
from sessiond.dialects.hoops.front import Front
from sessiond.dialects.hoops.spawning import broker_failure
from sessiond.dialects.hoops.words import STATES, state_of, status_of
from sessiond.web.access import Access, Face, Scope, bearer_of
from sessiond.web.answers import Answer
from sessiond.web.bodies import argument
from sessiond.web.farewell import once_told
from sessiond.web.host import memory_percent
from sessiond.web.leaf import JsonLeaf

COMMANDS: Mapping[str, str] = {
    "GET /api/status": "how the spawned viewers stand, and how many ports are left",
    "GET /api/spawns": "every viewer that is on record",
    "GET /api/help": "this list",
    "POST /api/gc": "look now which ports have come free",
    "POST /api/shutdown": "end the server, where its operator allows that",
    "POST /service, /api/spawn, /spawn": "spawn a viewer",
}

log = Logger()
Body = dict[str, object]


@frozen
class Command:
    """One route: its method, the scope that it takes, and what it does."""

    verb: str
    scope: Scope
    run: Callable[[Request], Awaitable[Body]]


class Control(JsonLeaf):
    """The routes. They take a token and nothing else, and pages of other origins get nothing from them."""

    isLeaf = True

    def __init__(self, front: Front, access: Access, face: Face, name: str) -> None:
        super().__init__()
        self._front, self._access, self._face = front, access, face
        commands = {
            "status": Command("GET", Scope.READ, self._status),
            "spawns": Command("GET", Scope.READ, self._spawns),
            "help": Command("GET", Scope.READ, self._help),
            "gc": Command("POST", Scope.OPERATE, self._sweep),
            "shutdown": Command("POST", Scope.OPERATE, self._shut_down),
        }
        self._command = commands[name]

    async def _serve(self, request: Request) -> Answer:
        command = self._command
        try:
            if not self._access.has_tokens:
                raise Refused(Code.NOT_FOUND, "Not Found")
            if request.method.decode("ascii", "replace") != command.verb:
                raise Refused(Code.METHOD_NOT_ALLOWED)
            if bearer_of(request) is None:
                raise Refused(Code.UNAUTHENTICATED)
            self._access.caller_of(request, self._face).need(command.scope)
            body = await command.run(request)
        except CancelledError:
            raise
        except Refused as refused:
            allow = {"Allow": command.verb} if refused.code is Code.METHOD_NOT_ALLOWED else {}
            return broker_failure(refused, status_of(refused)).having(allow)
        except Exception:  # noqa: BLE001 - whatever it is, the client hears that it is ours
            log.failure("a call of /api failed")
            return broker_failure(Refused(Code.INTERNAL), 500)
        indent = None if argument(request, "raw") == "true" else 2
        return Answer(json.dumps(body, indent=indent).encode())

    async def _status(self, request: Request) -> Body:
        settings, sessions = self._front.settings, self._front.sessions()
        states = Counter(state_of(session) for session in sessions)
        used = {lease.number for one in sessions for lease in one.leases if lease.kind is LeaseKind.PORT}
        ports = {lease.number for one in self._front.services() for lease in one.candidates(LeaseKind.PORT)}
        config = {
            "endpoint": settings.endpoint.value,
            "renderings": [rendering.value for rendering in settings.services],
            "ports": [f"{first}-{last}" for first, last in sorted({one.ports for one in self._front.services()})],
        }
        return {
            "timestamp": instant(self._front.broker.clock.now()),
            "status": "ok",
            "config": config,
            "memory": {"used_percent": memory_percent()},
            "usedSpawnPorts": len(used),
            "availableSpawnPorts": len(ports - used),
            **{name: states[name] for name in STATES},
        }

    async def _spawns(self, request: Request) -> Body:
        spawns = [_shape(session) for session in self._front.sessions()]
        return {"timestamp": instant(self._front.broker.clock.now()), "spawns": spawns}

    async def _help(self, request: Request) -> Body:
        return {"status": "ok", "rest-commands": dict(COMMANDS)}

    async def _sweep(self, request: Request) -> Body:
        self._front.broker.retest_leases()
        return {"status": "ok"}

    async def _shut_down(self, request: Request) -> Body:
        if not self._front.settings.allow_shutdown:
            raise Refused(Code.FORBIDDEN, "this server is not ended from here")
        log.info("a caller ends the server")
        once_told(request, self._front.broker.clock, self._front.shutdown)
        return {"status": "ok", "message": "the server ends"}


def _shape(session: Session) -> Body:
    last = session.since if session.reported_at is None else max(session.since, session.reported_at)
    return {
        "id": session.id,
        "state": state_of(session),
        "spawnTime": instant(session.created_at),
        "lastUpdateTime": instant(last),
    }


def instant(at: float) -> str:
    """Write epoch seconds as ISO 8601 does, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
