"""Numbers of runs: each is given once, whatever happens to the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults

from sessiond.core.errors import Code, Refused
from sessiond.dialects.genius2.numbering import BLOCK, ROW, Numbers
from sessiond.ports import Shelf
from sessiond.stores.sqlite import SqliteStore
from tests.dialects.genius2.house import Hall
from tests.fakes.stores import UnreliableStore
from tests.reactor import within
from tests.results import failure_of, result_of


def given(numbers: Numbers, count: int = 1) -> list[int]:
    """Take so many at once."""
    return result_of(gatherResults([Deferred.fromCoroutine(numbers.next()) for _ in range(count)]))


def test_counts() -> None:
    """They count up from 1, whoever asks at the same time, and go on behind a restart."""
    shelf = UnreliableStore().shelf("genius2")
    numbers = Numbers(shelf)
    assert given(numbers, 3) == [1, 2, 3]
    assert given(numbers, 2 * BLOCK) == list(range(4, 2 * BLOCK + 4))
    [behind] = given(Numbers(shelf))
    assert behind == 3 * BLOCK + 1


def test_a_full_disk() -> None:
    """Without a disk there is no number that could be given again, and once there is one it goes on."""
    store = UnreliableStore()
    numbers = Numbers(store.shelf("genius2"))
    store.broken = True
    refused: Any = failure_of(Deferred.fromCoroutine(numbers.next()), Refused).value
    assert refused.code is Code.STORE_UNAVAILABLE
    store.broken = False
    assert given(numbers, BLOCK) == list(range(1, BLOCK + 1))
    store.broken = True
    failure_of(Deferred.fromCoroutine(numbers.next()), Refused)
    store.broken = False
    assert given(numbers) == [BLOCK + 1]


def test_a_broken_row() -> None:
    """What is no number is not guessed at."""
    shelf: Shelf = UnreliableStore().shelf("genius2")
    result_of(shelf.put(ROW, b"many"))
    failure_of(Deferred.fromCoroutine(Numbers(shelf).next()), Refused)


def test_caller_without_a_number(tmp_path: Path) -> None:
    """Who asks while nothing can be written is told to come again."""
    hall = Hall(tmp_path, "p")
    hall.store.broken = True
    answer = hall.get("/run/p")
    assert answer.status == 503
    assert answer.text.startswith("retry later at ")
    hall.store.broken = False
    assert hall.get("/run/p").text.endswith("/party/p_1")


@within(30)
async def test_forgotten_runs(tmp_path: Path) -> None:
    """The numbers go on though no session is on record any more, from a store that was never closed."""
    from twisted.internet import reactor

    last = 0
    for _ in range(3):
        store = SqliteStore(tmp_path / "sessions.sqlite", reactor)  # type: ignore[arg-type]
        assert await store.open() == []
        number = await Numbers(store.shelf("genius2")).next()
        assert number > last
        last = number
        await store.close()


@pytest.mark.parametrize("count", [1, 5])
def test_ids_of_two_parties(tmp_path: Path, count: int) -> None:
    """A number stands in one id only."""
    hall = Hall(tmp_path, "p", "q", slots=20)
    ids = [hall.get(f"/run/{name}").text.rpartition("_")[2] for name in "pq" * count]
    assert ids == [str(number) for number in range(1, 2 * count + 1)]
