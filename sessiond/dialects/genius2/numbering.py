"""The numbers in the ids of runs, which no later run gets again: not after a restart, and not after a kill."""

from __future__ import annotations

from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from sessiond.core.errors import Code, Refused, StoreError
from sessiond.ports import Shelf

ROW = "number"
BLOCK = 100
"""How many numbers one write sets apart: only one run of so many waits for the disk, and a restart leaves a gap."""

log = Logger()


class Numbers:
    """Gives one number after another.

    :param shelf: keeps the last number that may have been given.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._lock = DeferredLock()
        self._last = self._kept = -1

    async def next(self) -> int:
        """Give the next number, from 1 on.

        :raises Refused: ``store-unavailable``: it could be given again after a restart.
        """
        await self._lock.acquire()
        try:
            if self._last == self._kept:
                await self._set_apart()
            self._last += 1
            return self._last
        finally:
            self._lock.release()

    async def _set_apart(self) -> None:
        try:
            if self._kept < 0:
                self._last = int(await self._shelf.get(ROW) or b"0")
            until = self._last + BLOCK
            await self._shelf.put(ROW, str(until).encode())
        except (StoreError, ValueError) as error:
            log.error("no numbers for runs: {why}", why=error)
            raise Refused(Code.STORE_UNAVAILABLE) from error
        self._kept = until
