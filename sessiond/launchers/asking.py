"""What a program says of itself: it is run with a question behind its command, without a session and without a slot."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from zope.interface import implementer

from sessiond.core.errors import last_error
from sessiond.core.events import Event, Exited, Failed, Gone
from sessiond.core.services import Service
from sessiond.core.session import Session
from sessiond.core.values import Exit, State, StopStep
from sessiond.ports import Child, Clock, Described, Launcher

ANSWER_S = 10.0
"""How long a program may take for one answer."""
ANSWER_BYTES = 64 * 1024
TAIL_LINES = 100
"""How much of what it wrote last is searched for the error."""


@implementer(IPushProducer)
class Asked:
    """One run of a program that is asked one thing.

    :ivar done: fires once nothing is left of the program: with what it wrote, or with the cause why that is no answer.
    """

    def __init__(self, launcher: Launcher, clock: Clock, service: Service, question: str, nonce: str) -> None:
        self.done: Deferred[bytes | str] = Deferred(lambda _: self._end())
        self._question = question
        self._said = bytearray()
        self._cause = ""
        self._exit = Exit()
        self._child: Child | None = None
        self._gone = False
        self._timer: IDelayedCall | None = clock.call_later(ANSWER_S, self._expire)
        run = evolve(service, command=(*service.command, question), endpoint="stdio", options={}, questions=())
        session = Session(
            id=f"{nonce[:12]}.{question}",
            service=service.name,
            pool="",
            plan=service.plan,
            created_at=clock.now(),
            state=State.LAUNCHING,
            since=clock.now(),
            slot=0,
            nonce=nonce,
        )
        self._child = launcher.launch(session, run, self._hear)
        streams = self._child.streams
        if streams is not None and not self._gone:
            streams.take(self, self)
            self._child.halt(StopStep.ASK)
        self._settle()

    def _hear(self, event: Event) -> None:
        if isinstance(event, Failed):
            self._cause = self._cause or event.cause
        elif isinstance(event, Exited):
            self._exit = event.exit
            self._end()  # what it has left behind says nothing more
        elif isinstance(event, Gone):
            self._gone = True
            self._settle()

    def _expire(self) -> None:
        self._timer = None
        self._cause = self._cause or f"no answer to {self._question} within {ANSWER_S:.0f} s"
        self._end()

    def _end(self) -> None:
        if self._child is not None and not self._gone:
            self._child.halt(StopStep.KILL)

    def _settle(self) -> None:
        """Give the answer once nothing is left."""
        if not self._gone or self._child is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        error = last_error(self._child.tail(TAIL_LINES))
        self._child.tidy()
        if not self._exit.clean and not self._cause:
            how = f"signal {self._exit.signal}" if self._exit.signal is not None else f"status {self._exit.code}"
            self._cause = f"{self._question} ended with {how}{': ' if error else ''}{error}"
        if not self.done.called:
            self.done.callback(self._cause or bytes(self._said))

    # -- what it writes ----------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Keep what it says."""
        self._said += data
        if len(self._said) > ANSWER_BYTES:
            self._said.clear()
            self._cause = self._cause or f"the answer to {self._question} is longer than {ANSWER_BYTES} bytes"
            self._end()

    def ended(self) -> None:
        """Take no note: its exit is told."""

    def displaced(self) -> None:
        """Take no note: nobody else takes them."""

    def pauseProducing(self) -> None:
        """Take no note: nothing is written."""

    def resumeProducing(self) -> None:
        """Take no note."""

    def stopProducing(self) -> None:
        """Take no note."""


async def ask(launcher: Launcher, clock: Clock, service: Service, nonce: Callable[[], str]) -> Described:
    """Ask a service's program all its questions, one after the other; the first without an answer is the cause.

    :param nonce: makes the mark of one launch.
    """
    answers: dict[str, bytes] = {}
    for question in service.questions:
        said = await Asked(launcher, clock, service, question, nonce()).done
        if isinstance(said, str):
            return Described(cause=said)
        answers[question] = said
    return Described(service.program, answers=answers)
