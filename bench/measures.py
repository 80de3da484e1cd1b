"""What is measured, one function for each kind of figure. Each opens what it needs and leaves nothing open."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import mean

from bench.client import Failed, WebSocket, block_of, frame, frames
from bench.programs import piped, running
from bench.readings import cpu_s, pss_kib, tree
from bench.rest import Rest, latencies_ms, rate, request, written
from bench.sides import STATUS_SERVICES, STATUS_SLOTS, Ours, Side

GIB = 1 << 30
MESSAGE_BYTES = 64
STDIO_BYTES = 200
"""What an offer of a negotiating party's has."""
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
    framed = frame(bytes(MESSAGE_BYTES))
    with _opened(side) as client:
        client.begin_echo()
        return each_us(lambda: client.echo(framed, MESSAGE_BYTES), count)


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


def messages_per_s(side: Ours, count: int, at_once: int) -> float:
    """Give how many messages a second go to a program's standard input and come back, so many of them on their way."""
    block = frames(STDIO_BYTES, at_once)
    with side.connect(side.path("party")) as client:
        client.echo(frame(bytes(STDIO_BYTES)), STDIO_BYTES)
        begun = time.perf_counter()
        for _ in range(count // at_once):
            client.echo(block, at_once * STDIO_BYTES)
        return count // at_once * at_once / (time.perf_counter() - begun)


def piped_per_s(count: int, at_once: int) -> float:
    """Give the same of the program alone, by whoever holds its pipes."""
    message = STDIO_BYTES.to_bytes(4, "little") + bytes(STDIO_BYTES)
    with piped("-S", "-m", "bench.party") as process:
        echo_piped(process, message, 1)
        begun = time.perf_counter()
        for _ in range(count // at_once):
            echo_piped(process, message * at_once, at_once)
        return count // at_once * at_once / (time.perf_counter() - begun)


def message_us(side: Ours, count: int) -> list[float]:
    """Give how long each of so many messages took to a program's standard input and back."""
    framed = frame(bytes(STDIO_BYTES))
    with side.connect(side.path("party")) as client:
        return each_us(lambda: client.echo(framed, STDIO_BYTES), count)


def piped_us(count: int) -> list[float]:
    """Give the same of the program alone."""
    message = STDIO_BYTES.to_bytes(4, "little") + bytes(STDIO_BYTES)
    with piped("-S", "-m", "bench.party") as process:
        return each_us(lambda: echo_piped(process, message, 1), count)


def echo_piped(process: subprocess.Popen[bytes], written: bytes, count: int) -> None:
    """Write messages, and wait until as many are back.

    :raises Failed: the program has ended.
    """
    if process.stdin is None or process.stdout is None:
        raise Failed("no pipes")
    process.stdin.write(written)
    process.stdin.flush()
    for _ in range(count):
        if len(process.stdout.read(4 + STDIO_BYTES)) < 4 + STDIO_BYTES:
            raise Failed("the program has ended")


def each_us(once: Callable[[], object], count: int) -> list[float]:
    """Give how long each of so many calls took; the first tenth is for warming up."""
    took = []
    for number in range(count + count // 10):
        begun = time.perf_counter()
        once()
        if number >= count // 10:
            took.append((time.perf_counter() - begun) * 1e6)
    return took


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
