"""A context's folder: its files are looked at again and again, and those that are parties become services."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from sessiond.broker import Broker
from sessiond.config import PartyContext
from sessiond.core.services import Frames, Limits, Plan, Readiness, ReadyWhen, Service, Stop
from sessiond.core.values import Kind, StopStep
from sessiond.dialects.genius2.parties import (
    Unusable,
    Written,
    check_name,
    main_class_of,
    read_capabilities,
    read_description,
    read_descriptor,
)

LOOK_S = 0.5
"""How often the folder is looked at."""
STILL_S = 1.0
"""How long a file must stay as it is before it counts: it may be in the midst of being copied."""
AT_ONCE = 2
"""How many parties are asked of themselves side by side."""
FILE_BYTES = 64 * 1024
DESCRIPTOR = "json"
QUESTIONS, RUN = ("capabilities", "description"), "run"
"""What stands behind a party's command: it is to say what it is, or to play (spec 8)."""
MANIFEST = "META-INF/MANIFEST.MF"
GROUP = "genius2"
"""Whose services they are: callers of the API start them only where their token names this group."""
KILL_S = 5.0

Mark = tuple[int, int, int]
"""Inode, size and time of the last write: a file that has the same is the same."""

log = Logger()


@frozen
class Party:
    """A file that is a party, or should be one.

    :ivar why: why it is not accepted; empty where it is.
    """

    name: str
    file: str
    why: str = ""
    service: Service | None = None
    capabilities: Mapping[str, Any] = field(factory=dict)
    description: str = ""


