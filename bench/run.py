"""One run: every row, both sides in turn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import quantiles
from typing import TypeVar

from attrs import frozen

from bench import events, launches, links, measures
from bench.rows import Aim, Row, row
from bench.sides import STATUS_SERVICES, STATUS_SLOTS, Ours, Peer, Side, a_target, nexus, ours, peer, rpc

MIB = 1 << 20

T = TypeVar("T")


@frozen
class Sizes:
    """How much of everything.

    :ivar up_bytes: by the size of the frames, ours and the peer's: CPU time is told in hundredths of a second, and of
        small frames the peer needs so many for so few bytes that less is enough.
    :ivar peer_tunnels: a side that forks for every client is asked for fewer.
    """

    repeats: int
    down_bytes: int
    up_bytes: dict[int, tuple[int, int]]
    round_trips: int
    tunnels: int
    peer_tunnels: int
    opens: int
    peer_opens: int
    callers: int
    reservations: int
    told: int
    requests: int
    launches: int
    burst: int
    many_launches: int
    hearers: tuple[int, int]
    told_events: int


FULL = Sizes(
    repeats=5,
    down_bytes=512 * MIB,
    up_bytes={
        65536: (256 * MIB, 256 * MIB),
        16384: (256 * MIB, 256 * MIB),
        1024: (128 * MIB, 48 * MIB),
        64: (64 * MIB, 8 * MIB),
    },
    round_trips=2000,
    tunnels=2000,
    peer_tunnels=50,
    opens=200,
    peer_opens=40,
    callers=32,
    reservations=1500,
    told=15,
    requests=400,
    launches=10,
    burst=50,
    many_launches=1000,
    hearers=(100, 1000),
    told_events=200,
)
TINY = Sizes(
    repeats=1,
    down_bytes=MIB,
    up_bytes={65536: (MIB, MIB), 64: (MIB, MIB // 16)},
    round_trips=20,
    tunnels=5,
    peer_tunnels=2,
    opens=3,
    peer_opens=2,
    callers=2,
    reservations=6,
    told=1,
    requests=5,
    launches=1,
    burst=2,
    many_launches=4,
    hearers=(2, 3),
    told_events=3,
)
AT_ONCE = 20
UP_AIMS = {64: Aim(at_most=True, figure=0.3)}
UP_AIM = Aim(at_most=True, figure=0.6)


def measure(folder: Path, sizes: Sizes, only: str = "") -> list[Row]:
    """Measure every row whose name holds ``only``.

    :param folder: for what the programs write.
    """
    with a_target(folder) as target, ours(folder, target) as one, peer(folder, target) as other:
        return [made for make in ROWS for made in make(_Run(folder, sizes, only, target, one, other))]


@frozen
class _Run:
    folder: Path
    sizes: Sizes
    only: str
    target: int
    ours: Ours
    peer: Peer | None

    def wants(self, name: str) -> bool:
        if self.only not in name:
            return False
        sys.stderr.write(f"{name} ...\n")
        return True

    def both(self, ours: Callable[[], float], peer: Callable[[Side], float]) -> tuple[list[float], list[float]]:
        """Repeat both in turn, since a machine is not the same from minute to minute."""
        found: tuple[list[float], list[float]] = ([], [])
        for _ in range(self.sizes.repeats):
            found[0].append(ours())
            if self.peer is not None:
                found[1].append(peer(self.peer))
        return found

    def alone(self, ours: Callable[[], float]) -> list[float]:
        return [ours() for _ in range(self.sizes.repeats)]


def _down(run: _Run) -> Iterator[Row]:
    name = "CPU, application to browser"
    if run.wants(name):
        count = run.sizes.down_bytes
        found = run.both(lambda: measures.down(run.ours, count), lambda peer: measures.down(peer, count))
        yield row(name, "s/GiB", *found, Aim(at_most=True, figure=0.9))


def _up(run: _Run) -> Iterator[Row]:
    for size, (count, peer_count) in run.sizes.up_bytes.items():
        name = f"CPU, browser to application, frames of {_size(size)}"
        if run.wants(name):
            found = run.both(
                lambda size=size, count=count: measures.up(run.ours, count, size),  # type: ignore[misc]
                lambda peer, size=size, count=peer_count: measures.up(peer, count, size),  # type: ignore[misc]
            )
            yield row(name, "s/GiB", *found, UP_AIMS.get(size, UP_AIM))


def _round_trips(run: _Run) -> Iterator[Row]:
    name = "round trip of 64 B"
    if not run.wants(name):
        return
    taken: list[tuple[list[float], list[float]]] = []
    for _ in range(run.sizes.repeats):
        mine = measures.round_trips_us(run.ours, run.sizes.round_trips)
        taken.append((mine, [] if run.peer is None else measures.round_trips_us(run.peer, run.sizes.round_trips)))
    for percent in (50, 99):
        aim = Aim(at_most=True, figure=0.5) if percent == 50 else None
        mine = [percentile(one, percent) for one, _ in taken]
        theirs = [percentile(other, percent) for _, other in taken if other]
        yield row(f"{name}, p{percent}", "us", mine, theirs, aim)


def _stdio(run: _Run) -> Iterator[Row]:
    """Beside the program alone: whoever has its pipes can't be faster."""
    name, repeats = f"messages through standard input and output, {AT_ONCE} on their way", range(run.sizes.repeats)
    count = run.sizes.round_trips
    if run.wants(name):
        many = 5 * count, AT_ONCE
        rates = [(measures.messages_per_s(run.ours, *many), measures.piped_per_s(*many)) for _ in repeats]
        mine, alone = (list(side) for side in zip(*rates, strict=True))
        yield row(name, "1/s", mine, alone)
    name = "a message through standard input and output"
    if not run.wants(name):
        return
    taken = [(measures.message_us(run.ours, count), measures.piped_us(count)) for _ in repeats]
    for percent in (50, 99):
        mine, alone = ([percentile(one, percent) for one in side] for side in zip(*taken, strict=True))
        yield row(f"{name}, p{percent}", "us", mine, alone)


