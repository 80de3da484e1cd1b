"""Fake launchers: children without processes that live and die on a Clock, named after what goes wrong."""

from __future__ import annotations

from collections.abc import Callable

from attrs import Factory, define, field, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from sessiond.core.events import Event, Exited, Failed, Gone, PortTaken, Ready, Started
from sessiond.core.services import Service
from sessiond.core.session import Session
from sessiond.core.values import Endpoint, Exit, Program, StopStep, Tcp
from sessiond.ports import Described, Streams, Tell

BOOT_ID = "00000000-0000-4000-8000-000000000000"
CONTENT, UNHAPPY = Exit(code=0), Exit(code=1)
HARD = (StopStep.KILL, StopStep.STUCK)
SOFT = (StopStep.TERM, *HARD)


@frozen
class Script:
    """What a fake child does by itself. Delays are seconds after the launch; ``None`` means never.

    :ivar obeys: the stop steps that end it, each ``ends_s`` after it was taken.
    :ivar squatted: a stranger listens on its port, which is told ``ready_s`` after the launch.
    """

    start_s: float | None = 0.0
    ready_s: float | None = 0.0
    exit_s: float | None = None
    exit: Exit = CONTENT
    fails: str | None = None
    squatted: int | None = None
    obeys: tuple[StopStep, ...] = SOFT
    ends_s: float = 0.0
    output: tuple[str, ...] = ("a line of output",)


@frozen
class Prompt(Script):
    """Does at once all that is asked of it."""


@frozen
class NeverReady(Script):
    """Starts and never listens."""

    ready_s: float | None = None


@frozen
class DiesAtOnce(Script):
    """Starts, and exits with 1 before it is ready."""

    ready_s: float | None = None
    exit_s: float | None = 0.0
    exit: Exit = UNHAPPY


@frozen
class IgnoresTerm(Script):
    """Ends only when killed."""

    obeys: tuple[StopStep, ...] = HARD


@frozen
class IgnoresKill(Script):
    """Never ends, as a program that hangs in the kernel does, until the test lets it ``vanish``."""

    obeys: tuple[StopStep, ...] = ()


@frozen
class FailsToStart(Script):
    """Never has a process."""

    fails: str | None = "command not found: nowhere"


@frozen
class PortSquatted(Script):
    """A stranger has its port."""

    squatted: int | None = 11000


@frozen
class ByHand(Script):
    """Does nothing by itself, not even start: the test calls the child's methods."""

    start_s: float | None = None
    ready_s: float | None = None
    obeys: tuple[StopStep, ...] = ()


def _nobody(event: Event) -> None:
    """Take an event that no daemon is there to hear."""


