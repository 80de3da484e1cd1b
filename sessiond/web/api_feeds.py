"""``/api/v1/feeds/NAME``: events of others, handed in over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from twisted.web.resource import Resource
from twisted.web.server import Request

from sessiond.bus.cloudevents import CONTENT_TYPE, VERSION, NoEvent, read
from sessiond.bus.topics import Feed, Topics
from sessiond.core.errors import BusError, Code, Refused
from sessiond.core.facts import CloudEvent
from sessiond.ports import Bus
from sessiond.web.access import Access, Caller, Face, Scope
from sessiond.web.answers import Answer
from sessiond.web.bodies import BODY_BYTES, check_keys, parse_object
from sessiond.web.leaf import ApiLeaf, Branch, NotFound

SHORT = frozenset(("type", "subject", "data", "owner"))
"""What an event may say that leaves the rest to the daemon."""


class Feeds(Branch):
    """All feeds by their names.

    :param new_id: makes the id of an event that came without one.
    """

    def __init__(self, topics: Topics, bus: Bus, access: Access, face: Face, new_id: Callable[[], str]) -> None:
        super().__init__()
        self._topics, self._bus, self._access, self._face, self._new_id = topics, bus, access, face, new_id

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Give the feed of a name."""
        name = path.decode("utf-8", "replace")
        if name not in self._topics.feeds:
            return NotFound()
        return OneFeed(self._topics.feeds[name], self._bus, self._access, self._face, self._new_id)


class OneFeed(ApiLeaf):
    """One feed. Whoever may hand events in may say of each whose it is, so it takes the scope ``operate``."""

    isLeaf = True
    needs: ClassVar[Mapping[str, Scope]] = {"POST": Scope.OPERATE}

    def __init__(self, feed: Feed, bus: Bus, access: Access, face: Face, new_id: Callable[[], str]) -> None:
        super().__init__(access, face)
        self._feed, self._bus, self._new_id = feed, bus, new_id

    async def post(self, request: Request, caller: Caller) -> Answer:
        """Take one event: a CloudEvent in JSON, or its type, subject and data."""
        kind = (request.getHeader("Content-Type") or "").partition(";")[0].strip().lower()
        if kind not in (CONTENT_TYPE, "application/json"):
            raise Refused(Code.UNSUPPORTED, f"application/json or {CONTENT_TYPE} is needed")
        raw = b"" if request.content is None else request.content.read(BODY_BYTES + 1)
        if len(raw) > BODY_BYTES:
            raise Refused(Code.TOO_LARGE)
        event = self._event(parse_object(raw))
        try:
            await self._bus.emit(self._feed.name, event)
        except BusError as error:
            raise Refused(Code.NOT_ACCEPTING, str(error)) from None
        return Answer({"id": event.id}, 202)

    def _event(self, found: dict[str, Any]) -> CloudEvent:
        if "specversion" not in found:
            check_keys(found, SHORT)
            own = {"specversion": VERSION, "id": self._new_id(), "source": f"/feeds/{self._feed.name}"}
            found = {**own, **self._owned(found)}
        try:
            return read(found)
        except NoEvent as error:
            raise Refused(Code.BAD_REQUEST, str(error)) from None

    def _owned(self, found: dict[str, Any]) -> dict[str, Any]:
        """Put the owner of an event where those of the feed have it."""
        rest, owner = {name: value for name, value in found.items() if name != "owner"}, found.get("owner")
        if owner is None:
            return rest
        data = {} if rest.get("data") is None else rest["data"]
        if self._feed.owner_field is None or not isinstance(owner, str) or not isinstance(data, dict):
            raise Refused(Code.BAD_REQUEST, "owner: this feed's events, or this one, can't have one")
        return {**rest, "data": {**data, self._feed.owner_field: owner}}
