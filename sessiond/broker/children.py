"""The programs of sessions: launched, halted, found again, and heard."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import Logger

from sessiond.core import events
from sessiond.core.events import Event
from sessiond.core.services import Catalogue, Service
from sessiond.core.session import Session
from sessiond.core.values import Endpoint, StopStep
from sessiond.ports import Child, Described, Launcher, Streams, Tell

TAIL_LINES = 20
"""How many of the last lines of a program's output are kept with its session."""

log = Logger()


class Children:
    """Every child by its session's id, from its launch until its traces were deleted.

    :param catalogue: gives what is on offer.
    :param note: takes a session's id and what its child told.
    """

    def __init__(
        self,
        catalogue: Callable[[], Catalogue],
        launchers: Mapping[str, Launcher],
        note: Callable[[str, Event], object],
    ) -> None:
        self._catalogue, self._launchers, self._note = catalogue, launchers, note
        self._children: dict[str, Child] = {}
        self._services: dict[str, Service] = {}
        self._unknown: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._children) + len(self._unknown)

    def launch(self, session: Session) -> None:
        """Start a session's program; what comes of it is told."""
        service, launcher = self._catalogue().services.get(session.service), self._launcher_of(session)
        if service is None or launcher is None:
            self._note(session.id, events.Failed("the service is no longer offered"))
            return
        # A launcher may tell before it has returned, but nothing may be halted before the child is known here.
        told: list[Event] | None = []
        hear = self._ear(session.id)

        def tell(event: Event) -> None:
            if told is None:
                hear(event)
            else:
                told.append(event)

        self._services[session.id] = service
        self._children[session.id] = launcher.launch(session, service, tell)
        early, told = told, None
        for event in early or ():
            hear(event)

    def recover(self, session: Session) -> bool:
        """Find what an earlier run of the daemon left of a session's program, and say whether it can be carried on.

        Where the launcher fails at that, the program is not known to be gone: each stop step looks for it again.
        """
        launcher = self._launcher_of(session)
        if launcher is None:
            return False
        try:
            self._children[session.id] = launcher.recover(session, self._ear(session.id))
        except Exception:  # noqa: BLE001 - whatever a launcher raises, it is no proof that nothing is left
            log.failure("{session_id}: its program can't be looked for", session_id=session.id)
            self._unknown[session.id] = session
            return False
        self._unknown.pop(session.id, None)
        return launcher.adopts

    def describe(self, service: Service) -> Deferred[Described]:
        """Have a service's launcher say whether it can be started."""
        launcher = self._launchers.get(service.launcher)
        return succeed(Described()) if launcher is None else launcher.describe(service)

    def halt(self, session_id: str, step: StopStep) -> None:
        """Take a stop step; a session that never had a program is gone at once."""
        if session_id in self._unknown:
            self.recover(self._unknown[session_id])
        child = self._children.get(session_id)
        if child is None and session_id in self._unknown:
            return
        if child is None:
            self._note(session_id, events.Gone())
        else:
            child.halt(step)

    def tidy(self, session_id: str) -> None:
        """Delete what a launch made on disk."""
        child = self._children.pop(session_id, None)
        self._services.pop(session_id, None)
        if child is not None:
            child.tidy()

    def tail(self, session_id: str, lines: int) -> list[str] | None:
        """Give the last lines of a program's output; ``None`` where there is no program."""
        child = self._children.get(session_id)
        return None if child is None else child.tail(lines)

    def endpoint(self, session_id: str) -> Endpoint | None:
        """Say where a program will listen, as far as its launcher knows."""
        child = self._children.get(session_id)
        return None if child is None else child.endpoint

    def service(self, session_id: str) -> Service | None:
        """Give the service that a program was started for, as it was then."""
        return self._services.get(session_id)

    def streams(self, session_id: str) -> Streams | None:
        """Give a program's standard input and output, where these are its endpoint."""
        child = self._children.get(session_id)
        return None if child is None else child.streams

    def close(self) -> Deferred[list[tuple[bool, None]]]:
        """Have every launcher let go; children are not touched."""
        return DeferredList([launcher.close() for launcher in self._launchers.values()])

    def _launcher_of(self, session: Session) -> Launcher | None:
        service = self._catalogue().services.get(session.service)
        # The service may have left the configuration; what it started was a process most likely.
        return self._launchers.get("process" if service is None else service.launcher)

    def _ear(self, session_id: str) -> Tell:
        def hear(event: Event) -> None:
            if isinstance(event, events.Exited | events.Gone) and not event.tail:
                event = evolve(event, tail=tuple(self.tail(session_id, TAIL_LINES) or ()))
            self._note(session_id, event)

        return hear
