"""A thousand callers at once, as after a restart or at the start of a class: all are answered, at a bounded cost."""

import asyncio
import base64
import json
import os
import re
import resource
import socket
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, Running, running, until

HERD = 1000
SLOTS, QUEUE = 100, 200
MOST_GROWTH_BYTES = 128 << 20
MOST_LAG_S = 10.0
"""Reached only where the daemon hangs: what is usual is printed."""

SERVICES = """
[admission]
queue = {queue}
[services.desk]
kind = "tcp"
launcher = "fixed"
count = {slots}
queueing = true
limits = {{ queue = "10m", connect = "10m" }}
target = {{ port = {port} }}
[services.hall]
kind = "tcp"
launcher = "fixed"
count = 1
clients = {herd}
limits = {{ linger = "10m" }}
target = {{ port = {port} }}
"""


@frozen
class Answer:
    """What one of the herd was told, and after how long."""

    status: int
    headers: dict[str, str]
    json: Any
    after_s: float


@pytest.fixture(autouse=True)
def _many_descriptors() -> Iterator[None]:
    """Have room for all of their sockets, here and in the daemon."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def configured(place: Place, port: int) -> Path:
    """Configure a service with a queue, and one that all connect to."""
    return place.configure(SERVICES.format(queue=QUEUE, slots=SLOTS, herd=HERD, port=port))


def memory_of(daemon: Running) -> int:
    """Give the memory that a daemon has in use, in bytes."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{daemon.pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def gauge(daemon: Running, name: str) -> float:
    """Read a gauge."""
    found = re.search(rf"^sessiond_{name} (\S+)$", daemon.call("GET", "/metrics").json, re.MULTILINE)
    assert found is not None
    return float(found[1])


async def reserve(netloc: str, number: int) -> Answer:
    """Ask for a session, on a connection of its own."""
    host, _, port = netloc.partition(":")
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"service": "desk", "owner": f"pupil-{number}"})
    head = f"POST /api/v1/sessions HTTP/1.1\r\nHost: {netloc}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write((head + body).encode())
    answered = (await reader.read()).decode()
    writer.close()
    lines, _, content = answered.partition("\r\n\r\n")
    status, *headers = lines.split("\r\n")
    told = dict(line.lower().split(": ", 1) for line in headers)
    return Answer(int(status.split()[1]), told, json.loads(content), time.monotonic() - began)


