"""Being told that files grew: one inotify instance for all, and no file that grows without end keeps it busy."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from sessiond.ports import Clock

IN_MODIFY = 0x00000002
IN_Q_OVERFLOW = 0x00004000
IN_ONESHOT = 0x80000000
EVENT = struct.Struct("iIII")
READ_BYTES = 64 * 1024

PAUSE_S = 0.01
"""How long after a look the next one comes while a file grows. It bounds what a chatty child costs the daemon: a look
every 10 ms, instead of an event for every line (a whole core)."""

LOST_S = 1.0
"""How often a file is looked at that can't be watched: it is gone, or the user has no watches left."""

Look = Callable[[], bool]
"""Looks at a file that may have grown; says whether it had since the last look. A busy file is looked at by the clock,
and a quiet one costs nothing."""


@define(eq=False)
class Watched:
    """A file that is looked at when it grew.

    :ivar wd: inotify's number for the file while it waits for an event, ``None`` between looks.
    """

    path: Path
    look: Look
    wd: int | None = None
    pause: IDelayedCall | None = None
    dropped: bool = False


@implementer(IReadDescriptor)
class GrowthWatch:
    """Watches any number of files with one descriptor (a user has 128 inotify instances by default).

    :param reactor: tells when events wait.
    """

    def __init__(self, reactor: IReactorFDSet, clock: Clock) -> None:
        self._reactor = reactor
        self._clock = clock
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._waiting: dict[int, Watched] = {}
        self._all: set[Watched] = set()
        reactor.addReader(self)

    def watch(self, path: Path, look: Look) -> Watched:
        """Have ``look`` called soon, and whenever the file may have grown."""
        watched = Watched(path, look)
        self._all.add(watched)
        self._pause(watched, PAUSE_S)
        return watched

    def drop(self, watched: Watched) -> None:
        """Watch a file no more. Doing it twice does no harm."""
        watched.dropped = True
        self._all.discard(watched)
        if watched.pause is not None and watched.pause.active():
            watched.pause.cancel()
        self._disarm(watched)

    def close(self) -> None:
        """Watch nothing any more."""
        for watched in list(self._all):
            self.drop(watched)
        if self._fd >= 0:
            self._reactor.removeReader(self)
            os.close(self._fd)
            self._fd = -1

    def fileno(self) -> int:
        """Give the descriptor that becomes readable with an event."""
        return int(self._fd)

    def logPrefix(self) -> str:
        """Name this reader in Twisted's log."""
        return "inotify"

    def connectionLost(self, reason: Failure) -> None:
        """Be told by the reactor that it stops."""

    def doRead(self) -> None:
        """Take the events that wait, and look at their files."""
        try:
            block = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        place = 0
        while place < len(block):
            wd, mask, _, name_bytes = EVENT.unpack_from(block, place)
            place += EVENT.size + name_bytes
            if mask & IN_Q_OVERFLOW:  # some were lost: anything may have grown
                self._fire(list(self._waiting.values()))
            elif wd in self._waiting:
                self._fire([self._waiting[wd]])

    def _fire(self, files: list[Watched]) -> None:
        for watched in files:
            self._disarm(watched)
            self._look(watched)

    def _look(self, watched: Watched) -> None:
        """Look at a file that waits for no event, and go on by the clock while it grows."""
        grew = watched.look()
        if watched.dropped:
            return
        if grew:
            self._pause(watched, PAUSE_S)
        elif not self._arm(watched):
            self._pause(watched, LOST_S)
        elif watched.look() and not watched.dropped:  # it grew between the look and the arming
            self._disarm(watched)
            self._pause(watched, PAUSE_S)

    def _pause(self, watched: Watched, delay_s: float) -> None:
        watched.pause = self._clock.call_later(delay_s, self._look, watched)

    def _arm(self, watched: Watched) -> bool:
        """Ask for one event. IN_ONESHOT: whatever comes behind it is not even queued by the kernel."""
        path = os.fsencode(watched.path)
        wd = self._libc.inotify_add_watch(self._fd, path, ctypes.c_uint32(IN_MODIFY | IN_ONESHOT))
        if wd < 0:
            return False
        watched.wd = wd
        self._waiting[wd] = watched
        return True

    def _disarm(self, watched: Watched) -> None:
        if watched.wd is None:
            return
        self._waiting.pop(watched.wd, None)
        # A watch that has fired is gone already: the error that this is then is no error.
        self._libc.inotify_rm_watch(self._fd, watched.wd)
        watched.wd = None
