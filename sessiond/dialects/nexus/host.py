"""The dialect's tunnels: what a client means that connects, and in what words it is closed."""

from __future__ import annotations

from functools import partial

from twisted.logger import Logger
from twisted.web.server import Request as WebRequest

from sessiond.broker import Request
from sessiond.core.errors import Code, Refused
from sessiond.core.session import Session
from sessiond.core.values import State
from sessiond.dialects.nexus.front import OWNER, Front, query_of
from sessiond.dialects.nexus.leaf import admits
from sessiond.dialects.nexus.words import STOPPING, close_text
from sessiond.ports import Close, RelayLimits
from sessiond.web.access import Face
from sessiond.web.answers import Answer
from sessiond.web.bodies import header
from sessiond.ws.greeting import Wanted

LIMITS = RelayLimits(held_bytes=64 * 1024, ping_s=20.0, pong_s=60.0)
"""Section 6 ("Data"): how much is held for a program that is not there yet, and when a client counts as lost."""

REFUSALS: dict[Code, Close] = {
    Code.NO_SESSION_NAMED: Close(4400, "no token, and no fixed target here"),
    Code.UNAUTHENTICATED: Close(4404, "token unknown, expired or released"),
    Code.UNKNOWN_SESSION: Close(4404, "token unknown, expired or released"),
    Code.NOT_ACCEPTING: Close(4404, "token unknown, expired or released"),
    Code.ALREADY_CONNECTED: Close(4409, "this token already has a connection"),
    Code.SHUTTING_DOWN: Close(1001, STOPPING),
}

PLAIN = {"Content-Type": "text/plain; charset=utf-8"}

log = Logger()


class NexusHost:
    """The :class:`sessiond.ws.greeting.Host` of one listener.

    The path counts for nothing: proxies in front need it.
    """

    def __init__(self, front: Front, face: Face) -> None:
        self._front, self._face = front, face

    # -- before the handshake ----------------------------------------------------------------------------------------

    def turn_away(self, request: WebRequest, refused: Refused) -> Answer:
        """Say in one line that this port speaks WebSocket only, or why this request does not."""
        if refused.code is Code.BAD_REQUEST and b"websocket" not in _raw(request, b"Upgrade").lower():
            # RFC 9110 section 15.5.22: the answer names what to change to.
            return Answer(b"This port speaks WebSocket only.\n", 426, {**PLAIN, "Upgrade": "websocket"})
        text = (refused.detail or refused.shape.title) + "\n"
        # RFC 6455 section 4.4
        return Answer(text.encode(), refused.shape.http, {**PLAIN, "Sec-WebSocket-Version": "13"})

    def check(self, request: WebRequest) -> None:
        """Let pages of all origins in, or only those that the operator has named.

        :raises Refused: ``forbidden``.
        """
        origin = header(request, "Origin")
        if self._face.origins and origin is not None and not admits(self._face, origin):
            raise Refused(Code.FORBIDDEN, "this origin may not connect")
        offered = _raw(request, b"Sec-WebSocket-Protocol")
        if offered and b"binary" not in [word.strip() for word in offered.split(b",")]:
            log.info("a client offers only unknown subprotocols: {offered}", offered=offered.decode("latin-1"))

    # -- what it means -----------------------------------------------------------------------------------------------

    def choose(self, request: WebRequest) -> Wanted:
        """Choose by the token in the query; else the fixed target; else by the token in a cookie.

        A cookie lives for a day and knows no port, so a stale one must not take a connection to the fixed target away.

        :raises Refused: a token that opens nothing, or nothing named.
        """
        token = query_of(request).options.get("token")
        if token:
            return self._by_token(token)
        target = self._front.settings.target
        if target is not None:
            return Wanted(
                self._front.broker.catalogue.services.get(target), self._connect_fixed, "for the fixed target"
            )
        cookie = _cookie(request)
        if cookie and self._front.session_of(cookie) is not None:
            return self._by_token(cookie)
        raise Refused(Code.NO_SESSION_NAMED)

    def _by_token(self, token: str) -> Wanted:
        session = self._front.session_of(token)
        if session is None:
            log.info("a client comes with token {mark}, which opens nothing", mark=token[:8])
            raise Refused(Code.UNAUTHENTICATED)
        return Wanted(self._front.broker.service_of(session), partial(_id_of, session), f"with token {token[:8]}")

    async def _connect_fixed(self) -> str:
        """Make a session for one connection to the fixed target."""
        return (await self._front.broker.reserve(Request(self._front.settings.target or "", OWNER))).session.id

    def not_admitted(self, session_id: str) -> None:
        """End a session that was made for this client."""
        try:
            session = self._front.broker.session(session_id)
        except Refused:
            return
        if session.service == self._front.settings.target and session.state is State.RESERVED:
            self._front.release(session)

    # -- in what words -----------------------------------------------------------------------------------------------

    def refusal(self, refused: Refused) -> Close:
        """Say why a client is not admitted."""
        usual = Close(refused.shape.close, refused.detail or refused.shape.title)
        close = REFUSALS.get(refused.code, usual)
        log.info("a client is closed: {code} {text}", code=close.code, text=close.text)
        return Close(close.code, close_text(close.text))

    def in_words(self, session_id: str, close: Close) -> Close:
        """Name the cause: a viewer shows its user nothing of it, but writes it into its log."""
        try:
            session = self._front.broker.session(session_id)
        except Refused:
            return close
        return Close(close.code, close_text(_words(session, close)))


def _words(session: Session, close: Close) -> str:
    match close.code:
        case 1001:
            return STOPPING
        case 4410:
            return "released"
        case 4502 if close.text == Code.UNREACHABLE.value:
            return "could not connect to the target"
        case 4500 if session.cause == "" and session.exit is not None and session.exit.known:
            exit_ = session.exit
            how = f"status {exit_.code}" if exit_.signal is None else f"signal {exit_.signal}"
            return f"the application ended with {how}"
        case 4504:
            return "the start timed out" + (f": {session.cause}" if session.cause else "")
        case 4500 | 4503:
            return session.cause or close.text
    return close.text


async def _id_of(session: Session) -> str:
    return session.id


def _raw(request: WebRequest, name: bytes) -> bytes:
    return b",".join(request.requestHeaders.getRawHeaders(name, []))


def _cookie(request: WebRequest) -> str | None:
    """Give the cookie ``token``, the first where there are several."""
    for pair in b";".join(request.requestHeaders.getRawHeaders(b"Cookie", [])).split(b";"):
        name, _, value = pair.partition(b"=")
        if name.strip() == b"token" and value.strip():
            return value.strip().decode("latin-1")
    return None
