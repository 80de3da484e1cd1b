"""``/v1``: status, reserve, release and stop, all by GET."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.server import Request

from sessiond.core.errors import Refused
from sessiond.dialects.nexus import words
from sessiond.dialects.nexus.front import Front
from sessiond.dialects.nexus.leaf import NexusLeaf
from sessiond.dialects.nexus.queries import MOST_BYTES, TARGET, Query, read_query
from sessiond.dialects.nexus.status import POLICY, Status
from sessiond.dialects.nexus.words import Wrong
from sessiond.web.access import Face
from sessiond.web.answers import Answer
from sessiond.web.farewell import once_told
from sessiond.web.leaf import finish_anyway
from sessiond.web.wire import show_path

TOO_LONG = Wrong(400, "bad_request", f"The query is longer than {MOST_BYTES} bytes")
UNREADABLE = Wrong(400, "bad_request", "The name of the service is no UTF-8")
BAD_TARGET = Wrong(400, "bad_request", f"{TARGET} must not begin with - nor hold NUL or a line break")
NOT_GET = Wrong(405, "method_not_allowed", "Only GET is offered here")

log = Logger()


class Rest(NexusLeaf):
    """The control API.

    HEAD is refused like every method but GET: it would reserve or stop.
    """

    def __init__(self, front: Front, status: Status, face: Face) -> None:
        super().__init__(face)
        self._front, self._status = front, status

    async def answer(self, request: Request) -> Answer:
        """Answer one call."""
        if request.method != b"GET":
            return NOT_GET.answer().having({"Allow": "GET"})
        raw = request.uri.partition(b"?")[2]
        if len(raw) > MOST_BYTES:
            return TOO_LONG.answer()
        path = request.postpath or []
        word, *rest = path[:-1] if path[-1:] == [b""] and len(path) > 1 else path or [b""]
        if word == b"release" and len(rest) == 1:
            show_path(request, b"/v1/release/" + rest[0][:8])
            return self._release(rest[0])  # knowing the session's token is enough
        if not self._front.knows(query := read_query(raw)):
            return words.UNAUTHORIZED.answer()
        calls: dict[tuple[bytes, int], Callable[[], Awaitable[Answer]]] = {
            (b"status", 0): self._tell_status,
            (b"status_view", 0): self._show_status,
            (b"reserve", 1): lambda: self._reserve(rest[0], query),
            (b"stop", 0): lambda: self._stop(request),
        }
        call = calls.get((word, len(rest)))
        return words.NO_SUCH_CALL.answer() if call is None else await call()

    async def _tell_status(self) -> Answer:
        return Answer(self._status.document())

    async def _show_status(self) -> Answer:
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": POLICY}
        return Answer(self._status.page(), headers=headers)

    async def _reserve(self, raw: bytes, query: Query) -> Answer:
        if self._front.stopping:
            return words.IS_STOPPING.answer()
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            return UNREADABLE.answer()
        if name not in self._front.settings.services:
            return words.unknown_service(name).answer()
        target = query.options.get(TARGET, "")
        if target.startswith("-") or any(character in target for character in "\0\r\n"):
            return BAD_TARGET.answer()
        try:
            making: Deferred[str] = Deferred.fromCoroutine(self._front.reserve(name, query.options))
            # It is made even if its caller goes now; nobody would ever know its token then.
            token: str = await finish_anyway(making, self._release_token)
            return Answer({"token": token})
        except Refused as refused:
            count = self._front.count_of(name)
            return words.wrong(refused, name, count, self._front.free_in_s(name)).answer()

    def _release_token(self, token: str) -> None:
        session = self._front.session_of(token)
        if session is not None:
            self._front.release(session)

    def _release(self, raw: bytes) -> Answer:
        session = self._front.session_of(raw.decode("utf-8", "replace"))
        if session is not None:
            self._front.release(session)
        return Answer({"released": session is not None})

    async def _stop(self, request: Request) -> Answer:
        if not self._front.settings.allow_stop:
            return words.NO_STOP.answer()
        if not self._front.stopping:
            self._front.stopping = True
            log.info("a caller has the server stopped")
            once_told(request, self._front.broker.clock, self._front.stop)
        return Answer({"stopping": True}, headers={"Connection": "close"})
