"""One context at work: its runs, their ends, and what callers are told of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from sessiond.broker import Broker, Request
from sessiond.config import PartyContext
from sessiond.core.effects import Verdict
from sessiond.core.errors import Code, Refused, last_error
from sessiond.core.events import ClientDone, Event, SetDeadline
from sessiond.core.facts import Fact, FactType
from sessiond.core.session import Session
from sessiond.core.values import Deadline, Reason, State
from sessiond.dialects.genius2.folder import Folder, Party
from sessiond.dialects.genius2.numbering import Numbers
from sessiond.dialects.genius2.parties import stem_of
from sessiond.dialects.genius2.sniffing import Inform, inform_of, read_progress
from sessiond.dialects.genius2.transcripts import Transcripts
from sessiond.dialects.genius2.words import cannot_start, closed_for, one_line, plain, retry_at
from sessiond.ports import Close, Direction
from sessiond.web.answers import Answer
from sessiond.ws.bulletin import Bulletin

OWNER = "genius2"
"""In whose name its sessions stand: this wire knows no callers."""
START_S = 10.0
"""How long a start may take; the answer waits for no word of the party's."""
SOONEST_MS = 1000
UNKNOWN_MS = 10_000
"""When to ask again at the earliest, and where there is nothing to wait for."""
GONE_S = 10.0
"""How long a client may come yet that is told how its party has ended."""
TAIL_LINES = 2000
OFTEN = 3
"""After so many refusals in a row the log says so: a client that wants more than there is asks for ever."""

LATER = (Code.FULL, Code.QUOTA, Code.SUSPENDED, Code.STORE_UNAVAILABLE, Code.SHUTTING_DOWN)

log = Logger()


@define
class Run:
    """One running party. Instants are milliseconds since 1970.

    :ivar end_ms: when it is expected to end, at the latest.
    :ivar is_ending: whether its end has begun; ``has_client`` whether a client has come for it.
    :ivar caller: who asked for it.
    :ivar late: what its client is told beside the usual, where its time was over when it was told.
    """

    name: str
    start_ms: int
    end_ms: int
    is_ending: bool = False
    has_client: bool = False
    late: str = ""
    caller: str = ""


