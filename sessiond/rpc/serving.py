"""The program around an application: its listener, its links, its pages, and the time after which nobody wants it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.logger import Logger
from twisted.web.resource import IResource, NoResource, Resource
from twisted.web.server import Request
from twisted.web.static import File
from twisted.web.util import Redirect

from sessiond.clock import SteadyClock
from sessiond.core.errors import Code, Refused
from sessiond.rpc import ServerProtocol, run
from sessiond.rpc.hosting import Hosted
from sessiond.web.bodies import header
from sessiond.web.door import Door, DoorSite
from sessiond.ws.talk import TalkResource

READY, READY_VARIABLE = "wslink: Starting factory", "WSLINK_READY_MSG"
"""What launchers wait for; the variable says something else, or nothing."""

log = Logger()


@frozen
class Settings:
    """How an application is served.

    :ivar endpoint: a Twisted endpoint string.
    :ivar secret: what clients must know.
    :ivar timeout_s: after how long without a client it ends; 0: never.
    :ivar content: a folder of pages, or empty.
    :ivar origins: of pages that may connect; none: all.
    """

    endpoint: str
    secret: str
    timeout_s: float = 300.0
    content: str = ""
    debug: bool = False
    auth_bytes: int = 512
    origins: tuple[str, ...] = ()


class Serving:
    """One run of an application."""

    def __init__(self, reactor: Any, application: ServerProtocol, settings: Settings) -> None:
        self._reactor, self._settings = reactor, settings
        self._clock = SteadyClock(reactor)
        self._timer: IDelayedCall | None = None
        self._port: IListeningPort | None = None
        self._hosted = Hosted(
            application,
            self._clock,
            settings.secret,
            auth_bytes=settings.auth_bytes,
            debug=settings.debug,
            awaited=run,
            stops=self.stop,
            changed=self._watch,
        )
        self._endpoint = self._hosted.endpoint

    # -- its life ----------------------------------------------------------------------------------------------------

    async def start(self, environment: Mapping[str, str] = os.environ) -> None:
        """Listen, and say so.

        :raises OSError: the address is taken, or none.
        """
        self._hosted.begin()
        site = DoorSite(self._root(), self._reactor, Door())
        self._port = await serverFromString(self._reactor, self._settings.endpoint).listen(site)
        self._reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(self.close()))
        self._watch()
        ready = environment.get(READY_VARIABLE, READY)
        if ready:
            sys.stdout.write(f"{ready}\n")
            sys.stdout.flush()

    def stop(self) -> None:
        """End the program, once replies are on their way."""
        self._reactor.callLater(0.0, self._reactor.stop)

    async def close(self) -> None:
        """Close every client, and wait a moment until they have heard it."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._port is not None:
            await Deferred.fromCoroutine(_awaited(self._port.stopListening()))
        self._endpoint.close()
        gone: Deferred[None] = Deferred()
        for tenth in range(1, 21):
            self._reactor.callLater(tenth / 10, self._look_whether_gone, gone, tenth == 20)
        self._look_whether_gone(gone, late=False)
        await gone

    def _look_whether_gone(self, gone: Deferred[None], late: bool) -> None:
        if not gone.called and (late or not self._endpoint.links):
            gone.callback(None)

    def _watch(self) -> None:
        """Wait for clients where there is none, and no longer than was said."""
        self._stop_timer()
        if self._settings.timeout_s > 0 and not self._endpoint.known_links:
            self._timer = self._clock.call_later(self._settings.timeout_s, self._unused)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _unused(self) -> None:
        log.info("no client has come for {seconds:g} s", seconds=self._settings.timeout_s)
        self.stop()

    # -- what is where -----------------------------------------------------------------------------------------------

    def _root(self) -> IResource:
        links = TalkResource(self._endpoint.open, self._reactor, self._clock, self._check)
        pages = File(self._settings.content) if self._settings.content else NoResource()
        return _Root(links, pages)

    def _check(self, request: Request) -> None:
        origin = header(request, "Origin")
        if self._settings.origins and origin is not None and origin not in self._settings.origins:
            raise Refused(Code.FORBIDDEN, "this origin may not call")


class _Root(Resource):
    """An upgrade is for the links, at whatever path: a proxy in front may have its own. Everything else is a page."""

    def __init__(self, links: IResource, pages: IResource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._links, self._pages = links, pages

    def getChild(self, path: bytes, request: Request) -> IResource:
        """Give the links or a page."""
        if "websocket" in (header(request, "Upgrade") or "").lower():
            request.postpath = []
            return self._links
        if path == b"" and not request.postpath:
            query = request.uri.partition(b"?")[2]
            return Redirect(b"index.html" + (b"?" + query if query else b""))
        found: IResource = self._pages.getChildWithDefault(path, request)
        return found


async def _awaited(value: Any) -> None:
    if isinstance(value, Deferred):
        await value
