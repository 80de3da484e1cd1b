"""Tickets as they are issued and taken: a secret for whoever asked, its digest for the book."""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import field, frozen

from sessiond.core.errors import Code, Refused
from sessiond.core.tickets import LIFETIME_S, TicketBook
from sessiond.entropy import digest
from sessiond.ports import Clock, Entropy

T = TypeVar("T")


@frozen
class Issued:
    """A new ticket: the only time that it is told.

    :ivar expires_at: in epoch seconds; ``expires_in_s`` the seconds until then.
    """

    ticket: str = field(repr=False)
    expires_at: float
    expires_in_s: float


class Tickets(Generic[T]):
    """Tickets for one kind of thing. They are kept in memory only: with the daemon's end all are void."""

    def __init__(self, entropy: Entropy, clock: Clock) -> None:
        self._entropy, self._clock = entropy, clock
        self._book: TicketBook[T] = TicketBook()

    def __len__(self) -> int:
        return len(self._book)

    def issue(self, owner: str, stands_for: T, lifetime_s: float = LIFETIME_S) -> Issued:
        """Make a ticket.

        :param owner: who asks for it.
        :raises Refused: ``quota``.
        """
        ticket, now = self._entropy.token(), self._clock.now()
        spread_s = 4.0 * self._entropy.fraction()
        expires_at = self._book.issue(digest(ticket), owner, stands_for, now, lifetime_s, spread_s)
        return Issued(ticket, expires_at, expires_at - now)

    def take(self, ticket: str) -> T:
        """Use a ticket up, and give what it stands for.

        :raises Refused: ``unauthenticated``; whether it ever opened anything is not told.
        """
        found = self._book.take(digest(ticket), self._clock.now())
        if found is None:
            raise Refused(Code.UNAUTHENTICATED)
        return found

    def void(self, stands_for: T) -> None:
        """Have no ticket for this open anything any more."""
        self._book.void(stands_for)
