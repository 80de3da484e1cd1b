"""One child of the process launcher: what it tells while it lives, and what is done to it."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

from attrs import define
from twisted.internet.interfaces import IProcessTransport
from twisted.logger import Logger

from sessiond.core.events import Exited, Failed, Gone, PortTaken, Ready, Started
from sessiond.core.services import Readiness, ReadyWhen
from sessiond.core.values import Endpoint, Exit, Program, Stdio, StopStep, Tcp, Unix
from sessiond.launchers.inotify import GrowthWatch, Watched
from sessiond.launchers.output import OutputFile
from sessiond.launchers.pipes import Pipes
from sessiond.launchers.probe import HttpProbe
from sessiond.launchers.procfs import stat_of
from sessiond.launchers.readiness import LineSought, Lookout, Sight
from sessiond.launchers.reaping import Reaper, Tree
from sessiond.ports import Streams, Tell

TAIL_LINES = 20
"""How many lines of output go with the events of an end."""

NOT_RUN = (126, 127)
"""What setsid, env, prlimit, setpriv and shells exit with when a command can't be run, or is not there (env(1))."""

FRONT = frozenset({"setsid", "env", "prlimit", "setpriv"})

log = Logger()


@define(eq=False)
class Watches:
    """What all children of a launcher share.

    :ivar reactor: for ``http:`` readiness.
    """

    reactor: Any
    reaper: Reaper
    lookout: Lookout
    growth: GrowthWatch
    boot_id: str


class ProcessChild:
    """A running program and its descendants.

    :param ready: what shows that it is ready.
    :param folder: its private folder, deleted by ``tidy``.
    """

    def __init__(
        self,
        watches: Watches,
        tell: Tell,
        ready: Readiness,
        nonce: str,
        folder: Path,
        output: OutputFile,
        endpoint: Endpoint | None,
    ) -> None:
        self.endpoint = endpoint
        self._watches = watches
        self._tell = tell
        self._ready = ready
        self._nonce = nonce
        self._folder = folder
        self._output = output
        self._size = 0
        self._tree: Tree | None = None
        self._told_ready = self._told_failed = False
        self._exited = False
        self._sight: Sight | None = None
        self._line: LineSought | None = None
        self._probe: HttpProbe | None = None
        self._grown: Watched | None = None
        self.pipes = Pipes()

    @property
    def piped(self) -> bool:
        """Say whether its standard input and output are pipes of ours."""
        return isinstance(self.endpoint, Stdio)

    @property
    def streams(self) -> Streams | None:
        """Its pipes, where these are its endpoint."""
        return self.pipes if isinstance(self.endpoint, Stdio) else None

    def halt(self, step: StopStep) -> None:
        """Take one stop step; see :class:`sessiond.ports.Child`."""
        if step is StopStep.ASK:
            self.pipes.close_input()
        elif step is not StopStep.DRAIN and self._tree is not None:
            self._stop_watching()
            self._end(self._tree, step)

    def tail(self, lines: int) -> list[str]:
        """Give the last lines of the output."""
        return self._output.tail(lines)

    def tidy(self) -> None:
        """Delete the private folder with all that is in it."""
        remove_folder(self._folder)

    def running(self, transport: IProcessTransport) -> None:
        """Be told that the process was started; nobody can have waited for it yet."""
        pid = transport.pid
        stat = stat_of(int(pid)) if pid is not None else None
        if pid is None or stat is None:  # can't be: an unwaited child has a line
            raise RuntimeError("a child that was just started is not in /proc")
        program = Program(stat.pid, stat.started, self._watches.boot_id)
        self._tree = self._watches.reaper.plant(program, self._nonce, self._emptied)
        self._grown = self._watches.growth.watch(self._output.path, self._look_at_output)
        if self.piped:
            self.pipes.opened(transport)
        self._tell(Started(program))
        self._watch()

    def exited(self, pid: int, end: Exit) -> None:
        """Be told that the main process ended; descendants may live on."""
        self._exited = True
        self._stop_watching()
        tail = self._output.tail(TAIL_LINES)
        cause = None if self._told_ready or self._told_failed else not_run(end, tail)
        self._tell(Exited(end, tuple(tail)) if cause is None else Failed(cause))
        self._watches.reaper.exited(pid)

    def _end(self, tree: Tree, step: StopStep) -> None:
        if step is StopStep.TERM:
            self._watches.reaper.signal(tree, signal.SIGTERM)
            # A stopped process does not hear of SIGTERM before it goes on.
            self._watches.reaper.signal(tree, signal.SIGCONT)
        else:
            self._watches.reaper.kill(tree)

    def _watch(self) -> None:
        """Begin to look for what shows that the program is ready."""
        when = self._ready.when
        if when is ReadyWhen.STARTED or isinstance(self.endpoint, Stdio):
            self._now_ready()
        elif when is ReadyWhen.LINE:
            self._line = LineSought(self._ready.detail, self._output, self._now_ready)
        elif when is not ReadyWhen.REPORT and self.endpoint is not None:
            self._sight = Sight(self.endpoint, self._pids, self._listens, self._port_taken)
            self._watches.lookout.watch(self._sight)

    def _listens(self) -> None:
        endpoint, sight = self.endpoint, self._sight
        if self._ready.when is ReadyWhen.HTTP and isinstance(endpoint, Tcp | Unix) and sight is not None:
            lookout = self._watches.lookout
            self._probe = HttpProbe(
                self._watches.reactor, endpoint, self._ready.detail, lambda: lookout.is_owned(sight), self._now_ready
            )
        else:
            self._now_ready()

    def _now_ready(self) -> None:
        if not self._told_ready and not self._exited and self.endpoint is not None:
            self._told_ready = True
            self._tell(Ready(self.endpoint))

    def _now_failed(self, cause: str) -> None:
        """Tell that its start has come to nothing, though it lives."""
        if not self._told_ready and not self._told_failed and not self._exited:
            self._told_failed = True
            self._tell(Failed(cause, lives=True))

    def _port_taken(self, port: int) -> None:
        self._tell(PortTaken(port))

    def _pids(self) -> list[int]:
        return [stat.pid for stat in self._watches.reaper.members(self._tree)] if self._tree is not None else []

    def _look_at_output(self) -> bool:
        """Look for the ready line and keep the file below its cap; says whether it grew."""
        size = self._output.size()
        if self._line is not None:
            self._line.look(size)
        grew = size != self._size
        self._size = self._output.curb(size)
        return grew

    def _stop_watching(self) -> None:
        """Look for readiness no more."""
        if self._sight is not None:
            self._watches.lookout.drop(self._sight)
        if self._probe is not None:
            self._probe.stop()
        self._sight = self._probe = self._line = None

    def _emptied(self) -> None:
        """Be told that nothing is left of the tree."""
        if self._grown is not None:
            self._watches.growth.drop(self._grown)
        self._output.curb(self._output.size())
        self.pipes.close()
        self._tree = None
        self._tell(Gone(tuple(self._output.tail(TAIL_LINES))))


def not_run(end: Exit, tail: list[str]) -> str | None:
    """Say why a command was never run, where one of the programs in front of it says so; ``None`` if it was run."""
    if end.code not in NOT_RUN or not tail:
        return None
    program, _, complaint = tail[-1].partition(": ")
    return f"command not run: {complaint}" if Path(program).name in FRONT else None


def remove_folder(folder: Path) -> None:
    """Delete a folder of the runtime folder; links in it are deleted, never followed."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except OSError:
        log.failure("can't delete {folder}", folder=folder)
