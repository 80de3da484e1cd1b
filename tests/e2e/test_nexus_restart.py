"""Nexus' command line, killed while script services run and started again with the same state."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from sessiond.launchers.procfs import children_of
from tests.daemon import free_port
from tests.e2e.places import Place
from tests.e2e.running import Running, launched_below, running_by, until
from tests.e2e.wire import Tunnel

SCRIPT = Path(__file__).parents[1] / "launchers" / "scripts" / "serving.py"
ECHO = Path(__file__).parent / "programs" / "echo.py"


@frozen
class Server:
    """One run of the command line.

    :ivar websocket: the URL of its WebSocket port.
    """

    daemon: Running
    websocket: str

    def get(self, path: str) -> Any:
        """Call it."""
        found = self.daemon.call("GET", path)
        assert found.status == 200, found
        return found.json

    def tokens(self) -> list[str]:
        """Give what the status says of each slot."""
        [service] = self.get("/v1/status")
        return [one["token"] for one in service["instances"]]

    def view(self, token: str) -> Tunnel:
        """Connect as a viewer does."""
        return Tunnel(f"{self.websocket}?token={token}")


@contextmanager
def serving(place: Place, *words: str) -> Iterator[Server]:
    """Start it with the site's services, and wait until it is ready."""
    services = str(place.folder / "external_services.json")
    settings = place.folder / "settings.toml"
    settings.write_text('state_dir = "state"\n')
    # Ports of its own choice: one that a killed daemon had may be anybody's.
    argv = [sys.executable, "-m", "sessiond.websocketserver", "--http_directory", ".", "--http_port", "0"]
    argv += ["--settings", str(settings), "--remote_session_config", services, *words, "0"]
    with running_by(argv, place.folder) as daemon:
        daemon.ready()
        line = next(line for line in daemon.text.splitlines() if daemon.url in line)
        http, _, websocket = line.rpartition(": ")[2].partition(" and ")
        daemon.url = http
        yield Server(daemon, websocket)


def offer(place: Place, how: str, **more: Any) -> None:
    """Write the site's services: one, whose script behaves as it is told."""
    options = {"how": how, "port": free_port(), "program": [str(ECHO)], **more}
    services = {"desktop": {"script": str(SCRIPT), "count": 2, "options": options, "stop_timeout": 1}}
    (place.folder / "external_services.json").write_text(json.dumps(services))


def check_recovered(server: Server, used: str, unused: str) -> None:
    """See that the session in use has ended, and that the reservation is as good as it was."""
    with server.view(used) as viewer:
        assert viewer.read() is None
        assert viewer.close_code == 4404
    assert server.get(f"/v1/release/{used}") == {"released": False}
    until(lambda: server.tokens().count("") == 1, "the slot is free")
    assert used not in server.tokens()
    with server.view(unused) as viewer:
        viewer.send(b"hello")
        assert viewer.read_until(b"HELLO")
        assert server.get(f"/v1/release/{unused}") == {"released": True}
        assert viewer.read() is None
    until(lambda: server.tokens() == ["", ""], "both slots are free")
    until(lambda: children_of(server.daemon.pid) == [], "no child is left, dead or alive")


@pytest.mark.parametrize("how", ["", "forking"])
def test_killed(place: Place, how: str) -> None:
    """What a killed daemon leaves ends, by the script's own stop; the next start has its slot back."""
    stopped = place.temporary / "stopped"
    offer(place, how, stopped=str(stopped))
    with serving(place) as server:
        used, unused = (server.get("/v1/reserve/desktop")["token"] for _ in range(2))
        with server.view(used) as viewer:
            viewer.send(b"hello")
            viewer.read_until(b"HELLO")
            launched = launched_below(place.folder)
            assert len(launched) >= 2
            server.daemon.kill()
    with serving(place) as server:
        until(lambda: not any(process.alive for process in launched), "all of it is gone")
        assert stopped.read_text() == "0"
        stopped.unlink()
        check_recovered(server, used, unused)
    stopped.unlink()


def test_killed_with_its_scripts(place: Place) -> None:
    """Programs whose script is killed too, as pyensight kills what it finds, are ended by the next start."""
    offer(place, "forking")
    with serving(place) as server:
        used, unused = (server.get("/v1/reserve/desktop")["token"] for _ in range(2))
        with server.view(used) as viewer:
            viewer.send(b"hello")
            viewer.read_until(b"HELLO")
            hosts = children_of(server.daemon.pid)
            # Stopped first: else it might make an end of the programs before it is killed itself.
            os.kill(server.daemon.pid, signal.SIGSTOP)
            for host in hosts:
                os.kill(host, signal.SIGKILL)
            server.daemon.kill()
            orphans = [process for process in launched_below(place.folder) if process.alive]
            assert orphans
    with serving(place) as server:
        until(lambda: not any(process.alive for process in orphans), "all of it is gone")
        check_recovered(server, used, unused)
