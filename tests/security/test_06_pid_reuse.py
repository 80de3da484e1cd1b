"""A process that has got a program's old number is a stranger: it is neither adopted nor signalled."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sessiond.launchers.procfs import stat_of
from tests.components import lack
from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, launched_below, running, until
from tests.e2e.services import LAUNCHERS, echo, serves_on, service

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
TRIES = 500


@contextmanager
def stranger_with(pid: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a process that has this very number; others that start at the same time may be given it first."""
    for _ in range(TRIES):
        try:
            LAST_PID.write_text(str(pid - 1))
        except OSError as error:
            lack(f"no number can be chosen: {error}")
        with subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL) as process:
            try:
                if process.pid == pid:
                    yield process
                    return
            finally:
                process.kill()
    lack(f"the number {pid} was not to be had")


def test_number_given_again(place: Place) -> None:
    """After a restart a stranger with the recorded number lives on, and the session is told as lost."""
    waits = service("waits", LAUNCHERS / "wait.py", "here", "${socket}", ready="started", limits='connect = "10m"')
    config = place.configure(waits + echo(place))
    with running(config) as daemon:
        made = daemon.ready().order("waits")
        assert made.status == 201, made
        [program] = launched_below(place.folder)
        daemon.kill()
    os.kill(program.pid, signal.SIGKILL)
    until(lambda: stat_of(program.pid) is None, "the program is gone, and its number free")
    with stranger_with(program.pid) as stranger, running(config) as daemon:
        daemon.ready()
        session = daemon.ended(made.json["id"])
        assert session["reason"] == "lost"
        serves_on(daemon)
        assert daemon.stop() == 0
        assert stranger.poll() is None
        assert stranger.pid == program.pid
        stranger.terminate()
        assert stranger.wait(LIMIT_S) == -signal.SIGTERM
