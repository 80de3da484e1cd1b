"""Uses pyensight as a notebook does: ``notebook.py INSTALL DOWNLOADS ARGUMENTS``, the last as JSON for LocalLauncher.

Run by a Python that has pyensight. What was made is told as one line of JSON. A line on standard input closes the
session, and a second line of JSON tells how that went.
"""

import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
from typing import Any

LIMIT_S = 30.0
START_S = 60.0
STARTS = 2
ANSWERED = '"PUT /ensight/v1/session/exec HTTP/1.1" '


class Answers(logging.Handler):
    """Keeps the statuses of pyensight's REST calls: it looks at none of them itself."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.came: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take what its HTTP library logs of each answer."""
        _, found, status = record.getMessage().partition(ANSWERED)
        if found:
            self.came.append(status.split()[0])


def tell(**what: Any) -> None:
    """Say it in one line."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def wait_for(port: int) -> None:
    """Wait until somebody listens: EnSight itself would take longer to start than any server."""
    until = time.monotonic() + LIMIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def status_of(pid: int) -> int:
    """Wait for the end of a child, and give its exit status, or its signal as a negative number."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def start(install: str, arguments: dict[str, Any]) -> tuple[Any, Any]:
    """Start EnSight and its server, and give the launcher with its session.

    pyensight takes ports that nobody answered at a moment before. Where somebody has one by now, it begins anew.
    """
    from ansys.pyensight.core import LocalLauncher

    for left in reversed(range(STARTS)):
        launcher = LocalLauncher(ansys_installation=install, timeout=START_S, **arguments)
        try:
            return launcher, launcher.start()
        except RuntimeError as error:
            sys.stderr.write(f"ports {launcher._ports}: {error}\n")
            end(launcher._ensight_pid, launcher._websocketserver_pid)
            if not left:
                raise
    raise AssertionError


def end(*pids: int) -> None:
    """End children of a start that came to nothing."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def main() -> None:
    """Start, show, wait, close."""
    install, downloads, arguments = sys.argv[1:]
    answers, http = Answers(), logging.getLogger("urllib3.connectionpool")
    http.setLevel(logging.DEBUG)
    http.addHandler(answers)
    launcher, session = start(install, json.loads(arguments))
    pids = {"ensight": launcher._ensight_pid, "server": launcher._websocketserver_pid}
    wait_for(session.html_port)
    [picture] = session.show("image", width=64, height=48).download(downloads)
    tell(
        key=session.secret_key,
        http=session.html_port,
        websocket=session.ws_port,
        ports=launcher._ports,
        folder=launcher.session_directory,
        picture=picture,
        page=session.show("remote").url,
        **pids,
    )
    sys.stdin.readline()
    session.close()
    tell(answers=answers.came, **{name: status_of(pid) for name, pid in pids.items()})


if __name__ == "__main__":
    main()