async def open_tunnel(url: str, netloc: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a tunnel, and see that something comes back through it."""
    host, _, port = netloc.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    path = url.partition(netloc)[2]
    key = base64.b64encode(os.urandom(16)).decode()
    lines = (f"GET {path} HTTP/1.1", f"Host: {netloc}", "Connection: Upgrade", "Upgrade: websocket",
             "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "", "")  # fmt: skip
    writer.write("\r\n".join(lines).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head.partition(b"\r\n")[0], head
    writer.write(b"\x82\x84\0\0\0\0echo")
    assert await reader.readexactly(6) == b"\x82\x04echo"
    return reader, writer


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be the program that all connect to."""
    while data := await reader.read(4096):
        writer.write(data)
    writer.close()


def test_a_thousand_reservations(place: Place) -> None:
    """There are slots for some and places for others; the rest are told to come again, each at a time of its own."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with running(configured(place, taken.getsockname()[1])) as daemon:
            daemon.ready()
            before = memory_of(daemon)

            async def herd() -> list[Answer]:
                async with asyncio.timeout(4 * LIMIT_S):
                    return await asyncio.gather(*(reserve(daemon.netloc, number) for number in range(HERD)))

            answers = asyncio.run(herd())
            grown, lag_s = memory_of(daemon) - before, gauge(daemon, "reactor_lag_seconds")
            last_s = max(answer.after_s for answer in answers)
            print(  # noqa: T201  for who runs this with -s
                f"\n{HERD} reservations: the last answer after {last_s:.2f} s, reactor lag {lag_s:.2f} s, "
                f"{grown / 2**20:.1f} MiB more"
            )
            assert Counter(a.status for a in answers) == {201: SLOTS, 202: QUEUE, 503: HERD - SLOTS - QUEUE}
            assert max(a.json["position"] for a in answers if a.status == 202) == QUEUE
            refused = [answer for answer in answers if answer.status == 503]
            assert {answer.json["code"] for answer in refused} == {"full"}
            waits = Counter(answer.json["retry_after_s"] for answer in refused)
            assert len(waits) > 30
            assert max(waits.values()) < HERD / 10
            assert {int(answer.headers["retry-after"]) for answer in refused} >= {2, 3, 4, 5}
            assert grown < MOST_GROWTH_BYTES
            assert lag_s < MOST_LAG_S
            check_order(daemon)
            assert daemon.call("GET", "/pressure").json["recently_rejected"] == len(refused)
            assert daemon.stop() == 0


def check_order(daemon: Running) -> None:
    """Those who wait are served in the order in which they came: each has one session, and nobody comes twice."""
    until(lambda: Counter(s["state"] for s in daemon.sessions())["ready"] == SLOTS, "all who have slots are ready")
    sessions = daemon.sessions()
    waiting = [session for session in sessions if session["state"] == "queued"]
    assert [session["position"] for session in waiting] == list(range(1, QUEUE + 1))
    holding = [session for session in sessions if session["state"] == "ready"]
    assert sorted(session["slot"] for session in holding) == list(range(SLOTS))
    for session, upcoming in zip(holding[:5], waiting[:5], strict=True):
        assert daemon.release(session["id"]).status == 200
        until(partial(has_slot, daemon, upcoming["id"]), "the next has its slot")


def has_slot(daemon: Running, session_id: str) -> bool:
    """Say whether a session has left the queue for a slot."""
    return bool(daemon.session(session_id)["state"] == "ready")


def test_a_thousand_reconnects(place: Place) -> None:
    """All clients of a session lose their connections and come again at once: each is carried to the program again."""

    async def twice(daemon: Running, url: str) -> list[float]:
        took = []
        async with asyncio.timeout(8 * LIMIT_S):
            for _ in range(2):
                began = time.monotonic()
                streams = await asyncio.gather(*(open_tunnel(url, daemon.netloc) for _ in range(HERD)))
                took.append(time.monotonic() - began)
                for _, writer in streams:
                    writer.transport.abort()
                while (await asyncio.to_thread(gauge, daemon, "tunnels_open")) > 0:
                    pass
        return took

    async def everything() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=HERD)
        port = server.sockets[0].getsockname()[1]
        async with server:
            await asyncio.to_thread(check, port)

    def check(port: int) -> None:
        with running(configured(place, port)) as daemon:
            daemon.ready()
            made = daemon.order("hall")
            assert made.status == 201
            before = memory_of(daemon)
            future = asyncio.run_coroutine_threadsafe(twice(daemon, made.json["tunnel_url"]), loop[0])
            took = future.result(10 * LIMIT_S)
            grown, lag_s = memory_of(daemon) - before, gauge(daemon, "reactor_lag_seconds")
            print(  # noqa: T201  for who runs this with -s
                f"\n{HERD} tunnels opened in {took[0]:.2f} s, again in {took[1]:.2f} s, reactor lag {lag_s:.2f} s, "
                f"{grown / 2**20:.1f} MiB more"
            )
            assert grown < MOST_GROWTH_BYTES
            assert lag_s < MOST_LAG_S
            # That they are gone is counted before it is saved, and told only then.
            until(lambda: daemon.session(made.json["id"])["state"] == "ready", "all are known to be gone")
            assert daemon.stop() == 0

    loop: list[asyncio.AbstractEventLoop] = []

    async def begin() -> None:
        loop.append(asyncio.get_running_loop())
        await everything()

    asyncio.run(begin())
