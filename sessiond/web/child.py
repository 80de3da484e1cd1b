"""The child listener: where programs report that they are ready, live, or end.

The address holds a session's secret, and the program puts its session's id behind. So any program can report that can
POST to a URL which is given to it, whatever headers it sends.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Protocol

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Request

from sessiond.core.errors import Code, Refused
from sessiond.core.session import Session
from sessiond.core.values import Liveliness, State
from sessiond.web.access import NOBODY, Caller
from sessiond.web.answers import Answer, problem
from sessiond.web.bodies import argument, header
from sessiond.web.leaf import Branch, JsonLeaf, NotFound, finish_anyway


class Hears(Protocol):
    """What reports want of the broker."""

    def session(self, session_id: str) -> Session:
        """Give a session as it was last saved.

        :raises Refused: ``unknown-session``.
        """

    def report(self, session_id: str, what: Liveliness) -> Deferred[Session | None]:
        """Take a child's own report.

        :raises Refused: (in the Deferred) not in a state to report in.
        """


class Wording(Protocol):
    """How the programs of one protocol report, and what they are answered."""

    def what(self, word: str | None) -> Liveliness | None:
        """Read what a program says; ``None`` where that is nothing, which is no fault.

        :param word: the argument ``liveliness`` of the URL.
        :raises Refused: ``bad-request``.
        """

    def taken(self) -> Answer:
        """Answer a report that was taken."""

    def refused(self, refused: Refused) -> Answer:
        """Answer one that was not: ``bad-request``, ``unknown-session``, or as the broker says."""


class Native:
    """sessiond's own way: 204, or a problem document."""

    def what(self, word: str | None) -> Liveliness | None:
        """Read one of three words."""
        return liveliness_of(word)

    def taken(self) -> Answer:
        """Say nothing."""
        return Answer(None, 204)

    def refused(self, refused: Refused) -> Answer:
        """Say why."""
        return problem(refused)


def liveliness_of(word: str | None) -> Liveliness:
    """Read what a program says.

    :raises Refused: ``bad-request``.
    """
    what = next((what for what in Liveliness if what.value == word), None)
    if what is None:
        raise Refused(Code.BAD_REQUEST, "liveliness: ready, ping or disconnect is needed")
    return what


@frozen
class Base:
    """A place where reports come in.

    :ivar path: what stands between the secret and the id.
    :ivar without_secret: reports are taken there from whoever on this machine knows the id, too.
    """

    path: tuple[bytes, ...] = ()
    wording: Wording = field(factory=Native)
    without_secret: bool = False


class ChildRoot(Branch):
    """Everything that the child listener serves: ``POST /SECRET/[BASE/]ID?liveliness=ready|ping|disconnect``.

    ``//`` counts as ``/``, also at the end: programs join address and id as they like.
    """

    def __init__(self, broker: Hears, bases: Sequence[Base] = ()) -> None:
        super().__init__()
        self._broker = broker
        self._bases = {base.path: base for base in (Base(), *bases)}

    def getChildWithDefault(self, path: bytes, request: Request) -> Resource:
        """Give what takes the reports of one session, whether that is there or not."""
        *front, last = [part for part in (path, *(request.postpath or ())) if part] or [b""]
        session_id = last.decode("utf-8", "replace")
        base = self._bases.get(tuple(front))
        if base is not None and base.without_secret:
            return Reports(self._broker, base, session_id)
        base = self._bases.get(tuple(front[1:]))
        return Reports(self._broker, base, session_id, front[0]) if front and base is not None else NotFound()


class Reports(JsonLeaf):
    """Takes the reports of one session. Whether it is there is not told to who has not its secret.

    :param secret: ``None`` where none is asked for.
    """

    isLeaf = True

    def __init__(self, broker: Hears, base: Base, session_id: str, secret: bytes | None = None) -> None:
        super().__init__()
        self._broker, self._base, self._id, self._secret = broker, base, session_id, secret

    def admit(self, request: Request, verb: str) -> Caller:
        """Keep pages away; programs prove themselves by the path."""
        if header(request, "Origin") is not None:
            raise Refused(Code.FORBIDDEN, "a page is no program")
        return NOBODY

    async def post(self, request: Request, caller: Caller) -> Answer:
        """Take a report; what stands in its body is of no interest."""
        wording = self._base.wording
        try:
            what = wording.what(argument(request, "liveliness"))
            self._check()
            if what is not None:
                await finish_anyway(self._broker.report(self._id, what), lambda session: None)
        except Refused as refused:
            return wording.refused(refused)
        return wording.taken()

    def _check(self) -> None:
        try:
            session = self._broker.session(self._id)
        except Refused:
            session = None
        own = b"" if session is None else session.child_secret.encode()
        proven = self._secret is None or (hmac.compare_digest(own, self._secret) and own != b"")
        if session is None or session.state is State.ENDED or not proven:
            raise Refused(Code.UNKNOWN_SESSION)
