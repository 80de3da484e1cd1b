"""An application and its links, whoever listens for them: its methods, its clients, and who these may be."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from sessiond.ports import Clock
from sessiond.rpc import LinkProtocol, ServerProtocol
from sessiond.ws.rpc.endpoint import AUTH_BYTES, Endpoint, Secret
from sessiond.ws.rpc.link import Link
from sessiond.ws.rpc.methods import Methods
from sessiond.ws.rpc.values import Message


class Hosted:
    """The :class:`sessiond.rpc.Server` of one application.

    :param secret: what clients must know, where the application has no hook of its own.
    :param awaited: runs coroutines.
    :param stops: ends what the application belongs to, where it or a client asks for that.
    :param changed: is called when a client has become known or has gone.
    """

    def __init__(
        self,
        application: ServerProtocol,
        clock: Clock,
        secret: str,
        *,
        auth_bytes: int = AUTH_BYTES,
        debug: bool = False,
        awaited: Callable[[Coroutine[Any, Any, Any]], Deferred[Any]] = Deferred.fromCoroutine,
        stops: Callable[[], object] = lambda: None,
        changed: Callable[[], object] = lambda: None,
    ) -> None:
        self._application, self._awaited, self._stops, self._changed = application, awaited, stops, changed
        self._methods, self._secret = Methods(), Secret(secret)
        self.endpoint = Endpoint(
            clock,
            self._methods,
            self,
            auth_bytes=auth_bytes,
            shows_traces=debug,
            awaited=awaited,
            exits=lambda delay_s: stops(),
            connected=self._connected,
            left=self._left,
        )

    def begin(self) -> None:
        """Have the application offer what it has."""
        self._application.attach(self)

    @property
    def secret(self) -> str:
        """Give what clients must know."""
        return self._secret.secret

    @secret.setter
    def secret(self, secret: str) -> None:
        self._secret.secret = secret

    def add(self, protocol: LinkProtocol) -> None:
        """Offer what a protocol has."""
        protocol.init(self, self._application.shared)
        self._methods.add(protocol)

    def remove(self, protocol: LinkProtocol) -> None:
        """Offer it no more."""
        self._methods.remove(protocol)

    def stop(self) -> None:
        """End what the application belongs to."""
        self._stops()

    async def knows(self, hello: Message, link: Link) -> object:
        """Ask the hooks of the protocols where there are some, all of whom must agree; else compare the secret."""
        hooks = [getattr(protocol, "validateToken", None) for protocol in self._application.getLinkProtocols()]
        asked = [hook for hook in hooks if hook is not None]
        if not asked:
            return await self._secret.knows(hello, link)
        for hook in asked:
            if await self._awaited(hook(hello.get("secret"), link.client_id)) is not True:
                return None
        return True

    def _connected(self, link: Link) -> None:
        for protocol in self._application.getLinkProtocols():
            protocol.onConnect(link.request, link.client_id)
        self._changed()

    def _left(self, link: Link) -> None:
        if link.is_known:
            for protocol in self._application.getLinkProtocols():
                protocol.onClose(link.client_id)
        self._changed()
