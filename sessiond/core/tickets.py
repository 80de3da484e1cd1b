"""Tickets: what stands in for a secret in a URL, once and for a minute at most. Data only; time is an argument."""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import frozen

from sessiond.core.errors import Code, Refused

LIFETIME_S = 60.0
"""How long a ticket is good for at most: a URL that somebody finds later opens nothing."""
MOST = 4096
"""How many tickets are kept. Only those that nobody has used yet are."""
MOST_OF_OWNER = 1024
"""How many of them for one owner, so that no owner's tickets keep the others from having any."""

T = TypeVar("T")


@frozen
class Ticket(Generic[T]):
    """One ticket that nobody has used yet. What it reads is told to whoever asked for it, and kept nowhere.

    :ivar stands_for: what it opens.
    :ivar owner: who asked for it.
    :ivar kept_until: when it is forgotten (epoch seconds); ``expires_at``, when it is void, may come sooner.
    """

    stands_for: T
    owner: str
    kept_until: float
    expires_at: float


class TicketBook(Generic[T]):
    """The tickets for one kind of thing, by their digests."""

    def __init__(self) -> None:
        # In the order in which they were issued, which is the order in which they are forgotten.
        self._tickets: dict[bytes, Ticket[T]] = {}

    def __len__(self) -> int:
        return len(self._tickets)

    def issue(
        self,
        digest: bytes,
        owner: str,
        stands_for: T,
        now: float,
        lifetime_s: float = LIFETIME_S,
        spread_s: float = 0.0,
    ) -> float:
        """Take a new ticket in.

        :param owner: who asks for it.
        :param now: epoch seconds.
        :param spread_s: what is added where somebody is told to come again, so that not all come at once.
        :returns: when it expires, in epoch seconds.
        :raises Refused: ``quota``: too many wait to be used.
        """
        self._forget(now)
        theirs = [ticket for ticket in self._tickets.values() if ticket.owner == owner]
        if len(theirs) >= MOST_OF_OWNER or len(self._tickets) >= MOST:
            # Ours or not, a place is free when the first of these goes.
            first = theirs[0] if len(theirs) >= MOST_OF_OWNER else next(iter(self._tickets.values()))
            wait_s = round(first.kept_until - now + spread_s, 1)
            raise Refused(Code.QUOTA, "too many tickets were asked for and not used", retry_after_s=wait_s)
        expires_at = now + min(lifetime_s, LIFETIME_S)
        self._tickets[digest] = Ticket(stands_for, owner, now + LIFETIME_S, expires_at)
        return expires_at

    def take(self, digest: bytes, now: float) -> T | None:
        """Use a ticket up and give what it stands for; ``None`` where there is none, or it is too old."""
        self._forget(now)
        ticket = self._tickets.pop(digest, None)
        return None if ticket is None or ticket.expires_at <= now else ticket.stands_for

    def void(self, stands_for: T) -> None:
        """Drop every ticket for this."""
        for digest in [digest for digest, ticket in self._tickets.items() if ticket.stands_for == stands_for]:
            del self._tickets[digest]

    def _forget(self, now: float) -> None:
        while self._tickets:
            digest, first = next(iter(self._tickets.items()))
            if first.kept_until > now:
                return
            del self._tickets[digest]
