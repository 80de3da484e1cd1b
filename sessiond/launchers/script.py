"""The ``script`` launcher: operators' Python files, with a process of its own for each running slot."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

from sessiond.core.events import Event, Exited, Failed, Gone
from sessiond.core.services import Readiness, Scalar, Script, Service
from sessiond.core.session import Session
from sessiond.core.values import Endpoint, Exit, State, StopStep, Tcp
from sessiond.launchers.child import ProcessChild, Watches
from sessiond.launchers.files import FileError, with_real_paths
from sessiond.launchers.output import OutputFile
from sessiond.launchers.process import NeverLaunched, ProcessLauncher
from sessiond.launchers.transcript import Transcript
from sessiond.log import scrub
from sessiond.ports import Child, Clock, Described, Tell

PROGRAM = str(Path(__file__).parents[1] / "scripting.py")
NO_SCRIPT = "the service has no script"
CAUSE_CHARACTERS = 120
ANSWER_BYTES = 16 * 1024
LOAD_S = 30.0
"""How long a script may take to load when it is only looked at."""

ASK_S = 30.0
"""How long a script's ``stop`` may take where its service has no ``ask`` step, and the daemon is gone."""

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)

log = Logger()


class ScriptLauncher:
    """Runs scripts as processes of a process launcher, which does for them all that it does for programs.

    :param programs: starts, reaps and recovers.
    :param nonce: makes the mark of one launch; for looks, since sessions have theirs.
    """

    adopts = False

    def __init__(self, programs: ProcessLauncher, clock: Clock, nonce: Callable[[], str]) -> None:
        self._programs, self._clock, self._nonce = programs, clock, nonce

    def launch(self, session: Session, service: Service, tell: Tell) -> Child:
        """Load a session's script and have it start; see :class:`sessiond.ports.Launcher`."""
        script = service.script
        if script is None:
            return NeverLaunched(tell, NO_SCRIPT)
        try:
            options = with_real_paths(service.options, session.options)
        except FileError as refusal:
            return NeverLaunched(tell, str(refusal))
        make = partial(
            ScriptChild,
            order=order_of(session, script, session.slot, options),
            name=f"{session.id} (slot {session.slot})",
            now=self._clock.now,
        )
        return self._programs.launch_as(make, session, run_by(service, script), tell)

    def recover(self, session: Session, tell: Tell) -> Child:
        """Find what is left of a script of an earlier run, which stops by itself since that run's end."""
        return self._programs.recover(session, tell)

    def describe(self, service: Service) -> Deferred[Described]:
        """Load a service's script in a process, and say what is in it."""
        if service.script is None:
            return succeed(Described(cause=NO_SCRIPT))
        return Look(self._programs, self._clock, service, service.script, self._nonce()).done

    def close(self) -> Deferred[None]:
        """Let go of nothing: all is the process launcher's."""
        return succeed(None)


class ScriptChild(ProcessChild):
    """A process in which one script starts and stops its service, with all that this has started.

    Its endpoint is known once the script's ``start`` has returned.

    :param order: what the process is told; see :mod:`sessiond.scripting`.
    :param name: what lines of the log begin with.
    :param loaded: told what was found in the file.
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
        *,
        order: dict[str, Any],
        name: str,
        now: Callable[[], float],
        loaded: Callable[[str], None] = lambda found: None,
    ) -> None:
        super().__init__(watches, tell, ready, nonce, folder, output, endpoint)
        self._order, self._name, self._loaded = order, name, loaded
        self._transcript = Transcript(output, name, now)
        self._asked = False

    @property
    def piped(self) -> bool:
        """It is spoken to through its standard input and output."""
        return True

    def halt(self, step: StopStep) -> None:
        """Take one stop step; ``ask`` closes its input, which has it call the script's ``stop``."""
        if step is StopStep.ASK:
            self._asked = True
        elif step is StopStep.TERM and self._asked and not self._exited:
            log.error("{name}: stop() does not come to an end", name=self._name)
        super().halt(step)

    def exited(self, pid: int, end: Exit) -> None:
        """Be told that the process ended. What its script has left behind it has tried to end; now it must."""
        super().exited(pid, end)
        if self._asked and self._tree is not None:
            self._watches.reaper.kill(self._tree)

    def _watch(self) -> None:
        """Give the order."""
        answers = _Answers(self._heard)
        self.pipes.take(answers, answers)
        self.pipes.write(json.dumps(self._order).encode() + b"\n")

    def _heard(self, answer: dict[str, Any]) -> None:
        match answer:
            case {"loaded": str(found)}:
                self._loaded(found)
            case {"returned": [host, port]}:
                self.endpoint = endpoint_at(host, port)
                if self.endpoint is None:
                    self._failed("start", f"returned {(host, port)!r}")
                self._now_ready()
            case {"failed": str(why), "during": str(what)}:
                self._failed(what, why)
            case _:
                log.error("{name}: an answer that is not understood", name=self._name)

    def _failed(self, what: str, why: str) -> None:
        cause = plain(f"{what} failed: {why}")
        log.error("{name}: {cause}", name=self._name, cause=cause)
        if what != "stop":
            self._now_failed(cause)

    def _look_at_output(self) -> bool:
        self._transcript.look(self._output.size())
        return super()._look_at_output()

    def _emptied(self) -> None:
        self._transcript.look(self._output.size(), last=True)
        super()._emptied()


