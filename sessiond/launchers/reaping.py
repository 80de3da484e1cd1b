"""The whole tree: every descendant of every child is found, signalled and waited for.

The daemon is a child sub-reaper (``PR_SET_CHILD_SUBREAPER``), so the topmost process of each tree is always a child of
the daemon itself: the one that was started, or an orphan. A tree is gone when the daemon's own list of children shows
none of it. Zombies count as shown, so nothing can slip through between two looks.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable

from attrs import define, field
from twisted.internet import process
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from sessiond.core.values import Program
from sessiond.launchers.command import NONCE_VARIABLE
from sessiond.launchers.procfs import ZOMBIE, Stat, children_of, send, stat_of, variable_of

PR_SET_CHILD_SUBREAPER = 36
SWEEP_KEY = -1
"""A key of Twisted's table of children that no process has; its entry is called at every SIGCHLD."""

SWEEP_MOST = 1000
"""How many ended processes are waited for at one go; the rest comes in the next turn of the reactor."""

KILL_BUDGET_S = 0.005
KILL_FIRST_S = 0.005
KILL_MOST_S = 0.25
"""A killing walk lasts at most its budget and is repeated, first soon, then less often, until nothing is left."""

KNOWN_MOST = 4096

log = Logger()


@define(eq=False)
class Tree:
    """The processes of one launch.

    :ivar known: descendants that were seen, start time by pid; a later orphan among them is recognised by it.
    :ivar sessions: process sessions and groups that its processes were seen in.
    :ivar emptied: called once, when nothing of it is left.
    """

    root: Program
    nonce: str
    emptied: Callable[[], None]
    known: dict[int, int] = field(factory=dict)
    sessions: set[int] = field(factory=set)
    killing: IDelayedCall | None = None


