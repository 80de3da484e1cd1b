"""Seeing that a program is ready: its own socket listens, a line stands in its output, or a page answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from attrs import define
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from sessiond.core.values import Endpoint, Tcp, Unix
from sessiond.launchers.output import OutputFile
from sessiond.launchers.sockets import SocketTable, TcpListener, UnixListener, held_by, named, reached_at
from sessiond.ports import Clock

TICK_S = 0.01
"""How often the socket table is read while anything launches: once for all, so the cost does not grow with them."""

STRANGER_LOOKS = 3
"""In how many looks a row a stranger must have the port: a socket may just be on its way between two processes."""

LINE_READ_BYTES = 256 * 1024

log = Logger()


@define(eq=False)
class Sight:
    """What one launch waits to see listen.

    :ivar pids: gives the processes of its tree; asked only once something listens.
    :ivar listens: called once, when a process of the tree has the socket that clients will reach.
    :ivar taken: called once, with the port, when a stranger has it instead.
    """

    endpoint: Endpoint
    pids: Callable[[], Iterable[int]]
    listens: Callable[[], None]
    taken: Callable[[int], None]
    strange_looks: int = 0
    unreadable_told: bool = False


class Snapshot:
    """The socket table at one tick; each half is read at most once, and only if somebody asks."""

    def __init__(self, table: SocketTable) -> None:
        self._table = table
        self._tcp: list[TcpListener] | None = None
        self._unix: list[UnixListener] | None = None

    def listening_at(self, endpoint: Endpoint) -> frozenset[int]:
        """Give the inodes of the sockets that a connection to an endpoint would reach.

        :raises OSError: the table can't be read.
        """
        if isinstance(endpoint, Tcp):
            if self._tcp is None:
                self._tcp = self._table.tcp()
            return reached_at(self._tcp, endpoint.host, endpoint.port)
        if isinstance(endpoint, Unix):
            if self._unix is None:
                self._unix = self._table.unix()
            return named(self._unix, endpoint.path)
        return frozenset()


class Lookout:
    """Looks for all launches at once, and rests while there are none."""

    def __init__(self, clock: Clock, table: SocketTable) -> None:
        self._clock = clock
        self._table = table
        self._sights: list[Sight] = []
        self._call: IDelayedCall | None = None

    def watch(self, sight: Sight) -> None:
        """Look for one more, from the next tick on."""
        self._sights.append(sight)
        self._rest()

    def drop(self, sight: Sight) -> None:
        """Look for it no more. Doing it twice does no harm."""
        if sight in self._sights:
            self._sights.remove(sight)
        if not self._sights:
            self.close()

    def is_owned(self, sight: Sight) -> bool:
        """Say whether, right now, the tree has the socket."""
        return self._owned(sight, Snapshot(self._table).listening_at(sight.endpoint))

    def close(self) -> None:
        """Stop looking."""
        self._sights.clear()
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _rest(self) -> None:
        if self._call is None and self._sights:
            self._call = self._clock.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._call = None
        snapshot = Snapshot(self._table)
        try:
            for sight in list(self._sights):
                self._look(sight, snapshot)
        except OSError:
            log.failure("the table of sockets can't be read")
        finally:
            self._rest()

    def _look(self, sight: Sight, snapshot: Snapshot) -> None:
        inodes = snapshot.listening_at(sight.endpoint)
        if not inodes:
            sight.strange_looks = 0
        elif self._owned(sight, inodes):
            self.drop(sight)
            sight.listens()
        elif isinstance(sight.endpoint, Tcp):
            # A stranger under a socket's path is none: the folder is private, and the program has yet to bind.
            sight.strange_looks += 1
            if sight.strange_looks >= STRANGER_LOOKS:
                self.drop(sight)
                sight.taken(sight.endpoint.port)

    def _owned(self, sight: Sight, inodes: frozenset[int]) -> bool:
        left = set(inodes)
        try:
            for pid in sight.pids() if left else ():
                left -= held_by(pid)
                if not left:
                    return True
        except PermissionError:
            if not sight.unreadable_told:
                sight.unreadable_told = True
                log.error("a child's descriptors can't be read, so it never counts as ready; CAP_SYS_PTRACE is missing")
            sight.strange_looks = 0
        return False


class LineSought:
    """Looks for a text in a program's output; it counts as soon as it is there, the line's end need not be.

    :param found: called once.
    """

    def __init__(self, text: str, output: OutputFile, found: Callable[[], None]) -> None:
        self._text = text.encode()
        self._output = output
        self._found = found
        self._offset = 0
        self._carry = b""
        self.over = not self._text

    def look(self, size: int) -> None:
        """Read what was written since the last look; the file has ``size`` bytes now."""
        if size < self._offset:  # it was cut
            self._offset, self._carry = 0, b""
        if self.over or size == self._offset:
            return
        fresh = self._output.read(self._offset, LINE_READ_BYTES)
        self._offset += len(fresh)
        block = self._carry + fresh
        self._carry = block[-len(self._text) :]  # the text may be written in two pieces
        if self._text in block:
            self.over = True
            self._found()


def socket_path_fits(path: str) -> bool:
    """Say whether a path can name a UNIX socket: 107 bytes and a NUL (unix(7), ``sun_path``)."""
    return len(os.fsencode(path)) <= 107
