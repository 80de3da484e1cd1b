"""The SQLite store keeps the contract, on a real file and the real reactor, and survives what disks do."""

import os
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from sessiond.core.errors import StoreError
from sessiond.core.facts import StoredFact
from sessiond.ports import Store
from sessiond.stores import writer
from sessiond.stores.sqlite import SqliteStore
from sessiond.stores.tables import Tables
from tests.components import lack
from tests.contracts.store import FULL, KeepingContract, MakeStore, fact, offsets, opened, session
from tests.reactor import within

LIMIT_S = 30.0
TOO_BIG = 2**70
"""A number that no column holds."""


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Fail the test that leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) - before == set()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name the store's file."""
    return tmp_path / "sessions.sqlite"


def store_at(path: Path, keep_facts: int = 100_000) -> SqliteStore:
    """Make a store on the real reactor."""
    from twisted.internet import reactor

    return SqliteStore(path, reactor, keep_facts)  # type: ignore[arg-type]


def in_thread(store: SqliteStore, call: Callable[[Tables], Any]) -> Deferred[Any]:
    """Do something to the open file, in the store's thread."""
    assert store._writer is not None
    return store._writer.read(call)


async def results_of(saves: list[Deferred[list[StoredFact]]]) -> list[list[StoredFact] | StoreError]:
    """Wait for saves, and give for each what it came to."""

    def error_of(failure: Failure) -> StoreError:
        failure.trap(StoreError)
        assert isinstance(failure.value, StoreError)
        return failure.value

    return await gatherResults([save.addErrback(error_of) for save in saves])


async def held(store: SqliteStore) -> threading.Event:
    """Make the store's thread wait until the event is set, as a slow disk does."""
    go = threading.Event()
    waiting = threading.Event()

    def hold(_: Tables) -> None:
        waiting.set()
        go.wait(LIMIT_S)

    in_thread(store, hold).addErrback(lambda _: None)
    assert waiting.wait(LIMIT_S)
    return go


class TestSqliteStore(KeepingContract):
    """The contract, with a new object for each opening."""

    @pytest.fixture
    def make_store(self, path: Path) -> MakeStore:
        """Make the subject."""

        def make(keep_facts: int = 100_000) -> Store:
            return store_at(path, keep_facts)

        return make


@within(LIMIT_S)
async def test_one_file_is_left(path: Path) -> None:
    """While it is open the file and its companions are closed to others; closed, it is one file."""
    store = store_at(path)
    async with opened(store):
        await store.save(session(), [fact()])
        modes = {entry.name: entry.stat().st_mode & 0o777 for entry in path.parent.iterdir()}
        ends = ("", "-wal", "-shm", ".history")
        assert modes == {f"{path.name}{end}": 0o600 for end in ends}
    assert sorted(path.parent.iterdir()) == [path, path.with_name(f"{path.name}.history")]


@within(LIMIT_S)
async def test_syncs(path: Path) -> None:
    """What is told would survive a power cut: every commit is synced into a write-ahead log."""
    store = store_at(path)
    async with opened(store):

        def ask(tables: Tables) -> list[object]:
            return [
                tables.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
            ]

        assert await in_thread(store, ask) == ["wal", 2]


@within(LIMIT_S)
async def test_saves_share_a_transaction(path: Path) -> None:
    """Saves that wait together are committed together, at most so many at a time, and told in one call."""
    from twisted.internet import reactor

    store = store_at(path)
    async with opened(store):
        statements: list[str] = []
        await in_thread(store, lambda tables: tables.connection.set_trace_callback(statements.append))
        go = await held(store)
        saves = [store.save(session(n), [fact(n)]) for n in range(120)]
        go.set()
        turns: list[int] = []
        turn = 0
        for save in saves:
            save.addCallback(lambda _: turns.append(turn))
        while len(turns) < len(saves):
            await deferLater(reactor, 0.001)
            turn += 1
        assert statements.count("COMMIT") == 3
        assert len(set(turns)) <= 3


@within(LIMIT_S)
async def test_bad_save_fails_alone(path: Path) -> None:
    """A save that the file can't hold fails with its facts; its neighbours in the group are kept."""
    store = store_at(path)
    async with opened(store):
        go = await held(store)
        saves = [
            store.save(session(1), [fact(1)]),
            store.save(session(2, version=TOO_BIG), [fact(2)]),
            store.save(session(3), [fact(3), fact(3, version=TOO_BIG)]),
            store.forget("clock-1", [fact(1, version=TOO_BIG)]),
            store.save(session(4), [fact(4)]),
        ]
        go.set()
        failed = [isinstance(result, StoreError) for result in await results_of(saves)]
        assert failed == [False, True, True, True, False]
        assert [each.fact for each in await store.facts(0, 10)] == [fact(1), fact(4)]
        assert offsets(await store.facts(0, 10)) == [1, 2]
    async with opened(store_at(path)) as found:
        assert found == [session(1), session(4)]


