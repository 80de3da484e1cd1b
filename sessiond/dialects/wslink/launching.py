"""What stands in for one ``wslink.launcher``: its sessions, and how a client gets one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.logger import Logger

from sessiond.broker import Broker, Request
from sessiond.config import LaunchedApp, LinkLauncher
from sessiond.core.effects import Verdict
from sessiond.core.errors import Code, Refused
from sessiond.core.events import Release
from sessiond.core.facts import StoredFact
from sessiond.core.session import Session
from sessiond.core.values import Reason, State
from sessiond.dialects.wslink.mapping import Mapping as MappingFile
from sessiond.dialects.wslink.orders import Told, app_of, options_of, port_of, told_of
from sessiond.web.leaf import finish_anyway
from sessiond.web.outcomes import refusal_of
from sessiond.web.waiting import latest, ordered

LATE_S = 10.0
"""By how much a caller's own limit is longer than its program's, so that the latter says what happened."""
TAIL_LINES = 10
OPEN = (State.READY, State.CONNECTED)

log = Logger()


class Front:
    """One launcher, as its routes see it.

    :param new_id: makes the id of a session, which nobody can guess: whoever knows it may connect.
    """

    def __init__(self, settings: LinkLauncher, broker: Broker, new_id: Callable[[], str]) -> None:
        self.settings, self.broker = settings, broker
        self._new_id = new_id
        self._services = {name for app in settings.apps.values() for name in app.services}
        self._hosts = {name: host for app in settings.apps.values() for name, host in app.services.items()}
        self._mapping = None if settings.mapping is None else MappingFile(settings.mapping, settings.mapping_mode)

    # -- sessions ----------------------------------------------------------------------------------------------------

    def session(self, session_id: str) -> Session:
        """Give a session of its own that has not ended.

        :raises Refused: ``unknown-session``.
        """
        session = self.broker.session(session_id)
        if session.service not in self._services or session.state in (State.STOPPING, State.ENDED):
            raise Refused(Code.UNKNOWN_SESSION)
        return session

    def hear(self, stored: StoredFact) -> None:
        """Take note of a fact."""
        if stored.fact.service in self._services:
            self.write_mapping()

    def write_mapping(self) -> None:
        """Have the mapping file say what is."""
        if self._mapping is None:
            return
        open_ones = (one for one in self.broker.sessions() if one.service in self._services and one.state in OPEN)
        places = ((one.id, self._hosts[one.service], port_of(one)) for one in open_ones)
        self._mapping.write((name, host, port) for name, host, port in places if port is not None)

    # -- a client gets one -------------------------------------------------------------------------------------------

    async def launch(self, found: Mapping[str, Any], owner: str) -> Told:
        """Make a session as a client's body says, and wait until its program is ready.

        Who is cancelled has hung up, and it is taken back.

        :raises Refused: none is there.
        """
        called, app = app_of(self.settings, found)
        options = options_of(self.settings, app, found)
        session, secret = await self._first_of(called, app, options, owner)
        self.write_mapping()  # the client may come by way of it as soon as it has its answer
        return told_of(self.settings, session, found, secret if app.shares_secret else None)

    async def _first_of(
        self, called: str, app: LaunchedApp, options: Mapping[str, str], owner: str
    ) -> tuple[Session, str]:
        """Try one resource after the other, that with the most free ports first."""
        refused = Refused(Code.FULL)
        for service in sorted(app.services, key=self._free, reverse=True):
            try:
                return await self._start(called, service, options, owner)
            except Refused as why:
                if why.code is not Code.FULL:
                    raise
                refused = why
        raise refused

    def _free(self, service: str) -> int:
        offered = self.broker.catalogue.services.get(service)
        if offered is None:
            return 0
        count, used, _ = self.broker.usage(offered)
        return count - used

    async def _start(self, called: str, service: str, options: Mapping[str, str], owner: str) -> tuple[Session, str]:
        wait_s = self.settings.timeout_s + LATE_S
        request = Request(service, owner, options, wait_s, patient=False, session_id=self._new_id())
        reservation, verdict = await ordered(self.broker, request)
        secret, session = reservation.session.application_secret, latest(self.broker, reservation)
        if verdict is Verdict.READY and session.state in OPEN:
            return session, secret
        refused = refusal_of(session)
        if session.reason not in (Reason.NO_PORT, Reason.SHUTDOWN):
            self._tell_operator(called, session, secret)
        raise refused

    def _tell_operator(self, called: str, session: Session, secret: str) -> None:
        reason = "" if session.reason is None else session.reason.value
        lines = "".join(f"\n    {line}" for line in session.tail[-TAIL_LINES:])
        log.warn(
            "{id}: the application {app} was not ready: {reason} {cause}{tail}",
            id=session.id,
            app=called,
            reason=reason,
            cause=session.cause,
            tail=lines.replace(secret, "…") if secret else lines,
        )

    # -- and ends it -------------------------------------------------------------------------------------------------

    def status(self, session_id: str) -> Told:
        """Say how one stands, without its secret."""
        return told_of(self.settings, self.session(session_id))

    async def end(self, session_id: str) -> Told:
        """End one, and say what it was."""
        told = self.status(session_id)
        await finish_anyway(self.broker.dispatch(session_id, Release()), lambda session: None)
        return told
