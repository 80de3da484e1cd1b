"""Listens by a process of its own; what it does otherwise is in its common options, by ``how``."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

from sessiond.nexus import RemoteServiceScript

PROGRAMS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "programs")


class Serving(RemoteServiceScript):
    """Says in its output what it is told."""

    def start(self, index: int, options: Any) -> Any:
        """Start as ``how`` says."""
        how = self._common_options["how"]
        print("start", index, sorted(options.items()), flush=True)
        if how in ("stubborn", "stubborn-stop"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        action = getattr(self, how.replace("-", "_"), None)
        answer = action() if action is not None else None
        return answer if answer is not None else self.serve()

    def stop(self, index: int) -> None:
        """Stop, or not."""
        print("stop", index, flush=True)
        how = self._common_options["how"]
        if how in ("hang-in-stop", "stubborn-stop"):
            time.sleep(600)
        if how == "raise-in-stop":
            raise OSError("no stop today")
        time.sleep(self._common_options.get("stop_s", 0))
        with open(self._common_options.get("stopped", os.devnull), "w") as file:
            file.write(str(index))

    def serve(self) -> tuple[str, int]:
        """Listen on the port of the common options, by the program that they may name."""
        port = self._common_options["port"]
        program = self._common_options.get("program", [os.path.join(PROGRAMS, "serve.py"), "tcp"])
        subprocess.Popen([sys.executable, "-S", *program, str(port)])
        return "127.0.0.1", port

    def hang(self) -> None:
        """Never return."""
        time.sleep(600)

    def raising(self) -> None:
        """Raise."""
        raise ValueError("no such\nthing, token=abcdefgh12345678")

    def exiting(self) -> None:
        """Leave by the usual way."""
        sys.exit(3)

    def vanishing(self) -> None:
        """Leave by the short way."""
        print("a last word", flush=True)
        os._exit(1)

    def suicide(self) -> None:
        """Kill itself."""
        os.kill(os.getpid(), signal.SIGKILL)

    def nonsense(self) -> tuple[str, bool]:
        """Return what is no place."""
        return "nowhere", True

    def bad_host(self) -> tuple[str, int]:
        """Return what has not the form of a host."""
        return "no host/at all", 5900

    def dead_port(self) -> tuple[str, int]:
        """Return a port that nobody listens on."""
        return "127.0.0.1", self._common_options["port"]

    def forking(self) -> None:
        """Leave processes in sessions of their own, which ignore TERM."""
        subprocess.run([sys.executable, "-S", os.path.join(PROGRAMS, "fork_away.py"), "leave"], check=True)

    def forking_clean(self) -> None:
        """Leave processes without any mark."""
        subprocess.run([sys.executable, "-S", os.path.join(PROGRAMS, "fork_away.py"), "clean"], check=True)

    def printing(self) -> None:
        """Print much."""
        for number in range(20_000):
            print("a line of many, number", number)
        sys.stdout.flush()

    def reading(self) -> None:
        """See that standard input is nobody's, also for a forked child, and that the order is out of reach."""
        assert sys.stdin.read() == ""
        if os.fork() == 0:
            os._exit(len(os.listdir("/proc/self/fd")) - 4)
        print("descriptors of a fork beside the three:", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