@define(eq=False)
class FakeChild:
    """A child whose life the test, or its script, decides. Whatever is called keeps to the Launcher contract.

    :ivar steps: the stop steps taken against it, in order.
    :ivar tidied: how often ``tidy`` was called.
    """

    clock: Clock
    script: Script
    endpoint: Endpoint | None
    program: Program
    tell: Tell
    steps: list[StopStep] = Factory(list)
    tidied: int = 0
    started: bool = False
    ready: bool = False
    exited: bool = False
    gone: bool = False
    streams: Streams | None = None
    _calls: list[IDelayedCall] = field(factory=list)

    def play(self) -> None:
        """Begin to do what the script says."""
        if self.script.fails is not None:
            self._later(0.0, self.fail)
            return
        self._later(self.script.start_s, self.start)
        self._later(self.script.ready_s, self._squat if self.script.squatted else self.become_ready)
        self._later(self.script.exit_s, self._die)

    def fail(self) -> None:
        """Tell that it could not be started."""
        if not self.started:
            self.started = True
            self.exited = True
            self.tell(Failed(self.script.fails or "refused"))
            self.vanish()

    def start(self) -> None:
        """Tell ``Started``, unless it was told."""
        if not self.started:
            self.started = True
            self.tell(Started(self.program))

    def become_ready(self) -> None:
        """Tell ``Ready``, unless it was told or has exited; a child that is ready was started before."""
        if self.exited or self.gone:
            return
        self.start()
        if not self.ready and self.endpoint is not None:
            self.ready = True
            self.tell(Ready(self.endpoint))

    def exit(self, code: int | None = 0, signal: int | None = None) -> None:
        """End the main process; descendants live on until ``vanish``."""
        if self.exited or self.gone:
            return
        self.start()
        self.exited = True
        self.tell(Exited(Exit(code, signal), self.script.output))

    def vanish(self) -> None:
        """End all that is left of it: the main process, where it still lives, is killed by signal 9."""
        if self.gone:
            return
        self.exit(None, 9)
        self.gone = True
        for call in self._calls:
            if call.active():
                call.cancel()
        self.tell(Gone(self.script.output))

    def halt(self, step: StopStep) -> None:
        """Take note of a stop step, and end if the script obeys it."""
        self.steps.append(step)
        if step in self.script.obeys and not self.gone:
            self._later(self.script.ends_s, self._obey, step)

    def tail(self, lines: int) -> list[str]:
        """Give the end of the script's output."""
        return list(self.script.output[-lines:]) if lines > 0 else []

    def tidy(self) -> None:
        """Count that it was called."""
        self.tidied += 1

    def recovered(self, tell: Tell) -> None:
        """Speak to a daemon that was started anew."""
        self.tell = tell
        if self.gone or self.exited:
            self._later(0.0, self._say, Exited(Exit()))
        if self.gone:
            self._later(0.0, self._say, Gone())

    def _say(self, event: Event) -> None:
        self.tell(event)

    def _obey(self, step: StopStep) -> None:
        self.exit(None, 15 if step is StopStep.TERM else 9)
        self.vanish()

    def _die(self) -> None:
        self.exit(self.script.exit.code, self.script.exit.signal)
        self._later(0.0, self.vanish)

    def _squat(self) -> None:
        self.start()
        self.tell(PortTaken(self.script.squatted or 0))

    def _later(self, delay_s: float | None, call: Callable[..., object], *args: object) -> None:
        if delay_s is not None:
            self._calls.append(self.clock.callLater(delay_s, call, *args))


class FakeLauncher:
    """Launches children that are no processes.

    It stands for the machine, so it outlives a daemon: after ``forget_daemon`` its children live on, heard by
    nobody, until a new daemon calls ``recover``.

    :param clock: where scripts wait.
    :param script: what each child does; ``scripts`` says otherwise for single sessions, by id.
    :ivar described: what is found of services, by name; of all others, nothing that speaks against them.
    """

    adopts = False

    def __init__(self, clock: Clock, script: Script | None = None) -> None:
        self.clock = clock
        self.script: Script = Prompt() if script is None else script
        self.scripts: dict[str, Script] = {}
        self.children: dict[str, FakeChild] = {}
        self.launches: list[str] = []
        self.described: dict[str, Described] = {}
        self.closed = False
        self._next_pid = 1000

    @property
    def alive(self) -> list[str]:
        """The ids of sessions of whose program something is left."""
        return [session_id for session_id, child in self.children.items() if not child.gone]

    def launch(self, session: Session, service: Service, tell: Tell) -> FakeChild:
        """Start a fake child: nothing is told before the next tick of the clock."""
        self.launches.append(session.id)
        child = self._child(session, tell)
        child.play()
        return child

    def recover(self, session: Session, tell: Tell) -> FakeChild:
        """Speak for a child that lives, or tell that nothing is left."""
        child = self.children.get(session.id)
        if child is None:
            child = self._child(session, tell)
            child.started = child.exited = child.gone = True
        child.recovered(tell)
        return child

    def describe(self, service: Service) -> Deferred[Described]:
        """Say what the test has laid down."""
        return succeed(self.described.get(service.name, Described()))

    def forget_daemon(self) -> None:
        """Have no daemon any more: what children tell goes nowhere."""
        for child in self.children.values():
            child.tell = _nobody

    def close(self) -> Deferred[None]:
        """Let go; children stay as they are."""
        self.closed = True
        return succeed(None)

    def _child(self, session: Session, tell: Tell) -> FakeChild:
        self._next_pid += 1
        script = self.scripts.get(session.id, self.script)
        port = session.leases[0].number if session.leases else 11000
        endpoint = None if script.fails else Tcp("127.0.0.1", port)
        child = FakeChild(self.clock, script, endpoint, Program(self._next_pid, 1, BOOT_ID), tell)
        self.children[session.id] = child
        return child
