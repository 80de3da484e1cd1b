"""What clients can call: functions by their URIs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from attrs import frozen

from sessiond.ws.rpc.values import check_uri

MARK, CONCURRENT = "_wslinkuris", "_sessiond_concurrent"
"""The attributes of a function that the decorator leaves; others than us read the first."""

F = TypeVar("F", bound=Callable[..., Any])


@frozen
class Method:
    """One of them.

    :ivar concurrent: whether it may overtake others of its connection, and be overtaken.
    """

    uri: str
    call: Callable[..., Any]
    concurrent: bool = False


def register(uri: str, *, concurrent: bool = False) -> Callable[[F], F]:
    """Make a decorator that offers a method to clients.

    :param concurrent: it need not wait for those that its connection has called before, nor these for it.
    :raises ValueError: the URI is none.
    """
    check_uri(uri)

    def mark(function: F) -> F:
        setattr(function, MARK, [*getattr(function, MARK, ()), {"uri": uri}])
        setattr(function, CONCURRENT, concurrent)
        return function

    return mark


def methods_of(protocol: object) -> Iterator[Method]:
    """Give what an object offers: of several URIs of one method, the first counts."""
    for name in dir(type(protocol)):
        uris = getattr(getattr(type(protocol), name, None), MARK, None)
        if uris:
            call = getattr(protocol, name)
            yield Method(uris[0]["uri"], call, getattr(call, CONCURRENT, False))


class Methods:
    """All that one endpoint offers."""

    def __init__(self, protocols: Iterable[object] = ()) -> None:
        self._methods: dict[str, Method] = {}
        for protocol in protocols:
            self.add(protocol)

    def add(self, protocol: object) -> None:
        """Offer what an object has; of two with one URI, the later."""
        self._methods |= {method.uri: method for method in methods_of(protocol)}

    def remove(self, protocol: object) -> None:
        """Offer that no more."""
        for method in methods_of(protocol):
            if self._methods.get(method.uri) == method:
                del self._methods[method.uri]

    def get(self, uri: str) -> Method | None:
        """Give one."""
        return self._methods.get(uri)

    def uris(self) -> list[str]:
        """Name them."""
        return sorted(self._methods)
