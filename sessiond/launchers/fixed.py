"""The ``fixed`` launcher: an endpoint that is always there, and no program."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed

from sessiond.core.events import Failed, Gone, Ready, Started
from sessiond.core.services import FixedTarget, Service
from sessiond.core.session import Session
from sessiond.core.values import Endpoint, StopStep, Tcp, Unix
from sessiond.ports import Described, Streams, Tell

NO_TARGET = "the service has no target"


class FixedChild:
    """Stands for a program that is not ours: nothing is done to it, and it is gone when it is no longer wanted."""

    def __init__(self, tell: Tell, endpoint: Endpoint | None) -> None:
        self.endpoint = endpoint
        self.streams: Streams | None = None
        self._tell = tell
        self._gone = False

    def halt(self, step: StopStep) -> None:
        """Tell ``Gone`` at every step but ``drain``, once."""
        if step is not StopStep.DRAIN and not self._gone:
            self._gone = True
            self._tell(Gone())

    def fail(self, cause: str) -> None:
        """Tell that there is no endpoint."""
        self._gone = True
        self._tell(Failed(cause))
        self._tell(Gone())

    def tail(self, lines: int) -> list[str]:
        """Give no output: nothing of it is ours."""
        return []

    def tidy(self) -> None:
        """Delete nothing: nothing was made."""


class FixedLauncher:
    """Gives sessions the endpoint that their service names."""

    adopts = True

    def launch(self, session: Session, service: Service, tell: Tell) -> FixedChild:
        """Tell at once that there is no program of ours and that it is ready."""
        endpoint = endpoint_of(service.target)
        child = FixedChild(tell, endpoint)
        if endpoint is None:
            child.fail(NO_TARGET)
        else:
            tell(Started(None))
            tell(Ready(endpoint))
        return child

    def recover(self, session: Session, tell: Tell) -> FixedChild:
        """Go on: there is nothing that could have been lost."""
        return FixedChild(tell, session.endpoint)

    def describe(self, service: Service) -> Deferred[Described]:
        """Say where it is; whether anybody listens there only a client may find out."""
        endpoint = endpoint_of(service.target)
        return succeed(Described(str(endpoint)) if endpoint is not None else Described(cause=NO_TARGET))

    def close(self) -> Deferred[None]:
        """Let go of nothing."""
        return succeed(None)


def endpoint_of(target: FixedTarget | None) -> Endpoint | None:
    """Give the endpoint that a target names: its socket, else its port; ``None`` if it names neither."""
    if target is None:
        return None
    if target.socket is not None:
        return Unix(target.socket)
    return Tcp(target.host, target.port) if target.port is not None else None
