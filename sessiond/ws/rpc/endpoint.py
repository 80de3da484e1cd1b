"""All links of one endpoint: what they can call, who they may be, and what is published to them."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from sessiond.core.errors import repeated
from sessiond.entropy import SystemEntropy
from sessiond.ports import Clock
from sessiond.tunnel.frames import Opcode, head
from sessiond.ws.rpc import packed, text
from sessiond.ws.rpc.link import Generation, Link, Socket
from sessiond.ws.rpc.methods import Methods
from sessiond.ws.rpc.values import Message, check_topic, publication_of

AUTH_BYTES, AUTH_TEXT_BYTES = 512, 8192
TEXT_BYTES = 64 << 20
WAITING_BYTES = 64 << 20
"""How much may wait for a client that takes no bytes."""
TOPICS_KEPT, UNKNOWN_KEPT = 1000, 100
SHUTDOWN = "Server shutdown"
LETTERS = "abcdefghijklmnopqrstuvwxyz"

log = Logger()


@frozen
class _Publication:
    """What is to be told, and to whom.

    :ivar written: the message by generation, once for all clients of each: keys of attachments are the endpoint's own
        for that, not a client's.
    """

    topic: str
    value: object
    links: Sequence[Link]
    only_newest: bool
    written: Mapping[Generation | None, bytes]


class Guard(Protocol):
    """Who decides which clients are known."""

    async def knows(self, hello: Message, link: Link) -> object:
        """Give who a client is by what it says in its hello; ``None`` where it is nobody."""


class Secret:
    """Knows whoever has one secret."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    async def knows(self, hello: Message, link: Link) -> object:
        """Compare."""
        said = hello.get("secret")
        if not isinstance(said, str):
            return None
        same = hmac.compare_digest(said.encode("utf-8", "replace"), self.secret.encode("utf-8", "replace"))
        return True if same else None


