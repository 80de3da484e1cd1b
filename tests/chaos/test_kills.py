"""``kill -9`` of the daemon at every effect and every save: the next start finds all, ends all, and tells no lie."""

import http.client
import json
import shutil
import signal
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import define, field

from sessiond.core.session import Session
from sessiond.core.values import Reason
from sessiond.launchers.leases import can_bind
from sessiond.stores.tables import Tables
from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, Ended, Running, launched_below, running, until
from tests.e2e.wire import Refusal, Tunnel

STRUCK = Path(__file__).parent / "struck.py"
ECHO = Path(__file__).parents[1] / "e2e" / "programs" / "echo.py"

EFFECTS = ("TakeLeases", "Launch", "Answer", "Dial", "Halt", "Cut", "Offer", "FreeLeases", "Tidy")
SAVES = (
    *("launching", "launching#2", "launching#3", "queued", "ready", "connected", "connected#2"),
    *("stopping", "ended", "ended#2", "launching#4"),
)
POINTS = (
    *(f"{when}:{effect}" for effect in EFFECTS for when in ("before", "after")),
    "spawned",
    "spawned#2",
    *(f"{when}:{save}" for save in SAVES for when in ("saving", "saved")),
)

POINTS_OF_RECOVERY = (
    *("before:Halt", "after:Halt", "saving:stopping", "saved:stopping", "saving:ended", "saved:ended", "before:Tidy"),
    *("before:Offer", "before:FreeLeases", "saving:launching", "saved:launching", "spawned", "after:Launch"),
)
"""What a daemon passes by itself that finds one session with a program and one that waits for its slot."""

REASONS = {reason.value for reason in Reason}

SERVICE = """
[services.echo]
kind = "tcp"
launcher = "process"
command = ["${{python}}", "-S", {echo}, "${{port}}"]
count = 1
ports = "{first}-{last}"
queueing = true
limits = {{ queue = "1m", linger = "1m" }}
stop = ["term 1s", "kill 5s"]
"""

BROKEN = (OSError, http.client.HTTPException, json.JSONDecodeError)
"""What a caller sees when the daemon goes while it is asked."""


@define
class Told:
    """What a caller was told of each session, in order.

    :ivar tokens: those that it was given, by the session's id.
    :ivar answered: it has sent something through the tunnel and was answered.
    """

    states: "defaultdict[str, list[tuple[str, str | None]]]" = field(factory=lambda: defaultdict(list))
    tokens: dict[str, str] = field(factory=dict)
    answered: bool = False

    def hear(self, shape: dict[str, Any]) -> dict[str, Any]:
        """Take note of what was told."""
        self.states[shape["id"]].append((shape["state"], shape["reason"]))
        if "token" in shape:
            self.tokens[shape["id"]] = shape["token"]
        return shape


def live(daemon: Running, told: Told) -> None:
    """Lead two sessions of one slot from start to end: the second waits until the first has gone."""
    first = told.hear(daemon.order("echo").json)
    second = told.hear(daemon.order("echo", wait="none").json)
    with Tunnel(first["tunnel_url"]) as tunnel:
        tunnel.send(b"hello")
        tunnel.read_until(b"HELLO")
        told.answered = True
        told.hear(daemon.release(first["id"]).json)
        while tunnel.read() is not None:
            pass
    until(lambda: told.hear(daemon.session(first["id"]))["state"] == "ended", "the first has ended")
    until(lambda: told.hear(daemon.session(second["id"]))["state"] == "ready", "the second is ready")
    told.hear(daemon.release(second["id"]).json)
    until(lambda: told.hear(daemon.session(second["id"]))["state"] == "ended", "the second has ended")


def left_in_store(place: Place) -> list[Session]:
    """Read the store as a start would find it. A copy is read: to close it would tidy up behind the killed one."""
    with TemporaryDirectory(dir=place.folder) as folder:
        shutil.copytree(place.folder / "state" / "instances" / "0", folder, dirs_exist_ok=True)
        return read_store(Path(folder))


def read_store(folder: Path) -> list[Session]:
    """Read a store, also one that a daemon has open."""
    with closing(sqlite3.connect(f"file:{folder}/sessions.sqlite?mode=ro", uri=True)) as connection:
        return Tables(connection, 1).sessions()


