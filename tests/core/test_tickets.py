"""The book of tickets: once, for a while, and never too many."""

from __future__ import annotations

import pytest

from sessiond.core.errors import Code, Refused
from sessiond.core.tickets import LIFETIME_S, MOST, MOST_OF_OWNER, TicketBook

NOW = 1_000_000.0


def fill(book: TicketBook[str], count: int, owner: str, now: float = NOW) -> None:
    """Have an owner ask for many tickets."""
    for number in range(count):
        book.issue(f"{owner}-{now}-{number}".encode(), owner, "x", now)


def refused(book: TicketBook[str], owner: str, now: float = NOW, spread_s: float = 0.0) -> float | None:
    """Hold that an owner gets no more tickets, and give the seconds after which to come again."""
    with pytest.raises(Refused) as found:
        book.issue(b"one more", owner, "x", now, spread_s=spread_s)
    assert found.value.code is Code.QUOTA
    return found.value.retry_after_s


def test_once() -> None:
    """A ticket gives what it stands for once."""
    book: TicketBook[str] = TicketBook()
    assert book.issue(b"a", "ada", "x", NOW) == NOW + LIFETIME_S
    assert book.take(b"b", NOW) is None
    assert book.take(b"a", NOW) == "x"
    assert book.take(b"a", NOW) is None
    assert len(book) == 0


@pytest.mark.parametrize(
    ("wanted_s", "given_s"), [(LIFETIME_S, LIFETIME_S), (5.0, 5.0), (0.5, 0.5), (61.0, LIFETIME_S), (1e9, LIFETIME_S)]
)
def test_lifetime(wanted_s: float, given_s: float) -> None:
    """A ticket is good until its time is over, which is no longer than the longest, whoever asks."""
    for passed_s, opens in ((0.0, True), (given_s - 0.01, True), (given_s, False), (1e6, False)):
        book: TicketBook[str] = TicketBook()
        assert book.issue(b"a", "ada", "x", NOW, wanted_s) == NOW + given_s
        assert (book.take(b"a", NOW + passed_s) == "x") is opens


def test_expired_is_forgotten() -> None:
    """What has expired is kept no longer than any ticket may live."""
    book: TicketBook[str] = TicketBook()
    fill(book, 10, "ada")
    book.issue(b"short", "ada", "x", NOW, 1.0)
    assert book.take(b"nothing", NOW + LIFETIME_S - 0.01) is None
    assert len(book) == 11
    assert book.take(b"nothing", NOW + LIFETIME_S) is None
    assert len(book) == 0


def test_void() -> None:
    """Every ticket for a thing can be dropped, and those for others stay."""
    book: TicketBook[str] = TicketBook()
    for digest, stands_for in ((b"a", "x"), (b"b", "y"), (b"c", "x")):
        book.issue(digest, "ada", stands_for, NOW)
    book.void("x")
    assert [book.take(digest, NOW) for digest in (b"a", b"b", b"c")] == [None, "y", None]


def test_most_of_an_owner() -> None:
    """One owner has only so many; others are not concerned, and used ones do not count."""
    book: TicketBook[str] = TicketBook()
    fill(book, MOST_OF_OWNER, "ada")
    assert refused(book, "ada", NOW + 10.0) == LIFETIME_S - 10.0
    assert refused(book, "ada", NOW + 10.0, 2.5) == LIFETIME_S - 7.5
    book.issue(b"b", "bob", "y", NOW)
    assert book.take(f"ada-{NOW}-7".encode(), NOW) == "x"
    book.issue(b"a", "ada", "x", NOW)
    refused(book, "ada")


def test_most_of_all() -> None:
    """All together have only so many, and it is told when the first of them goes."""
    book: TicketBook[str] = TicketBook()
    owners = MOST // MOST_OF_OWNER
    for number in range(owners):
        fill(book, MOST_OF_OWNER, f"owner{number}", NOW + number)
    assert len(book) == MOST
    assert refused(book, "late", NOW + 10.0) == LIFETIME_S - 10.0
    book.issue(b"late", "late", "x", NOW + LIFETIME_S)
    assert len(book) == MOST - MOST_OF_OWNER + 1
