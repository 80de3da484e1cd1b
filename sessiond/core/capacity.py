"""Who holds what: the session table, and every count derived from it.

The table is the only place where sessions stand. Its indexes are views of it, made anew from each change and never
counted beside it (a property test compares them with a recount after each step).
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from sessiond.core.errors import Code, Refused
from sessiond.core.services import Caps, Pool, Scalar, Service
from sessiond.core.session import Session
from sessiond.core.values import LaunchWhen, Lease, LeaseKind, Reason, State

FAILED_STARTS = (Reason.LAUNCH_FAILED, Reason.LAUNCH_TIMEOUT)
REMEMBERED = 32
"""How many of a service's latest sessions tell how long one lasts: enough to guess by, few enough to follow the day."""

NOW, LATER = range(2)
"""Whether an owner waits for its next slot already, or will once it has got one in the order that is being told."""

Key = TypeVar("Key")


FORGIVEN = 4
"""How many failed starts in a row suspend nothing."""


def suspended_until(failures: int, last_at: float) -> float:
    """Say until when (epoch seconds) a service takes no new sessions after so many failed starts in a row.

    The first after those that are forgiven brings a pause of 5 s; each that follows doubles it, up to 5 min.
    """
    beyond = failures - FORGIVEN
    return last_at + min(300.0, 5.0 * 2 ** min(beyond - 1, 10)) if beyond > 0 else 0.0