def check_once_each(sessions: list[Session]) -> None:
    """No slot and no number is held by two."""
    slots = [session.slot for session in sessions if session.state.holds_slot]
    assert len(slots) == len(set(slots)), sessions
    leases = [lease for session in sessions for lease in session.leases]
    assert len(leases) == len(set(leases)), sessions


def check_told(daemon: Running, told: Told) -> None:
    """What somebody was told is so, or has become something that can come of it."""
    for session_id, words in told.states.items():
        state, reason = words[-1]
        now = daemon.session(session_id)
        if state == "ended":
            assert (now["state"], now["reason"]) == (state, reason)
        elif state == "stopping":
            assert now["state"] in ("stopping", "ended")
            assert now["reason"] == reason
        elif state in ("ready", "connected"):
            # Nobody carries a program on yet whose daemon was killed.
            assert now["state"] in ("stopping", "ended")
            assert now["reason"] in ("lost", "released")


@define
class Bed:
    """A place with a configuration, where daemons are struck one after the other."""

    place: Place
    config: Path
    told: Told = field(factory=Told)

    def strike(self, point: str, lives: Callable[[Running, Told], None]) -> None:
        """Start a daemon that will be killed at a point, and have callers lead sessions until it is."""
        struck = self.place.folder / "struck"
        program = [sys.executable, str(STRUCK)]
        with running(self.config, program=program, STRIKE=point, STRUCK=str(struck)) as daemon:
            try:
                daemon.ready()
                lives(daemon, self.told)
            except (*BROKEN, Ended):
                pass
            daemon.process.wait(LIMIT_S)
            assert struck.exists(), "this point was never reached"
            assert daemon.process.returncode == -signal.SIGKILL
        struck.unlink()
        found = left_in_store(self.place)
        check_once_each(found)
        assert set(self.told.states) <= {session.id for session in found}

    def check_next(self) -> None:
        """Start a daemon as it is, and see that it cleans up, has told no lie, and serves."""
        left = launched_below(self.place.folder)
        with running(self.config) as daemon:
            daemon.ready()
            check_told(daemon, self.told)
            until(lambda: not any(process.alive for process in left), "nothing that was started before runs on")
            for session in daemon.sessions():
                daemon.release(session["id"])
            for session in daemon.sessions():
                assert daemon.ended(session["id"])["reason"] in REASONS
            check_told(daemon, self.told)
            service = daemon.service("echo")
            assert (service["used"], service["queued"]) == (0, 0)
            for token in self.told.tokens.values():
                with pytest.raises(Refusal, match="401"):
                    Tunnel(f"ws://{daemon.netloc}/tunnel?token={token}")
            check_serves(daemon)
            until(lambda: self.place.left == [], "nothing is left of any session")
            until(lambda: held_for_nothing(self.place) == [], "no port is held that is free", look_s=0.2)
            assert daemon.stop() == 0
            assert "Traceback" not in daemon.text


def check_serves(daemon: Running) -> None:
    """The one slot is there for the next, from its start to its end."""
    made = daemon.order("echo")
    assert (made.status, made.json["slot"]) == (201, 0)
    with Tunnel(made.json["tunnel_url"]) as tunnel:
        tunnel.send(b"hello")
        assert tunnel.read_until(b"HELLO")
    daemon.release(made.json["id"])
    assert daemon.ended(made.json["id"])["reason"] == "released"


def held_for_nothing(place: Place) -> list[int]:
    """Name the ports that somebody holds although they are free."""
    leases = [lease for session in read_store(place.folder / "state" / "instances" / "0") for lease in session.leases]
    return [lease.number for lease in leases if can_bind(lease.number)]


@pytest.fixture
def bed(place: Place) -> Bed:
    """Configure a service with one slot."""
    first, last = place.ports
    return Bed(place, place.configure(SERVICE.format(echo=json.dumps(str(ECHO)), first=first, last=last)))


@pytest.mark.parametrize("point", POINTS)
def test_killed(bed: Bed, point: str) -> None:
    """Nothing is leaked, nothing is held twice, nothing was told that is not so; and the next daemon serves."""
    bed.strike(point, live)
    bed.check_next()


@pytest.mark.parametrize("point", POINTS_OF_RECOVERY)
def test_killed_again_while_it_recovers(bed: Bed, point: str) -> None:
    """So it is if the next daemon is killed while it cleans up behind the first."""
    bed.strike("saved:connected#2", live)
    assert bed.told.states
    bed.strike(point, lambda daemon, told: None)
    bed.check_next()
