"""How a SQLite file is made, upgraded and refused: whole, or not at all."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sessiond.core.errors import StoreError
from sessiond.stores.opening import _prepare, connect, schema_steps
from sessiond.stores.rows import row_of
from sessiond.stores.tables import Tables
from tests.contracts.store import FULL

STEPS = schema_steps()
NEXT = """
ALTER TABLE sessions ADD COLUMN colour TEXT;
UPDATE sessions SET colour = 'red', document = json_set(document, '$.colour', 'red');
"""
BROKEN = "CREATE TABLE extra (id TEXT); DROP TABLE nowhere;"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name the file."""
    return tmp_path / "sessions.sqlite"


def ask(path: Path, query: str) -> Any:
    """Ask for one value, as a stranger does."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchone()[0]


def make(path: Path) -> None:
    """Make a file of today's schema with a session in it."""
    with closing(connect(path, STEPS)) as connection:
        Tables(connection, 10).put(row_of(FULL), [])


def test_steps_are_complete() -> None:
    """Every schema step is shipped, and the last is what a new file has."""
    assert STEPS
    assert all("CREATE" in step or "ALTER" in step or "UPDATE" in step for step in STEPS)


def test_makes(path: Path) -> None:
    """A new file has the newest schema and mode 0600; nothing lies beside it."""
    connect(path, STEPS).close()
    assert ask(path, "PRAGMA user_version") == len(STEPS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_leaves_nothing_behind(path: Path) -> None:
    """What is deleted is overwritten in the file, whatever SQLite was built to do."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        _prepare(connection, path, STEPS)
        assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)


def test_makes_all_or_nothing(path: Path) -> None:
    """Where making fails, the file stays empty and the next try succeeds."""
    with pytest.raises(StoreError, match="can't be used: no such table: nowhere"):
        connect(path, [STEPS[0], BROKEN])
    assert ask(path, "SELECT count(*) FROM sqlite_master") == 0
    assert ask(path, "PRAGMA user_version") == 0
    connect(path, STEPS).close()
    assert ask(path, "PRAGMA user_version") == len(STEPS)


def test_closes_an_open_file_to_others(path: Path) -> None:
    """A file that others may read gets mode 0600."""
    make(path)
    path.chmod(0o644)
    connect(path, STEPS).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_upgrades(path: Path) -> None:
    """Missing steps are taken in order, and what was there before lies beside it, complete, with mode 0600."""
    make(path)
    connect(path, [*STEPS, NEXT, "UPDATE sessions SET colour = colour || 'dish';"]).close()
    assert ask(path, "PRAGMA user_version") == len(STEPS) + 2
    assert ask(path, "SELECT colour FROM sessions") == "reddish"
    backup = path.with_name(f"sessions.sqlite.schema-{len(STEPS)}")
    assert sorted(path.parent.iterdir()) == [path, backup]
    assert backup.stat().st_mode & 0o777 == 0o600
    with closing(connect(backup, STEPS)) as connection:
        assert Tables(connection, 10).sessions() == [FULL]


def test_upgrades_all_or_nothing(path: Path) -> None:
    """Where a step fails, none was taken; a later try with a better one succeeds, and its backup is the newest."""
    make(path)
    for _ in range(2):
        with pytest.raises(StoreError, match="no such table: nowhere"):
            connect(path, [*STEPS, NEXT, BROKEN])
    with closing(connect(path, STEPS)) as connection:
        assert Tables(connection, 10).sessions() == [FULL]
    connect(path, [*STEPS, NEXT]).close()
    assert ask(path, "SELECT colour FROM sessions") == "red"


def test_leftover_of_a_backup(path: Path) -> None:
    """Half a backup, left by a crash, is no obstacle and does not stay."""
    make(path)
    part = path.with_name(f"sessions.sqlite.schema-{len(STEPS)}.part")
    part.write_bytes(b"half")
    connect(path, [*STEPS, NEXT]).close()
    assert not part.exists()


def test_no_upgrade_without_a_backup(path: Path) -> None:
    """Where the backup can't be made, the file stays as it is."""
    make(path)
    path.with_name(f"sessions.sqlite.schema-{len(STEPS)}").mkdir()
    with pytest.raises(StoreError, match="can't be used"):
        connect(path, [*STEPS, NEXT])
    assert ask(path, "PRAGMA user_version") == len(STEPS)


def test_refuses_a_newer_file(path: Path) -> None:
    """What a newer version has written is refused and not changed."""
    make(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=rf"has schema {len(STEPS) + 1}, this version of sessiond knows {len(STEPS)}"):
        connect(path, STEPS)
    assert path.read_bytes() == before


def test_refuses_a_strangers_file(path: Path) -> None:
    """A database of another program is refused and not changed."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (id TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="belongs to another program"):
        connect(path, STEPS)
    assert path.read_bytes() == before


def test_refuses_what_is_no_database(path: Path) -> None:
    """Any other file is refused and not changed."""
    path.write_bytes(b"shopping list" * 1000)
    with pytest.raises(StoreError, match="file is not a database"):
        connect(path, STEPS)
    assert path.read_bytes() == b"shopping list" * 1000


def test_refuses_a_folder(path: Path) -> None:
    """A folder in the place of the file is a named error."""
    path.mkdir()
    with pytest.raises(StoreError, match="can't be opened"):
        connect(path, STEPS)
