"""What is measured, one function for each kind of figure. Each opens what it needs and leaves nothing open."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from statistics import mean

from bench.client import Failed, WebSocket, block_of, frame
from bench.programs import running
from bench.readings import cpu_s, pss_kib, tree
from bench.rest import Rest, latencies_ms, rate, request, written
from bench.sides import STATUS_SERVICES, STATUS_SLOTS, Ours, Side

GIB = 1 << 30
MESSAGE_BYTES = 64
SETTLE_S = 1.0
REST_PAUSE_S = 0.005


def _opened(side: Side) -> WebSocket:
    client = side.connect(side.path())
    client.greet()
    return client


def down(side: Side, count: int) -> float:
    """Give CPU seconds per GiB from the application to the browser."""
    with _opened(side) as client:
        before = cpu_s(side.pid)
        taken = client.down(count)
        return (cpu_s(side.pid) - before) * GIB / taken


def up(side: Side, count: int, size: int) -> float:
    """Give CPU seconds per GiB from the browser to the application, in frames of this size."""
    block, payload_bytes = block_of(size)
    times = max(1, count // payload_bytes)
    with _opened(side) as client:
        before = cpu_s(side.pid)
        taken = client.up(block, payload_bytes, times)
        used = cpu_s(side.pid) - before
    if taken != payload_bytes * times:
        raise Failed(f"{taken} bytes arrived of {payload_bytes * times}")
    return used * GIB / taken


def round_trips_us(side: Side, count: int) -> list[float]:
    """Give how long each of so many small messages took to come back."""
    framed, took = frame(bytes(MESSAGE_BYTES)), []
    with _opened(side) as client:
        client.begin_echo()
        for i in range(count + count // 10):
            begun = time.perf_counter()
            client.echo(framed, MESSAGE_BYTES)
            if i >= count // 10:
                took.append((time.perf_counter() - begun) * 1e6)
    return took


def opens_per_s(side: Side, paths: list[str]) -> float:
    """Give how many tunnels a second are opened one after another: each to the target's greeting, then closed."""
    begun = time.perf_counter()
    for path in paths:
        with side.connect(path) as client:
            client.greet()
    return len(paths) / (time.perf_counter() - begun)


def idle_kib(side: Side, count: int) -> float:
    """Give the memory (KiB of PSS) that each tunnel adds to its side: with its session, or with its process."""
    with ExitStack() as stack:
        # The first of all pays for what is loaded once.
        stack.enter_context(_opened(side))
        before, had = _pss_of_tree(side.pid)
        for _ in range(count):
            client = stack.enter_context(side.connect(side.path()))
            client.greet()
            client.slim()
        time.sleep(SETTLE_S)
        after, children = _pss_of_tree(side.pid)
        if children > had:
            # One process a tunnel. What the parent shares with them all must not count as less and less of itself.
            return mean(pss_kib(pid) for pid in tree(side.pid)[1:])
        return (after - before) / count


def _pss_of_tree(pid: int) -> tuple[int, int]:
    pids = tree(pid)
    return sum(map(pss_kib, pids)), len(pids)


def reservations_per_s(side: Ours, callers: int, count: int) -> float:
    """Give how many sessions a second are reserved and saved, for so many callers at once."""
    return rate(side.port, request(side.port, "POST", "/sessions", {"service": "target"}), callers, count)


def told_ms(side: Ours) -> float:
    """Give how long after an application began to listen its waiting caller knew."""
    with Rest(side.port) as rest:
        made = rest.call("POST", "/sessions", {"service": "app", "wait": "ready"})
        told_at = time.monotonic()
        try:
            lines = rest.call("GET", f"/sessions/{made['id']}/log")["lines"]
            return (told_at - float(lines[0])) * 1000
        finally:
            rest.call("DELETE", f"/sessions/{made['id']}")


def rest_ms(side: Ours, count: int) -> list[float]:
    """Give how long each of so many small requests took."""
    with Rest(side.port) as rest:
        made = rest.call("POST", "/sessions", {"service": "target"})
    return latencies_ms(side.port, request(side.port, "GET", f"/sessions/{made['id']}"), count, REST_PAUSE_S)


def rest_beside_ms(side: Ours, folder: Path, count: int) -> list[float]:
    """Give the same while one tunnel carries all that it can, to another process."""
    with running(folder, "saturate", "-m", "bench.saturate", str(side.port), side.path()):
        time.sleep(SETTLE_S)
        return rest_ms(side, count)


def statuses_per_s(side: Ours, callers: int, count: int) -> float:
    """Ask for Nexus' status of all services, half of whose slots are taken, and give answers per second of one core.

    By the daemon's own time: who asks takes longer to read so many slots than the daemon to tell them.
    """
    for number in range(STATUS_SERVICES):
        rate(side.port, written(side.port, "GET", f"/v1/reserve/service-{number}"), 1, STATUS_SLOTS // 2)
    before = cpu_s(side.pid)
    rate(side.port, written(side.port, "GET", "/v1/status"), callers, count)
    return count / max(0.01, cpu_s(side.pid) - before)
