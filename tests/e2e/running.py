"""A real daemon, used by calls that block: for tests whose own tools block too (a browser), or that kill it.

The daemon is a process of its own, so nothing here touches this process's reactor.
"""

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from attrs import define, frozen

from sessiond.launchers.command import INSTANCE_VARIABLE
from sessiond.launchers.procfs import ZOMBIE, all_pids, stat_of, variable_of
from tests.daemon import READY, ROOT

LIMIT_S = 30.0
"""How long anything may take; reached only where something hangs."""

LOOK_S = 0.01

T = TypeVar("T")


def until(look: Callable[[], T | None], what: str, limit_s: float = LIMIT_S, look_s: float = LOOK_S) -> T:
    """Wait until ``look`` gives something that is true, and give that.

    :raises AssertionError: it did not within the limit.
    """
    begun = time.monotonic()
    while not (found := look()):
        assert time.monotonic() - begun < limit_s, f"not within {limit_s:.0f} s: {what}"
        time.sleep(look_s)
    return found


class Ended(Exception):
    """The daemon ended before it was ready."""


@frozen
class Answer:
    """What the API said; ``json`` is decoded where it is JSON."""

    status: int
    headers: dict[str, str]
    json: Any


@define
class Running:
    """One run of a daemon.

    :ivar output: the file that it writes to.
    :ivar trust: the certificate that its listener shows, where that speaks TLS.
    """

    process: "subprocess.Popen[bytes]"
    output: Path
    url: str = ""
    trust: Path | None = None

    @property
    def pid(self) -> int:
        """Give its process."""
        return self.process.pid

    @property
    def text(self) -> str:
        """Give all that it wrote so far."""
        return self.output.read_text("utf-8", "replace")

    @property
    def netloc(self) -> str:
        """Give the host and port of its first listener."""
        return urlsplit(self.url).netloc

    def ready(self) -> "Running":
        """Wait until it says that it is ready, and where.

        :raises Ended: it never will.
        """

        def look() -> str | None:
            if self.process.poll() is not None:
                raise Ended(f"status {self.process.returncode}:\n{self.text}")
            whole, _, _ = self.text.rpartition("\n")
            return next((line for line in whole.splitlines() if READY in line), None)

        self.url = until(look, "the daemon is ready").rpartition(": ")[2].strip()
        return self

    def call(self, method: str, path: str, body: Any = None, limit_s: float = LIMIT_S, **headers: str) -> Answer:
        """Call it over HTTP, on a connection of its own.

        :param path: from the root.
        :raises OSError: nobody is there, or it went before it had answered.
        :raises http.client.HTTPException: likewise.
        """
        connection = self._connection(limit_s)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        content = None
        if body is not None:
            content = json.dumps(body)
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, path, content, sent)
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        said = {name.lower(): value for name, value in response.getheaders()}
        is_json = "json" in said.get("content-type", "")
        return Answer(response.status, said, json.loads(raw) if is_json and raw else raw.decode("utf-8", "replace"))

    def order(self, service: str, wait: str = "ready", **more: Any) -> Answer:
        """Ask for a session."""
        return self.call("POST", "/api/v1/sessions", {"service": service, "wait": wait, **more})

    def session(self, session_id: str) -> dict[str, Any]:
        """Look at a session."""
        found = self.call("GET", f"/api/v1/sessions/{session_id}")
        assert found.status == 200, found
        return dict(found.json)

    def sessions(self) -> list[dict[str, Any]]:
        """Look at all sessions."""
        return list(self.call("GET", "/api/v1/sessions").json["sessions"])

    def service(self, name: str) -> dict[str, Any]:
        """Look at a service: how many of its slots are used, and who waits."""
        services = self.call("GET", "/api/v1/services").json["services"]
        return next(dict(service) for service in services if service["name"] == name)

    def release(self, session_id: str) -> Answer:
        """End a session."""
        return self.call("DELETE", f"/api/v1/sessions/{session_id}")

    def ended(self, session_id: str) -> dict[str, Any]:
        """Wait until a session has ended, and give it."""

        def look() -> dict[str, Any] | None:
            session = self.session(session_id)
            return session if session["state"] == "ended" else None

        return until(look, f"{session_id} has ended")

    def _connection(self, limit_s: float) -> http.client.HTTPConnection:
        if self.trust is None:
            return http.client.HTTPConnection(self.netloc, timeout=limit_s)
        known = ssl.create_default_context(cafile=str(self.trust))
        return http.client.HTTPSConnection(self.netloc, timeout=limit_s, context=known)

    def stop(self) -> int:
        """End it by TERM, and give its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)

    def kill(self) -> None:
        """End it by KILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait(LIMIT_S)


@contextmanager
def running(
    config: Path,
    *,
    trust: Path | None = None,
    program: Sequence[str] = (),
    before: Sequence[str] = (),
    **environment: str,
) -> Iterator[Running]:
    """Start a daemon; whatever the test did, it is gone afterwards.

    Its HOME is the configuration's folder, so that it leaves nothing elsewhere.

    :param trust: the certificate that it shows.
    :param program: what is run instead of twistd; it takes twistd's arguments.
    :param before: a program to run it in, such as one that gives it file systems of its own.
    """
    twistd = [str(Path(sys.executable).with_name("twistd"))]
    argv = [*before, *(program or twistd), "-n", "--pidfile=", "sessiond", "--config", str(config)]
    with running_by(argv, config.parent, trust, **environment) as daemon:
        yield daemon


@contextmanager
def running_by(argv: Sequence[str], home: Path, trust: Path | None = None, **environment: str) -> Iterator[Running]:
    """Start a daemon by any command line; whatever the test did, it is gone afterwards.

    :param home: its HOME and working folder; it gets a file for its output there.
    :param trust: the certificate that it shows.
    """
    own = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    env = {**own, "PYTHONPATH": str(ROOT), "HOME": str(home), **environment}
    output = next(path for path in _outputs(home) if not path.exists())
    with output.open("xb") as written:
        process = subprocess.Popen(
            argv, env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT
        )
    try:
        with process:
            try:
                yield Running(process, output, trust=trust)
            finally:
                _end(process)
    except BaseException:
        sys.stderr.write(output.read_text("utf-8", "replace"))  # shown by pytest where the test failed
        raise


def _outputs(folder: Path) -> Iterator[Path]:
    """Name the files for the output of one run after the other."""
    return (folder / f"daemon-{number}.log" for number in range(1000))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End it if it still lives: first so that it can clean up behind itself."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(LIMIT_S)
        finally:
            process.kill()


@frozen
class Identity:
    """A process that no other is taken for."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Say whether it still runs; a zombie does not."""
        stat = stat_of(self.pid)
        return stat is not None and stat.started == self.started and stat.state != ZOMBIE


def launched_below(folder: Path) -> list[Identity]:
    """List the processes that a daemon with its state below this folder has launched, by the mark they carry."""
    marked = [pid for pid in all_pids() if f"{folder}/" in (variable_of(pid, INSTANCE_VARIABLE) or "")]
    stats = [stat for stat in map(stat_of, marked) if stat is not None and stat.state != ZOMBIE]
    return [Identity(stat.pid, stat.started) for stat in stats]
