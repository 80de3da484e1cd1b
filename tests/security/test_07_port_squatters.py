"""A stranger on a session's port fails the launch, is reached by nobody, and keeps the port from the next session."""

import socket

import pytest

from tests.e2e.places import Place
from tests.e2e.running import running, until
from tests.e2e.services import OWN, serves_on, service


def test_port_taken_by_a_stranger(place: Place) -> None:
    """A stranger who took the port gets no byte: the launch fails, and says why."""
    port = place.ports[0]
    here, go = place.folder / "here", place.folder / "go"
    late = service("late", OWN / "late.py", "${port}", str(here), str(go), ports=f"{port}-{port}")
    well = service("echo", OWN / "echo.py", "${port}", ports=f"{port + 1}-{port + 9}")
    with running(place.configure(late + well)) as daemon:
        daemon.ready()
        made = daemon.order("late", wait="none")
        assert made.status == 201, made
        until(here.exists, "the program runs")
        with socket.create_server(("127.0.0.1", port)) as stranger:
            go.touch()
            session = daemon.ended(made.json["id"])
            assert session["reason"] == "launch-failed"
            assert session["cause"] == f"port {port} is taken by another program"
            # While the stranger is there nobody else is given the port.
            refused = daemon.order("late")
            assert (refused.status, refused.json["reason"]) == (503, "no-port")
            stranger.setblocking(False)
            with pytest.raises(BlockingIOError):
                stranger.accept()
        until(lambda: daemon.order("late").status == 201, "the port is given again", look_s=0.2)
        (again,) = [session["id"] for session in daemon.sessions() if session["state"] == "ready"]
        daemon.release(again)
        daemon.ended(again)
        serves_on(daemon)
