"""Binds the listeners: they listen at once, and are read once the daemon is ready; clients wait in the backlog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import frozen
from OpenSSL import SSL, crypto
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError, VerifyError
from twisted.internet.interfaces import IProtocolFactory

from sessiond.config import Listener


class ListenError(Exception):
    """A listener can't be opened; the text says which and why."""


@frozen
class Bound:
    """A listener that listens.

    :ivar port: the port as Twisted knows it.
    """

    listener: Listener
    port: Any

    def accept(self) -> None:
        """Begin to read: those who wait in the backlog come first."""
        self.port.startReading()

    async def close(self) -> None:
        """Listen no more; connections that are open stay open."""
        await maybeDeferred(self.port.stopListening)

    @property
    def url(self) -> str | None:
        """Give the URL that people open, ``None`` where there is none (a UNIX socket)."""
        return self.local_url if self.listener.public_url is None else self.listener.public_url + "/"

    @property
    def local_url(self) -> str | None:
        """Give the URL by which programs on this machine reach it, ``None`` where there is none."""
        address = self.port.getHost()
        host, port = getattr(address, "host", None), getattr(address, "port", None)
        if host is None:
            return None
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - only shown
        host = f"[{host}]" if ":" in host else host
        return f"http{'s' * self.listener.secure}://{host}:{port}/"


async def bind(reactor: object, listener: Listener, factory: IProtocolFactory) -> Bound:
    """Listen where a listener says, without reading.

    :raises ListenError: the address is taken or not ours, or a key or certificate can't be used.
    """
    try:
        endpoint = serverFromString(reactor, listener.endpoint)
        port = await endpoint.listen(factory)
    except CannotListenError as error:
        place = _place(error)
        raise ListenError(f"listeners.{listener.name}: can't listen{place}: {_why(error.socketError)}") from None
    except (OSError, ValueError, KeyError, IndexError, VerifyError, SSL.Error, crypto.Error) as error:
        raise ListenError(f"listeners.{listener.name}: {_cause(listener, error)}") from None
    # Nothing ran since it began to listen, so nothing was accepted yet.
    port.stopReading()
    return Bound(listener, port)


def _place(error: CannotListenError) -> str:
    """Say where, as far as that is known: an address and a port, or the path of a socket."""
    if isinstance(error.port, int):
        return f" on port {error.port} of {error.interface or 'all addresses'}"
    return f" on {error.port}" if error.port else ""


def _why(error: object) -> str:
    return str(getattr(error, "strerror", None) or error)


def _cause(listener: Listener, error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{Path(str(error.filename))}: {error.strerror}"
    if listener.secure:
        # OpenSSL's errors are lists of tuples that help nobody.
        return "the key and the certificate can't be used: not PEM, or they don't belong to each other"
    if listener.endpoint.startswith("systemd:"):
        return "systemd has handed over no such socket"
    return _why(error)