@within(LIMIT_S)
async def test_unfit_value_is_refused_at_once(path: Path) -> None:
    """What could not be read again is not written: the error names session and field."""
    store = store_at(path)
    async with opened(store):
        unfit = evolve(session(), options={"size": 1.5})  # type: ignore[dict-item]
        with pytest.raises(StoreError, match=r"'clock-1' can't be written: options\.size: is of no kind"):
            await store.save(unfit, [])
        with pytest.raises(StoreError, match=r"of 'clock-1' can't be written: at: expected a finite number"):
            await store.forget("clock-1", [evolve(fact(), at=float("nan"))])
        with pytest.raises(StoreError, match="at: expected"):
            await store.save(session(), [evolve(fact(), at=float("inf"))])


@within(LIMIT_S)
async def test_failed_commit_fails_its_group(path: Path) -> None:
    """Where the commit fails, every save of the group fails and nothing of it is kept; the next works."""
    store = store_at(path)
    async with opened(store):
        await store.save(session(1), [fact(1)])

        def forbid_commit(tables: Tables) -> None:
            def authorize(action: int, first: str | None, *_: object) -> int:
                forbidden = action == sqlite3.SQLITE_TRANSACTION and first == "COMMIT"
                return sqlite3.SQLITE_DENY if forbidden else sqlite3.SQLITE_OK

            tables.connection.set_authorizer(authorize)

        await in_thread(store, forbid_commit)
        told = await results_of([store.save(session(2), [fact(2)]), store.save(session(1, version=2), [])])
        assert all(isinstance(result, StoreError) for result in told)
        await in_thread(store, lambda tables: tables.connection.set_authorizer(None))
        assert offsets(await store.save(session(3), [fact(3)])) == [2]
    async with opened(store_at(path)) as found:
        assert found == [session(1), session(3)]


async def fill(store: SqliteStore) -> tuple[list[int], list[int]]:
    """Save sessions in groups until some fail; give the numbers of those kept and of those that failed."""
    kept: list[int] = []
    failed: list[int] = []
    for start in range(0, 5000, 10):
        group = range(start, start + 10)
        told = await results_of([store.save(session(n), [fact(n)]) for n in group])
        for n, result in zip(group, told, strict=True):
            (failed if isinstance(result, StoreError) else kept).append(n)
        if failed:
            return kept, failed
    raise AssertionError("it never filled up")


async def check_contents(store: SqliteStore, found: list[int]) -> None:
    """Hold that these sessions have exactly their own facts."""
    assert [each.fact.session_id for each in await store.facts(0, 10_000)] == [f"clock-{n}" for n in found]


