"""``/api/v1/events``: what happens, over a WebSocket, or as server-sent events where one is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request

from sessiond.bus.line import Line
from sessiond.bus.topics import Client, Told, Topics, Viewer
from sessiond.core.errors import SHAPES, Code, Refused
from sessiond.ports import Clock
from sessiond.tunnel.frames import Opcode, head
from sessiond.web.access import Access, Caller, Face
from sessiond.web.answers import Answer, problem, send
from sessiond.web.bodies import parse_object
from sessiond.web.events import TYPE, Stream, Wanted, check_topic, read_filter, read_wanted, viewer_of
from sessiond.web.leaf import ApiLeaf, shared_with
from sessiond.ws.talk import TalkResource, TalkSocket

COMMAND_BYTES = 4096
SLOW, BROKEN_COMMAND = 4008, 1003
KEEP_ALIVE_S = 15.0
"""How often something is said to streams: proxies cut what is silent for longer than 30 or 60 seconds."""

log = Logger()


def frame(told: Told) -> bytes:
    """Write an event as one text frame."""
    return head(Opcode.TEXT, len(told.body)) + told.body


class Listener:
    """The :class:`sessiond.ws.talk.Talker` of one client."""

    def __init__(self, feed: Feed, socket: TalkSocket, viewer: Viewer, wanted: Wanted) -> None:
        self._feed, self._socket = feed, socket
        self._line = Line(frame, socket.send, self._too_slow)
        socket.allow(COMMAND_BYTES)
        self._client: Client = feed.topics.open(self._line, viewer, wanted.topics, wanted.filter, wanted.position)

    def received(self, payload: bytes, *, is_text: bool) -> None:
        """Take a command."""
        if not is_text:
            self.end(BROKEN_COMMAND, "commands are text")
            return
        try:
            found = parse_object(payload)
        except Refused as refused:
            self._line.tell(self._client.refuse(None, refused.code.value, refused.detail))
            return
        self._line.tell(self._obeyed(found))

    def _obeyed(self, found: dict[str, Any]) -> Told:
        topic = found.get("topic")
        try:
            name = check_topic(topic, self._feed.topics)
            if found.get("command") == "unsubscribe":
                return self._client.unsubscribe(name)
            if found.get("command") != "subscribe":
                raise Refused(Code.BAD_REQUEST, "command: one of subscribe, unsubscribe is needed")
            wanted = {} if found.get("filter") is None else found["filter"]
            if not isinstance(wanted, dict):
                raise Refused(Code.BAD_REQUEST, "filter: an object is needed")
            filter_ = read_filter(wanted.get("types", []), wanted.get("session"), wanted.get("service"))
            return self._client.subscribe(name, filter_)
        except Refused as refused:
            return self._client.refuse(topic if isinstance(topic, str) else None, refused.code.value, refused.detail)

    def refuses(self) -> None:
        """The client takes no bytes now."""
        self._line.refuses()

    def takes(self) -> None:
        """The client takes bytes again."""
        self._line.takes()

    def look(self) -> None:
        """Nothing is due."""

    def end(self, code: int, reason: str) -> None:
        """Close the connection."""
        self._leave()
        self._socket.close(code, reason)

    def gone(self) -> None:
        """The connection is gone."""
        self._leave()

    def _leave(self) -> None:
        self._line.end()
        self._client.end()
        self._feed.listeners.discard(self)

    def _too_slow(self) -> None:
        log.info("a client of the feed was too slow and is cut ({code})", code=SLOW)
        self.end(SLOW, "too slow")


class Feed:
    """All clients of the feed, whichever way and by whichever listener they came."""

    def __init__(self, topics: Topics, access: Access, reactor: IReactorTime, clock: Clock) -> None:
        self.topics = topics
        self._access, self._reactor, self._clock = access, reactor, clock
        self.listeners: set[Listener] = set()
        self._streams: set[Stream] = set()
        self._timer: IDelayedCall | None = None

    def resource(self, face: Face) -> IResource:
        """Give what lets clients in at a listener."""
        return FeedResource(self, self._access, face)

    def wanted(self, request: Request, face: Face) -> tuple[Viewer, Wanted]:
        """Say who asks for what.

        :raises Refused: it gets nothing.
        """
        viewer = viewer_of(self._access.caller_of(request, face))
        return viewer, read_wanted(request, self.topics)

    def sockets(self, face: Face) -> TalkResource:
        """Give what opens WebSockets at a listener."""
        return TalkResource(self._meet, self._reactor, self._clock, lambda request: self.wanted(request, face))

    def _meet(self, socket: TalkSocket, kept: tuple[Viewer, Wanted]) -> Listener:
        listener = Listener(self, socket, *kept)
        self.listeners.add(listener)
        return listener

    def stream(self, request: Request, face: Face, headers: Mapping[str, str]) -> None:
        """Answer with a stream of events.

        :param headers: that the answer has.
        :raises Refused: it gets none.
        """
        viewer, wanted = self.wanted(request, face)
        stream = Stream(request, headers, self._streams.discard)
        self._streams.add(stream)
        stream.begin(self.topics, viewer, wanted)
        if self._timer is None:
            self._timer = self._clock.call_later(KEEP_ALIVE_S, self._keep_alive)

    def _keep_alive(self) -> None:
        self._timer = None
        for stream in tuple(self._streams):
            stream.keep_alive()
        if self._streams:
            self._timer = self._clock.call_later(KEEP_ALIVE_S, self._keep_alive)

    def close(self) -> None:
        """Let everybody go."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for listener in tuple(self.listeners):
            listener.end(SHAPES[Code.SHUTTING_DOWN].close, Code.SHUTTING_DOWN.value)
        for stream in tuple(self._streams):
            stream.close()


class FeedResource(ApiLeaf):
    """The address of the feed on one listener."""

    isLeaf = True

    def __init__(self, feed: Feed, access: Access, face: Face) -> None:
        super().__init__(access, face)
        self._feed = feed
        self._sockets = feed.sockets(face)

    def render(self, request: Request) -> int:
        """Open a WebSocket or a stream; whatever else is asked is answered as REST answers it."""
        if request.requestHeaders.hasHeader(b"Upgrade"):
            return self._sockets.render(request)
        accepted = b",".join(request.requestHeaders.getRawHeaders(b"Accept", []))
        if request.method != b"GET" or TYPE.encode() not in accepted:
            return super().render(request)
        shared = shared_with(request, self._face)
        try:
            self._feed.stream(request, self._face, shared)
        except Refused as refused:
            send(request, problem(refused).having(shared))
        return NOT_DONE_YET

    async def get(self, request: Request, caller: Caller) -> Answer:
        """Say what is to be asked for."""
        raise Refused(Code.BAD_REQUEST, f"this address is for WebSockets, and for streams (Accept: {TYPE})")