@implementer(IPushProducer)
class _Answers:
    """What comes out of a script's process, line by line. Nothing has to wait for what goes in: it is one line."""

    def __init__(self, heard: Callable[[dict[str, Any]], None]) -> None:
        self._heard = heard
        self._part = b""

    def received(self, data: bytes) -> None:
        """Take lines apart; what no answer can be is passed over."""
        *lines, self._part = (self._part + data).split(b"\n")
        self._part = self._part[:ANSWER_BYTES]
        for line in lines:
            try:
                answer = json.loads(line) if len(line) < ANSWER_BYTES else None
            except (ValueError, RecursionError):
                answer = None
            self._heard(answer if isinstance(answer, dict) else {})

    def ended(self) -> None:
        """Take no note: its exit is told."""

    def displaced(self) -> None:
        """Take no note: nobody else takes them."""

    def pauseProducing(self) -> None:
        """Take no note."""

    def resumeProducing(self) -> None:
        """Take no note."""

    def stopProducing(self) -> None:
        """Take no note."""


class Look:
    """One look at a service: its script is loaded in a process, which ends again.

    :ivar done: fires with what was found, when nothing is left of the process.
    """

    def __init__(self, programs: ProcessLauncher, clock: Clock, service: Service, script: Script, nonce: str) -> None:
        self.done: Deferred[Described] = Deferred(lambda _: self._end())
        self._clock = clock
        self._name = f"{service.name}.check"
        self._found, self._cause = "", ""
        self._child: Child | None = None
        self._gone = False
        self._timer: IDelayedCall | None = clock.call_later(LOAD_S, self._expire)
        session = session_for_look(f"{self._name}-{nonce[:8]}", service, clock.now(), nonce)
        order = order_of(session, script, None, {})
        make = partial(ScriptChild, order=order, name=self._name, now=clock.now, loaded=self._loaded)
        # No file of a client's is looked for.
        looked_at = evolve(run_by(service, script), options={})
        self._child = programs.launch_as(make, session, looked_at, self._hear)
        self._settle()

    def _hear(self, event: Event) -> None:
        if isinstance(event, Failed):
            self._cause = self._cause or event.cause
            self._ask()
        elif isinstance(event, Exited) and not self._found:
            self._cause = self._cause or "the script's process ended while the script was loaded"
        elif isinstance(event, Gone):
            self._gone = True
            self._settle()

    def _loaded(self, found: str) -> None:
        self._found = found
        self._ask()

    def _ask(self) -> None:
        if self._child is not None:
            self._child.halt(StopStep.ASK)

    def _expire(self) -> None:
        self._timer = None
        if not self._found:
            self._cause = self._cause or f"load failed: not done within {LOAD_S:.0f} s"
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
        self._child.tidy()
        if not self.done.called:
            self.done.callback(Described(self._found, self._cause))


def order_of(session: Session, script: Script, index: int | None, options: Mapping[str, Scalar]) -> dict[str, Any]:
    """Write what a script's process is told; without an index it only loads the script."""
    ask_s = next((entry.seconds for entry in session.plan.stop if entry.step is StopStep.ASK), ASK_S)
    return {
        "script": script.path,
        "common_options": script.common_options,
        "index": index,
        "options": {name: str(value) for name, value in options.items()},
        "stop_s": ask_s,
    }


def run_by(service: Service, script: Script) -> Service:
    """Give the service with the command that runs its script.

    The script's path stands in the command for people who look at processes. ``-P``: what lies beside our program
    is no module of the script's.
    """
    return evolve(service, command=(script.python, "-P", _literal(PROGRAM), _literal(script.path)))


def _literal(path: str) -> str:
    return path.replace("$", "$$")


def session_for_look(session_id: str, service: Service, now: float, nonce: str) -> Session:
    """Make what stands for a session where there is none: it has what ``env`` may name."""
    return Session(
        id=session_id,
        service=service.name,
        pool="",
        plan=service.plan,
        created_at=now,
        state=State.LAUNCHING,
        since=now,
        slot=0,
        options={name: option.default for name, option in service.options.items()},
        nonce=nonce,
    )


def endpoint_at(host: object, port: object) -> Endpoint | None:
    """Give the endpoint that a script names, where it has the form of one; who listens there is the script's word."""
    if not isinstance(host, str) or isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        return None
    return Tcp(host, port) if is_host(host) else None


def is_host(text: str) -> bool:
    """Say whether a text has the form of an address or a host's name (RFC 1123, section 2.1; underscores pass)."""
    try:
        return ipaddress.ip_address(text).compressed.find("%") < 0
    except ValueError:
        return len(text) <= 253 and _NAME.fullmatch(text) is not None


def plain(cause: str) -> str:
    """Give a cause as callers may see it: one line, no secret that can be told from a word, not too long."""
    text = "".join(one if one.isprintable() else " " for one in scrub(cause))
    return text if len(text) <= CAUSE_CHARACTERS else text[: CAUSE_CHARACTERS - 1] + "…"
