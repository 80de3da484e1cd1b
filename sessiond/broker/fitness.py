"""Which services can be started at all, as far as their launchers see that without starting them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from sessiond.core.services import Service
from sessiond.ports import Clock, Described

AGAIN_S = 60.0
"""How often a service that can't be started is looked at again: its operator may be mending it."""

AT_ONCE = 2
"""How many are looked at side by side: sessions that start meanwhile need the processors too."""

log = Logger()


class Fitness:
    """The causes for which services can't be started; who is not listed can, as far as is known.

    :param describe: has a service's launcher look at it.
    :param changed: is called when a service became fit.
    """

    def __init__(
        self, describe: Callable[[Service], Deferred[Described]], clock: Clock, changed: Callable[[], None]
    ) -> None:
        self._describe, self._clock, self._changed = describe, clock, changed
        self._causes: dict[str, str] = {}
        self._timer: IDelayedCall | None = None
        self._looking: Deferred[None] | None = None
        self._stopped = False

    @property
    def causes(self) -> Mapping[str, str]:
        """Why services can't be started, by name."""
        return self._causes

    def look(self, services: Iterable[Service]) -> Deferred[None]:
        """Have services looked at, and those that are unfit again and again; fires when each was looked at once."""
        turns, asked = DeferredSemaphore(AT_ONCE), list(services)
        looks = DeferredList([turns.run(self._look_at, service) for service in asked], consumeErrors=True)
        self._looking = looks.addCallback(lambda _: self._look_again(asked))
        return self._looking

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def _look_at(self, service: Service) -> Deferred[None]:
        def note(found: Described) -> None:
            self._note(service.name, found)

        return self._describe(service).addCallbacks(note, _not_looked_at, errbackArgs=(service.name,))

    def _note(self, name: str, found: Described) -> None:
        if found.cause:
            if self._causes.get(name) != found.cause:
                log.error("the service {name} can't be started: {cause}", name=name, cause=found.cause)
            self._causes[name] = found.cause
        elif self._causes.pop(name, None) is not None:
            log.info("the service {name} can be started again", name=name)
            self._changed()

    def _look_again(self, services: Iterable[Service]) -> None:
        self._looking = None
        unfit = [service for service in services if service.name in self._causes]
        if unfit and not self._stopped:
            self._timer = self._clock.call_later(AGAIN_S, self.look, unfit)


def _not_looked_at(failure: Failure, name: str) -> None:
    if not failure.check(CancelledError):
        log.failure("the service {name} could not be looked at", failure, name=name)
