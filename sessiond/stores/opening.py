"""Opens a SQLite file: made or brought to our schema whole or not at all, with a backup of what was there before."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from sessiond.core.errors import StoreError

LOCK_WAIT_S = 5.0
"""How long another process (an operator's shell) may hold the file locked before a save fails."""

WAL_KEPT_BYTES = 16 * 1024 * 1024
"""To how much the write-ahead log is cut back once a peak is over."""

MODE = 0o600
"""Of the file and its backups: sessions hold what children prove themselves with."""


def schema_steps() -> list[str]:
    """Read ``schema/sqlite-0001.sql`` and those behind it: number N brings a file from schema N - 1 to N."""
    folder = resources.files("sessiond.stores") / "schema"
    found = sorted(
        entry.name for entry in folder.iterdir() if entry.name.startswith("sqlite-") and entry.name.endswith(".sql")
    )
    if not found or found != [f"sqlite-{number:04}.sql" for number in range(1, len(found) + 1)]:
        raise StoreError(f"the schema files are incomplete: {', '.join(found) or 'none'}")
    return [(folder / name).read_text(encoding="utf-8") for name in found]


def connect(path: Path, steps: Sequence[str]) -> sqlite3.Connection:
    """Open the file, and make or upgrade what is in it. It belongs to the calling thread.

    :param steps: the SQL of each schema step.
    :raises StoreError: it can't be opened, is not ours, or was written by a newer version; then it was not changed.
    """
    try:
        _own(path)
        # isolation_level None: we say ourselves where a transaction begins.
        connection = sqlite3.connect(path, timeout=LOCK_WAIT_S, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} can't be opened: {error}") from error
    try:
        _prepare(connection, path, steps)
    except (OSError, sqlite3.Error) as error:
        connection.close()
        raise StoreError(f"{path} can't be used: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _own(path: Path) -> None:
    """Make the file, or close an existing one to others; SQLite gives its companions the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE))
    except FileExistsError:
        # By name: closing a descriptor of a database that is open drops its locks.
        path.chmod(MODE)


def _prepare(connection: sqlite3.Connection, path: Path, steps: Sequence[str]) -> None:
    version = _version(connection)
    if version > len(steps):
        raise StoreError(f"{path} has schema {version}, this version of sessiond knows {len(steps)} at most")
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError(f"{path} belongs to another program")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(f"{path} is on a file system without a write-ahead log (got {mode!r})")
    connection.execute("PRAGMA synchronous = FULL")
    # Of a child secret, which a session has until its end, nothing stays behind in the file.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
    if version < len(steps):
        if version:
            _back_up(connection, path, version)
        _upgrade(connection, version, steps)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Put a copy as ``NAME.schema-N`` beside the file; one from an upgrade that failed is replaced."""
    backup = path.with_name(f"{path.name}.schema-{version}")
    part = path.with_name(f"{backup.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    try:
        connection.execute("VACUUM INTO ?", (str(part),))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.replace(backup)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _upgrade(connection: sqlite3.Connection, version: int, steps: Sequence[str]) -> None:
    """Take every missing step in one transaction: after a crash the file has the old schema or the new one."""
    pending = [*steps[version:], f"PRAGMA user_version = {len(steps)};"]
    try:
        connection.executescript("\n".join(["BEGIN IMMEDIATE;", *pending, "COMMIT;"]))
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
