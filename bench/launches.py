"""What starts applications of wslink's: this daemon and ``wslink.launcher``, each by the same file."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from attrs import frozen

from bench.client import Failed
from bench.programs import free_port, running
from bench.readings import pss_kib

T = TypeVar("T")
LIMIT_S = 60.0
PORTS = 100
LISTENS_S = 0.15
"""How long the measured application takes until it listens: about what one does that imports little."""
PROGRAM = """
import os, socket, sys, time
time.sleep(float(sys.argv[2]))
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
os.write(1, b"Starting factory\\n")
time.sleep(600)
"""


@frozen
class Launcher:
    """One that runs."""

    pid: int
    port: int

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call it.

        :raises Failed: it refused.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            told = json.loads(answer.read() or b"null")
        finally:
            connection.close()
        if answer.status != 200:
            raise Failed(f"{method} {path}: {answer.status} {told}")
        return told

    def start(self, application: str) -> str:
        """Have an application started, and give its session's id."""
        return str(self.call("POST", "/paraview/", {"application": application})["id"])

    def end(self, session_id: str) -> None:
        """End one."""
        self.call("DELETE", f"/paraview/{session_id}")


@contextmanager
def both(folder: Path) -> Iterator[tuple[Launcher, Launcher | None]]:
    """Run this daemon and, where it is installed, the peer."""
    with ExitStack() as stack:
        mine = stack.enter_context(_running(folder, "launcher", 0, "sessiond.launcher", "--status"))
        other = None
        if find_spec("wslink") is not None:
            other = stack.enter_context(_running(folder, "wslink-launcher", PORTS, "wslink.launcher"))
        yield mine, other


@contextmanager
def _running(folder: Path, name: str, above: int, module: str, *more: str) -> Iterator[Launcher]:
    port, own = free_port(), folder / name
    own.mkdir(exist_ok=True)
    first = 17000 + above
    file = {
        "configuration": {
            "host": "127.0.0.1",
            "port": port,
            "endpoint": "paraview",
            "proxy_file": str(own / "proxy.txt"),
            "sessionURL": "ws://USE_HOST/proxy?sessionId=${id}&path=ws",
            "timeout": 60,
            "log_dir": str(own),
            "fields": ["host", "port"],
        },
        "resources": [{"host": "127.0.0.1", "port_range": [first, first + PORTS - 1]}],
        "properties": {"python": sys.executable, "program": PROGRAM},
        "apps": {
            called: {"cmd": ["$python", "-S", "-c", "$program", "$port", wait], "ready_line": "Starting factory"}
            for called, wait in (("soon", str(LISTENS_S)), ("at once", "0"))
        },
    }
    path = own / "launcher.json"
    path.write_text(json.dumps(file))
    # The peer lets a session be ended only where this is said.
    with running(own, name, "-m", module, str(path), *more, port=port, WSLINK_LAUNCHER_DELETE="1") as pid:
        yield Launcher(pid, port)


def answer_ms(launcher: Launcher, count: int) -> list[float]:
    """Give how long each of so many callers waited for an application that listens a moment after its start."""
    took = []
    for _ in range(count):
        begun = time.perf_counter()
        made = launcher.start("soon")
        took.append((time.perf_counter() - begun) * 1000)
        launcher.end(made)
    return took


def burst_s(launcher: Launcher, count: int) -> float:
    """Give how long it takes until as many callers as come at once have their answers."""
    begun = time.perf_counter()
    made = at_once([lambda: launcher.start("soon")] * count)
    took = time.perf_counter() - begun
    at_once([lambda one=one: launcher.end(one) for one in made])  # type: ignore[misc]
    return took


def grown_kib(launcher: Launcher, count: int, callers: int) -> float:
    """Give by how much its memory has grown after so many launches, each ended before the next."""
    before = pss_kib(launcher.pid)
    for _ in range(count // callers):
        at_once([lambda: launcher.end(launcher.start("at once"))] * callers)
    return pss_kib(launcher.pid) - before


def at_once(calls: list[Callable[[], T]]) -> list[T]:
    """Make calls, each in a thread of its own, and give what they give.

    :raises Failed: one failed.
    """
    found: dict[int, T] = {}

    def run(number: int, call: Callable[[], T]) -> None:
        found[number] = call()

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    if len(found) != len(calls):
        raise Failed("a launch failed")
    return [found[number] for number in range(len(calls))]
