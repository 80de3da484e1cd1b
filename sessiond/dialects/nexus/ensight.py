"""``/ensight/v1``: what EnSight's own REST interface would answer; none is driven here, and clients are told so."""

from __future__ import annotations

import re

from twisted.logger import Logger
from twisted.web.server import Request

from sessiond.core.errors import Refused
from sessiond.dialects.nexus.front import Front
from sessiond.dialects.nexus.leaf import NexusLeaf
from sessiond.dialects.nexus.words import Wrong
from sessiond.web.access import Face
from sessiond.web.answers import Answer
from sessiond.web.bodies import header
from sessiond.web.wire import show_path

DISABLED = Wrong(404, "ensight_rest_disabled", "EnSight REST calls are not switched on here")
NO_ID = Wrong(401, "bad_session_id", "Session id missing or wrong")
UNAVAILABLE = Wrong(501, "ensight_rest_unavailable", "EnSight REST calls are not passed on by this server")

_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)

log = Logger()


class EnSight(NexusLeaf):
    """Answers every call at once: a client that hears nothing tries for two minutes, one that hears an error goes on.

    The body was read whole before this is asked.
    """

    def __init__(self, front: Front, face: Face) -> None:
        super().__init__(face)
        self._front = front
        self._said = False

    async def answer(self, request: Request) -> Answer:
        """Say that nothing is passed on."""
        # The session's word in the path may be a secret.
        show_path(request, b"/ensight/v1/")
        settings = self._front.settings
        if not settings.ensight or settings.security_token is None:
            return DISABLED.answer()
        if not self._front.identifies(_identity(request)):
            return NO_ID.answer()
        if not self._said:
            self._said = True
            log.info("EnSight REST calls come in; they are answered, and not passed on")
        return UNAVAILABLE.answer()


def _identity(request: Request) -> str:
    """Give what a caller proves itself with: its bearer token, else the first word of the path behind ``v1``."""
    try:
        text = header(request, "Authorization")
    except Refused:
        return ""
    if text is not None:
        bearer = _BEARER.fullmatch(text.strip())
        return "" if bearer is None else bearer[1]
    path = request.postpath or []
    return path[1].decode("utf-8", "replace") if len(path) > 1 else ""
