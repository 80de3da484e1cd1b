"""A daemon that is killed (KILL, by itself) at one point of its life: ``struck.py [twistd's arguments]``.

``STRIKE`` in its environment names the point: ``before:Launch``, ``after:Launch`` (any effect by its name),
``saving:ready``, ``saved:ready`` (a save of a session in that state; on the disk, and nothing of it told or done yet),
``spawned`` (the child runs, and nothing of it is recorded). ``#2`` at its end means the second time that it gets there.
``STRUCK`` names a file that is made then.

The production code has no hooks for this: its seams are wrapped here, and then twistd runs.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.scripts.twistd import run

from sessiond.broker import Broker
from sessiond.core.effects import Effect
from sessiond.core.facts import Fact, StoredFact
from sessiond.core.session import Session
from sessiond.launchers.process import ProcessLauncher
from sessiond.stores.sqlite import SqliteStore

POINT, _, NUMBER = os.environ["STRIKE"].partition("#")
_left = [int(NUMBER or 1)]

perform, save, spawn = Broker._perform, SqliteStore.save, ProcessLauncher._spawn


def reach(point: str) -> None:
    """Be at a point; if it is the one, be no more."""
    if point != POINT:
        return
    _left[0] -= 1
    if _left[0] == 0:
        Path(os.environ["STRUCK"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)


def performing(broker: Broker, session_id: str, effect: Effect) -> None:
    """Perform an effect."""
    name = type(effect).__name__
    reach(f"before:{name}")
    perform(broker, session_id, effect)
    reach(f"after:{name}")


def saving(store: SqliteStore, session: Session, facts: Sequence[Fact]) -> Deferred[list[StoredFact]]:
    """Save a session."""
    reach(f"saving:{session.state.value}")
    kept = save(store, session, facts)

    def saved(stored: list[StoredFact]) -> list[StoredFact]:
        reach(f"saved:{session.state.value}")
        return stored

    return kept.addCallback(saved)


def spawning(launcher: ProcessLauncher, *args: Any, **kwargs: Any) -> None:
    """Start a child."""
    spawn(launcher, *args, **kwargs)
    reach("spawned")


for seam, name, wrapped in (
    (Broker, "_perform", performing),
    (SqliteStore, "save", saving),
    (ProcessLauncher, "_spawn", spawning),
):
    setattr(seam, name, wrapped)
sys.argv[0] = "twistd"
run()
