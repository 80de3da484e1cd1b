"""The one leaf that serves all JSON: coroutines, scopes, the error table, cross-origin pages, clients that hang up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from sessiond.core.errors import Code, Refused
from sessiond.web.access import NOBODY, Access, Caller, Face, Scope
from sessiond.web.answers import Answer, problem, refuse, send
from sessiond.web.bodies import header

T = TypeVar("T")
Method = Callable[[Request, Caller], Awaitable[Answer]]

VERBS = ("GET", "POST", "DELETE")
"""What a leaf may offer; HEAD goes with GET, OPTIONS with everything."""
PREFLIGHT_S = 600
"""How long a browser may keep the answer to its preflight."""

log = Logger()


class NotFound(Resource):
    """Says that there is nothing, whatever is asked."""

    isLeaf = True

    def render(self, request: Request) -> int:
        """Answer 404."""
        refuse(request, Code.NOT_FOUND)
        return NOT_DONE_YET


class Branch(Resource):
    """A place in the tree that has children and is nothing itself; Twisted's own would answer with HTML."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Give what stands for a child that is not there."""
        return NotFound()

    def render(self, request: Request) -> int:
        """Answer 404."""
        refuse(request, Code.NOT_FOUND)
        return NOT_DONE_YET


class JsonLeaf(Branch):
    """Serves JSON by coroutines called ``get``, ``post`` and ``delete``, each ``(request, caller) -> Answer``.

    What a coroutine raises becomes a problem document: a :class:`Refused` as the error table says, anything else as
    ``internal``, with its text in the log only. A client that hangs up cancels what the coroutine waits for.
    """

    def admit(self, request: Request, verb: str) -> Caller:
        """Say who calls; a leaf that asks nobody keeps this.

        :param verb: ``GET``, ``POST`` or ``DELETE``.
        :raises Refused: the caller may not.
        """
        return NOBODY

    def headers_for(self, request: Request) -> Mapping[str, str]:
        """Give headers that every answer to this request has."""
        return {}

    def options(self, request: Request) -> Answer:
        """Answer OPTIONS."""
        return Answer(None, 204, {"Allow": self._allowed()})

    def render(self, request: Request) -> int:
        """Serve one request."""
        still_there = True

        def hung_up(failure: Failure) -> None:
            nonlocal still_there
            still_there = False
            serving.cancel()

        def finish(answer: Answer) -> None:
            if still_there:
                send(request, answer.having(self.headers_for(request)))

        def fail(failure: Failure) -> None:
            log.failure("no answer could be made", failure)
            if still_there and not request.startedWriting:
                refuse(request, Code.INTERNAL)

        serving = Deferred.fromCoroutine(self._serve(request))
        request.notifyFinish().addErrback(hung_up)
        serving.addErrback(_fail).addCallback(finish).addErrback(fail)
        return NOT_DONE_YET

    async def _serve(self, request: Request) -> Answer:
        verb = request.method.decode("ascii", "replace")
        if verb == "OPTIONS":
            return self.options(request)
        method = self._methods().get("GET" if verb == "HEAD" else verb)
        if method is None:
            return problem(Refused(Code.METHOD_NOT_ALLOWED)).having({"Allow": self._allowed()})
        caller = self.admit(request, "GET" if verb == "HEAD" else verb)
        return await method(request, caller)

    def _methods(self) -> dict[str, Method]:
        found = {verb: getattr(self, verb.lower(), None) for verb in VERBS}
        return {verb: method for verb, method in found.items() if method is not None}

    def _allowed(self) -> str:
        methods = self._methods()
        return ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])


class ApiLeaf(JsonLeaf):
    """A leaf whose callers are asked who they are, and that pages of admitted origins may use."""

    needs: ClassVar[Mapping[str, Scope]] = {"GET": Scope.READ, "POST": Scope.LAUNCH, "DELETE": Scope.LAUNCH}
    """The scope that each method takes."""

    def __init__(self, access: Access, face: Face) -> None:
        super().__init__()
        self._access, self._face = access, face

    def admit(self, request: Request, verb: str) -> Caller:
        """Say who calls, and let only those pass who may."""
        caller = self._access.caller_of(request, self._face)
        caller.need(self.needs[verb])
        return caller

    def options(self, request: Request) -> Answer:
        """Answer OPTIONS; a browser asks so before it lets a page call (Fetch standard, CORS preflight)."""
        answer = super().options(request)
        origin = header(request, "Origin")
        if origin is None or header(request, "Access-Control-Request-Method") is None:
            return answer
        self._access.check_origin(origin, header(request, "Host"), self._face)
        preflight = {
            "Access-Control-Allow-Methods": self._allowed(),
            "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Prefer",
            "Access-Control-Max-Age": str(PREFLIGHT_S),
        }
        return answer.having(preflight)

    def headers_for(self, request: Request) -> Mapping[str, str]:
        """Let pages of admitted origins read the answer, refusals too. There are no cookies to allow."""
        return shared_with(request, self._face)


def shared_with(request: Request, face: Face) -> dict[str, str]:
    """Give the headers that let a page of an admitted origin read an answer."""
    try:
        origin, host = header(request, "Origin"), header(request, "Host")
    except Refused:
        return {"Vary": "Origin"}
    if origin is None or not face.admits_origin(origin, host):
        return {"Vary": "Origin"}
    expose = "Location, Retry-After"
    return {"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": expose}


def _fail(failure: Failure) -> Answer:
    """Make an answer of what a coroutine raised."""
    if isinstance(failure.value, Refused):
        return problem(failure.value)
    if not isinstance(failure.value, CancelledError):
        log.failure("a request failed", failure)
    return problem(Refused(Code.INTERNAL))


def finish_anyway(running: Deferred[T], too_late: Callable[[T], object]) -> Deferred[T]:
    """Wait for what must not be broken off: whoever waits may be cancelled, ``running`` is not.

    :param too_late: takes the result where nobody waits for it any more.
    """
    waiting = True

    def stop(_: Deferred[T]) -> None:
        nonlocal waiting
        waiting = False

    waiter: Deferred[T] = Deferred(stop)

    def arrived(result: T) -> None:
        if waiting:
            waiter.callback(result)
        else:
            too_late(result)

    def failed(failure: Failure) -> None:
        if waiting:
            waiter.errback(failure)
        elif not isinstance(failure.value, Refused):
            log.failure("a request failed after its client had gone", failure)

    running.addCallbacks(arrived, failed)
    return waiter
