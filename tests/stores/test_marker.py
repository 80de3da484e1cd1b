"""An older copy of a store in its place is noticed: its history is another one."""

import shutil
from pathlib import Path

from twisted.internet import reactor

from sessiond.core.facts import History
from sessiond.stores.marker import STEP, Mark, Marker
from sessiond.stores.sqlite import SqliteStore
from tests.contracts.store import LIMIT_S, fact, session
from tests.reactor import within


async def told(path: Path, facts: int = 0) -> History:
    """Open a store, add some facts, and give its history."""
    store = SqliteStore(path, reactor)  # type: ignore[arg-type]
    await store.open()
    for _ in range(facts):
        await store.save(session(), [fact()])
    history = await store.history()
    await store.close()
    return history


@within(LIMIT_S)
async def test_restored(tmp_path: Path) -> None:
    """A store goes on where it was; a copy that was put back does not pass for it once it is known to be behind."""
    path, copy = tmp_path / "store", tmp_path / "copy"
    first = await told(path, 3)
    assert await told(path) == first
    shutil.copy(path, copy)
    later = await told(path, STEP + 1)
    assert (later.epoch, later.newest) == (first.epoch, STEP + 4)
    shutil.copy(copy, path)
    restored = await told(path)
    assert restored.newest == 3
    assert restored.epoch != first.epoch
    assert await told(path) == restored


@within(LIMIT_S)
async def test_without_the_marker(tmp_path: Path) -> None:
    """A marker that is lost, or holds nothing that can be read, does no harm."""
    path = tmp_path / "store"
    first = await told(path, 3)
    marker = path.with_name("store.history")
    for content in (None, b"", b"\xff", b"a b c", b"word word"):
        marker.unlink()
        if content is not None:
            marker.write_bytes(content)
        assert await told(path) == first


@within(LIMIT_S)
async def test_a_store_of_an_older_version(tmp_path: Path) -> None:
    """Another store beside the marker of one that was deleted has an epoch of its own."""
    path = tmp_path / "store"
    first = await told(path, 3)
    path.unlink()
    assert (await told(path)).epoch != first.epoch


def test_a_full_disk(tmp_path: Path) -> None:
    """What can't be written is not there, and nothing fails."""
    marker = Marker(tmp_path / "nowhere" / "store")
    marker.write("e", 1)
    marker.passed("e", 500)
    assert marker.read() is None


def test_steps(tmp_path: Path) -> None:
    """It is written now and then, not for each fact."""
    marker = Marker(tmp_path / "store")
    marker.write("e", 0)
    marker.passed("e", STEP - 1)
    assert marker.read() == Mark("e", 0)
    marker.passed("e", STEP)
    assert marker.read() == Mark("e", STEP)
