"""The feed of a real daemon: through a restart, and with many clients of which some are stopped."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.daemon import ROOT, free_port
from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, running, until
from tests.e2e.wire import Tunnel

PROGRAM = Path(__file__).parent / "programs" / "listening.py"
SERVICE = """
[services.there]
kind = "tcp"
launcher = "fixed"
target = { port = 1 }
count = 100
limits = { retention = "1s" }
"""
ALL, ENDS = "types=sessiond.session.*", "types=sessiond.session.ended"
HEALTHY, STOPPED, PER_PROCESS = 280, 20, 70
SOME_FACTS, MOST_FACTS = 1_500, 30_000
"""How many happen at a time until all who were stopped are cut; how much the kernel takes for them differs."""
MOST_GROWTH_KIB = 160 * 1024
"""Twenty lines of 1 MiB, what the events themselves take, and what 300 connections do."""


@frozen
class Crowd:
    """Clients in one process."""

    process: "subprocess.Popen[str]"
    out: Path

    def told(self) -> list[dict[str, Any]]:
        """Ask what they have heard so far."""
        assert self.process.stdin is not None
        self.out.unlink(missing_ok=True)
        self.process.stdin.write("tell\n")
        self.process.stdin.flush()
        until(self.out.exists, "the clients tell", 2 * LIMIT_S)
        return list(json.loads(self.out.read_text()))

    def stop(self) -> None:
        """Let them read nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let them read."""
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def crowd(folder: Path, name: str, port: int, count: int, query: str) -> Iterator[Crowd]:
    """Start clients; whatever the test did, they are ended."""
    out = folder / f"{name}.json"
    argv = [sys.executable, str(PROGRAM), str(port), str(count), query, str(out)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, text=True) as process:
        try:
            yield Crowd(process, out)
        finally:
            process.kill()


def happen(port: int, facts: int) -> None:
    """Make sessions and end them, so often that there are so many facts: three or more of each."""
    connection = HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    for _ in range(facts // 3):
        connection.request("POST", "/api/v1/sessions", '{"service": "there"}', {"Content-Type": "application/json"})
        made = json.loads(connection.getresponse().read())
        connection.request("DELETE", f"/api/v1/sessions/{made['id']}")
        connection.getresponse().read()
    connection.close()


def newest(port: int, query: str) -> int:
    """Say how far the history has come."""
    with Tunnel(f"ws://127.0.0.1:{port}/api/v1/events?{query}") as client:
        return int(json.loads(client.read() or b"")["data"]["offset"])


def resident_kib(pid: int) -> int:
    """Give a process's memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise LookupError(pid)


def test_many_clients_of_which_some_stop(place: Place) -> None:
    """Twenty of 300 read nothing: memory stays bounded, the others hear all, the twenty are cut and miss nothing."""
    port = free_port()
    config = place.configure(SERVICE, f"tcp:{port}:interface=127.0.0.1")
    folder = place.folder
    with running(config) as daemon:
        daemon.ready()
        names = [f"healthy-{number}" for number in range(HEALTHY // PER_PROCESS)]
        with crowd(folder, "stopped", port, STOPPED, ALL) as stopped:
            crowds = [crowd(folder, name, port, PER_PROCESS, ENDS) for name in names]
            healthy = [one.__enter__() for one in crowds]
            try:
                everybody = [stopped, *healthy]
                until(lambda: all(one["opened"] for some in everybody for one in some.told()), "all have come", 90)
                before = resident_kib(daemon.pid)
                stopped.stop()
                for _ in range(MOST_FACTS // SOME_FACTS):
                    happen(port, SOME_FACTS)
                    if daemon.text.count("is cut (4008)") == STOPPED:
                        break
                assert daemon.text.count("is cut (4008)") == STOPPED
                assert resident_kib(daemon.pid) - before < MOST_GROWTH_KIB
                last = newest(port, ALL)
                ends = [one for some in healthy for one in some.told()]
                until(lambda: heard_alike([one for some in healthy for one in some.told()]), "the others hear all", 90)
                assert all(one["ends"] == [] for one in ends)
                stopped.go_on()
                until(lambda: all(whole(one, last) for one in stopped.told()), "the stopped have resumed", 120)
            finally:
                for one in crowds:
                    one.__exit__(None, None, None)
        assert "Traceback" not in daemon.text


def heard_alike(told: list[dict[str, Any]]) -> bool:
    """Say whether all have heard the same, each of it once."""
    first = told[0]["offsets"]
    return len(first) >= SOME_FACTS // 4 and all(one["offsets"] == first == sorted(set(first)) for one in told)


def whole(told: dict[str, Any], last: int) -> bool:
    """Say whether a client that was cut has heard everything up to an offset, each of it once and in order."""
    heard = told["offsets"]
    assert heard == sorted(set(heard))
    assert all(opened["recovered"] for opened in told["opened"][1:])
    if len(told["opened"]) < 2 or not heard or heard[-1] < last:
        return False
    # Of the topic's facts, those of tunnels are not asked for, and there are none.
    assert heard == list(range(heard[0], heard[-1] + 1))
    return True


def test_through_a_restart(place: Place) -> None:
    """Clients come back to a daemon that was started anew, and hear what they have not heard, once."""
    port = free_port()
    config = place.configure(SERVICE, f"tcp:{port}:interface=127.0.0.1")
    with crowd_of_late(place.folder, port) as late, running(config) as daemon:
        daemon.ready()
        with late() as clients:
            until(lambda: all(one["opened"] for one in clients.told()), "they have come")
            happen(port, 30)
            before = newest(port, ALL)
            until(lambda: all(one["offsets"][-1:] == [before] for one in clients.told()), "they have heard")
            clients.stop()
            happen(port, 30)
            missed = newest(port, ALL)
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait(LIMIT_S)
            with running(config) as again:
                again.ready()
                clients.go_on()
                happen(port, 30)
                until(lambda: newest(port, ALL) > missed + 20, "more has happened")
                last = newest(port, ALL)
                until(lambda: all(whole(one, last) for one in clients.told()), "they have heard it all", 60)


@contextmanager
def crowd_of_late(folder: Path, port: int) -> Iterator[Any]:
    """Give what starts clients once there is a daemon."""
    yield lambda: crowd(folder, "clients", port, 5, ALL)
