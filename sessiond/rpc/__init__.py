"""RPC applications, as wslink's are written: classes whose methods browsers call, and topics that are told to them.

An application is a :class:`ServerProtocol` with :class:`LinkProtocol` objects, or one of the latter alone. It runs as a
program of its own, ``python -m sessiond.rpc MODULE:CLASS``, and can be a service of kind ``websocket``.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from sessiond.ws.rpc.endpoint import Endpoint
from sessiond.ws.rpc.methods import register
from sessiond.ws.rpc.values import Attachment

__all__ = [
    "Attachment",
    "LinkProtocol",
    "ServerProtocol",
    "exportRpc",
    "register",
    "schedule_callback",
    "schedule_coroutine",
]

exportRpc = register

log = Logger()


class CoreServer(Protocol):
    """What protocols have of the server that they belong to."""

    @property
    def endpoint(self) -> Endpoint:
        """Give what all links belong to."""

    def stop(self) -> None:
        """End the program in order."""


class LinkProtocol:
    """Methods that clients call, marked by :func:`exportRpc`, and what goes with them.

    :ivar coreServer: the server, once it runs.
    """

    def __init__(self) -> None:
        self.coreServer: CoreServer | None = None
        self._shared: dict[str, Any] = {}

    def init(self, server: CoreServer, shared: dict[str, Any]) -> None:
        """Belong to a server."""
        self.coreServer, self._shared = server, shared

    def publish(
        self,
        topic: str,
        data: Any,
        client_id: str | None = None,
        skip_last_active_client: bool = False,
        *,
        only_newest: bool = False,
    ) -> None:
        """Tell a topic to all clients, or to one; before the server runs, to nobody.

        :param skip_last_active_client: not to the one whose call was begun last.
        :param only_newest: a client that takes no bytes gets only the last of the topic, once it does.
        :raises ValueError: the topic is one that clients do not hear.
        """
        server = getattr(self, "coreServer", None)
        if server is not None:
            skip = skip_last_active_client
            server.endpoint.publish(topic, data, client_id, skip_last_active=skip, only_newest=only_newest)

    def addAttachment(self, data: bytes | bytearray | memoryview) -> Attachment:
        """Make bytes a part of a result or a publication, at any place in it."""
        return Attachment(data)

    def stopServer(self) -> None:
        """End the program in order."""
        server = getattr(self, "coreServer", None)
        if server is not None:
            server.stop()

    def getSharedObject(self, key: str) -> Any:
        """Give what the application shares between its protocols; ``None`` where there is no such thing."""
        return getattr(self, "_shared", {}).get(key)

    def onConnect(self, request: Any, client_id: str) -> None:
        """Hear that a client has become known."""

    def onClose(self, client_id: str) -> None:
        """Hear that a client has gone."""


class ServerProtocol:
    """An application.

    :cvar authKey: what clients must know, where no command line says so.
    """

    authKey: ClassVar[str] = ""

    def __init__(self) -> None:
        self._protocols: list[LinkProtocol] = []
        self._shared: dict[str, Any] = {}
        self._server: Server | None = None

    def initialize(self) -> None:
        """Register protocols; to be overridden."""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Add to the command line; to be overridden."""

    @classmethod
    def configure(cls, args: argparse.Namespace) -> None:
        """Read the command line; to be overridden."""

    def registerLinkProtocol(self, protocol: LinkProtocol) -> None:
        """Offer what a protocol has."""
        self._protocols.append(protocol)
        if self._server is not None:
            self._server.add(protocol)

    def unregisterLinkProtocol(self, protocol: LinkProtocol) -> None:
        """Offer it no more."""
        if protocol in self._protocols:
            self._protocols.remove(protocol)
            if self._server is not None:
                self._server.remove(protocol)

    def getLinkProtocols(self) -> list[LinkProtocol]:
        """Give all protocols."""
        return list(self._protocols)

    def setSharedObject(self, key: str, value: Any) -> None:
        """Share something between protocols."""
        self._shared[key] = value

    def getSharedObject(self, key: str) -> Any:
        """Give what is shared."""
        return self._shared.get(key)

    def updateSecret(self, secret: str) -> None:
        """Have clients know another secret from now on."""
        if self._server is not None:
            self._server.secret = secret

    def attach(self, server: Server) -> None:
        """Belong to a server, which offers what there is and what comes."""
        self._server = server
        self.initialize()
        for protocol in self._protocols:
            server.add(protocol)

    @property
    def shared(self) -> dict[str, Any]:
        """Give all that is shared."""
        return self._shared


class Server(CoreServer, Protocol):
    """What an application has of its server."""

    secret: str

    def add(self, protocol: LinkProtocol) -> None:
        """Offer what a protocol has; ``remove`` no more."""

    def remove(self, protocol: LinkProtocol) -> None:
        """Offer it no more."""


def schedule_callback(delay_s: float, callback: Callable[..., object], *args: Any, **kwargs: Any) -> Any:
    """Have something called later.

    :return: what can be cancelled.
    """
    from twisted.internet import reactor

    return reactor.callLater(delay_s, callback, *args, **kwargs)


def schedule_coroutine(delay_s: float, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
    """Have a coroutine run later; what it fails with is logged."""
    return schedule_callback(delay_s, lambda: run(function(*args)).addErrback(_failed))


def run(coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """Run a coroutine: on asyncio where the reactor is asyncio's, so that it may await what that has."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return Deferred.fromCoroutine(coroutine)
    return Deferred.fromFuture(asyncio.ensure_future(coroutine))


def _failed(failure: Failure) -> None:
    log.failure("a coroutine failed", failure)