class Folder:
    """The parties of one context.

    :param changed: is called when the accepted parties are not what they were.
    :ivar parties: by name, the rejected ones too.
    :ivar payload: the names of the other files.
    :ivar fault: why nothing of the folder counts; empty where it does.
    """

    def __init__(self, context: PartyContext, broker: Broker, changed: Callable[[], object]) -> None:
        self._context, self._broker, self._changed = context, broker, changed
        self.parties: dict[str, Party] = {}
        self.payload: list[str] = []
        self.fault = ""
        self._seen: dict[str, tuple[Mark, float]] = {}
        self._examined: dict[str, tuple[str, Mark]] = {}
        self._examining: dict[str, Deferred[Party]] = {}
        self._turns = DeferredSemaphore(AT_ONCE)
        self._timer: IDelayedCall | None = None
        self._stopped = False

    def start(self) -> None:
        """Look now, and again and again."""
        self.look()
        if not self._stopped:
            self._timer = self._broker.clock.call_later(LOOK_S, self.start)

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for examining in tuple(self._examining.values()):
            examining.cancel()

    def accepted(self) -> list[Party]:
        """Give the parties that can be run, by name."""
        return [party for _, party in sorted(self.parties.items()) if not party.why]

    def look(self) -> None:
        """Take note of files that came, changed or went."""
        files, fault = self._files()
        if fault != self.fault:
            self.fault = fault
            if fault:
                log.error("{folder}: {fault}: it has no parties", folder=self._context.folder, fault=fault)
        now = self._broker.clock.now()
        for file, mark in files.items():
            if file not in self._seen or self._seen[file][0] != mark:
                self._seen[file] = (mark, now)
        self._seen = {file: seen for file, seen in self._seen.items() if file in files}
        chosen, self.payload = self._chosen(sorted(files))
        for name in set(self.parties) - set(chosen):
            self._forget(name)
        for name, file in chosen.items():
            mark, since = self._seen[file]
            if now - since >= STILL_S and self._examined.get(name) != (file, mark) and name not in self._examining:
                self._examined[name] = (file, mark)
                self._examine(name, file)

    def _files(self) -> tuple[dict[str, Mark], str]:
        """List the folder's files; the text says why nothing in it counts."""
        folder = self._context.folder
        try:
            if os.stat(folder).st_mode & stat.S_IWOTH:
                return {}, "the folder can be written by everybody"
            found = {}
            for entry in os.scandir(folder):
                try:
                    if entry.is_file() and not entry.name.startswith("."):
                        at = entry.stat()
                        found[entry.name] = (at.st_ino, at.st_size, at.st_mtime_ns)
                except OSError:
                    continue  # it went meanwhile
        except OSError as error:
            return {}, f"the folder can't be read: {error.strerror}"
        return found, ""

    def _chosen(self, files: list[str]) -> tuple[dict[str, str], list[str]]:
        """Give the file that stands for each party, and those that are none; a descriptor wins."""
        chosen: dict[str, str] = {}
        payload = []
        for file in sorted(files, key=lambda file: (_suffix(file) != DESCRIPTOR, file)):
            if (_suffix(file) != DESCRIPTOR and _suffix(file) not in self._context.launchers) or Path(
                file
            ).stem in chosen:
                payload.append(file)
            else:
                chosen[Path(file).stem] = file
        return chosen, sorted(payload)

    def _examine(self, name: str, file: str) -> None:
        def take(party: Party) -> None:
            if not self._stopped:
                self._take(party)

        def unusable(failure: Any) -> None:
            if failure.check(Unusable, OSError):
                error = failure.value
                take(Party(name, file, why=getattr(error, "strerror", None) or str(error)))
            elif not failure.check(CancelledError):
                log.failure("{file} could not be looked at", failure, file=file)
                take(Party(name, file, why="it could not be looked at; see the server's log"))

        def over(result: object) -> object:
            self._examining.pop(name, None)
            return result

        turn: Deferred[Party] = self._turns.run(lambda: Deferred.fromCoroutine(self._party_of(name, file)))
        self._examining[name] = turn
        turn.addBoth(over).addCallbacks(take, unusable)

    async def _party_of(self, name: str, file: str) -> Party:
        """Find out what a party is, by its file and by what it says itself.

        :raises Unusable: it is none.
        """
        check_name(name)
        written = self._written(file)
        known = {"capabilities": written.capabilities, "description": written.description}
        questions = tuple(question for question in QUESTIONS if known[question] is None)
        service = self._service(name, file, written, questions)
        found = await self._broker.describe(service)
        if found.cause:
            raise Unusable(found.cause)
        capabilities, description = written.capabilities, written.description
        if capabilities is None:
            capabilities = read_capabilities(found.answers["capabilities"])
        if description is None:
            description = read_description(found.answers["description"])
        return Party(name, file, "", service, capabilities, description)

    def _written(self, file: str) -> Written:
        path = self._context.folder / file
        if _suffix(file) == DESCRIPTOR:
            with path.open("rb") as stream:
                return read_descriptor(stream.read(FILE_BYTES + 1))
        launcher = self._context.launchers[_suffix(file)]
        command = launcher.command
        if any("{main_class}" in word for word in command):
            main_class = main_class_of(_manifest(path))
            command = tuple(word.replace("{main_class}", main_class) for word in command)
        return Written(command, launcher.framing, launcher.env)

    def _service(self, name: str, file: str, written: Written, questions: tuple[str, ...]) -> Service:
        context = self._context
        folder = str(context.folder.absolute())

        def filled(word: str) -> str:
            # What a file says is no placeholder of ours.
            word = word.replace("$", "$$")
            return word.replace("{file}", f"{folder}/{file}").replace("{folder}", folder)

        own = dict.fromkeys(("HOME", "TMPDIR", "SESSIOND_RUN_DIR"), "${folder}")
        return Service(
            name=f"{context.name}/{name}",
            kind=Kind.MESSAGES,
            launcher="process",
            plan=plan_of(context),
            title=name,
            command=tuple(filled(word) for word in written.command),
            pool=context.pool,
            group=GROUP,
            ready=Readiness(ReadyWhen.STARTED),
            endpoint="stdio",
            env={**own, **{key: filled(value) for key, value in written.env.items()}},
            directory="${folder}",
            framing=written.framing,
            frames=Frames.JSON,
            questions=questions,
        )

    def _take(self, party: Party) -> None:
        before = self.parties.get(party.name)
        self.parties[party.name] = party
        if party.service is not None:
            runs = evolve(party.service, command=(*party.service.command, RUN), questions=())
            self._broker.put_service(runs)
        elif before is not None and before.service is not None:
            self._broker.remove_service(before.service.name)
        if party.why:
            log.error("{file} is no party: {why}", file=party.file, why=party.why)
        if party.service is not None or (before is not None and before.service is not None):
            self._changed()

    def _forget(self, name: str) -> None:
        party = self.parties.pop(name)
        self._examined.pop(name, None)
        if party.service is not None:
            self._broker.remove_service(party.service.name)
            self._changed()


def plan_of(context: PartyContext) -> Plan:
    """Give the terms of a context's runs.

    Until a party has its ``Settings``, ``setup`` is its limit; from then on ``lifetime``, which these move.
    """
    limits = Limits(
        launch_s=context.setup_s,
        connect_s=context.setup_s + 60.0,  # "setup" comes first, with or without a client
        linger_s=0.0,
        setup_s=context.setup_s,
        lifetime_s=context.max_run_s,
    )
    stop = (
        Stop(StopStep.DRAIN, context.finish_wait_s),
        Stop(StopStep.ASK, context.exit_wait_s),
        Stop(StopStep.TERM, context.term_wait_s),
        Stop(StopStep.KILL, KILL_S),
    )
    return Plan(limits=limits, stop=stop)


def _suffix(file: str) -> str:
    return Path(file).suffix[1:].lower()


def _manifest(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as jar, jar.open(MANIFEST) as stream:
            return stream.read(FILE_BYTES)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, ValueError):
        raise Unusable("it is no jar with a manifest") from None
