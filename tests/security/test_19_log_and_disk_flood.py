"""Log and disk flood: whoever makes noise, the log and the disk grow within a bound and the daemon answers."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import define

from sessiond import log
from sessiond.launchers.output import KEPT_BYTES
from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, Running, running, until

PROGRAMS = Path(__file__).parents[1] / "launchers" / "programs"
MIB = 1 << 20
LINE_BYTES = 400
"""The most that a line of these tests comes to."""
ANSWER_S = 5.0
"""The longest that a call may take meanwhile, on a machine that is busy."""
TRIES = 3 * int(log.KIND_BURST)


@define
class Growth:
    """How much was written since the beginning."""

    daemon: Running
    begun_bytes: int
    begun_at: float

    @property
    def log_bytes(self) -> int:
        """What the log has grown by."""
        return self.daemon.output.stat().st_size - self.begun_bytes

    @property
    def most_bytes(self) -> float:
        """What one kind of line may have come to by now, others that stand beside it included."""
        lines = log.KIND_BURST + log.KIND_PER_S * (time.monotonic() - self.begun_at)
        return 2 * lines * LINE_BYTES


@contextmanager
def growing(place: Place, services: str) -> Iterator[Growth]:
    """Run a daemon."""
    with running(place.configure(services)) as daemon:
        daemon.ready()
        yield Growth(daemon, daemon.output.stat().st_size, time.monotonic())
        assert "critical" not in daemon.text


def answers_soon(daemon: Running) -> None:
    """See that the daemon is responsive."""
    assert daemon.call("GET", "/healthz", limit_s=ANSWER_S).status == 200


def service(name: str, *words: str, **keys: object) -> str:
    """Write a service that runs a program."""
    table = {"kind": "tcp", "launcher": "process", "command": ["${python}", "-S", *words], "count": 1, **keys}
    return "\n".join([f"[services.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items()), ""])


def disk_bytes(*folders: Path) -> int:
    """Sum up the files below folders."""
    found = 0
    for path in (path for folder in folders for path in folder.rglob("*")):
        try:
            found += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return found


@pytest.mark.parametrize("where", ["owner", "service", "path", "header", "option", "method"])
def test_name_of_ten_megabytes(place: Place, where: str) -> None:
    """A name of 10 MB, wherever it is put, is refused, and leaves no more than a line."""
    name = "x" * (10 * MIB)
    with growing(place, service("any", str(PROGRAMS / "wait.py"), "${port}")) as growth:
        host, _, port = growth.daemon.netloc.partition(":")
        body: dict[str, dict[str, object]] = {
            "owner": {"service": "any", "owner": name},
            "service": {"service": name},
            "option": {"service": "any", "options": {name: name}},
        }
        path = f"/{name}" if where == "path" else "/api/v1/sessions"
        lines = [f"{name if where == 'method' else 'POST'} {path} HTTP/1.1", f"Host: {growth.daemon.netloc}"]
        lines += [f"X-Name: {name}"] if where == "header" else []
        content = json.dumps(body.get(where, {})).encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}", "", ""]
        with socket.create_connection((host, int(port)), LIMIT_S) as leg:
            try:
                leg.sendall("\r\n".join(lines).encode() + content)
                answer = leg.recv(1 << 16)
            except ConnectionError:
                answer = b""  # refused so early that the answer was lost with the rest
            assert not answer or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ")), answer
        answers_soon(growth.daemon)
        assert growth.log_bytes < 4096


def test_long_names_that_are_read(place: Place) -> None:
    """Names as long as a request may hold, again and again, are cut in the log each time."""
    with growing(place, service("any", str(PROGRAMS / "wait.py"), "${port}")) as growth:
        for number in range(50):
            growth.daemon.call("POST", "/api/v1/sessions", {"service": "x" * 60_000, "owner": f"{number}"})
            growth.daemon.call("GET", "/" + "x" * 15_000)
        assert growth.log_bytes < 50 * 2 * (log.FIELD_CHARACTERS + LINE_BYTES)
        answers_soon(growth.daemon)


def test_client_in_a_loop(place: Place) -> None:
    """A client that asks for nonsense without end is refused each time, but not told of each time."""
    with growing(place, service("any", str(PROGRAMS / "wait.py"), "${port}")) as growth:
        host, _, port = growth.daemon.netloc.partition(":")
        for _ in range(TRIES):
            with socket.create_connection((host, int(port)), LIMIT_S) as leg:
                leg.sendall(b"nonsense\r\n\r\n")
                assert leg.recv(1 << 12).startswith(b"HTTP/1.1 400 ")
        assert growth.daemon.text.count("is refused") < TRIES
        assert growth.log_bytes < growth.most_bytes

        def told() -> bool:
            answers_soon(growth.daemon)
            return "lines were left out, all like this: sessiond.web.wire: {peer} is refused" in growth.daemon.text

        until(told, "a line says how many were left out")


def test_requests_in_a_loop(place: Place) -> None:
    """Thousands of requests on one connection are answered, and the lines of most are left out."""
    with growing(place, service("any", str(PROGRAMS / "wait.py"), "${port}")) as growth:
        host, _, port = growth.daemon.netloc.partition(":")
        asked = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50
        with socket.create_connection((host, int(port)), LIMIT_S) as leg:
            for _ in range(TRIES // 50):
                leg.sendall(asked)
                came = b""
                while came.count(b"HTTP/1.1 200 ") < 50 or not came.endswith(b"}"):
                    came += leg.recv(1 << 16)
        assert growth.log_bytes < growth.most_bytes
        answers_soon(growth.daemon)


def test_service_that_fails_in_a_loop(place: Place) -> None:
    """A program that ends at once, however often it is asked for, costs little: its service is suspended meanwhile."""
    with growing(place, service("dies", str(PROGRAMS / "die.py"), "3", "${port}")) as growth:
        statuses = [growth.daemon.order("dies").status for _ in range(100)]
        assert set(statuses) == {502, 503}
        assert statuses.count(502) < 20
        assert growth.log_bytes < 200 * LINE_BYTES
        assert disk_bytes(place.folder / "state", place.run) < 8 * MIB
        answers_soon(growth.daemon)


def test_chatty_child(place: Place) -> None:
    """A program that writes as fast as it can has its output cut, and none of it is in the log."""
    flood = service("flood", str(PROGRAMS / "flood.py"), "${port}", ready="started", output="1MiB")
    with growing(place, flood) as growth:
        made = growth.daemon.order("flood")
        assert made.status == 201, made
        cut = place.run / "0" / made.json["id"] / "output.cut"
        most = 0

        def often_cut() -> bool:
            nonlocal most
            answers_soon(growth.daemon)
            most = max(most, disk_bytes(place.run))
            return cut.exists() and time.monotonic() - growth.begun_at > 3.0

        until(often_cut, "the output was cut")
        assert most < 256 * MIB
        assert growth.log_bytes < 64 * LINE_BYTES
        growth.daemon.release(made.json["id"])
        growth.daemon.ended(made.json["id"])
        assert KEPT_BYTES < MIB
        assert disk_bytes(place.folder / "state", place.run) < 8 * MIB
        answers_soon(growth.daemon)
