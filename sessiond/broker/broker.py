"""Where events become steps, and steps become effects.

A step is decided at once, in memory, so that two callers never get the same slot. What it leads to happens only once
the store has it (``journal``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from sessiond.broker.alarm import Alarm
from sessiond.broker.children import Children
from sessiond.broker.clients import Clients
from sessiond.broker.fitness import AGAIN_S, Fitness
from sessiond.broker.journal import Journal
from sessiond.broker.leasing import Leasing
from sessiond.broker.requests import Admission, Request, Reservation
from sessiond.broker.tickets import Issued, Tickets
from sessiond.core import effects as wants
from sessiond.core import events
from sessiond.core.capacity import SessionTable, suspended_until
from sessiond.core.deadlines import next_deadline
from sessiond.core.effects import Effect, Verdict
from sessiond.core.errors import Code, NoTransition, Refused
from sessiond.core.eta import eta_s
from sessiond.core.events import Event
from sessiond.core.machine import Outcome, create, step
from sessiond.core.options import check_options
from sessiond.core.services import Catalogue, Scalar, Service, slug
from sessiond.core.session import Caller, Session
from sessiond.core.values import Deadline, Exit, Lease, LeaseKind, Liveliness, Reason, State
from sessiond.entropy import digest
from sessiond.ports import Bus, Clock, Described, Entropy, Launcher, LeaseTest, Store, Streams, TunnelClient

RECOVERY_S = 5.0
"""How long a start waits until what it found is saved."""
WARM_RETRY_S = 5.0
"""How long after a failed save warm sessions are made again."""

log = Logger()


class Broker:
    """Holds every session, decides every step and performs what it wants.

    :param catalogue: the services and pools on offer.
    :param launchers: by the name that services call them.
    :param turned_away: takes the service's name and the code when a caller gets no session.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        store: Store,
        bus: Bus,
        launchers: Mapping[str, Launcher],
        leases: LeaseTest,
        entropy: Entropy,
        clock: Clock,
        turned_away: Callable[[str, Code], None] = lambda service, code: None,
    ) -> None:
        self.catalogue, self.clock = catalogue, clock
        self.accepting = False
        self._store, self._entropy, self._turned_away = store, entropy, turned_away
        self._table = SessionTable()
        self._journal = Journal(store, bus, clock, self._table.settle, self._perform, self._never_was)
        self._alarm = Alarm(clock, self._fall_due, self._resume)
        self._leasing = Leasing(self._table, leases, clock, self._lease_freed)
        self._children = Children(lambda: self.catalogue, launchers, self._note)
        self._clients = Clients()
        # Each stands for a token, by its digest: what voids the token voids its tickets.
        self._tickets: Tickets[bytes] = Tickets(entropy, clock)
        self._fitness = Fitness(self._children.describe, clock, self._warm_up)
        self._answers: dict[int, Deferred[Verdict]] = {}
        self._heard: dict[str, float] = {}
        self._stood_still = 0.0, 0.0
        self._number = 0
        self._warming: IDelayedCall | None = None

    # -- what others may know ----------------------------------------------------------------------------------------

    def sessions(self) -> list[Session]:
        """Give every session as it was last saved, in the order in which they came."""
        return list(self._journal.saved.values())

    def session(self, session_id: str) -> Session:
        """Give a session as it was last saved.

        :raises Refused: ``unknown-session``.
        """
        session = self._journal.saved.get(session_id)
        if session is None:
            raise Refused(Code.UNKNOWN_SESSION)
        return session

    def by_token(self, token: str) -> Session:
        """Give the session that a token opens.

        :raises Refused: ``unauthenticated``; whether the token ever opened anything is not told.
        """
        return self.by_digest(digest(token))

    def by_ticket(self, ticket: str) -> Session:
        """Give the session that a ticket opens, and use the ticket up.

        :raises Refused: as :meth:`by_token`.
        """
        return self.by_digest(self._tickets.take(ticket))

    def by_digest(self, token_digest: bytes) -> Session:
        """Give the session that the token of a digest opens.

        :raises Refused: as :meth:`by_token`.
        """
        session = self._table.by_token(token_digest)
        if session is None:
            raise Refused(Code.UNAUTHENTICATED)
        return session

    def service(self, name: str) -> Service:
        """Give a service by name.

        :raises Refused: ``unknown-service``.
        """
        service = self.catalogue.services.get(name)
        if service is None:
            raise Refused(Code.UNKNOWN_SERVICE)
        return service

    def service_of(self, session: Session) -> Service | None:
        """Give a session's service as its program was started, else as it is offered now; ``None`` without either."""
        return self._children.service(session.id) or self.catalogue.services.get(session.service)

    def usage(self, service: Service) -> tuple[int, int, int]:
        """Give a service's pool as count, used and queued."""
        pool = self.catalogue.pool_of(service)
        return pool.count, len(self._table.held(pool.name)), self._table.queued(pool.name)

    def unfit(self, service: Service) -> str | None:
        """Say why a service can't be started; ``None`` where nothing speaks against it."""
        return self._fitness.causes.get(service.name)

    def places(self, service: Service) -> dict[int, Session]:
        """Give the sessions that hold the slots of a service's pool, by slot, as they were last saved."""
        held = self._table.held(self.catalogue.pool_of(service).name)
        saved = self._journal.saved
        return {slot: saved[session_id] for slot, session_id in held.items() if session_id in saved}

    def queue_place(self, session: Session) -> int | None:
        """Give the place of a session in its queue, from 1; ``None`` where it is in none."""
        if session.state is not State.QUEUED:
            return None
        ids = [queued.id for queued in self._table.queue(session.pool)]
        return ids.index(session.id) + 1 if session.id in ids else None

    def eta_s(self, session: Session) -> float | None:
        """Say in how many seconds a queued session probably has a slot; ``None`` where nobody can say.

        So it is where that is later than its own time in the queue, and while as many sessions as may be are there:
        then it waits for no slot of its pool alone.
        """
        place, table, now = self.queue_place(session), self._table, self.clock.now()
        if place is None or not table.room(self.catalogue.caps):
            return None
        found = eta_s(place, table.occupants(session.pool), table.lasted, now)
        in_time = found is not None and now + found <= session.deadlines.get(Deadline.QUEUE, now)
        return round(found, 1) if found is not None and in_time else None

    def refusal(self, code: Code) -> Refused:
        """Make a refusal that says when to ask again, each time another."""
        return Refused(code).later(self._entropy.fraction())

    def closed(self, service: Service) -> Code | None:
        """Say why a new session of a service would be refused now, whoever asks; ``None`` where it would not."""
        if not self.accepting:
            return Code.SHUTTING_DOWN
        if self.unsaved:
            return Code.STORE_UNAVAILABLE
        if suspended_until(*self._table.failures(service.name)) > self.clock.now():
            return Code.SUSPENDED
        free = self._table.takes(service, self.catalogue.pool_of(service), self.catalogue.caps)
        return None if free else Code.FULL

    def tail(self, session_id: str, lines: int) -> list[str]:
        """Give the last lines of a session's output; once it has ended, those that were kept.

        :raises Refused: ``unknown-session``.
        """
        session, tail = self.session(session_id), self._children.tail(session_id, lines)
        return list(session.tail[-lines:]) if tail is None else tail

    def streams(self, session_id: str) -> Streams | None:
        """Give the standard input and output of a session's program, where these are its endpoint."""
        return self._children.streams(session_id)

    @property
    def unsaved(self) -> int:
        """Say how many sessions wait for a store that failed them."""
        return self._journal.failing

    # -- what callers want -------------------------------------------------------------------------------------------

    async def reserve(self, request: Request) -> Reservation:
        """Make a session for a caller, give a warm one, or find the one that its repeated request made.

        :raises Refused: unknown service, bad option, no place, too many of this owner, suspended, unfit to start,
            stopping, or nothing can be recorded.
        """
        try:
            return await self._reserve(request)
        except Refused as refused:
            if request.service in self.catalogue.services:
                self._turned_away(request.service, refused.code)
            raise refused.later(self._entropy.fraction()) from None

    async def _reserve(self, request: Request) -> Reservation:
        if not self.accepting:
            raise Refused(Code.SHUTTING_DOWN)
        service = self.service(request.service)
        options = check_options(service.options, request.options, free=service.any_options)
        repeated = None if request.key is None else self._table.by_key(request.owner, request.key)
        if repeated is not None and (repeated.service, repeated.options) != (service.name, options):
            raise Refused(Code.BAD_REQUEST, "this Idempotency-Key came with another request before")
        if repeated is not None:
            return await self._claim(repeated, request)
        warm = self._table.unclaimed(service, options)
        if warm is not None:
            self._table.check_quota(service, request.owner, self.catalogue.caps)
            return await self._claim(warm, request)
        self._refuse_unfit(service)
        self._refuse_suspended(service)
        return await self._create(service, request, options)

    async def _claim(self, session: Session, request: Request) -> Reservation:
        if session.state in (State.STOPPING, State.ENDED):
            return Reservation(self.session(session.id), "")
        token, (caller, answer) = self._new_token(request), self._new_caller(request)
        done = self._happen(session.id, events.Claim(request.owner, digest(token), request.key))
        if caller is not None:
            done.addErrback(_logged)
            done = self._happen(session.id, events.CallerWaits(caller))
        self._warm_up()
        await done
        return Reservation(self.session(session.id), token, None if caller is None else caller.number, answer)

    async def _create(self, service: Service, request: Request, options: Mapping[str, Scalar]) -> Reservation:
        pool = self.catalogue.pool_of(service)
        slot = self._table.place_for(service, pool, request.owner, self.catalogue.caps, queues=request.queues)
        token, (caller, answer) = self._new_token(request), self._new_caller(request)
        blank = self._blank(service, request.owner, options, request.session_id)
        blank = evolve(blank, key=request.key, token_digest=digest(token))
        saved = await self._enter(blank.id, create(blank, events.Reserve(slot, caller), self.clock.now()))
        if saved is None:
            raise Refused(Code.INTERNAL)
        return Reservation(saved, token, None if caller is None else caller.number, answer)

    def _blank(
        self, service: Service, owner: str, options: Mapping[str, Scalar], session_id: str | None = None
    ) -> Session:
        now = self.clock.now()
        if session_id is not None and self._table.get(session_id) is not None:
            raise Refused(Code.INTERNAL)
        return Session(
            id=session_id or self._new_id(service.name),
            service=service.name,
            pool=self.catalogue.pool_of(service).name,
            plan=service.plan,
            created_at=now,
            state=State.QUEUED,
            since=now,
            owner=owner,
            options=options,
            nonce=self._entropy.nonce(),
            child_secret=self._entropy.token(),
        )

    def _new_id(self, service: str) -> str:
        for _ in range(100):
            session_id = f"{slug(service)}-{self._entropy.suffix()}"
            if self._table.get(session_id) is None:
                return session_id
        raise Refused(Code.INTERNAL)

    def _new_token(self, request: Request) -> str:
        return self._entropy.uuid() if request.short else self._entropy.token()

    def _new_caller(self, request: Request) -> tuple[Caller | None, Deferred[Verdict] | None]:
        if request.wait_s is None:
            return None, None
        caller = Caller(self._next_number(), self.clock.now() + request.wait_s, request.patient)
        answer: Deferred[Verdict] = Deferred()
        self._answers[caller.number] = answer
        return caller, answer

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _refuse_unfit(self, service: Service) -> None:
        cause = self.unfit(service)
        if cause is not None:
            raise Refused(Code.CANNOT_START, cause, retry_after_s=AGAIN_S)

    def _refuse_suspended(self, service: Service) -> None:
        left_s = suspended_until(*self._table.failures(service.name)) - self.clock.now()
        if left_s > 0:
            raise Refused(Code.SUSPENDED, retry_after_s=left_s)

    def leave(self, session_id: str, caller: int) -> None:
        """Take note that a waiting caller hung up."""
        self._answers.pop(caller, None)
        self._note(session_id, events.CallerGone(caller))

    def retest_leases(self) -> None:
        """Look now which leases of ended sessions are free again, and do not wait for the next time."""
        self._leasing.retest()

    def issue_ticket(self, session: Session, owner: str) -> Issued:
        """Make a ticket that opens a session's tunnel once.

        :param session: as it was last saved, so that a token of which nobody has been told yet gets no ticket.
        :param owner: who asks for it.
        :raises Refused: ``not-accepting``: the session is being ended, or nobody has it; ``quota``.
        """
        if not session.token_digest or session.state in (State.STOPPING, State.ENDED):
            raise Refused(Code.NOT_ACCEPTING, "there is nothing that a ticket could open")
        return self._tickets.issue(owner, session.token_digest)

    def dispatch(self, session_id: str, event: Event) -> Deferred[Session | None]:
        """Have something happen to a session; fires with the session once that is saved.

        :raises Refused: (in the Deferred) unknown session, or the event is turned away.
        """
        try:
            return self._happen(session_id, event)
        except Refused as error:
            return fail(error)
        except NoTransition as error:
            log.error("{session_id}: {error}", session_id=session_id, error=error)
            return fail(Refused(Code.NOT_ACCEPTING))

    def report(self, session_id: str, what: Liveliness) -> Deferred[Session | None]:
        """Take a child's own report. A ping stays in memory until something else is saved.

        :raises Refused: (in the Deferred) unknown session, or not in a state to report in.
        """
        session = self._table.get(session_id)
        live = session is not None and session.state in (State.READY, State.CONNECTED)
        if session is not None and live and not session.suspect and what is Liveliness.PING:
            self._heard[session_id] = self.clock.now()
            return succeed(session)
        return self.dispatch(session_id, events.Report(what, self._children.endpoint(session_id)))

    async def admit(self, session_id: str, client: TunnelClient) -> Admission:
        """Let a client in, before anything is dialled for it.

        :raises Refused: the session takes no client now, or nothing can be recorded.
        """
        if self._journal.failing:
            # It would wait for the disk with its handshake half done.
            raise self.refusal(Code.STORE_UNAVAILABLE)
        number = self._next_number()
        self._clients.add(number, client)
        try:
            session = await self.dispatch(session_id, events.TunnelOpened(number))
        except Refused:
            self._clients.drop(number)
            raise
        if session is None or number not in self._clients:
            # It was cut while this was being saved.
            raise Refused(Code.NOT_ACCEPTING)
        return Admission(session, number, partial(self._hear_tunnel, session_id, number))

    def _hear_tunnel(self, session_id: str, number: int, event: Event) -> None:
        # Not forgotten before that is saved: the same step may want the client cut.
        self._note(session_id, event).addCallback(lambda _: self._drop_client(session_id, number))

    def _drop_client(self, session_id: str, number: int) -> None:
        # As saved, not as decided: a later step that wants it cut may still wait for its own save.
        session = self._journal.saved.get(session_id)
        if session is None or session.tunnel(number) is None:
            self._clients.drop(number)

    # -- the life of the daemon --------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the store, and see to what an earlier run left behind. After that, sessions are accepted."""
        found = await self._store.open()
        for session in found:
            self._journal.saved[session.id] = session
            self._table.put(session)
        for session in found:
            self._recover(session)
        await self._recovered({session.id for session in found})
        self.accepting = True
        self._offer()

    async def check_services(self) -> None:
        """Have every service looked at by its launcher; those that can't be started take no sessions until they can."""
        await self._fitness.look(self.catalogue.services.values())

    # -- services that come and go -----------------------------------------------------------------------------------

    def put_service(self, service: Service) -> None:
        """Offer one more service, or another in the place of one; sessions that are there go on under their own terms.

        :param service: its pool is one of the catalogue's.
        :raises KeyError: there is no such pool.
        """
        self.catalogue.pool_of(service)
        self.catalogue = self.catalogue.having(service)
        self._warm_up()

    def remove_service(self, name: str) -> None:
        """Offer a service no more; sessions whose programs were started go on. One that is not there is passed over."""
        self.catalogue = self.catalogue.lacking(name)

    def describe(self, service: Service) -> Deferred[Described]:
        """Have a service's launcher look at it, whether it is offered or not; see :meth:`Launcher.describe`."""
        return self._children.describe(service)

    def _recover(self, session: Session) -> None:
        ran = session.state.holds_slot and session.state is not State.RESERVED
        adopted = ran and self._children.recover(session)
        self._note(session.id, events.Restarted())
        now = self._table.get(session.id)
        if now is None or now.state not in (State.LAUNCHING, State.READY):
            return
        if not adopted or now.state is State.LAUNCHING:
            self._note(session.id, events.Exited(Exit()))

    async def _recovered(self, left: set[str]) -> None:
        """Wait until the store has what became of each session: nobody is told what only the last run knew to be so.

        A store that takes nothing, as on a full disk, is no reason not to start.

        :param left: the ids of all sessions; emptied.
        """

        def all_saved() -> bool:
            left.intersection_update(self._journal.unsaved())
            return not left

        await self._until(all_saved, RECOVERY_S)

    async def close(self, grace_s: float = 10.0, last: Callable[[], Awaitable[object]] | None = None) -> None:
        """End every session within ``grace_s`` seconds, then close the store; the next start sees to what is stuck.

        :param last: is waited for when there will be no more facts and the store is still open.
        """
        self.accepting = False
        self._fitness.stop()
        for kill, share in ((False, 0.7), (True, 0.3)):
            for session in self._table:
                self._note(session.id, events.Shutdown(kill))
            await self._settled(grace_s * share)
        self._warm_up()
        self._alarm.stop()
        self._leasing.stop()
        self._journal.stop()
        await self._children.close()
        try:
            if last is not None:
                await last()
        finally:
            await self._store.close()

    async def _settled(self, limit_s: float) -> None:
        """Wait until nothing holds a slot and all of that is saved, at most ``limit_s``."""

        def at_rest() -> bool:
            return not (self._journal.busy or any(session.state.holds_slot for session in self._table))

        await self._until(at_rest, limit_s)

    async def _until(self, holds: Callable[[], bool], limit_s: float) -> None:
        """Wait until something holds, at most ``limit_s``; it is looked at whenever a session has nothing to save."""
        done: Deferred[None] = Deferred()

        def look(*, late: bool = False) -> None:
            if not done.called and (holds() or late):
                done.callback(None)

        timer = self.clock.call_later(limit_s, partial(look, late=True))
        cancel = self._journal.when_idle(look)
        look()
        try:
            await done
        finally:
            cancel()
            if timer.active():
                timer.cancel()

    # -- event → step → save → effects -------------------------------------------------------------------------------

    def _happen(self, session_id: str, event: Event) -> Deferred[Session | None]:
        session = self._table.get(session_id)
        if session is None:
            raise Refused(Code.UNKNOWN_SESSION)
        return self._enter(session_id, step(session, event, self.clock.now()))

    def _enter(self, session_id: str, outcome: Outcome) -> Deferred[Session | None]:
        """Take an outcome into the table at once, and into the store next."""
        self._void_tickets(self._table.get(session_id), outcome.session)
        if outcome.session is None:
            self._forget(session_id)
        else:
            self._table.put(outcome.session)
            self._alarm.note(outcome.session)
        return self._journal.record(session_id, outcome)

    def _void_tickets(self, before: Session | None, after: Session | None) -> None:
        """Drop the tickets of a token that opens nothing any more."""
        kept = b"" if after is None else after.token_digest
        if before is not None and before.token_digest not in (b"", kept):
            self._tickets.void(before.token_digest)

    def _never_was(self, session_id: str) -> None:
        """Undo a session that could not be saved even once."""
        session = self._table.get(session_id)
        self._forget(session_id)
        self._table.settle(session_id, None)
        if session is not None and session.state.holds_slot:
            self._grant()
        # Not at once: a store that fails this one would fail its successor too, and so on without end.
        self._warm_up_in(WARM_RETRY_S)

    def _forget(self, session_id: str) -> None:
        """Let go of all that is kept of a session beside the store."""
        session = self._table.get(session_id)
        self._table.drop(session_id)
        self._alarm.drop(session_id)
        self._heard.pop(session_id, None)
        for caller in session.callers if session is not None else ():
            self._answers.pop(caller.number, None)

    def _note(self, session_id: str, event: Event) -> Deferred[None]:
        """Have something happen that nobody hears the refusal of; fires once it is saved, or came to nothing."""
        if self._table.get(session_id) is None:
            return succeed(None)
        try:
            done = self._happen(session_id, event)
        except (Refused, NoTransition) as error:
            log.error("{session_id}: no place for {event}: {error}", session_id=session_id, event=event, error=error)
            return succeed(None)
        # A save that failed was logged by the journal.
        return done.addCallbacks(lambda _: None, lambda _: None)

    def _perform(self, session_id: str, effect: Effect) -> None:
        """Perform one effect; the failure of a port harms neither the daemon nor the effects that follow."""
        try:
            self._perform_one(session_id, effect)
        except Exception:  # noqa: BLE001 - whatever a port raises, the daemon goes on
            log.failure("{session_id}: {effect} failed", session_id=session_id, effect=effect)

    def _perform_one(self, session_id: str, effect: Effect) -> None:
        match effect:
            case wants.TakeLeases():
                self._take_leases(session_id, effect.kinds)
            case wants.Launch():
                session = self._table.get(session_id)
                if session is not None and session.state is State.LAUNCHING:
                    self._children.launch(session)
            case wants.Halt():
                self._children.halt(session_id, effect.step)
            case wants.Dial():
                session = self._table.get(session_id)
                if session is not None and session.endpoint is not None:
                    self._clients.dial(effect.number, session.endpoint, retry=effect.retry)
            case wants.Cut():
                self._clients.cut(effect)
            case wants.Answer():
                answer = self._answers.pop(effect.number, None)
                if answer is not None:
                    answer.callback(effect.verdict)
            case wants.Offer():
                self._offer()
            case wants.FreeLeases():
                self._leasing.quarantine(session_id)
            case wants.Tidy():
                self._children.tidy(session_id)

    def _take_leases(self, session_id: str, kinds: tuple[LeaseKind, ...]) -> None:
        session = self._table.get(session_id)
        service = None if session is None else self.catalogue.services.get(session.service)
        if session is None or service is None or session.state is not State.LAUNCHING:
            return
        found = self._leasing.find(service, kinds)
        if isinstance(found, LeaseKind):
            self._note(session_id, events.Failed(f"no free {found.value}", Reason.NO_PORT))
        else:
            self._note(session_id, events.Leased(found))

    def _offer(self) -> None:
        """Give free slots to those who wait for them, then to warm sessions that are missing."""
        self._grant()
        self._warm_up()

    def _grant(self) -> None:
        # Of all pools: where only so many sessions may be, a slot that came free in one lets another's queue go on.
        pools, caps = self.catalogue.pools.values(), self.catalogue.caps
        while (upcoming := self._table.next_in_line(pools, caps)) is not None:
            session, slot = upcoming
            self._note(session.id, events.Granted(slot))

    def _warm_up(self) -> None:
        if self._warming is not None and self._warming.active():
            self._warming.cancel()
        self._warming = None
        now, later = self.clock.now(), float("inf")
        for service in self.catalogue.services.values() if self.accepting else ():
            for _ in range(self._table.missing_warm(service)):
                free = self._table.room(self.catalogue.caps) and self.unfit(service) is None
                slot = self._table.free_slot(self.catalogue.pool_of(service)) if free else None
                until = suspended_until(*self._table.failures(service.name))
                if until > now:
                    later = min(later, until)
                if slot is None or until > now:
                    break
                blank = evolve(self._blank(service, "", check_options(service.options, {})), claimed=False)
                outcome = create(blank, events.Reserve(slot), self.clock.now())
                self._enter(blank.id, outcome).addErrback(_logged)
        if later < float("inf"):
            self._warm_up_in(later - now)

    def _warm_up_in(self, delay_s: float) -> None:
        if self.accepting and self._warming is None:
            self._warming = self.clock.call_later(delay_s, self._warm_up)

    def _lease_freed(self, session_id: str, leases: tuple[Lease, ...]) -> None:
        self._note(session_id, events.PortsFree(leases))

    # -- time --------------------------------------------------------------------------------------------------------

    def _resume(self, gap_s: float) -> None:
        self._stood_still = self.clock.now(), gap_s
        self._heard = {session_id: at + gap_s for session_id, at in self._heard.items()}
        for session in self._table:
            self._note(session.id, events.Resumed(gap_s))

    def _fall_due(self, session_id: str) -> None:
        session = self._table.get(session_id)
        upcoming = None if session is None else next_deadline(session)
        if session is None or upcoming is None:
            return
        name, at = upcoming
        if at <= self.clock.now():
            self._note(session_id, events.Due(name, self._seen_at(session, name)))
        after = self._table.get(session_id)
        if after is not None:
            self._alarm.note(after)

    def _seen_at(self, session: Session, deadline: Deadline) -> float | None:
        """Give the last sign of life that only memory knows of."""
        if deadline is Deadline.LIVELINESS:
            return self._heard.get(session.id)
        active_at = self._clients.active_at(session)
        until, gap_s = self._stood_still
        # While the daemon stood still nobody could show that it lives.
        return active_at + gap_s if active_at is not None and active_at < until else active_at


def _logged(failure: Failure) -> None:
    """Pass over a failed save that nobody waits for: the journal has logged it."""