class Front:
    """A context.

    :param numbers: of runs, shared with the other contexts.
    :param transcripts: keeps the messages of runs; ``None`` where they are not kept.
    :ivar available: the list of parties; ``running`` that of runs.
    """

    def __init__(
        self,
        context: PartyContext,
        broker: Broker,
        numbers: Numbers,
        transcripts: Transcripts | None = None,
    ) -> None:
        self.context, self.broker = context, broker
        self.available, self.running = Bulletin(), Bulletin()
        self.folder = Folder(context, broker, self.available.post)
        self.runs: dict[str, Run] = {}
        self._numbers, self.transcripts = numbers, transcripts
        self._refused = 0
        self._ends: tuple[tuple[str, int, bool], ...] = ()
        self._waiting: list[Deferred[None]] = []
        self._turned_away: dict[str, int] = {}

    def now_ms(self) -> int:
        """Give the time as this wire has it."""
        return int(self.broker.clock.now() * 1000)

    def free(self) -> int:
        """Say how many slots are free."""
        catalogue = self.broker.catalogue
        used = sum(session.state.holds_slot for session in self._sessions())
        free = self.context.slots - used
        if catalogue.caps.sessions is not None:
            everywhere = sum(session.state.holds_slot for session in self.broker.sessions())
            free = min(free, catalogue.caps.sessions - everywhere)
        return max(0, free)

    def _sessions(self) -> list[Session]:
        return [session for session in self.broker.sessions() if session.pool == self.context.pool]

    # -- a run begins ------------------------------------------------------------------------------------------------

    async def run(self, name: str, base: str, caller: str) -> Answer:
        """Start a party, and give the answer: its address, when to come again, or why it can't be.

        :param base: what the address begins with, the context's path included.
        :param caller: who asks, for the log.
        """
        party = self.folder.parties.get(name)
        if party is None:
            return plain(f"no such party: {one_line(name)[:100]}", 404)
        if party.service is None:
            return cannot_start(name, party.why)
        until = self.broker.clock.now() + self.context.run_wait_s
        while True:
            try:
                session_id = await self._start(party, caller)
            except Refused as refused:
                if refused.code is Code.FULL and await self._slot_comes(until):
                    continue
                if refused.code in LATER:
                    return self._refuse(refused.code, caller)
                return cannot_start(name, refused.detail or refused.shape.title)
            return plain(f"ws{base.removeprefix('http')}/party/{session_id}")

    async def _start(self, party: Party, caller: str) -> str:
        """Reserve a slot and start the party's program in it, in one step.

        :raises Refused: as the broker does, or ``launch-failed``.
        """
        service = party.service
        if service is None:
            raise Refused(Code.UNKNOWN_SERVICE)
        session_id = f"{stem_of(party.name)}_{await self._numbers.next()}"
        now = self.now_ms()
        # Known before anything is saved: those who are refused meanwhile count with it.
        self.runs[session_id] = Run(party.name, now, now + int(self.context.setup_s * 1000), caller=caller)
        wanted = Request(service.name, OWNER, wait_s=START_S, patient=False, queues=False, session_id=session_id)
        try:
            made = await self.broker.reserve(wanted)
        except Refused:
            del self.runs[session_id]
            raise
        verdict = Verdict.READY if made.answer is None else await made.answer
        if verdict is not Verdict.READY:
            raise Refused(Code.LAUNCH_FAILED, self.broker.session(session_id).cause)
        return session_id

    async def _slot_comes(self, until: float) -> bool:
        """Wait for a slot where a run is about to end; say whether one came before ``until``."""
        left_s = until - self.broker.clock.now()
        if left_s <= 0 or not any(run.is_ending for run in self.runs.values()):
            return False
        came: Deferred[None] = Deferred()
        self._waiting.append(came)
        timer: IDelayedCall = self.broker.clock.call_later(left_s, came.cancel)
        try:
            await came
        except Exception:  # noqa: BLE001 - nobody cancels it but the timer, and a caller that has gone
            return False
        finally:
            if came in self._waiting:
                self._waiting.remove(came)
            if timer.active():
                timer.cancel()
        return True

    def _refuse(self, code: Code, caller: str) -> Answer:
        now = self.now_ms()
        again = self._turned_away[caller] = self._turned_away.pop(caller, 0) + 1
        if len(self._turned_away) > 1000:
            del self._turned_away[next(iter(self._turned_away))]
        if again == OFTEN:
            log.warn(
                "{caller} was refused {count} times in a row: it may want more parties than {name} has slots",
                caller=caller,
                count=again,
                name=self.context.name,
            )
        return retry_at(self._retry_ms(now) if code is Code.FULL else now + UNKNOWN_MS, now)

    def _retry_ms(self, now: int) -> int:
        """Say when the next who is refused may find a slot: the k-th since the last change waits for the k-th end."""
        ends = tuple(sorted((key, run.end_ms, run.is_ending) for key, run in self.runs.items()))
        if ends != self._ends:
            self._ends, self._refused = ends, 0
        self._refused += 1
        at = sorted(now if is_ending else end_ms for _, end_ms, is_ending in ends)
        if not at:
            return now + UNKNOWN_MS
        # Behind the last of them those come who took the slots before: each has them for as long as runs have now.
        rounds, place = divmod(self._refused - 1, len(at))
        length = sum(run.end_ms - run.start_ms for run in self.runs.values()) // len(at)
        return max(now + SOONEST_MS, at[place] + rounds * length)

    # -- while it runs -----------------------------------------------------------------------------------------------

    def observe(self, session_id: str, direction: Direction, message: bytes, at: float) -> None:
        """Read what a client tells its party of the end."""
        if self.transcripts is not None:
            self.transcripts.note(session_id, direction, message, at)
        if direction is not Direction.UP:
            return
        inform = inform_of(message)
        if inform is Inform.FINISHED:
            # Not at once: the message itself is still on its way to the party.
            self.broker.clock.call_later(0, self._dispatch, session_id, ClientDone())
        elif inform is Inform.SETTINGS:
            self._set_end(session_id, message)

    def _set_end(self, session_id: str, message: bytes) -> None:
        run, now = self.runs.get(session_id), self.now_ms()
        progress = read_progress(message)
        if run is None:
            return
        if progress is None:
            log.warn("{id}: Settings that can't be read; they count for nothing", id=session_id)
            return
        if not progress.known:
            log.warn("{id}: Settings with an unknown progress: {key}", id=session_id, key=progress.key or "none")
        self._turned_away.pop(run.caller, None)  # it has got all that it wanted
        fallback = now + int(self.context.fallback_run_s * 1000)
        end = fallback if progress.end_ms is None else progress.end_ms
        run.end_ms = min(end, run.start_ms + int(self.context.max_run_s * 1000))
        if end <= now:
            off_s = (now - end) / 1000
            run.late = f"deadline passed on arrival: client clock {off_s:.0f} s off?"
            log.warn(
                "{id}: its time was over when it was told: end {end} ms, now {now} ms", id=session_id, end=end, now=now
            )
        log.info("{id}: runs until {end} ms ({key})", id=session_id, end=run.end_ms, key=progress.key or "no progress")
        enforced = max(run.end_ms, now) / 1000 + self.context.grace_s
        self._dispatch(session_id, SetDeadline(Deadline.SETUP, None))
        self._dispatch(session_id, SetDeadline(Deadline.LIFETIME, enforced))
        self.running.post()

    def _dispatch(self, session_id: str, event: Event) -> None:
        self.broker.dispatch(session_id, event).addErrback(lambda failure: failure.trap(Refused) and None)

    # -- its end -----------------------------------------------------------------------------------------------------

    def hear(self, fact: Fact) -> None:
        """Take note of what happened to one of the context's runs."""
        run = self.runs.get(fact.session_id)
        if fact.type is FactType.STOPPING and run is not None:
            run.is_ending = True
        if fact.type is FactType.ENDED:
            if self.runs.pop(fact.session_id, None) is not None and self.transcripts is not None:
                self.transcripts.end(fact.session_id)
            if run is not None:
                self._log_failure(fact)
            waiting, self._waiting = self._waiting, []
            for came in waiting:
                # Not at once: the slot is another's only when all that hear of it have heard.
                self.broker.clock.call_later(0, _call, came)
        if fact.type in (FactType.READY, FactType.ENDED):
            self.running.post()

    def _log_failure(self, fact: Fact) -> None:
        """Put what a party wrote of its failure into the log: its client gets one line of it."""
        if fact.data.get("reason") in (Reason.CRASHED.value, Reason.LAUNCH_FAILED.value):
            for line in self.broker.tail(fact.session_id, TAIL_LINES):
                log.error("{id}: {line}", id=fact.session_id, line=line)

    def session(self, session_id: str) -> Session:
        """Give one of the context's runs, also one that has ended a moment ago.

        :raises Refused: ``unknown-session``.
        """
        session = self.broker.session(session_id)
        over = session.state is State.ENDED and session.since + GONE_S < self.broker.clock.now()
        if session.pool != self.context.pool or over:
            raise Refused(Code.UNKNOWN_SESSION)
        return session

    def words(self, session_id: str, close: Close) -> Close:
        """Say why a client is closed, as this wire has it."""
        match close.code:
            case 1001:
                return Close(1001, "server stopping")
            case 1003:
                return Close(1003, "text frames only")
            case 1009:
                return Close(1009, f"message over {self.context.message_bytes} bytes")
        try:
            session = self.broker.session(session_id)
        except Refused:
            return close
        if session.reason is None:
            # The program's output made no sense: that is told before it becomes the reason.
            return Close(1011, f"party failed: {close.text}") if close.code == 4500 else close
        error = session.cause or "it ended"
        if session.reason is Reason.CRASHED and session.exit is not None and session.exit.known:
            error = last_error(self.broker.tail(session_id, TAIL_LINES), error)
        run = self.runs.get(session_id)
        if session.reason is Reason.LIFETIME and run is not None and run.late:
            return Close(1000, run.late)
        return closed_for(session.reason, error, self.context.setup_s)

    def observer(self, session_id: str) -> Callable[[Direction, bytes, float], None]:
        """Give what is to see the messages of a run."""
        return partial(self.observe, session_id)


def _call(came: Deferred[None]) -> None:
    if not came.called:
        came.callback(None)
