"""The socket of a running party: who is let in, and in what words clients are closed."""

from __future__ import annotations

from urllib.parse import unquote

from twisted.web.server import Request

from sessiond.core.errors import Code, Refused
from sessiond.core.session import Session
from sessiond.core.values import State
from sessiond.dialects.genius2.entry import Entry
from sessiond.dialects.genius2.front import Front
from sessiond.ports import Close, RelayLimits
from sessiond.web.answers import Answer
from sessiond.ws.greeting import Wanted


class Over(Refused):
    """A party has ended; its client is greeted and told how."""

    def __init__(self, close: Close) -> None:
        super().__init__(Code.NOT_ACCEPTING, close.text)
        self.close = close


class PartyHost:
    """The :class:`sessiond.ws.greeting.Host` of a context: parties by their ids, each with one client."""

    def __init__(self, front: Front, entry: Entry) -> None:
        self._front, self._entry = front, entry

    @property
    def limits(self) -> RelayLimits:
        """What one client's connection may cost. Some clients answer pings only while they read."""
        return RelayLimits(message_bytes=self._front.context.message_bytes, ping_s=30.0, pong_s=90.0)

    def turn_away(self, request: Request, refused: Refused) -> Answer:
        """Answer what is no WebSocket, or must not become one."""
        return self._entry.turn_away(request, refused)

    def check(self, request: Request) -> None:
        """Answer no handshake of who may not call, for a party that is not there, or for one that has its client.

        :raises Refused: so it is.
        """
        self._entry.check(request)
        session = self._session_of(request)
        run = self._front.runs.get(session.id)
        if not _is_over(session) and run is None:
            raise Refused(Code.UNKNOWN_SESSION)
        if not _is_over(session) and run is not None and run.has_client:
            raise Refused(Code.ALREADY_CONNECTED, "this party has its client")

    def choose(self, request: Request) -> Wanted:
        """Choose by the last part of the path.

        :raises Refused: the party has ended.
        """
        session = self._session_of(request)
        run = self._front.runs.get(session.id)
        if _is_over(session) or run is None:
            raise Over(self._front.words(session.id, Close(1000, "over")))
        run.has_client = True

        async def session_id() -> str:
            return session.id

        service = self._front.broker.service_of(session)
        return Wanted(service, session_id, observer=self._front.observer(session.id))

    def _session_of(self, request: Request) -> Session:
        last = [part for part in [*(request.prepath or []), *(request.postpath or [])] if part][-1]
        return self._front.session(unquote(last.decode("ascii", "replace")))

    def not_admitted(self, session_id: str) -> None:
        """Let another client come."""
        run = self._front.runs.get(session_id)
        if run is not None:
            run.has_client = False

    def refusal(self, refused: Refused) -> Close:
        """Give what a client is told that is not admitted."""
        if isinstance(refused, Over):
            return refused.close
        return Close(refused.shape.close, refused.detail or refused.shape.title)

    def in_words(self, session_id: str, close: Close) -> Close:
        """Name the cause."""
        return self._front.words(session_id, close)


def _is_over(session: Session) -> bool:
    return session.state in (State.STOPPING, State.ENDED)
