"""Browsers at the pages of sessions: whatever one of them asks for, the broker sees one client.

A browser comes with a token or ticket once, and from then on with a cookie: that is a *visit*. While it has requests
running, and for a while after the last, it is admitted as a client: that is a *stay*. A later request of the visit is
another stay. Nothing of this survives the daemon; a browser whose cookie opens nothing any more needs its token again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from sessiond.broker import Admission
from sessiond.core.errors import SHAPES, Code, Refused
from sessiond.core.events import Dialled, Event, TunnelClosed
from sessiond.core.session import Session
from sessiond.core.values import End, Endpoint
from sessiond.entropy import digest
from sessiond.ports import Clock, Close, Entropy, Tell, TunnelClient
from sessiond.web.outcomes import refusal_of_cut

GRACE_S = 60.0
"""How long a browser counts as connected after its last request."""
READY_S = 55.0
"""How long a request waits for the program: a little less than most proxies wait for us."""
UNCUT_S = 10.0
"""How long requests whose program can't be reached wait for the word that says why; it comes within a second."""
TAKEN_OVER = SHAPES[Code.ALREADY_CONNECTED].close

T = TypeVar("T")
log = Logger()


class Admits(Protocol):
    """What visits want of the broker."""

    def by_digest(self, token_digest: bytes) -> Session:
        """Give the session that the token of a digest opens.

        :raises Refused: it opens none.
        """

    async def admit(self, session_id: str, client: TunnelClient) -> Admission:
        """Let a client in.

        :raises Refused: not now.
        """


class Guest(Protocol):
    """One request of a stay, or one connection that was made of it."""

    def cut(self, close: Close, flush_s: float) -> None:
        """End; deliver what the program has sent, at most for ``flush_s``. It leaves the stay once it is over."""

    @property
    def active_at(self) -> float:
        """The instant of the last byte from the client (epoch seconds)."""


@frozen
class Place:
    """Where a program is reached, and whether that is tried until it succeeds."""

    endpoint: Endpoint
    retry: bool


class Once(Generic[T]):
    """What many wait for and happens once; each may be cancelled alone."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[T]] = []
        self._outcome: Callable[[], Deferred[T]] | None = None

    def wait(self) -> Deferred[T]:
        """Wait for it."""
        if self._outcome is not None:
            return self._outcome()
        waiter: Deferred[T] = Deferred(self._forget)
        self._waiting.append(waiter)
        return waiter

    def give_up(self, waiter: Deferred[T], why: Exception) -> None:
        """Have one wait no longer."""
        self._forget(waiter)
        waiter.errback(why)

    def _forget(self, waiter: Deferred[T]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    def happens(self, what: T) -> None:
        """Tell those who wait."""
        self._come_to(lambda: succeed(what))

    def fails(self, why: Exception) -> None:
        """Tell them that it won't come, where it has not come yet."""
        self._come_to(lambda: fail(why))

    def _come_to(self, outcome: Callable[[], Deferred[T]]) -> None:
        if self._outcome is not None:
            return
        self._outcome = outcome
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.called:  # one of them may have cancelled another
                outcome().chainDeferred(waiter)


class Stay:
    """The :class:`sessiond.ports.TunnelClient` of one browser, from its admission until it has been away for a while.

    :param over: is called once it is no client any more; says whether another client has taken its place.
    :ivar number: what the broker calls it.
    """

    def __init__(self, clock: Clock, over: Callable[[Stay, bool], None]) -> None:
        self._clock, self._over = clock, over
        self.number = 0
        self._tell: Tell | None = None
        self._untold: list[Callable[[], Event]] = []
        self._guests: set[Guest] = set()
        self._entered: Once[None] = Once()
        self._place: Once[Place] = Once()
        self._timer: IDelayedCall | None = None
        self._uncut: IDelayedCall | None = None
        self._cut: Close | None = None
        self._left = self._closed = False
        self._past_at = 0.0
        self.was_reached = False

    # -- the way in --------------------------------------------------------------------------------------------------

    async def enter(self, session_id: str, broker: Admits) -> None:
        """Be admitted; what became of that is told by :meth:`entered`."""
        try:
            admission = await broker.admit(session_id, self)
        except Refused as refused:
            self._end(refused)
            return
        except Exception:  # noqa: BLE001 - whoever waits is answered
            log.failure("a browser could not be let in")
            self._end(Refused(Code.INTERNAL))
            return
        self.number, self._tell = admission.number, admission.tell
        untold, self._untold = self._untold, []
        for make in untold:
            self._tell(make())
        self._entered.happens(None)
        self._look()

    def entered(self) -> Deferred[None]:
        """Wait until it is admitted.

        :raises Refused: (in the Deferred) it is not.
        """
        return self._entered.wait()

    def _end(self, why: Refused) -> None:
        self._stop_timer()
        self._entered.fails(why)
        self._place.fails(why)
        self._leave()

    def _leave(self, *, taken_over: bool = False) -> None:
        if not self._left:
            self._left = True
            self._over(self, taken_over)

    # -- guests ------------------------------------------------------------------------------------------------------

    def join(self, guest: Guest) -> None:
        """Have one more request, which was not there before."""
        self._stop_timer()
        self._guests.add(guest)

    def part(self, guest: Guest) -> None:
        """Have a request no more; when it was the last, the time of grace begins."""
        if guest in self._guests:
            self._past_at = self.active_at
            self._guests.remove(guest)
            self._look()

    def _look(self) -> None:
        if self._guests or self._closed:
            return
        if self._cut is not None:
            self._say_closed(End.OURS, "cut")
        elif self._tell is not None and self._timer is None:
            self._timer = self._clock.call_later(GRACE_S, self.quit)

    def quit(self) -> None:
        """The browser has gone."""
        self._timer = None
        self._say_closed(End.CLIENT, "no more requests")
        self._end(Refused(Code.NOT_ACCEPTING))

    def place(self) -> Deferred[Place]:
        """Wait until the program can be reached.

        :raises Refused: (in the Deferred) it is not ready in time, or it or its client comes to an end before.
        """
        if self._closed:
            return Once[Place]().wait()  # to be cut
        place = self._place.wait()
        timer = self._clock.call_later(READY_S, self._place.give_up, place, Refused(Code.LAUNCH_TIMEOUT))

        def stop(result: T) -> T:
            if timer.active():
                timer.cancel()
            return result

        return place.addBoth(stop)

    def reached(self) -> None:
        """A request has reached the program."""
        if not self.was_reached and not self._closed:
            self.was_reached = True
            self._say(lambda: Dialled(self.number))

    def unreached(self) -> None:
        """No request has reached the program; why not is told by the cut that follows."""
        if not self.was_reached and not self._closed:
            self._say_closed(End.ENDPOINT, "unreachable")
            self._uncut = self._clock.call_later(UNCUT_S, self.cut, SHAPES[Code.UNREACHABLE].close, "", 0.0)

    # -- what the broker wants ---------------------------------------------------------------------------------------

    def dial(self, endpoint: Endpoint, retry: bool) -> None:
        """Let requests go to the program."""
        self._place.happens(Place(endpoint, retry))

    def cut(self, close_code: int, text: str, flush_s: float) -> None:
        """End all that runs."""
        if self._cut is not None or self._left:
            return
        self._cut = Close(close_code, text)
        self._stop_timer()
        if self._uncut is not None and self._uncut.active():
            self._uncut.cancel()
        self._place.fails(refusal_of_cut(self._cut))
        self._entered.fails(refusal_of_cut(self._cut))
        self._leave(taken_over=close_code == TAKEN_OVER)
        for guest in tuple(self._guests):
            guest.cut(self._cut, flush_s)
        self._look()

    @property
    def active_at(self) -> float:
        """The instant of the last byte from the client (epoch seconds); 0.0 before any."""
        return max((self._past_at, *(guest.active_at for guest in self._guests)))

    def _say_closed(self, end: End, detail: str) -> None:
        if not self._closed:
            self._closed = True
            self._say(lambda: TunnelClosed(self.number, end, detail))

    def _say(self, make: Callable[[], Event]) -> None:
        if self._tell is None:
            self._untold.append(make)
        else:
            self._tell(make())

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