class Endpoint:
    """One endpoint.

    :param guard: knows clients.
    :param left: is called with each client that has gone.
    :param awaited: runs coroutines of methods.
    :param connected: is called with each client that has become known.
    :param explains: gives what is told of an expected error beside the usual; ``None`` for one that is a failure.
    :param is_shared: whether its clients have nothing to do with each other, so that none may end all.
    :param exits: ends what the endpoint belongs to, so many seconds from now.
    :ivar last_active: the client whose call was begun last.
    """

    def __init__(
        self,
        clock: Clock,
        methods: Methods,
        guard: Guard,
        *,
        auth_bytes: int = AUTH_BYTES,
        auth_text_bytes: int = AUTH_TEXT_BYTES,
        text_bytes: int = TEXT_BYTES,
        waiting_bytes: int = WAITING_BYTES,
        limits: packed.Limits | None = None,
        shows_traces: bool = False,
        awaited: Callable[[Coroutine[Any, Any, Any]], Deferred[Any]] = Deferred.fromCoroutine,
        explains: Callable[[BaseException], Message | None] = lambda error: None,
        is_shared: bool = False,
        exits: Callable[[float], object] = lambda delay_s: None,
        connected: Callable[[Link], object] = lambda link: None,
        left: Callable[[Link], object] = lambda link: None,
    ) -> None:
        self.clock, self.methods, self._guard = clock, methods, guard
        self.auth_bytes, self.auth_text_bytes = auth_bytes, auth_text_bytes
        self.text_bytes, self.waiting_bytes = text_bytes, waiting_bytes
        self.limits = packed.Limits() if limits is None else limits
        self.shows_traces, self._awaited, self.explains = shows_traces, awaited, explains
        self._is_shared, self._exits, self._connected, self._left = is_shared, exits, connected, left
        self._entropy = SystemEntropy()
        self.links: dict[str, Link] = {}
        self.last_active: Link | None = None
        self._keys = self._numbers = 0
        self._held: list[_Publication] | None = None
        self._topics: dict[str, None] = {}
        self._unknown: set[object] = set()
        self._exiting: IDelayedCall | None = None

    # -- clients -----------------------------------------------------------------------------------------------------

    def open(self, socket: Socket, request: object = None) -> Link:
        """Take a client whose handshake is done."""
        link = Link(self, socket, self._client_id(), request)
        self.links[link.client_id] = link
        return link

    def _client_id(self) -> str:
        # The strictest client knows no other characters.
        return "c" + "".join(LETTERS[int(self._entropy.fraction() * len(LETTERS))] for _ in range(32))

    async def knows(self, hello: Message, link: Link) -> object:
        """Ask who a client is."""
        return await self._guard.knows(hello, link)

    def known(self, link: Link) -> None:
        """A client has said who it is. One that comes while all are to be ended is a page that was loaded anew."""
        if self._exiting is not None and self._exiting.active():
            self._exiting.cancel()
            log.info("link {id} has come: the end that was asked for is taken back", id=link.client_id)
        self._exiting = None
        self._connected(link)

    def gone(self, link: Link) -> None:
        """A client's connection is gone."""
        if self.links.pop(link.client_id, None) is None:
            return
        if self.last_active is link:
            self.last_active = None
        self._left(link)

    @property
    def known_links(self) -> list[Link]:
        """Give the clients that are known."""
        return [link for link in self.links.values() if link.is_known]

    def close(self) -> None:
        """Close all."""
        if self._exiting is not None and self._exiting.active():
            self._exiting.cancel()
        for link in tuple(self.links.values()):
            link.end(1001, SHUTDOWN)

    def exit(self, delay_s: float, link: Link) -> None:
        """End everything that belongs to the endpoint, as a client asks; where all share it, that one's link."""
        if self._is_shared:
            self.clock.call_later(delay_s, link.end, 1001, SHUTDOWN)
            return
        if self._exiting is not None and self._exiting.active():
            self._exiting.cancel()
        self._exiting = self.clock.call_later(delay_s, self._exit)

    def _exit(self) -> None:
        self._exiting = None
        self.close()
        self._exits(0.0)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        """Run what a method gave instead of a value."""
        return self._awaited(coroutine)

    # -- publications ------------------------------------------------------------------------------------------------

    def begin_call(self, link: Link) -> list[_Publication] | None:
        """From now on, until ``end_call``, what is published is held: it stands behind the reply of the method.

        :return: what ``end_call`` wants back.
        """
        self.last_active = link
        outer, self._held = self._held, []
        return outer

    def end_call(self, outer: list[_Publication] | None) -> None:
        """Tell what was held: each client gets all of it in one piece."""
        held, self._held = self._held, outer
        if held:
            together: dict[Link, list[bytes]] = {}
            for publication in held:
                self._tell(publication, together)
            for link, pieces in together.items():
                link.publish(pieces)

    def publish(
        self,
        topic: str,
        value: object,
        client_id: str | None = None,
        *,
        links: Sequence[Link] | None = None,
        skip_last_active: bool = False,
        only_newest: bool = False,
    ) -> None:
        """Tell clients; all that are known, or one, or some.

        :param skip_last_active: leave out the one whose call was begun last.
        :param only_newest: a client that takes no bytes gets only the last of the topic, once it does.
        :raises ValueError: the topic is one that clients do not hear.
        :raises Unencodable: the value can't be written.
        """
        check_topic(topic)
        if client_id is not None:
            links = [link for link in (self.links.get(client_id),) if link is not None]
        elif skip_last_active and self.last_active is not None:
            links = [link for link in self.links.values() if link is not self.last_active]
        if topic not in self._topics and len(self._topics) < TOPICS_KEPT:
            self._topics[topic] = None
        told = [link for link in (self.links.values() if links is None else links) if link.is_known]
        message = publication_of(topic, value)
        written = {generation: self.written(generation, message) for generation in {link.generation for link in told}}
        publication = _Publication(topic, value, told, only_newest, written)
        if self._held is not None:
            self._held.append(publication)
        else:
            self._tell(publication)

    def _tell(self, publication: _Publication, together: dict[Link, list[bytes]] | None = None) -> None:
        """Send a publication to those who want to hear it, or lay it beside others that go with it."""
        topic, value = publication.topic, publication.value
        for link in publication.links:
            if not link.hears(topic, value):
                continue
            found = publication.written[link.generation]
            if publication.only_newest:
                link.publish_newest(topic, found)
            elif together is None:
                link.publish((found,))
            else:
                together.setdefault(link, []).append(found)

    def topics(self) -> list[str]:
        """Name the topics that have been published to."""
        return sorted(self._topics)

    def written(self, generation: Generation | None, message: Message) -> bytes:
        """Write a message as one generation reads it, in whole messages of the WebSocket.

        :raises Unencodable: something in it can't be written.
        """
        if generation is Generation.PACKED:
            self._numbers = self._numbers + 1 & 0xFFFFFFFF
            frames = packed.encode(message, self._numbers)
            return b"".join(
                piece
                for before, content in frames
                for piece in (head(Opcode.BINARY, len(before) + len(content)), before, content)
            )
        parts = text.encode(message, self._new_key)
        return b"".join(
            piece
            for is_text, part in parts
            for piece in (head(Opcode.TEXT if is_text else Opcode.BINARY, len(part)), part)
        )

    def _new_key(self) -> str:
        key, self._keys = f"wslink_bin{self._keys}", self._keys + 1
        return key

    # -- what the log is told once -----------------------------------------------------------------------------------

    def note_mismatch(self, client_id: str) -> None:
        """A client of the newer generation sent text: two libraries do not fit."""
        if ("text", client_id) not in self._unknown and len(self._unknown) < UNKNOWN_KEPT:
            self._unknown.add(("text", client_id))
            log.warn("link {id}: a client that speaks 2.x sent text, which 1.x does: it is ignored", id=client_id)

    def note_unknown(self, method: str | None, client_id: str) -> None:
        """A client calls what nobody offers."""
        if method not in self._unknown and len(self._unknown) < UNKNOWN_KEPT:
            self._unknown.add(method)
            log.warn("link {id}: there is no method {method}", id=client_id, method=repeated(str(method)))