@within(LIMIT_S)
async def test_full_file(path: Path) -> None:
    """A file that may not grow fails saves, keeps what was told, and works again once it may."""
    store = store_at(path)
    async with opened(store):
        limit = "PRAGMA max_page_count = {}"
        await in_thread(store, lambda tables: tables.connection.execute(limit.format(60)).fetchone())
        kept, failed = await fill(store)
        assert len(kept) > 10
        await check_contents(store, kept)
        await in_thread(store, lambda tables: tables.connection.execute(limit.format(1_000_000)).fetchone())
        for n in failed:
            await store.save(session(n), [fact(n)])
        await check_contents(store, kept + failed)
    async with opened(store_at(path)) as found:
        assert found == [session(n) for n in kept + failed]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        lack("mounting a small file system takes root")
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "none", folder], capture_output=True, text=True, check=False
    )
    if mounting.returncode:
        lack(f"a small file system can't be mounted: {mounting.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@within(LIMIT_S)
async def test_full_disk(small_disk: Path) -> None:
    """A full disk fails saves, keeps what was told, and once there is space saves work without opening again."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(512 * 1024))
    store = store_at(small_disk / "sessions.sqlite")
    async with opened(store):
        kept, failed = await fill(store)
        assert len(kept) > 10
        await check_contents(store, kept)
        with pytest.raises(StoreError, match="full"):
            await store.save(evolve(session(1), tail=("x" * 1000,) * 600), [])
        ballast.unlink()
        for n in failed:
            await store.save(session(n), [fact(n)])
        await check_contents(store, kept + failed)
    async with opened(store_at(small_disk / "sessions.sqlite")) as found:
        assert {one.id for one in found} == {f"clock-{n}" for n in kept + failed}


@within(LIMIT_S)
async def test_close_on_a_full_disk(small_disk: Path) -> None:
    """A store can be closed while the disk is full; what was told is there after it."""
    store = store_at(small_disk / "sessions.sqlite")
    async with opened(store):
        kept, _ = await fill(store)
    async with opened(store_at(small_disk / "sessions.sqlite")) as found:
        assert [one.id for one in found] == [f"clock-{n}" for n in kept]


@within(LIMIT_S)
async def test_locked_by_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process holds the file locked, saves wait, then fail; the reactor goes on all the time."""
    monkeypatch.setattr("sessiond.stores.opening.LOCK_WAIT_S", 0.05)
    from twisted.internet import reactor

    store = store_at(path)
    async with opened(store):
        other = sqlite3.connect(path, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            save = store.save(session(), [fact()])
            await deferLater(reactor, 0)
            assert not save.called
            with pytest.raises(StoreError, match="locked"):
                await save
        finally:
            other.close()
        assert offsets(await store.save(session(), [fact()])) == [1]


@within(LIMIT_S)
async def test_waiting_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk hangs, saves beyond a bound are refused at once; the others are done later."""
    monkeypatch.setattr(writer, "MAX_WAITING", 10)
    store = store_at(path)
    async with opened(store):
        go = await held(store)
        saves = [store.save(session(n), []) for n in range(9)]
        with pytest.raises(StoreError, match="10 saves wait"):
            await store.save(session(99), [])
        go.set()
        await gatherResults(saves)
        await store.save(session(99), [])


@within(LIMIT_S)
async def test_a_caller_may_give_up(path: Path) -> None:
    """A save that its caller cancelled is done all the same, and harms no other."""
    store = store_at(path)
    async with opened(store):
        go = await held(store)
        given_up = store.save(session(1), [])
        given_up.addErrback(lambda _: None)
        other = store.save(session(2), [])
        given_up.cancel()
        go.set()
        await other
    async with opened(store_at(path)) as found:
        assert found == [session(1), session(2)]


@within(LIMIT_S)
async def test_raising_caller(path: Path) -> None:
    """What a caller's own callback raises stays with it: the rest of the group is told."""
    store = store_at(path)
    async with opened(store):
        go = await held(store)
        bad = store.save(session(1), []).addCallback(lambda _: 1 / 0)
        good = store.save(session(2), [fact(2)])
        go.set()
        assert offsets(await good) == [1]
        with pytest.raises(ZeroDivisionError):
            await bad


@within(LIMIT_S)
async def test_not_opened(tmp_path: Path) -> None:
    """A file that can't be opened is a named error, leaves no thread, and the next try may succeed."""
    store = store_at(tmp_path / "missing" / "sessions.sqlite")
    with pytest.raises(StoreError, match="can't be opened"):
        await store.open()
    await store.close()
    (tmp_path / "missing").mkdir()
    async with opened(store) as found:
        assert found == []


@within(LIMIT_S)
async def test_saves_before_opening_failed(tmp_path: Path) -> None:
    """Whoever saved or closed before it was known that the file can't be opened is told as well."""
    store = store_at(tmp_path / "missing" / "sessions.sqlite")
    opening = store.open()
    saving = store.save(session(), [])
    closing = store.close()
    with pytest.raises(StoreError, match="can't be opened"):
        await opening
    with pytest.raises(StoreError, match="could not be opened"):
        await saving
    await closing


@within(LIMIT_S)
async def test_opens_once(path: Path) -> None:
    """Opening what is open is refused."""
    store = store_at(path)
    async with opened(store):
        with pytest.raises(StoreError, match="open already"):
            await store.open()


@within(LIMIT_S)
async def test_unreadable_session(path: Path) -> None:
    """A session that this version can't read stops the opening: the error names session and field."""
    store = store_at(path)
    async with opened(store):
        await store.save(FULL, [fact()])
    with sqlite3.connect(path) as other:
        other.execute("""UPDATE sessions SET document = json_set(document, '$.state', 'asleep')""")
    other.close()
    with pytest.raises(StoreError, match="'clock-k3v9q2' can't be read: state: no State is called 'asleep'"):
        await store.open()


@within(LIMIT_S)
async def test_unreadable_fact(path: Path) -> None:
    """A fact that this version can't read fails the reading, not the store."""
    store = store_at(path)
    async with opened(store):
        await store.save(session(), [fact()])
        await in_thread(store, lambda tables: tables.connection.execute("UPDATE facts SET type = 'x'").fetchone())
        with pytest.raises(StoreError, match="fact 1 can't be read: type: no FactType is called 'x'"):
            await store.facts(0, 1)
        await store.save(session(), [fact()])