class Visit:
    """One browser, or whoever calls with a session's token itself.

    :param token_digest: of the token that it came in by; what voids that ends the visit.
    :param lost: is called where another client has taken its place.
    """

    def __init__(
        self, session: Session, broker: Admits, clock: Clock, lost: Callable[[Visit], None] = lambda visit: None
    ) -> None:
        self.session_id, self._token_digest = session.id, session.token_digest
        self._broker, self._clock, self._lost = broker, clock, lost
        self._stay: Stay | None = None

    @property
    def session(self) -> Session | None:
        """The session, as long as the visit opens it."""
        try:
            session = self._broker.by_digest(self._token_digest)
        except Refused:
            return None
        return session if session.id == self.session_id else None

    def stay(self) -> Stay:
        """Give the stay that goes on, or begin one."""
        if self._stay is None:
            self._stay = stay = Stay(self._clock, self._over)
            Deferred.fromCoroutine(stay.enter(self.session_id, self._broker))
            return stay
        return self._stay

    def quit(self) -> None:
        """The browser never came that far."""
        if self._stay is not None:
            self._stay.quit()

    def _over(self, stay: Stay, taken_over: bool) -> None:
        if self._stay is stay:
            self._stay = None
        if taken_over:
            self._lost(self)


class Visits:
    """All visits, by the digests of what is shown for them."""

    def __init__(self, broker: Admits, entropy: Entropy, clock: Clock) -> None:
        self._broker, self._entropy, self._clock = broker, entropy, clock
        self._by_cookie: dict[bytes, Visit] = {}
        self._by_token: dict[bytes, Visit] = {}

    def __len__(self) -> int:
        return len(self._by_cookie) + len(self._by_token)

    def by_cookie(self, session_id: str, secret: str) -> Visit | None:
        """Give the visit of a session that a cookie stands for; ``None`` where it stands for none of it any more."""
        visit = self._by_cookie.get(digest(secret))
        return visit if visit is not None and visit.session_id == session_id and visit.session is not None else None

    def by_token(self, session: Session) -> Visit:
        """Give the visit of those who show the session's token with every request."""
        visit = self._by_token.get(session.token_digest)
        if visit is None:
            self._sweep()
            visit = self._by_token[session.token_digest] = Visit(session, self._broker, self._clock)
        return visit

    async def open(self, session: Session) -> str:
        """Begin a visit, and give the secret of its cookie.

        :raises Refused: the session takes no client now.
        """
        self._sweep()
        secret = self._entropy.token()
        visit = Visit(session, self._broker, self._clock, lambda lost: self._drop(secret_digest))
        secret_digest = digest(secret)
        self._by_cookie[secret_digest] = visit
        try:
            await visit.stay().entered()
        except BaseException:
            visit.quit()
            self._drop(secret_digest)
            raise
        return secret

    def _drop(self, secret_digest: bytes) -> None:
        self._by_cookie.pop(secret_digest, None)

    def _sweep(self) -> None:
        """Forget what opens nothing any more."""
        for book in (self._by_cookie, self._by_token):
            for key in [key for key, visit in book.items() if visit.session is None]:
                del book[key]