def _opens(run: _Run) -> Iterator[Row]:
    name = "tunnels opened one after another"
    if run.wants(name):
        found = run.both(
            lambda: measures.opens_per_s(run.ours, run.ours.paths(run.sizes.opens)),
            lambda peer: measures.opens_per_s(peer, [peer.path()] * run.sizes.peer_opens),
        )
        yield row(name, "1/s", *found, Aim(at_most=False, figure=10))


def _idle(run: _Run) -> Iterator[Row]:
    """Measure in daemons of their own: what was freed before would be taken again and count as nothing."""
    name = f"memory of an idle tunnel, {run.sizes.tunnels} open"
    if not run.wants(name):
        return
    mine, theirs = [], []
    for _ in range(min(3, run.sizes.repeats)):
        with ours(run.folder, run.target) as one:
            mine.append(measures.idle_kib(one, run.sizes.tunnels))
        if run.peer is not None:
            theirs.append(measures.idle_kib(run.peer, run.sizes.peer_tunnels))
    yield row(name, "KiB", mine, theirs, Aim(at_most=True, figure=40, of_peer=False))


def _reservations(run: _Run) -> Iterator[Row]:
    name = f"durable reservations, {run.sizes.callers} callers"
    if run.wants(name):
        with ours(run.folder, run.target) as one:
            found = run.alone(lambda: measures.reservations_per_s(one, run.sizes.callers, run.sizes.reservations))
        yield row(name, "1/s", found, [], Aim(at_most=False, figure=500, of_peer=False))


def _told(run: _Run) -> Iterator[Row]:
    name = "application listens to caller told"
    if run.wants(name):
        found = [measures.told_ms(run.ours) for _ in range(run.sizes.told)]
        yield row(name, "ms", found, [], Aim(at_most=True, figure=20, of_peer=False))


def _rest(run: _Run) -> Iterator[Row]:
    count = run.sizes.requests
    name = "REST p99, no tunnel busy"
    if run.wants(name):
        yield row(name, "ms", run.alone(lambda: percentile(measures.rest_ms(run.ours, count), 99)), [])
    name = "REST p99, beside a saturating tunnel"
    if run.wants(name):
        found = run.alone(lambda: percentile(measures.rest_beside_ms(run.ours, run.folder, count), 99))
        yield row(name, "ms", found, [])


def _status(run: _Run) -> Iterator[Row]:
    name = f"Nexus status, {STATUS_SERVICES} services of {STATUS_SLOTS} slots"
    if run.wants(name):
        found = []
        for _ in range(min(3, run.sizes.repeats)):
            with nexus(run.folder) as one:
                found.append(measures.statuses_per_s(one, run.sizes.callers, 5 * run.sizes.requests))
        yield row(name, "1/CPU s", found, [], Aim(at_most=False, figure=1000, of_peer=False))


