"""What the dialect's REST routes have in common: refusals in its own form, and pages of admitted origins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.web.server import Request

from sessiond.core.errors import Refused
from sessiond.dialects.nexus.words import INTERNAL, NO_SUCH_CALL, Wrong
from sessiond.web.access import Face
from sessiond.web.answers import Answer
from sessiond.web.bodies import header
from sessiond.web.leaf import PREFLIGHT_S, JsonLeaf
from sessiond.web.origins import read_origin

METHODS = "GET, PUT"
"""What pages of other origins may send: the routes together know no more."""

log = Logger()


class NexusLeaf(JsonLeaf):
    """Serves what ``answer`` gives; what it raises becomes an answer of this wire."""

    isLeaf = True

    def __init__(self, face: Face) -> None:
        super().__init__()
        self._face = face

    async def answer(self, request: Request) -> Answer:
        """Answer a request of any method.

        :raises Refused: anything; a route tells what it knows by itself.
        """
        return NO_SUCH_CALL.answer()

    def headers_for(self, request: Request) -> Mapping[str, str]:
        """Let pages of admitted origins read the answer; there are none unless the operator names them."""
        origin = self._admitted(request)
        varies = {"Vary": "Origin"} if self._face.origins else {}
        return varies if origin is None else {**varies, "Access-Control-Allow-Origin": origin}

    def _admitted(self, request: Request) -> str | None:
        """Give the origin of a request, if the operator admits it."""
        try:
            origin = header(request, "Origin")
        except Refused:
            return None
        return origin if admits(self._face, origin) else None

    async def _serve(self, request: Request) -> Answer:
        try:
            if request.method == b"OPTIONS" and self._admitted(request) is not None:
                return Answer(None, 204, preflight())
            return await self.answer(request)
        except CancelledError:
            raise
        except Refused as refused:
            return Wrong(400, "bad_request", refused.detail or refused.shape.title).answer()
        except Exception:  # noqa: BLE001 - whatever it is, the client hears that it is ours
            log.failure("a Nexus call failed")
            return INTERNAL.answer()


class NoSuchCall(NexusLeaf):
    """Stands where a later version of the REST interface would."""


def admits(face: Face, origin: str | None) -> bool:
    """Say whether the operator admits pages of this origin. The listener's own need no leave."""
    found: Any = read_origin(origin)
    return found is not None and found in {read_origin(allowed) for allowed in face.origins}


def preflight() -> dict[str, str]:
    """Give what a browser is told that asks before it lets a page call (Fetch standard, CORS preflight)."""
    return {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": "Authorization, Content-Type",
        "Access-Control-Max-Age": str(PREFLIGHT_S),
    }
