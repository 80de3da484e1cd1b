"""A launcher's own routes: ``POST``, and where the operator allows it ``GET`` and ``DELETE`` (spec 11)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.web.server import Request

from sessiond.config import LinkLauncher
from sessiond.core.errors import Code, Refused, repeated
from sessiond.dialects.wslink.launching import Front
from sessiond.web.access import OTHER_ORIGIN
from sessiond.web.answers import Answer
from sessiond.web.bodies import BODY_BYTES, header, parse_object
from sessiond.web.leaf import PREFLIGHT_S, JsonLeaf, Method
from sessiond.web.origins import read_origin

NOT_READY = "Session did not start before timeout expired. Check session logs."
NOT_STARTED = "The process did not properly start."
ERRORS: Mapping[Code, tuple[int, str]] = {
    Code.FULL: (503, "All the resources are currently taken"),
    Code.QUOTA: (503, "All the resources are currently taken"),
    Code.LAUNCH_FAILED: (503, NOT_READY),
    Code.LAUNCH_TIMEOUT: (503, NOT_READY),
    Code.SUSPENDED: (503, NOT_READY),
    Code.NOT_ACCEPTING: (503, NOT_READY),
    Code.CANNOT_START: (503, NOT_STARTED),
    Code.SHUTTING_DOWN: (503, "The server is going down"),
    Code.UNKNOWN_SERVICE: (503, NOT_STARTED),
    Code.BAD_OPTION: (400, ""),
}
"""Status and words in place of those of a refusal; without words, the refusal's own.

Clients take a failure without a JSON ``error`` for a server that has no launcher, and try its port in its place.
"""
LONGEST_ID = 128
"""How many characters of what was taken for an id are repeated."""
HEADERS = re.compile(r"[A-Za-z0-9-]+(?: ?, ?[A-Za-z0-9-]+)*", re.ASCII)
COMMANDS = ("command not found", "command not executable", "can't be started", "the service")
"""How the causes of launches begin that never had a process."""

log = Logger()


class Route(JsonLeaf):
    """What the routes have in common: who may call, and the words of failures."""

    isLeaf = True

    def __init__(self, front: Front) -> None:
        super().__init__()
        self._front = front

    def headers_for(self, request: Request) -> Mapping[str, str]:
        """Let pages of listed origins read the answer, failures too."""
        if not self._front.settings.origins:
            return {}
        try:
            check_origin(self._front.settings, request)
            origin = header(request, "Origin")
        except Refused:
            origin = None
        return {"Vary": "Origin", **({} if origin is None else {"Access-Control-Allow-Origin": origin})}

    async def _serve(self, request: Request) -> Answer:
        methods = self._methods()
        try:
            check_origin(self._front.settings, request)
            if request.method == b"OPTIONS" and self._front.settings.origins:
                return Answer(None, 204, preflight(request, methods))
            method = methods.get(request.method.decode("ascii", "replace"))
            if method is None:
                raise Refused(Code.METHOD_NOT_ALLOWED)
            return await method(request, self.admit(request, ""))
        except CancelledError:
            raise
        except Refused as refused:
            allow = {"Allow": ", ".join(methods)} if refused.code is Code.METHOD_NOT_ALLOWED else {}
            return failure(refused).having(allow)
        except Exception:  # noqa: BLE001 - whatever it is, the client hears that it is ours
            log.failure("a request to a launcher failed")
            return failure(Refused(Code.INTERNAL))


class Launching(Route):
    """``/E``: makes sessions."""

    async def post(self, request: Request, caller: object) -> Answer:
        """Start an application, and answer once it is ready. Success is exactly 200."""
        raw = b"" if request.content is None else request.content.read(BODY_BYTES + 1)
        if len(raw) > BODY_BYTES:
            raise Refused(Code.TOO_LARGE)
        address = getattr(request.getClientAddress(), "host", None) or "local"
        # Each address is an owner of its own: so the usual caps hold for each.
        return Answer(await self._front.launch(parse_object(raw), f"wslink:{address}"))


class OneLaunched(Route):
    """``/E/ID``: one session."""

    def __init__(self, front: Front, session_id: str) -> None:
        super().__init__(front)
        self._id = session_id

    def _methods(self) -> dict[str, Method]:
        return super()._methods() if self._front.settings.status else {}

    async def get(self, request: Request, caller: object) -> Answer:
        """Tell of it what its client was told, without the secret."""
        try:
            return Answer(self._front.status(self._id))
        except Refused:
            return self._unknown()

    async def delete(self, request: Request, caller: object) -> Answer:
        """End it, and tell what it was."""
        try:
            return Answer(await self._front.end(self._id))
        except Refused:
            return self._unknown()

    def _unknown(self) -> Answer:
        shown = self._id if len(self._id) <= LONGEST_ID else repeated(self._id)
        return Answer({"error": f"No session with id: {shown}"}, 404)


def check_origin(launcher: LinkLauncher, request: Request) -> None:
    """Let no page call that may not, where the operator has said which may.

    :raises Refused: ``forbidden``.
    """
    origin = header(request, "Origin")
    allowed = {read_origin(one) for one in launcher.origins}
    if origin is not None and allowed and read_origin(origin) not in allowed:
        raise Refused(Code.FORBIDDEN, OTHER_ORIGIN)


def preflight(request: Request, methods: Mapping[str, object]) -> dict[str, str]:
    """Give what a browser is told that asks before it lets a page call (Fetch standard, CORS preflight).

    A page may send headers of its own for whatever stands in front of the daemon (``config.headers`` of the client).
    """
    asked = header(request, "Access-Control-Request-Headers") or ""
    return {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": asked if HEADERS.fullmatch(asked) else "Content-Type",
        "Access-Control-Max-Age": str(PREFLIGHT_S),
    }


def failure(refused: Refused) -> Answer:
    """Tell a refusal as the launcher's clients read it."""
    status, words = ERRORS.get(refused.code, (refused.shape.http, ""))
    if refused.code is Code.LAUNCH_FAILED and refused.detail.startswith(COMMANDS):
        words = NOT_STARTED
    wait_s = refused.retry_after_s
    later = {} if wait_s is None or status != 503 else {"Retry-After": str(max(1, math.ceil(wait_s)))}
    return Answer({"error": words or refused.detail or refused.shape.title}, status, later)