class SessionTable:
    """All sessions by id, with the views that decisions need."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._by_token: dict[bytes, str] = {}
        self._by_key: dict[tuple[str, str], str] = {}
        self._slots: defaultdict[str, dict[int, str]] = defaultdict(dict)
        self._leases: dict[Lease, str] = {}
        self._queues: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._freed: dict[Lease, int] = {}
        self._frees = 0
        self._unsettled_slots: dict[tuple[str, int], str] = {}
        self._unsettled_leases: dict[Lease, str] = {}
        self._failures: dict[str, tuple[int, float]] = {}
        self._owned: dict[tuple[str, str | None], set[str]] = {}
        self._owners: dict[str, tuple[str, str]] = {}
        self._holders: dict[tuple[str, str], set[str]] = {}
        self._served: dict[tuple[str, str], float] = {}
        self._lasted: dict[str, deque[float]] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, session_id: str) -> Session | None:
        """Give a session by its id."""
        return self._sessions.get(session_id)

    def by_token(self, digest: bytes) -> Session | None:
        """Give the session that a token opens, by the token's digest."""
        return self._sessions.get(self._by_token.get(digest, ""))

    def by_key(self, owner: str, key: str) -> Session | None:
        """Give the session that this owner made with this Idempotency-Key."""
        return self._sessions.get(self._by_key.get((owner, key), ""))

    def put(self, session: Session) -> None:
        """Take the next value of a session in."""
        self._index(self._sessions.get(session.id), session)
        self._sessions[session.id] = session

    def settle(self, session_id: str, saved: Session | None) -> None:
        """Let go of what a session gave back, now that the store knows it too.

        Until then neither its slot nor its leases go to anybody else: a crash in between would find both with two.

        :param saved: the session as the store has it; ``None`` once it is forgotten, or never was.
        """
        if saved is None or not saved.state.holds_slot:
            _drop_values(self._unsettled_slots, session_id, ())
        if saved is None or saved.state is State.ENDED:
            self._disown(session_id)
        _drop_values(self._unsettled_leases, session_id, () if saved is None else saved.leases)

    def drop(self, session_id: str) -> None:
        """Forget a session."""
        self._index(self._sessions.pop(session_id, None), None)

    def held(self, pool: str) -> dict[int, str]:
        """Give the slots of a pool that are held, each with its session's id."""
        return dict(self._slots[pool])

    def leased(self) -> dict[Lease, str]:
        """Give every lease, also those of ended sessions that wait to be free, with its session's id."""
        return dict(self._leases)

    def live(self) -> int:
        """Say how many sessions hold a slot, or gave one back that the store does not know to be free yet."""
        return sum(map(len, self._slots.values())) + len(self._unsettled_slots)

    def owned(self, owner: str, service: str | None = None) -> int:
        """Say how many sessions an owner has, the queued ones too, of one service or of all.

        One that has ended counts until the store knows it. A warm one is nobody's until it is claimed.
        """
        return len(self._owned.get((owner, service), ()))

    def lasted(self, service: str) -> Sequence[float]:
        """Say for how many seconds each of a service's latest sessions held its slot."""
        return tuple(self._lasted.get(service, ()))

    def occupants(self, pool: str) -> list[Session]:
        """Give the sessions that hold a pool's slots."""
        return [self._sessions[session_id] for session_id in self._slots[pool].values()]

    def queued(self, pool: str) -> int:
        """Say how many sessions wait for a slot of a pool."""
        return len(self._queues[pool])

    def queue(self, pool: str) -> tuple[Session, ...]:
        """Give the sessions that wait for a slot of a pool, in the order in which they get one.

        The owner that holds the fewest slots of the pool comes first; of those the one that has waited longest since it
        came, or since it last got one. So who asks for many gets them in turn with others, and nobody who has nothing
        is passed by those who come later.
        """
        waiting: defaultdict[str, deque[Session]] = defaultdict(deque)
        for session_id in self._queues[pool]:
            session = self._sessions[session_id]
            waiting[session.owner].append(session)
        firsts = enumerate((owner, sessions[0]) for owner, sessions in waiting.items())
        turns = [(*self._turn(pool, owner, first), number, owner) for number, (owner, first) in firsts]
        heapq.heapify(turns)
        line: list[Session] = []
        while turns:
            holds, _, number, owner = turns[0]
            line.append(waiting[owner].popleft())
            if waiting[owner]:
                heapq.heapreplace(turns, (holds + 1, (LATER, float(len(line))), number, owner))
            else:
                heapq.heappop(turns)
        return tuple(line)

    def _turn(self, pool: str, owner: str, first: Session) -> tuple[int, tuple[int, float]]:
        """Say when it is an owner's turn: by the slots it holds, and since when it waits for the next."""
        served_at = self._served.get((pool, owner), first.created_at)
        return len(self._holders.get((pool, owner), ())), (NOW, max(first.created_at, served_at))

    def free_slot(self, pool: Pool) -> int | None:
        """Give the lowest free slot of a pool; ``None`` where all are held."""
        held, unsettled = self._slots[pool.name], self._unsettled_slots
        numbers = (n for n in range(pool.count) if n not in held and (pool.name, n) not in unsettled)
        return next(numbers, None)

    def next_in_line(self, pools: Iterable[Pool], caps: Caps) -> tuple[Session, int] | None:
        """Give the queued session that comes next and the slot it gets; ``None`` without one of both.

        Where several pools have both, and only so many sessions may be, the one that came first gets it.
        """
        if not self.room(caps):
            return None
        waited = [pool for pool in pools if self._queues[pool.name]]
        found = [(self.queue(p.name)[0], slot) for p in waited if (slot := self.free_slot(p)) is not None]
        return min(found, key=lambda pair: pair[0].created_at, default=None)

    def room(self, caps: Caps) -> bool:
        """Say whether one more session may hold a slot."""
        return caps.sessions is None or self.live() < caps.sessions

    def takes(self, service: Service, pool: Pool, caps: Caps) -> bool:
        """Say whether a new session of a service would get a slot, or a place in the queue."""
        if not self._queues[pool.name] and self.room(caps) and self.free_slot(pool) is not None:
            return True
        return service.plan.queueing and self.queued(pool.name) < caps.queue

    def place_for(self, service: Service, pool: Pool, owner: str, caps: Caps, *, queues: bool = True) -> int | None:
        """Find a place for a new session: the slot that it gets, ``None`` where it has to wait for one.

        :param queues: whether its caller would wait.
        :raises Refused: ``quota``, ``full``.
        """
        self.check_quota(service, owner, caps)
        waited = bool(self._queues[pool.name])
        slot = None if waited or not self.room(caps) else self.free_slot(pool)
        if slot is None:
            self._check_queue(service, pool, owner, caps, queues)
        return slot

    def check_quota(self, service: Service, owner: str, caps: Caps) -> None:
        """Let nobody have more sessions than it may.

        :raises Refused: ``quota``.
        """
        for name, most in ((service.name, service.per_owner), (None, caps.of_owner(owner))):
            if most is not None and self.owned(owner, name) >= most:
                what = "sessions" if name is None else "sessions of this service"
                raise Refused(Code.QUOTA, f"an owner may have {most} {what} at once")

    def _check_queue(self, service: Service, pool: Pool, owner: str, caps: Caps, queues: bool) -> None:
        """Let a session wait only where there is a place for it.

        One owner never takes more places than it leaves to others: however many it asks for, the next finds one.
        """
        free = caps.queue - self.queued(pool.name)
        if not service.plan.queueing or not queues:
            raise Refused(Code.FULL, "no slot is free")
        if free <= 0:
            raise Refused(Code.FULL, "no slot is free, and no place in the queue")
        own = sum(self._sessions[session_id].owner == owner for session_id in self._queues[pool.name])
        if own and own >= free:
            raise Refused(Code.QUOTA, "the places left in the queue are for other owners")

    def candidates(self, service: Service, kind: LeaseKind) -> list[Lease]:
        """Give the leases that may be tried for a session of this service: the one free for longest comes first.

        Source: what a port's last holder left behind (TIME_WAIT, late clients) fades with time.
        """
        taken = self._leases.keys() | self._unsettled_leases.keys()
        free = [lease for lease in service.candidates(kind) if lease not in taken]
        return sorted(free, key=lambda lease: (self._freed.get(lease, 0), lease.number))

    def missing_warm(self, service: Service) -> int:
        """Say how many warm sessions a service lacks."""
        if service.plan.launch is not LaunchWhen.WARM:
            return 0
        waiting = sum(
            s.service == service.name and not s.claimed and s.state in (State.RESERVED, State.LAUNCHING, State.READY)
            for s in self._sessions.values()
        )
        return max(0, service.warm - waiting)

    def unclaimed(self, service: Service, options: Mapping[str, Scalar]) -> Session | None:
        """Give the warm session that a caller with these options gets: the one that has been ready for longest."""
        if service.plan.launch is not LaunchWhen.WARM:
            return None
        ready = [
            s
            for s in self._sessions.values()
            if s.service == service.name and not s.claimed and s.state is State.READY and s.options == options
        ]
        return min(ready, key=lambda session: session.since, default=None)

    def failures(self, service: str) -> tuple[int, float]:
        """Say how many launches of a service failed one after another, and when the last of them ended.

        Once it is suspended, those count that began after that: what was on its way already has tried nothing new, and
        a crowd that fails at one blow would bring the longest pause there is.
        """
        return self._failures.get(service, (0, 0.0))

    def _index(self, old: Session | None, new: Session | None) -> None:
        if old is not None and old.token_digest and (new is None or new.token_digest != old.token_digest):
            self._by_token.pop(old.token_digest, None)
        if new is not None and new.token_digest:
            self._by_token[new.token_digest] = new.id
        self._index_key(old, new)
        self._index_failures(old, new)
        self._index_owner(old, new)
        self._index_lasted(old, new)
        self._index_place(old, new)
        self._index_leases(old, new)

    def _index_key(self, old: Session | None, new: Session | None) -> None:
        if old is not None and old.key is not None and (new is None or (new.owner, new.key) != (old.owner, old.key)):
            self._by_key.pop((old.owner, old.key), None)
        if new is not None and new.key is not None:
            self._by_key[new.owner, new.key] = new.id

    def _index_failures(self, old: Session | None, new: Session | None) -> None:
        if new is None or (old is not None and old.state is new.state):
            return
        if new.state in (State.READY, State.CONNECTED):
            self._failures.pop(new.service, None)
        elif new.state is State.ENDED and new.reason in FAILED_STARTS:
            count, last_at = self.failures(new.service)
            began = new.created_at if new.held_since is None else new.held_since
            if count <= FORGIVEN or began > last_at:
                self._failures[new.service] = (count + 1, new.since)

    def _index_owner(self, old: Session | None, new: Session | None) -> None:
        before, after = _owned_as(old), _owned_as(new)
        if after is not None and new is not None:
            if before not in (None, after):
                self._disown(new.id)
            for key in (after, (after[0], None)):
                self._owned.setdefault(key, set()).add(new.id)
            self._owners[new.id] = after
        if (held := _held_as(old)) != (holds := _held_as(new)):
            _discard(self._holders, held, "" if old is None else old.id)
            if holds is not None and new is not None:
                self._holders.setdefault(holds, set()).add(new.id)

        self._index_served(old, new)

    def _index_served(self, old: Session | None, new: Session | None) -> None:
        """Keep when each owner last got a slot of a pool, as long as a session on record shows it."""
        if new is not None and new.claimed and new.held_since is not None:
            key = new.pool, new.owner
            self._served[key] = max(self._served.get(key, 0.0), new.held_since)
        elif new is None and old is not None and old.held_since is not None:
            key = old.pool, old.owner
            if self._served.get(key) == old.held_since:
                del self._served[key]

    def _disown(self, session_id: str) -> None:
        owner, service = self._owners.pop(session_id, ("", ""))
        for key in ((owner, service), (owner, None)):
            _discard(self._owned, key, session_id)

    def _index_lasted(self, old: Session | None, new: Session | None) -> None:
        ends = new is not None and new.state is State.ENDED and (old is None or old.state is not State.ENDED)
        if ends and new is not None and new.held_since is not None:
            lasted = self._lasted.setdefault(new.service, deque(maxlen=REMEMBERED))
            lasted.append(max(0.0, new.since - new.held_since))

    def _index_place(self, old: Session | None, new: Session | None) -> None:
        if old is not None and old.state.holds_slot and old.slot is not None:
            self._slots[old.pool].pop(old.slot, None)
            if new is None or not new.state.holds_slot:
                self._unsettled_slots[old.pool, old.slot] = old.id
        if old is not None and old.state is State.QUEUED and (new is None or new.state is not State.QUEUED):
            self._queues[old.pool].pop(old.id, None)
        if new is not None and new.state.holds_slot and new.slot is not None:
            self._slots[new.pool][new.slot] = new.id
        if new is not None and new.state is State.QUEUED:
            self._queues[new.pool][new.id] = None

    def _index_leases(self, old: Session | None, new: Session | None) -> None:
        before = set(old.leases if old is not None else ())
        after = set(new.leases if new is not None else ())
        for lease in before - after:
            self._unsettled_leases[lease] = self._leases.pop(lease)
            self._frees += 1
            self._freed[lease] = self._frees
        for lease in after:
            self._leases[lease] = new.id if new is not None else ""


def _owned_as(session: Session | None) -> tuple[str, str] | None:
    """Say as whose session, and of which service, a session counts."""
    live = session is not None and session.claimed and session.state is not State.ENDED
    return (session.owner, session.service) if session is not None and live else None


def _held_as(session: Session | None) -> tuple[str, str] | None:
    """Say in which pool a session holds a slot, and for whom."""
    holds = session is not None and session.claimed and session.state.holds_slot
    return (session.pool, session.owner) if session is not None and holds else None


def _discard(view: dict[Key, set[str]], key: Key | None, session_id: str) -> None:
    """Take an id out of a view, and the key with it when it was the last."""
    if key is None or key not in view:
        return
    view[key].discard(session_id)
    if not view[key]:
        del view[key]


def _drop_values(owners: dict[Key, str], session_id: str, kept: Container[object]) -> None:
    for key in [key for key, owner in owners.items() if owner == session_id and key not in kept]:
        del owners[key]
