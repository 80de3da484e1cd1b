"""Ending what an earlier run of the daemon has left.

Its processes are children of init now, or of whoever else adopts orphans, and nobody tells when they end. So they are
looked for in the whole of ``/proc``, and where that shows nothing, among the adopted; nothing is gone before neither
has shown anything three times in a row.
"""

from __future__ import annotations

import signal
from pathlib import Path

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from sessiond.core.events import Exited, Gone
from sessiond.core.values import Endpoint, Exit, StopStep
from sessiond.launchers.census import Census, Description
from sessiond.launchers.child import TAIL_LINES, remove_folder
from sessiond.launchers.hunting import hunt
from sessiond.launchers.output import OutputFile
from sessiond.launchers.procfs import send
from sessiond.ports import Clock, Streams, Tell

EMPTY_LOOKS = 3
DOUBTFUL_LOOKS = 50
"""How many looks that show nothing must follow each other; more of them where something on the machine, ours or not, is
another process every moment."""

STOP_ROUNDS = 5
QUIET_S = 1.0
"""How often is looked while nothing was asked for; ``BUSY_S`` while something is to end or may be gone."""
BUSY_S = 0.02

log = Logger()


@define(eq=False)
class Remains:
    """What may be left of one launch."""

    description: Description
    empty_looks: int = 0
    doubtful_looks: int = 0
    asked: bool = False
    killing: bool = False
    over: bool = False

    def looked(self, census: Census, *, shows: bool, is_sure: bool) -> None:
        """Take note of one look; ``over`` after some that showed nothing."""
        if shows:
            self.empty_looks = self.doubtful_looks = 0
        elif is_sure:
            self.empty_looks += 1
        else:
            self.doubtful_looks += 1
        self.over = self.empty_looks >= EMPTY_LOOKS or self.doubtful_looks >= DOUBTFUL_LOOKS
        if self.over:
            self.found_empty()
        else:
            self.found(census)

    def found(self, census: Census) -> None:
        """Be told that a look is over and more will come."""

    def found_empty(self) -> None:
        """Be told that nothing is left."""


class RecoveredChild(Remains):
    """The child of a launch by an earlier run."""

    def __init__(
        self,
        description: Description,
        tell: Tell,
        search: Search,
        endpoint: Endpoint | None,
        folder: Path,
        output: OutputFile,
    ) -> None:
        super().__init__(description)
        self.endpoint = endpoint
        self.streams: Streams | None = None  # they went with the daemon that had made them
        self._tell = tell
        self._search = search
        self._folder = folder
        self._output = output
        self._told_exit = False

    def halt(self, step: StopStep) -> None:
        """Take one stop step; its standard input was closed when the earlier run ended."""
        if step is StopStep.TERM:
            self._search.end(self, signal.SIGTERM)
        elif step in (StopStep.KILL, StopStep.STUCK):
            self._search.kill(self)

    def tail(self, lines: int) -> list[str]:
        """Give the last lines of the output, of both runs."""
        return self._output.tail(lines)

    def tidy(self) -> None:
        """Delete the private folder."""
        remove_folder(self._folder)

    def found(self, census: Census) -> None:
        """Tell that the main process is gone, if it is. One that was never recorded is taken to live."""
        known = self.description.program is not None
        if known and not self.description.main_lives(census):
            self._tell_exit()

    def found_empty(self) -> None:
        """Tell that nothing is left; how the program ended nobody has seen."""
        self._tell_exit()
        self._tell(Gone(tuple(self._output.tail(TAIL_LINES))))

    def _tell_exit(self) -> None:
        if not self._told_exit:
            self._told_exit = True
            self._tell(Exited(Exit()))


@define(eq=False)
class Strays(Remains):
    """Processes of no recorded launch."""

    done: Deferred[None] = field(factory=Deferred)

    def found_empty(self) -> None:
        """Say that they are gone."""
        self.done.callback(None)


class Search:
    """Looks for all that is left, with one census at a time for all of it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._remains: list[Remains] = []
        self._call: IDelayedCall | None = None

    def begin(self, remains: Remains) -> None:
        """Look for one more, first at the next turn of the reactor."""
        self._remains.append(remains)
        self._look_in(0.0)

    def end(self, remains: Remains, number: signal.Signals) -> None:
        """Signal all that shows, once."""
        if remains.over:
            return
        remains.asked = True
        for stat in remains.description.members(Census.take()):
            send(stat.pid, stat.started, number)
            send(stat.pid, stat.started, signal.SIGCONT)
        self._look_in(BUSY_S)

    def kill(self, remains: Remains) -> None:
        """Kill, from now on until nothing is left."""
        if not remains.over:
            remains.killing = True
            self._look_in(0.0)

    def close(self) -> None:
        """Look no more."""
        self._remains.clear()
        self._cancel()

    def _look_in(self, delay_s: float) -> None:
        self._cancel()
        self._call = self._clock.call_later(delay_s, self._look)

    def _cancel(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _look(self) -> None:
        self._call = None
        census = Census.take()
        killing = [remains for remains in self._remains if remains.killing]
        if killing:
            kill_all(killing, census)
        remains_now = list(self._remains)
        hidden = [remains for remains in remains_now if not remains.description.members(census)]
        shown, is_sure = hunt({remains.description: remains.killing for remains in hidden})
        for remains in remains_now:
            shows = remains not in hidden or remains.description in shown
            remains.looked(census, shows=shows, is_sure=is_sure)
        self._remains = [remains for remains in self._remains if not remains.over]
        if self._remains and self._call is None:
            busy = any(
                remains.asked or remains.killing or remains.empty_looks or remains.doubtful_looks
                for remains in self._remains
            )
            self._look_in(BUSY_S if busy else QUIET_S)


def kill_all(killing: list[Remains], census: Census) -> None:
    """Stop everything first, until a look shows nothing that still runs; then kill it.

    What is stopped can't fork any more, so what is killed is all there was.
    """
    stopped: dict[int, int] = {}
    for _ in range(STOP_ROUNDS):
        shown = [stat for remains in killing for stat in remains.description.members(census)]
        fresh = [stat for stat in shown if stopped.get(stat.pid) != stat.started]
        if not fresh:
            break
        stopped.update({stat.pid: stat.started for stat in fresh if send(stat.pid, stat.started, signal.SIGSTOP)})
        census = Census.take()
    for pid, started in stopped.items():
        send(pid, started, signal.SIGKILL)
