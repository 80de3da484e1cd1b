"""A program that saves without end and prints what it was told; a test kills it.

Usage: ``python saving.py FILE FIRST``. ``FIRST`` is the first version. Each line is ``SESSION VERSION OFFSET``.
"""

import sys
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import react

from sessiond.stores.sqlite import SqliteStore
from tests.contracts.store import fact, session

SAVERS = 20


async def save_for_ever(store: SqliteStore, number: int, first: int) -> None:
    """Save one session again and again; each version comes with the fact that tells of it."""
    version = first
    while True:
        changed = evolve(session(number), version=version, cause="x" * (version % 500))
        for stored in await store.save(changed, [fact(number, version)]):
            sys.stdout.write(f"{changed.id} {version} {stored.offset}\n")
            sys.stdout.flush()
        version += 1


async def main(reactor: Any, path: str, first: str) -> None:
    """Let several sessions be saved at the same time."""
    store = SqliteStore(path, reactor)
    await store.open()
    for number in range(SAVERS):
        ensureDeferred(save_for_ever(store, number, int(first)))
    await Deferred()


if __name__ == "__main__":
    react(lambda reactor, *arguments: ensureDeferred(main(reactor, *arguments)), sys.argv[1:])
