"""The applications that the daemon itself serves, each at its path."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.resource import IResource
from twisted.web.server import Request

from sessiond.config import RpcApplication
from sessiond.core.errors import Code, ConfigError, Refused
from sessiond.ports import Clock
from sessiond.rpc.finding import Unusable, class_of, made
from sessiond.rpc.hosting import Hosted
from sessiond.web.access import OTHER_ORIGIN
from sessiond.web.bodies import header
from sessiond.web.origins import read_origin
from sessiond.ws.talk import TalkResource

log = Logger()


class Applications:
    """All of them. The end of an application is that of its clients' connections, and no more.

    :raises ConfigError: an application is not there, or fails when it is made.
    """

    def __init__(self, settings: Sequence[RpcApplication], clock: Clock, reactor: IReactorTime) -> None:
        self._clock, self._reactor = clock, reactor
        self._hosted = [(one, self._host(one)) for one in settings]

    def _host(self, settings: RpcApplication) -> Hosted:
        try:
            application = made(class_of(settings.application))
        except Unusable as unusable:
            raise ConfigError(f"dialects.wslink.applications.{settings.name}.application: {unusable}") from unusable

        def stop() -> None:
            hosted.endpoint.close()

        hosted = Hosted(
            application,
            self._clock,
            settings.secret,
            auth_bytes=settings.auth_bytes,
            debug=settings.debug,
            stops=stop,
        )
        return hosted

    def start(self) -> None:
        """Have the applications begin; one that fails has no methods, and the log says why."""
        for settings, hosted in self._hosted:
            try:
                hosted.begin()
            except Exception:  # noqa: BLE001 - an operator's own code: whatever it is, the daemon goes on
                log.failure("the application {name} could not begin", name=settings.name)

    def stop(self) -> None:
        """Let everybody go."""
        for _, hosted in self._hosted:
            hosted.endpoint.close()

    def places(self) -> dict[tuple[bytes, ...], IResource]:
        """Make what answers at each application's path, which is told by its parts."""
        return {
            tuple(settings.path.strip("/").encode().split(b"/")): TalkResource(
                hosted.endpoint.open, self._reactor, self._clock, _check(settings)
            )
            for settings, hosted in self._hosted
        }


def _check(settings: RpcApplication) -> Callable[[Request], None]:
    allowed = {read_origin(origin) for origin in settings.origins}

    def check(request: Request) -> None:
        origin = header(request, "Origin")
        if origin is not None and allowed and read_origin(origin) not in allowed:
            raise Refused(Code.FORBIDDEN, OTHER_ORIGIN)

    return check