class Reaper:
    """Waits for all children of the daemon, its own and adopted ones, and knows which launch each belongs to.

    An orphan's launch is told by what was seen of it before (pid and start time); else by the nonce in its environment,
    which it has unless it was started with a clean one; else by its process session or group, which it shares with its
    family unless it left that too. What cleared all three before anybody looked can be any tree's: it is killed when
    the last tree that lived at its first sight is gone, so it can't outlive its session by longer than that.

    :param reactor: must deliver SIGCHLD; only one Reaper may be open in a process.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._pid = os.getpid()
        self._trees: set[Tree] = set()
        # A child's entry is right for as long as nobody has waited for it: until then no other process gets its pid.
        self._owners: dict[int, Tree | None] = {}
        self._doubtful: set[int] = set()
        self._asked: set[int] = set()
        self._suspects: dict[int, set[Tree]] = {}
        self._sweeping: IDelayedCall | None = None
        self._is_open = False

    def open(self) -> None:
        """Become the one who orphans come to, and who waits for them.

        :raises OSError: the kernel refuses, or keeps no lists of children (``CONFIG_PROC_CHILDREN``).
        """
        if not os.path.exists(f"/proc/{self._pid}/task/{self._pid}/children"):
            raise OSError("the kernel keeps no lists of children (CONFIG_PROC_CHILDREN)")
        _set_subreaper(True)
        self._is_open = True
        process.reapProcessHandlers[SWEEP_KEY] = self  # type: ignore[assignment]

    def close(self) -> None:
        """Leave everything as it is and wait for nobody any more."""
        if not self._is_open:
            return
        self._is_open = False
        process.reapProcessHandlers.pop(SWEEP_KEY, None)
        _set_subreaper(False)
        for tree in self._trees:
            _cancel(tree.killing)
        _cancel(self._sweeping)
        self._trees.clear()

    def plant(self, root: Program, nonce: str, emptied: Callable[[], None]) -> Tree:
        """Begin to follow a launch. To be called before anybody can have waited for its main process."""
        tree = Tree(root, nonce, emptied, {root.pid: root.started}, {root.pid})
        self._trees.add(tree)
        self._owners[root.pid] = tree
        return tree

    def exited(self, pid: int) -> None:
        """Take note that a child was waited for by Twisted."""
        self._forget(pid)
        self.reapProcess()

    def reapProcess(self) -> None:
        """Be called by Twisted at a SIGCHLD: look after all children once Twisted is through its own table."""
        if self._is_open and self._sweeping is None:
            self._sweeping = self._reactor.callLater(0, self._sweep)

    def members(self, tree: Tree) -> list[Stat]:
        """Walk over a tree: all of its processes that show now, its topmost first, zombies included."""
        found: list[Stat] = []
        waiting = self._topmost(tree)
        seen = set(waiting)
        while waiting:
            stat = stat_of(waiting.pop(0))
            if stat is None:
                continue
            found.append(stat)
            fresh = [pid for pid in children_of(stat.pid) if pid not in seen]
            seen.update(fresh)
            waiting += fresh
        self._remember(tree, found)
        return found

    def signal(self, tree: Tree, number: signal.Signals) -> int:
        """Signal every process of a tree once; says how many were.

        A process that forks meanwhile may have a child that is missed: only :meth:`kill` is thorough.
        """
        alive = [stat for stat in self.members(tree) if stat.state != ZOMBIE]
        return sum(send(stat.pid, stat.started, number) for stat in alive)

    def kill(self, tree: Tree) -> None:
        """Kill until nothing is left, also what forks faster than it is looked at."""
        if tree in self._trees:
            _cancel(tree.killing)
            self._kill(tree, KILL_FIRST_S)

    def _kill(self, tree: Tree, again_s: float) -> None:
        tree.killing = None
        until = time.monotonic() + KILL_BUDGET_S
        while self._kill_once(tree) and time.monotonic() < until:
            pass
        tree.killing = self._reactor.callLater(again_s, self._kill, tree, min(2 * again_s, KILL_MOST_S))
        self.reapProcess()

    def _kill_once(self, tree: Tree) -> bool:
        """Kill what one walk shows; says whether another one is worth while at once.

        A signal to a group reaches all of it at one instant, and no fork slips through it (the kernel restarts a
        fork that a signal waits for). The group's number can't be anybody else's: a child of ours is in it that
        nobody has waited for.
        """
        members = self.members(tree)
        alive = [stat for stat in members if stat.state != ZOMBIE]
        own = {0, 1, self._pid, os.getpgrp()}
        for group in {stat.group for stat in alive if stat.parent == self._pid} - own:
            try:
                os.killpg(group, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        for stat in alive:
            send(stat.pid, stat.started, signal.SIGKILL)
        worth_while = bool(alive or self._doubtful)
        adopted = {stat.pid for stat in members if stat.state == ZOMBIE and stat.parent == self._pid} | self._doubtful
        for pid in adopted - process.reapProcessHandlers.keys():
            if _wait_for(pid):
                self._forget(pid)
        return worth_while

    def _topmost(self, tree: Tree) -> list[int]:
        return [pid for pid, owner in self._classified().items() if owner is tree]

    def _classified(self) -> dict[int, Tree | None]:
        """Say of each child of the daemon which tree it belongs to.

        What ended before it could be asked belongs to none, and is ``_doubtful`` until it was waited for: it can have
        left a child of its own that this list of children does not show yet.
        """
        self._doubtful.clear()
        owners: dict[int, Tree | None] = {}
        for pid in children_of(self._pid):
            is_known = pid in self._owners and pid not in self._suspects
            owner = self._owners[pid] if is_known else self._owner(pid)
            if pid not in self._doubtful:
                owners[pid] = owner
        self._owners = owners
        return owners

    def _owner(self, pid: int) -> Tree | None:
        """Say which tree a child belongs to that was not seen as a child before."""
        stat = stat_of(pid)
        owner = self._by_identity(stat) if stat is not None else None
        if stat is None or owner is not None or pid in process.reapProcessHandlers:
            return owner  # without an owner, another part of the daemon has started it
        nonce = variable_of(pid, NONCE_VARIABLE)
        # A nonce that is none of ours is that of something that an earlier run has left.
        owner = self._by_session(stat) if nonce is None else self._by_nonce(nonce)
        if nonce is not None or owner is not None:
            self._suspects.pop(pid, None)
        elif self._trees:
            self._doubt(pid)
        return owner

    def _by_identity(self, stat: Stat) -> Tree | None:
        return _first(tree for tree in self._trees if tree.known.get(stat.pid) == stat.started)

    def _by_nonce(self, nonce: str) -> Tree | None:
        return _first(tree for tree in self._trees if tree.nonce == nonce)

    def _by_session(self, stat: Stat) -> Tree | None:
        return _first(tree for tree in self._trees if tree.sessions & {stat.session, stat.group})

    def _doubt(self, pid: int) -> None:
        """Keep an orphan in mind that may be any tree's: for a moment if it has ended, else until all of them are gone.

        Where another part of the daemon has children too, it may also be one of theirs: then it is left alone.
        """
        stat = stat_of(pid)
        if stat is None or stat.is_ending or pid not in self._asked:
            # Asked once more in a moment: while a program is being exchanged (execve) its environment is empty.
            self._doubtful.add(pid)
            self._asked.add(pid)
            return
        others = [child for child in process.reapProcessHandlers if self._owners.get(child) is None]
        if others == [SWEEP_KEY] and pid not in self._suspects:
            log.warn("process {pid} is an orphan of an unknown session", pid=pid)
            self._suspects[pid] = set(self._trees)

    def _forget(self, pid: int) -> None:
        """Forget a child, as its pid can soon be another's."""
        self._owners.pop(pid, None)
        self._suspects.pop(pid, None)
        self._asked.discard(pid)

    def _remember(self, tree: Tree, found: list[Stat]) -> None:
        if len(tree.known) + len(found) > KNOWN_MOST:
            tree.known.clear()
            tree.sessions &= {tree.root.pid}
        own = {os.getsid(0), os.getpgrp()}  # what a child is in until its setsid has run
        for stat in found:
            tree.known[stat.pid] = stat.started
            tree.sessions |= {stat.session, stat.group} - own

    def _sweep(self) -> None:
        """Wait for all that have ended, then see which trees are gone.

        ``WNOWAIT`` shows who ended without taking it: Twisted's own children are left to Twisted, so that no status
        goes astray.
        """
        self._sweeping = None
        for _ in range(SWEEP_MOST):
            ended = _ended_child()
            if ended is None:
                break
            self._forget(ended)
            own = process.reapProcessHandlers.get(ended)
            if own is not None:
                own.reapProcess()
            else:
                _wait_for(ended)
        else:
            self.reapProcess()
        self._settle()

    def _settle(self) -> None:
        owners = self._classified()
        if self._doubtful:
            self.reapProcess()
            return
        populated = {owner for owner in owners.values() if owner is not None}
        for tree in self._trees - populated:
            self._fell(tree)

    def _fell(self, tree: Tree) -> None:
        self._trees.discard(tree)
        _cancel(tree.killing)
        for pid, trees in list(self._suspects.items()):
            trees.discard(tree)
            if not trees:
                del self._suspects[pid]
                _kill_child(pid)
        tree.emptied()


def _first(trees: Iterable[Tree]) -> Tree | None:
    return next(iter(trees), None)


def _set_subreaper(on: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _ended_child() -> int | None:
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found is not None else None


def _wait_for(pid: int) -> bool:
    """Wait for a child if it has ended; says whether it is no child any more."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _kill_child(pid: int) -> None:
    stat = stat_of(pid)
    if stat is not None and stat.parent == os.getpid():
        send(pid, stat.started, signal.SIGKILL)


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
