"""``/api/v1/events`` as server-sent events (HTML standard, section 9.2), and what both of its forms are asked with."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from sessiond.bus.line import Line
from sessiond.bus.topics import SESSIONS, Client, Filter, Position, Told, Topics, Viewer
from sessiond.core.errors import Code, Refused
from sessiond.web.access import Caller, Scope
from sessiond.web.answers import GUARDS
from sessiond.web.bodies import argument, header

TYPE = "text/event-stream"
PATTERN = re.compile(r"[A-Za-z0-9._-]{1,128}\*?|\*", re.ASCII)
WORD = re.compile(r"[^\x00-\x1f\x7f]{1,128}")
POSITION = re.compile(r"([0-9A-Za-z]{1,64}):(\d{1,18})", re.ASCII)
MOST_PATTERNS = 32

log = Logger()


@frozen
class Wanted:
    """What a client asks for."""

    topics: tuple[str, ...]
    filter: Filter
    position: Position | None


def viewer_of(caller: Caller) -> Viewer:
    """Say what a caller may hear.

    :raises Refused: ``forbidden``: nothing.
    """
    caller.need(Scope.READ)
    return Viewer(Scope.OPERATE in caller.scopes, caller.owner, caller.groups)


def read_wanted(request: Request, topics: Topics) -> Wanted:
    """Read the query of a request for events.

    :raises Refused: ``bad-request``, ``not-found`` for a topic that there is not.
    """
    named = tuple(dict.fromkeys((argument(request, "topics") or SESSIONS).split(",")))
    for name in named:
        check_topic(name, topics)
    types = argument(request, "types")
    patterns = types.split(",") if types else []
    filter_ = read_filter(patterns, argument(request, "session"), argument(request, "service"))
    return Wanted(named, filter_, _position(request))


def check_topic(name: object, topics: Topics) -> str:
    """See that there is a topic of a name.

    :raises Refused: ``not-found``.
    """
    if not isinstance(name, str) or name not in topics.names:
        raise Refused(Code.NOT_FOUND, "there is no such topic")
    return name


def read_filter(types: object, session: object, service: object) -> Filter:
    """Read what of a topic is wanted.

    :raises Refused: ``bad-request``.
    """
    if not isinstance(types, list) or len(types) > MOST_PATTERNS:
        raise Refused(Code.BAD_REQUEST, f"types: a list of {MOST_PATTERNS} at most is needed")
    for pattern in types:
        if not isinstance(pattern, str) or PATTERN.fullmatch(pattern) is None:
            raise Refused(Code.BAD_REQUEST, "types: names of types are needed, each perhaps with a * at its end")
    return Filter(tuple(types), _word("session", session), _word("service", service))


def _word(name: str, value: object) -> str | None:
    if value is not None and (not isinstance(value, str) or WORD.fullmatch(value) is None):
        raise Refused(Code.BAD_REQUEST, f"{name}: a name is needed")
    return value


def _position(request: Request) -> Position | None:
    epoch, after = argument(request, "epoch"), argument(request, "after")
    # What a browser's own reconnection says is newer than the address that it goes on using.
    asked = "" if epoch is None and after is None else f"{epoch or ''}:{after or ''}"
    written = header(request, "Last-Event-ID") or asked
    if not written:
        return None
    found = POSITION.fullmatch(written)
    if found is None:
        raise Refused(Code.BAD_REQUEST, "epoch and after: both are needed, as an event said them")
    return Position(found[1], int(found[2]))


def event_text(told: Told) -> bytes:
    """Write an event as one of a stream; only facts have a place in a history."""
    extensions = told.event.extensions
    place = b""
    if "epoch" in extensions and "offset" in extensions:
        place = f"id: {extensions['epoch']}:{extensions['offset']}\n".encode()
    # No line end can stand in it: JSON writes those of texts as escapes.
    return place + b"data: " + told.body + b"\n\n"


@implementer(IPushProducer)
class Stream:
    """One client that reads a stream.

    :param headers: that the answer has beside the usual.
    :param over: is called once it has gone.
    """

    def __init__(self, request: Any, headers: Mapping[str, str], over: Callable[[Stream], None]) -> None:
        self._request, self._headers, self._over = request, headers, over
        self._line = Line(event_text, request.write, self._too_slow)
        self._client: Client | None = None
        self._is_over = False

    def begin(self, topics: Topics, viewer: Viewer, wanted: Wanted) -> None:
        """Answer, and tell from now on."""
        request = self._request
        request.notifyFinish().addBoth(self._gone)
        for name, value in {**GUARDS, **self._headers, "Content-Type": TYPE, "X-Accel-Buffering": "no"}.items():
            request.setHeader(name, value)
        request.write(b"retry: 2000\n\n")
        request.registerProducer(self, True)
        self._client = topics.open(self._line, viewer, wanted.topics, wanted.filter, wanted.position)

    def keep_alive(self) -> None:
        """Say nothing, so that whatever lies between sees that the connection is in use."""
        if not self._is_over:
            self._request.write(b":\n\n")

    def close(self) -> None:
        """End it, in order."""
        if not self._is_over:
            self._request.unregisterProducer()
            self._request.finish()

    def pauseProducing(self) -> None:
        """It takes no bytes."""
        self._line.refuses()

    def resumeProducing(self) -> None:
        """It takes some."""
        self._line.takes()

    def stopProducing(self) -> None:
        """Its connection is gone."""

    def _too_slow(self) -> None:
        log.info("a client of the feed was too slow and is cut (4008)")
        self._request.channel.drop()

    def _gone(self, outcome: object) -> None:
        self._is_over = True
        self._line.end()
        if self._client is not None:
            self._client.end()
        if isinstance(outcome, Failure):
            outcome.trap(Exception)
        self._over(self)
