"""A program holds none of the daemon's descriptors, so that a daemon can die and listen again while it lives."""

import os
import socket
from urllib.parse import urlsplit

import pytest

from tests.daemon import free_port
from tests.e2e.places import Place
from tests.e2e.running import launched_below, running
from tests.e2e.services import LAUNCHERS, echo, serves_on, service
from tests.e2e.wire import Tunnel


def held_by(pid: int) -> dict[int, str]:
    """Say what a process has open, by number."""
    folder = f"/proc/{pid}/fd"
    return {int(number): os.readlink(f"{folder}/{number}") for number in os.listdir(folder)}


def test_children_of_a_busy_daemon(place: Place) -> None:
    """Beside tunnels, a store and clients that wait, a child gets its input and its output, and nothing else."""
    port = free_port()
    waits = service("waits", LAUNCHERS / "wait.py", "here", "${socket}", ready="line:here", limits='connect = "10m"')
    config = place.configure(waits + echo(place), endpoint=f"tcp:{port}:interface=127.0.0.1")
    with running(config) as daemon:
        address = urlsplit(daemon.ready().url)
        assert address.port == port
        open_tunnel = daemon.order("echo")
        with Tunnel(open_tunnel.json["tunnel_url"]), socket.create_connection(("127.0.0.1", port)):
            assert daemon.order("waits").status == 201
            for program in launched_below(place.folder):
                open_files = held_by(program.pid)
                if not any("socket:" in target for target in open_files.values()):
                    break
            else:
                pytest.fail("no program without sockets of its own")
            assert set(open_files) == {0, 1, 2}
            assert open_files[0] == os.devnull
            assert open_files[1] == open_files[2]
            assert open_files[1].startswith(str(place.run))
            alive = program
            daemon.kill()
    assert alive.alive
    with running(config) as daemon:
        # It listens on the same port at once: nobody else has kept it open.
        assert urlsplit(daemon.ready().url).port == port
        holds_port(daemon.url)
        for session in daemon.sessions():
            daemon.release(session["id"])
            daemon.ended(session["id"])
        serves_on(daemon)


def holds_port(url: str) -> None:
    """See that the port is the daemon's alone."""
    parts = urlsplit(url)
    with socket.socket() as second, pytest.raises(OSError, match="in use"):
        second.bind((parts.hostname or "", parts.port or 0))
