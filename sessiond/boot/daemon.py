"""The running daemon: one coroutine that starts it and one that stops it, each step in its order and with its name."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as StepTimeout
from twisted.internet.error import ReactorNotRunning
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from sessiond import log as scrubbing
from sessiond.boot.instance import FolderError, Instance, claim, claim_abandoned
from sessiond.boot.listening import Bound, ListenError, bind
from sessiond.boot.parts import Parts, assemble
from sessiond.clock import keep_steady
from sessiond.config import Config, Face
from sessiond.core.errors import StoreError
from sessiond.core.session import Session
from sessiond.core.values import State
from sessiond.options import Options
from sessiond.site import site_of

STOP_S = 10.0
"""How long a stop may take in all; service managers commonly kill after 20 or 30 seconds."""
SESSIONS_S = 8.0
"""How much of that the ending of sessions may take."""

LONG_ENOUGH = 8
"""A password that is shorter could be any word of the log: there it is only kept out, not hidden wherever it stands."""

ANNOUNCED = (Face.PORTAL, Face.API, Face.STATIC, Face.NEXUS, Face.GENIUS2, Face.HOOPS, Face.WSLINK)
"""The faces whose address a start tells: that of the first which is served."""

EXPECTED = (FolderError, ListenError, StoreError, OSError)
"""What a start can fail with without any defect of ours; its text is enough."""

log = Logger()

Step = tuple[str, Callable[[], Awaitable[object]]]


def makeService(options: Options) -> IService:
    """Wire the daemon for twistd."""
    from twisted.internet import reactor  # noqa: PLC0415 - not before twistd has installed the one that was asked for

    prepare(options.config, reactor)
    return Daemon(reactor, options.config, os.environ)


def prepare(config: Config, reactor: Any) -> None:
    """See to what all of the process has in common, whatever starts the daemon."""
    keep_steady(reactor)
    scrubbing.install()
    if config.nexus is not None and config.nexus.security_token is not None:
        # The names of its files begin with it.
        scrubbing.hide(config.nexus.security_token)
    if config.bus is not None and len(config.bus.password) >= LONG_ENOUGH:
        scrubbing.hide(config.bus.password)
    # Or each dial to a program has two lines in the log, about objects of Twisted's.
    Factory.noisy = False


class Daemon(Service):
    """The root service.

    twistd neither waits for ``startService`` nor tells that it failed, so what it begins sees to both; ``stopService``
    is waited for, so it has a deadline.

    :param status_of: gives the status that a start ends with which has failed.
    """

    name = "sessiond"

    def __init__(
        self,
        reactor: Any,
        config: Config,
        environment: Mapping[str, str],
        status_of: Callable[[Failure], int] = lambda failure: 1,
    ) -> None:
        self._reactor, self._status_of = reactor, status_of
        self._config = config
        self._environment = environment
        self._starting: Deferred[None] | None = None
        self._behind: list[Deferred[None]] = []
        self._instance: Instance | None = None
        self._parts: Parts | None = None
        self._bound: list[Bound] = []

    def startService(self) -> None:
        """Begin to start once the reactor runs: what fails before could not stop it."""
        super().startService()
        self._reactor.callWhenRunning(self._begin)

    def stopService(self) -> Deferred[None]:
        """Stop in order, within :data:`STOP_S`."""
        super().stopService()
        self._reactor.addSystemEventTrigger("after", "shutdown", forget_signal, self._reactor)
        for running in (self._starting, *self._behind):
            if running is not None:
                running.cancel()
        return Deferred.fromCoroutine(self._stop())

    def _begin(self) -> None:
        if self.running:
            self._starting = Deferred.fromCoroutine(self._start())
            self._starting.addErrback(self._failed)

    async def _start(self) -> None:
        """Bind, recover, accept."""
        config = self._config
        check_folders(config)
        self._instance = claim(config.state_dir)
        self._parts = parts = assemble(
            self._reactor, config, self._instance, self._environment, self._report_url, self._shut_down
        )
        for listener in config.listeners:
            site = site_of(listener, parts.sources, self._reactor)
            self._bound.append(await bind(self._reactor, listener, site))
        parts.reaper.open()
        await parts.broker.open()
        sessions = parts.broker.sessions()
        # An ended session's folder is there only where the daemon was killed before it could delete it.
        parts.programs.sweep_runtime({session.id for session in sessions if session.state is not State.ENDED})
        parts.programs.reclaim_strays({session.nonce for session in sessions})
        parts.start()
        await parts.exchange.start()
        for bound in self._bound:
            bound.accept()
        self._starting = None
        behind = {"reclaiming": self._reclaim(parts), "looking at services": parts.broker.check_services()}
        for what, work in behind.items():
            self._behind.append(Deferred.fromCoroutine(work).addErrback(_not_done, what))
        self._tell()

    def _report_url(self, session: Session) -> str:
        """Give the URL behind which a program puts its session's id to report; empty where nothing takes reports."""
        found = (bound.local_url for bound in self._bound if Face.CHILD in bound.listener.serves)
        base = next((url for url in found if url is not None), None)
        return "" if base is None else f"{base}{session.child_secret}"

    async def _reclaim(self, parts: Parts) -> None:
        """End what daemons have left that nobody has started again; it goes on behind."""
        for instance in claim_abandoned(self._config.state_dir):
            log.warn("{instance} was left by a daemon that was killed: its programs are ended", instance=instance.name)
            try:
                await parts.reclaim(instance)
            finally:
                # The records are for a daemon that takes this folder over.
                instance.release(in_order=False)

    def _tell(self) -> None:
        """Say, in one line, that it is ready and where people go."""
        urls = [url for face in ANNOUNCED for url in self._urls(face)][:1]
        urls += [f"ws{url.removeprefix('http')}" for url in self._urls(Face.NEXUS_TUNNEL)]
        log.info("sessiond is ready: {urls}" if urls else "sessiond is ready", urls=" and ".join(urls))

    def _urls(self, face: Face) -> list[str]:
        found = (bound.url for bound in self._bound if face in bound.listener.serves)
        return [url for url in found if url is not None]

    def _shut_down(self) -> None:
        """Stop because a caller wants it."""
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            pass  # it stops already

    def _failed(self, failure: Failure) -> None:
        """Say why the daemon can't start, and end it with a status that says so too."""
        self._starting = None
        if failure.check(CancelledError):
            return
        if failure.check(*EXPECTED):
            log.critical("sessiond can't start: {why}", why=failure.getErrorMessage())
        else:
            log.failure("sessiond can't start", failure)
        exit_with(self._status_of(failure))
        self._reactor.stop()

    async def _stop(self) -> None:
        left_s, in_order = STOP_S, True
        for name, step in self._stop_steps():
            began = self._reactor.seconds()
            try:
                await Deferred.fromCoroutine(_awaited(step)).addTimeout(max(left_s, 0.1), self._reactor)
            except (StepTimeout, CancelledError):
                in_order = False
                log.warn("stopping: {step} does not come to an end and is left as it is", step=name)
            except Exception:  # noqa: BLE001 - whatever fails, the steps after it are taken
                in_order = False
                log.failure("stopping: {step} failed", step=name)
            left_s -= max(0.0, self._reactor.seconds() - began)
        if self._instance is not None:
            self._instance.release(in_order=in_order)

    def _stop_steps(self) -> list[Step]:
        """List what is to be undone of a start that came as far as it came."""
        parts = self._parts
        steps: list[Step] = [(f"closing listeners.{bound.listener.name}", bound.close) for bound in self._bound]
        if parts is not None:
            parts.stop()
            steps += [
                ("ending the sessions", lambda: parts.broker.close(SESSIONS_S, parts.exchange.stop)),
                ("closing the tunnels", parts.tunnels.close),
                ("letting go", parts.close),
            ]
        return steps


def check_folders(config: Config) -> None:
    """See that the folders that are to be served are there.

    :raises FolderError: one is not.
    """
    for folder in config.static:
        if not folder.folder.is_dir():
            raise FolderError(f"static: {folder.folder} is no folder")


def forget_signal(reactor: Any) -> None:
    """Have twistd end with status 0 after a TERM or INT that was obeyed, not by the same signal once more."""
    if getattr(reactor, "_exitSignal", None) is not None:
        reactor._exitSignal = None


def exit_with(status: int) -> None:
    """Have the process end with a status, whatever twistd ends with."""

    def leave() -> None:
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        os._exit(status)

    atexit.register(leave)


def _not_done(failure: Failure, what: str) -> None:
    if not failure.check(CancelledError):
        log.failure("{what} behind the start failed", failure, what=what)


async def _awaited(step: Callable[[], Awaitable[object]]) -> None:
    await step()
