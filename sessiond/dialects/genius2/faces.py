"""What the dialect puts onto listeners: its contexts, each at one path or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.web.resource import IResource
from twisted.web.server import Request

from sessiond.broker import Broker
from sessiond.config import Genius2
from sessiond.core.errors import Code, Refused
from sessiond.core.facts import StoredFact
from sessiond.dialects.genius2 import lists
from sessiond.dialects.genius2.entry import Entry
from sessiond.dialects.genius2.front import Front
from sessiond.dialects.genius2.host import PartyHost
from sessiond.dialects.genius2.leaf import Elsewhere, Giving, PlainLeaf, free_of, runs_of
from sessiond.dialects.genius2.numbering import Numbers
from sessiond.dialects.genius2.pages import home_of, repository_of
from sessiond.dialects.genius2.transcripts import Transcripts
from sessiond.dialects.genius2.words import plain
from sessiond.ports import RelayLimits, Shelf
from sessiond.web.access import Face
from sessiond.web.answers import Answer
from sessiond.ws.bulletin import Bulletins, Text
from sessiond.ws.greeting import Host

RUNNING_S = 1.0
"""How often the list of runs is told to those who listen, beside every change."""

Greeter = Callable[[Host, RelayLimits], IResource]
Find = Callable[[Sequence[bytes], Request], IResource | None]

log = Logger()


class Genius2Faces:
    """The dialect as listeners have it.

    :param greeting: makes the resource that greets clients.
    :param bulletins: lets those in who listen to lists.
    :param state: where transcripts are kept.
    :param shelf: keeps what must outlive the daemon.
    """

    def __init__(
        self, settings: Genius2, broker: Broker, greeting: Greeter, bulletins: Bulletins, state: Path, shelf: Shelf
    ) -> None:
        self._broker, self._greeting, self._bulletins = broker, greeting, bulletins
        self._timer: IDelayedCall | None = None
        self._warned: set[str] = set()
        self.fronts: list[Front] = []
        numbers = Numbers(shelf)
        for context in settings.contexts:
            kept = Transcripts(state / "transcripts" / context.name, context.transcript_bytes)
            self.fronts.append(Front(context, broker, numbers, kept if context.transcript else None))

    def start(self) -> None:
        """Begin to look for parties."""
        for front in self.fronts:
            front.folder.start()
        self._tick()

    def stop(self) -> None:
        """Look no more, and let go of who listens."""
        for front in self.fronts:
            front.folder.stop()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._bulletins.close()

    def hear(self, stored: StoredFact) -> None:
        """Take note of a fact."""
        for front in self.fronts:
            front.hear(stored.fact)

    def _tick(self) -> None:
        self._timer = self._broker.clock.call_later(RUNNING_S, self._tick)
        for front in self.fronts:
            front.running.post()

    # -- what is where -----------------------------------------------------------------------------------------------

    def paths(self, face: Face) -> Find:
        """Make what finds the resource for a path within a context."""
        places = []
        for front in self.fronts:
            for path in front.context.paths:
                parts = tuple(part.encode() for part in path.strip("/").split("/"))
                places.append((parts, self._within(front, Entry(front.context, path, face))))
        # The longest first: one context may lie below another.
        places.sort(key=lambda place: -len(place[0]))

        def find(path: Sequence[bytes], request: Request) -> IResource | None:
            for prefix, within in places:
                if tuple(path[: len(prefix)]) == prefix:
                    return within([part for part in path[len(prefix) :] if part])
            return None

        return find

    def elsewhere(self) -> IResource:
        """Make what stands for every other path."""
        return Elsewhere([path for front in self.fronts for path in front.context.paths])

    def _within(self, front: Front, entry: Entry) -> Callable[[Sequence[bytes]], IResource]:
        host = PartyHost(front, entry)
        party = self._greeting(host, host.limits)
        fixed: dict[tuple[bytes, ...], IResource] = {
            (): PlainLeaf(entry, home_of(front, entry)),
            (b"free",): PlainLeaf(entry, free_of(front)),
            (b"partiesrepo",): PlainLeaf(entry, repository_of(front, entry)),
        }
        for bulletin, notices, name in (
            (front.available, _Available(front, entry, self._warned), b"available"),
            (front.running, _Running(front, entry), b"running"),
        ):
            fixed[name,] = fixed[b"websocket", name] = self._bulletins.resource(bulletin, notices)
        nothing = PlainLeaf(entry, _nothing)

        def find(path: Sequence[bytes]) -> IResource:
            if tuple(path) in fixed:
                return fixed[tuple(path)]
            match path:
                case [b"run", name]:
                    return PlainLeaf(entry, runs_of(front, entry, name.decode("ascii", "replace")))
                case [b"party", _] | [b"websocket", b"party", _]:
                    return party
                case [b"transcripts", run]:
                    return PlainLeaf(entry, _transcript_of(front, run.decode("ascii", "replace")))
            return nothing

        return find


class _Available:
    """The :class:`sessiond.ws.bulletin.Notices` of the list of parties."""

    def __init__(self, front: Front, entry: Entry, warned: set[str]) -> None:
        self._front, self._entry, self._warned = front, entry, warned

    def turn_away(self, request: Request, refused: Refused) -> Answer:
        """Answer what is no WebSocket, or must not become one."""
        return self._entry.turn_away(request, refused)

    def tells(self, request: Request) -> Text:
        """Give what tells it in the addresses of this request."""
        self._entry.check(request)
        base = self._entry.base(request)
        return lambda: self._tell(base)

    def _tell(self, base: str) -> bytes:
        context = self._front.context
        told = lists.available(self._front.folder.accepted(), base, context.description_characters)
        if len(told) > lists.CLIENT_BYTES and context.name not in self._warned:
            self._warned.add(context.name)
            log.warn(
                "the list of {name} has {size} bytes: clients that take no more than {most} fail with it",
                name=context.name,
                size=len(told),
                most=lists.CLIENT_BYTES,
            )
        return told


class _Running:
    """The :class:`sessiond.ws.bulletin.Notices` of the list of runs."""

    def __init__(self, front: Front, entry: Entry) -> None:
        self._front, self._entry = front, entry

    def turn_away(self, request: Request, refused: Refused) -> Answer:
        """Answer what is no WebSocket, or must not become one."""
        return self._entry.turn_away(request, refused)

    def tells(self, request: Request) -> Text:
        """Give what tells it."""
        self._entry.check(request)
        return lambda: lists.running(self._front.runs)


def _transcript_of(front: Front, run: str) -> Giving:
    async def give(request: Request) -> Answer:
        kept = None if front.transcripts is None else front.transcripts.read(run)
        if kept is None:
            raise Refused(Code.NOT_FOUND)
        return Answer(kept, headers={"Content-Type": "text/plain; charset=utf-8"})

    return give


async def _nothing(request: Request) -> Answer:
    return plain("nothing here; a parties server has available, running, free, run, party and partiesrepo", 404)
