"""The programs of a run: started one by one, each ended by its own pid, whatever happens."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.readings import tree

ROOT = Path(__file__).resolve().parents[1]
START_S = 30.0
STOP_S = 10.0
PORTS = (20000, 32000)
"""Below the ephemeral range, so that no outgoing connection takes one in between."""


class NotStarted(Exception):
    """A program ended or did not listen."""


def free_port() -> int:
    """Give a port on which nobody listens."""
    for _ in range(100):
        port = random.randint(*PORTS)  # noqa: S311 - not a secret
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise NotStarted("no free port")


@contextmanager
def running(folder: Path, name: str, *arguments: str, port: int | None = None, **variables: str) -> Iterator[int]:
    """Run a program of Python's, give its pid once it listens, and end it with all of its children.

    :param folder: where its output is kept, as ``NAME.txt``, and which it takes for its home.
    :param arguments: behind the interpreter.
    :param variables: what its environment has beside our own.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder), **variables}
    output = folder / f"{name}.txt"
    with output.open("ab") as kept:
        process = subprocess.Popen(  # noqa: S603 - our own programs
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=kept,
            stderr=kept,
            cwd=folder,
            env=environment,
        )
    try:
        if port is not None:
            _await_listening(process, port, output)
        yield process.pid
    finally:
        _end(process)


@contextmanager
def piped(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of Python's that speaks over its standard streams, and end it."""
    process = subprocess.Popen(  # noqa: S603 - our own programs
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _await_listening(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise NotStarted(output.read_text(errors="replace")[-2000:])


def _end(process: subprocess.Popen[bytes]) -> None:
    children = tree(process.pid)[1:]
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # A peer that forks for every client leaves its children behind for a moment; they are known by their parent.
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