def _rpc(run: _Run) -> Iterator[Row]:
    count, blobs = run.sizes.round_trips, run.sizes.told
    half, twice = Aim(at_most=True, figure=0.5), Aim(at_most=False, figure=5)
    wanted = [name for name in RPC_ROWS if run.wants(name)]
    if not wanted:
        return
    with rpc(run.folder) as (mine, other):

        def sides(measure: Callable[[int], T]) -> tuple[list[T], list[T]]:
            pairs = [(measure(mine), measure(other) if other else None) for _ in range(run.sizes.repeats)]
            return [one for one, _ in pairs], [one for _, one in pairs if one is not None]

        if RPC_SMALL in wanted:
            calls = sides(lambda port: links.small_us(port, count))
            for percent in (50, 99):
                ours_, theirs = ([percentile(one, percent) for one in side] for side in calls)
                yield row(f"{RPC_SMALL}, p{percent}", "us", ours_, theirs, half if percent == 50 else None)
        if RPC_MANY in wanted:
            yield row(RPC_MANY, "1/s", *sides(lambda port: links.small_per_s(port, 5 * count, 64)))
        for name, size, deflate in RPC_BYTES:
            if name in wanted:
                found = sides(lambda port, s=size, d=deflate: links.bytes_ms(port, s, blobs, deflate=d))  # type: ignore[misc]
                yield row(name, "ms", *found, half)
        for name, clients in RPC_TOPICS:
            if name in wanted:
                told = max(2, count // clients)
                found = sides(lambda port, c=clients, t=told: links.fan_out_per_s(port, c, t))  # type: ignore[misc]
                yield row(name, "1/s", *found, twice)


def _launches(run: _Run) -> Iterator[Row]:
    quarter = Aim(at_most=True, figure=0.25)
    one = f"wslink's launcher, an application that listens after {launches.LISTENS_S:.2f} s"
    many = f"wslink's launcher, {run.sizes.burst} of them at once"
    grown = f"wslink's launcher, memory after {run.sizes.many_launches} launches"
    wanted = [name for name in (one, many, grown) if run.wants(name)]
    if not wanted:
        return
    count, repeats = run.sizes.launches, run.sizes.repeats
    with launches.both(run.folder) as (mine, other):
        others = [] if other is None else [other]
        if one in wanted:
            found = launches.answer_ms(mine, count), [ms for peer in others for ms in launches.answer_ms(peer, count)]
            yield row(one, "ms", *found, quarter)
        if many in wanted:
            pairs = [[launches.burst_s(side, run.sizes.burst) for side in (mine, *others)] for _ in range(repeats)]
            yield row(many, "s", [pair[0] for pair in pairs], [figure for pair in pairs for figure in pair[1:]])
    if grown in wanted:
        with launches.both(run.folder) as (mine, other):
            sizes = run.sizes.many_launches, run.sizes.burst
            theirs = [] if other is None else [launches.grown_kib(other, *sizes)]
            yield row(grown, "KiB", [launches.grown_kib(mine, *sizes)], theirs)


def _events(run: _Run) -> Iterator[Row]:
    five = Aim(at_most=False, figure=5)
    few, many = run.sizes.hearers
    idle = "events, memory of an idle browser"
    rates = {f"events, RabbitMQ to {count} browsers": count for count in (few, many)}
    waits = {f"events, one to {count} browsers, p99": count for count in (few, many)}
    wanted = [name for name in (*rates, *waits, idle) if run.wants(name)]
    if not wanted:
        return
    if idle in wanted:  # in servers of their own: what was freed before would be taken again and count as nothing
        with events.carriers(run.folder) as found:
            if found is None:
                return
            mine, theirs = ([events.idle_kib(one, many)] for one in found)
            yield row(idle, "KiB", mine, theirs)
    with events.carriers(run.folder) as found:
        if found is None:
            return
        for name, count in rates.items():
            if name in wanted:
                sizes = count, max(2, run.sizes.told_events * few // count)
                pairs = [[events.delivered_per_cpu_s(one, *sizes) for one in found] for _ in range(run.sizes.repeats)]
                mine, theirs = (list(side) for side in zip(*pairs, strict=True))
                yield row(name, "1/CPU s", mine, theirs, five)
        for name, count in waits.items():
            if name in wanted:
                took = [events.took_ms(one, count, max(2, run.sizes.told_events // 20)) for one in found]
                mine, theirs = ([percentile(one, 99)] for one in took)
                yield row(name, "ms", mine, theirs)


RPC_SMALL, RPC_MANY = "RPC, a small call", "RPC, small calls, 64 on their way"
RPC_BYTES = (
    ("RPC, 1 MiB of bytes", MIB, False),
    ("RPC, 4 MB of bytes", 4_000_000, False),
    ("RPC, 1 MiB of bytes, as browsers ask for it", MIB, True),
)
RPC_TOPICS = (("RPC, a topic to 50 clients", 50), ("RPC, a topic to 500 clients", 500))
RPC_ROWS = (RPC_SMALL, RPC_MANY, *(name for name, *_ in (*RPC_BYTES, *RPC_TOPICS)))

ROWS = (_down, _up, _round_trips, _stdio, _opens, _idle, _reservations, _told, _rest, _status, _rpc, _launches, _events)


def percentile(figures: list[float], percent: int) -> float:
    """Give the value below which so many of a hundred are."""
    return quantiles(figures, n=100, method="inclusive")[percent - 1]


def _size(size: int) -> str:
    return f"{size // 1024} KiB" if size >= 1024 else f"{size} B"
