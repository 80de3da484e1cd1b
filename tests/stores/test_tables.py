"""The SQL of sessions and facts: what pruning takes away."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sessiond.stores.opening import connect, schema_steps
from sessiond.stores.rows import fact_row_of
from sessiond.stores.tables import PRUNE_ROWS, Tables
from tests.contracts.store import fact


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Tables]:
    """Open a new file that keeps ten facts."""
    with closing(connect(tmp_path / "sessions.sqlite", schema_steps())) as connection:
        yield Tables(connection, keep_facts=10)


def add_facts(tables: Tables, count: int) -> None:
    """Add facts in one transaction."""
    tables.connection.execute("BEGIN")
    tables.drop("nobody", [fact_row_of(fact())] * count)
    tables.connection.execute("COMMIT")


def offsets(tables: Tables) -> list[int]:
    """Read the offsets of all facts."""
    return [each.offset for each in tables.facts(0, 100 * PRUNE_ROWS)]


def test_prunes_in_bounded_pieces(tables: Tables) -> None:
    """However many facts are too many, one pruning takes away a bounded number, the oldest."""
    newest = 5 * PRUNE_ROWS
    add_facts(tables, newest)
    for oldest in (2 * PRUNE_ROWS + 1, 4 * PRUNE_ROWS + 1, 4 * PRUNE_ROWS + 1):
        tables.prune()
        assert offsets(tables) == list(range(oldest, newest + 1))
    add_facts(tables, 10)
    tables.prune()
    assert offsets(tables) == list(range(newest + 1, newest + 11))


def test_prunes_nothing_in_time(tables: Tables) -> None:
    """Until there are many too many facts, all of them stay."""
    tables.prune()
    add_facts(tables, PRUNE_ROWS)
    tables.prune()
    assert len(offsets(tables)) == PRUNE_ROWS


def test_asks_for_a_negative_number(tables: Tables) -> None:
    """A negative limit is none at all, though SQLite takes it for no limit."""
    add_facts(tables, 3)
    assert tables.facts(0, -1) == []
