"""The routes that spawn: the tutorial's, and the broker's under its two names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.web.server import Request

from sessiond.config import FailureStatus
from sessiond.core.errors import Code, Refused
from sessiond.dialects.hoops.entry import Entry, address_of, preflight
from sessiond.dialects.hoops.front import Front
from sessiond.dialects.hoops.orders import Order, read_body, read_service, read_spawn
from sessiond.dialects.hoops.words import NotSpawned, reason_of, retry_after, status_of
from sessiond.web.answers import Answer
from sessiond.web.bodies import header
from sessiond.web.leaf import JsonLeaf

log = Logger()


class Wording(Protocol):
    """How the clients of one family ask and are answered."""

    def order(self, found: Mapping[str, Any]) -> Order:
        """Read what is wanted.

        :raises Refused: ``bad-request`` or ``bad-option``.
        """

    def spawned(self, order: Order, session_id: str, endpoint: str) -> Answer:
        """Answer a spawn."""

    def failed(self, request: Request, refused: Refused) -> Answer:
        """Answer one that came to nothing."""


class Tutorial:
    """``POST /spawn`` (spec 4.2)."""

    def order(self, found: Mapping[str, Any]) -> Order:
        """Read what is wanted."""
        return read_spawn(found)

    def spawned(self, order: Order, session_id: str, endpoint: str) -> Answer:
        """Answer 201."""
        return Answer({"id": session_id, "endpoint": endpoint, "rendererType": order.rendering.value}, 201)

    def failed(self, request: Request, refused: Refused) -> Answer:
        """Answer with the real status."""
        body = {"error": reason_of(refused), **where(refused)}
        return Answer(body, status_of(refused), retry_after(refused))


class Brokers:
    """``POST /service`` and ``/api/spawn`` (spec 4.3). Success is exactly 200.

    The shipped client shows a reason only where the status is 200, too.
    """

    def __init__(self, failure_status: FailureStatus) -> None:
        self._failure_status = failure_status

    def order(self, found: Mapping[str, Any]) -> Order:
        """Read what is wanted."""
        return read_service(found)

    def spawned(self, order: Order, session_id: str, endpoint: str) -> Answer:
        """Answer 200; the key stays ``ws`` for ``wss:`` too."""
        return Answer({"result": "ok", "serviceId": session_id, "endpoints": {"ws": endpoint}})

    def failed(self, request: Request, refused: Refused) -> Answer:
        """Answer with the status that this client understands."""
        shipped = request.requestHeaders.hasHeader(b"Access-Control-Allow-Origin")
        shows = self._failure_status is FailureStatus.OK or (self._failure_status is FailureStatus.AUTO and shipped)
        return broker_failure(refused, 200 if shows else status_of(refused))


def broker_failure(refused: Refused, status: int) -> Answer:
    """Tell a refusal in the form of the broker's clients."""
    body = {"result": "error", "status": "failed", "reason": reason_of(refused), **where(refused)}
    challenge = {"WWW-Authenticate": 'Bearer realm="sessiond"'} if status == 401 else {}
    return Answer(body, status, {**retry_after(refused), **challenge})


def where(refused: Refused) -> dict[str, str]:
    """Say where the last lines of a program's output can be read, by those who may."""
    if not isinstance(refused, NotSpawned):
        return {}
    return {"session": refused.session_id, "log": f"/api/v1/sessions/{refused.session_id}/log"}


class Spawning(JsonLeaf):
    """One of the routes.

    :param ticket: what stands in the path.
    """

    isLeaf = True

    def __init__(self, front: Front, entry: Entry, wording: Wording, ticket: str | None = None) -> None:
        super().__init__()
        self._front, self._entry, self._wording, self._ticket = front, entry, wording, ticket

    def headers_for(self, request: Request) -> Mapping[str, str]:
        """Let pages of listed origins read the answer, failures too."""
        return self._entry.headers_for(request)

    async def _serve(self, request: Request) -> Answer:
        if request.method == b"OPTIONS":
            admitted = "Access-Control-Allow-Origin" in self._entry.headers_for(request)
            return Answer(None, 204, preflight() if admitted else {"Allow": "POST, OPTIONS"})
        try:
            if request.method != b"POST":
                raise Refused(Code.METHOD_NOT_ALLOWED)
            return await self._spawn(request)
        except CancelledError:
            raise
        except Refused as refused:
            allow = {"Allow": "POST, OPTIONS"} if refused.code is Code.METHOD_NOT_ALLOWED else {}
            return self._wording.failed(request, refused).having(allow)
        except Exception:  # noqa: BLE001 - whatever it is, the client hears that it is ours
            log.failure("a spawn failed")
            return self._wording.failed(request, Refused(Code.INTERNAL))

    async def _spawn(self, request: Request) -> Answer:
        caller = self._entry.caller_of(request, self._ticket)
        order = self._wording.order(read_body(request))
        self._entry.face.base_url(header(request, "Host"))  # or nobody could be told where to go
        spawned = await self._front.spawn(order, caller, address_of(request))
        endpoint = self._front.endpoint(spawned, self._entry.face, header(request, "Host"))
        return self._wording.spawned(order, spawned.session.id, endpoint)
