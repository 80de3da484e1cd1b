"""The script of Nexus' built-in services: an application of the install with a VNC server of its own inside.

It runs as every operator's script does, in a process of its own for each slot. What it starts is set by its common
options: ``command``, whose arguments may hold ``${port}``, ``${vnc}`` (a URL as the application's ``-vnc`` takes it)
and ``${target}``; an argument with ``${target}`` is left out where there is none.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sessiond.nexus import RemoteServiceScript

VNC = "vnc://%%3Frfb_port={}%%26use_auth=0"
"""Without a password, which other users of this machine could do without too: a command may say more."""

LISTEN = "0A"
"""The state in ``/proc/net/tcp`` (tcp(7) of the kernel: TCP_LISTEN)."""

LOOK_S, TERM_S = 0.05, 5.0


class NotInstalled(Exception):
    """The application is not there; the text is its path."""


class Ended(Exception):
    """The application ended before its VNC server listened."""


class Application(RemoteServiceScript):
    """Starts the application, and says where its VNC server listens once it does."""

    def __init__(self, common_options: Mapping[str, Any]) -> None:
        super().__init__(common_options)
        self._command: Sequence[str] = common_options["command"]
        if shutil.which(self._command[0]) is None:
            raise NotInstalled(self._command[0])
        self._program: subprocess.Popen[bytes] | None = None

    def start(self, index: int, options: Mapping[str, str]) -> tuple[str, int]:
        """Start it; how long that may take is the daemon's matter."""
        port = free_port()
        argv = arguments(self._command, port, options.get("target_pathname", ""))
        self._program = subprocess.Popen(argv, stdin=subprocess.DEVNULL)  # noqa: S603 - the operator's command, no shell
        while not listens(port):
            status = self._program.poll()
            if status is not None:
                raise Ended(f"ended with status {status} before it listened")
            time.sleep(LOOK_S)
        return "127.0.0.1", port

    def stop(self, index: int) -> None:
        """End it, gently first; what it has started itself is ended behind this."""
        if self._program is None:
            return
        self._program.terminate()
        try:
            self._program.wait(TERM_S)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()


def arguments(command: Sequence[str], port: int, target: str) -> list[str]:
    """Fill a command in."""
    wanted = [word for word in command if target or "${target}" not in word]
    filled = {"${port}": str(port), "${vnc}": VNC.format(port), "${target}": target}
    return [_filled(word, filled) for word in wanted]


def _filled(word: str, filled: Mapping[str, str]) -> str:
    # In one pass: what a target holds is not looked at again.
    return re.sub(r"\$\{(?:port|vnc|target)\}", lambda found: filled[found[0]], word)


def free_port() -> int:
    """Give a port of loopback that was free a moment ago."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def listens(port: int) -> bool:
    """Say whether anybody listens on a port, by the kernel's table: a connection might be taken for the one client."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if os.path.exists(table):
            for line in Path(table).read_text().splitlines()[1:]:
                place, state = line.split()[1], line.split()[3]
                if state == LISTEN and int(place.rpartition(":")[2], 16) == port:
                    return True
    return False
