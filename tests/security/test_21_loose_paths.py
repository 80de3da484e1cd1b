"""Another user of the machine can make, swap or open nothing where the daemon keeps its state and its sockets."""

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from attrs import frozen

from tests.components import lack
from tests.daemon import free_port
from tests.e2e.running import LIMIT_S, Ended, Running, running, until

NOBODY = 65534
CONFIG = """
state_dir = {state}
runtime_dir = {run}
[listeners.web]
endpoint = "tcp:{port}:interface=127.0.0.1"
serves = ["api", "tunnel"]
callers = "anyone"
[services.demo]
kind = "rfb"
launcher = "process"
command = ["sh", "-c", "exec sleep 300", "${{socket}}"]
ready = "started"
count = 1
"""


@frozen
class Yard:
    """A place where everybody may make folders, and nobody may touch those of others: as ``/tmp`` is."""

    folder: Path

    @property
    def state(self) -> Path:
        """Where the daemon is to keep its state."""
        return self.folder / "state"

    @property
    def run(self) -> Path:
        """Where it is to keep its sockets."""
        return self.folder / "run"

    @property
    def victim(self) -> Path:
        """A private folder of the daemon's user that is none of its business."""
        return self.folder / "victim"

    def attack(self, script: str) -> int:
        """Have the other user run a script of a shell here, and give its status."""
        places = {
            "STATE": str(self.state),
            "RUN": str(self.run),
            "VICTIM": str(self.victim),
            "PATH": os.environ["PATH"],
        }
        before = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs")
        argv = [*before, "/bin/sh", "-c", script]
        done = subprocess.run(argv, cwd=self.folder, env=places, capture_output=True, timeout=LIMIT_S, check=False)
        return done.returncode

    def config(self) -> Path:
        """Write the configuration, out of the other user's reach."""
        file = self.victim.parent / "etc" / "sessiond.toml"
        file.parent.mkdir(mode=0o700, exist_ok=True)
        places = {"state": json.dumps(str(self.state)), "run": json.dumps(str(self.run)), "port": free_port()}
        file.write_text(CONFIG.format(**places))
        return file

    def tree(self) -> dict[str, tuple[int, int, bytes]]:
        """Give all that is here but the configuration's folder: owners, modes, and contents."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            if path.relative_to(self.folder).parts[0] != "etc":
                known = path.lstat()
                content = path.read_bytes() if stat.S_ISREG(known.st_mode) else b""
                found[str(path.relative_to(self.folder))] = (known.st_uid, stat.S_IMODE(known.st_mode), content)
        return found


@pytest.fixture
def yard() -> Iterator[Yard]:
    """Give such a place."""
    if os.geteuid() != 0:
        lack("only root can run something as another user")
    with TemporaryDirectory(prefix="sd-") as name:
        here = Yard(Path(name).resolve())
        here.folder.chmod(0o1777)
        here.victim.mkdir(mode=0o700)
        (here.victim / "kept").write_text("kept")
        yield here


def refused(yard: Yard) -> str:
    """Start a daemon, hold that it does not come up and changes nothing, and give what it says."""
    before = yard.tree()
    with running(yard.config()) as daemon:
        with pytest.raises(Ended):
            daemon.ready()
        assert daemon.process.wait(LIMIT_S) != 0
        assert yard.tree() == before
        assert "Traceback" not in daemon.text
        return daemon.text


MADE_BEFORE = {
    "state": ('mkdir -m 700 "$STATE"', "state: belongs to user 65534"),
    "state, open": ('mkdir "$STATE" && chmod 777 "$STATE"', "state: belongs to user 65534"),
    "state with instance": (
        'mkdir -p -m 700 "$STATE/instances/0" && : > "$STATE/instances/0/lock"',
        "state: belongs to",
    ),
    "state as link to own": ('mkdir -m 700 mine && ln -s mine "$STATE"', "state: is a link of user 65534"),
    "state as link to victim": ('ln -s "$VICTIM" "$STATE"', "state: is a link of user 65534"),
    "state as loose link": ('ln -s nothing "$STATE"', "state: is a link of user 65534"),
    "state as file": (': > "$STATE"', "state: Not a directory"),
    "state as pipe": ('mkfifo "$STATE"', "state: Not a directory"),
}


@pytest.mark.parametrize("trick", MADE_BEFORE)
def test_made_before(trick: str, yard: Yard) -> None:
    """What somebody else has put in the state folder's place is refused, and nothing is written there or beside it."""
    script, said = MADE_BEFORE[trick]
    assert yard.attack(script) == 0
    assert said in refused(yard)


@pytest.mark.parametrize("trick", MADE_BEFORE)
def test_runtime_made_before(trick: str, yard: Yard) -> None:
    """The same holds for the folder of sockets; the state folder may be there then, and in it nothing of a session."""
    script, said = MADE_BEFORE[trick]
    assert yard.attack(script.replace("STATE", "RUN")) == 0
    before = {name: kept for name, kept in yard.tree().items() if not name.startswith("state")}
    with running(yard.config()) as daemon:
        with pytest.raises(Ended):
            daemon.ready()
        assert said.replace("state", "run") in daemon.text
    assert {name: kept for name, kept in yard.tree().items() if not name.startswith("state")} == before


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o755, 0o710, 0o701, 0o1777])
@pytest.mark.parametrize("which", ["state", "state/instances", "state/instances/0"])
def test_loose_modes(which: str, mode: int, yard: Yard) -> None:
    """A folder that others may enter, read or write is refused, though it is the daemon's own."""
    folder = yard.folder / which
    for made in [*reversed(folder.relative_to(yard.folder).parents), folder.relative_to(yard.folder)][1:]:
        (yard.folder / made).mkdir(mode=0o700)
    folder.chmod(mode)
    assert f"{folder}: has mode {mode & 0o7777:04o}; 0700 is needed" in refused(yard)


@pytest.mark.parametrize("which", ["state", "run"])
def test_place_for_everybody(which: str, yard: Yard) -> None:
    """Where everybody may rename what is there, no folder is safe, whoever has made it."""
    open_place = yard.folder / "open"
    open_place.mkdir()
    open_place.chmod(0o777)
    (open_place / which).mkdir(mode=0o700)
    text = yard.config().read_text().replace(f'"{yard.folder / which}"', f'"{open_place / which}"')
    config = yard.folder / "etc" / "other.toml"
    config.write_text(text)
    with running(config) as daemon:
        with pytest.raises(Ended):
            daemon.ready()
        assert f"everybody may rename what is in {open_place}" in daemon.text
    assert list((open_place / which).iterdir()) == []


SWAPS = (
    *('mv "$STATE" s', 'mv "$RUN" r', 'rm -rf "$STATE"', 'ls "$STATE"', 'ls "$RUN"', 'ln -sfn "$VICTIM" "$STATE/x"'),
    *('mv -T "$VICTIM" "$RUN"', 'ln -s x "$RUN/0/demo-000000"', ': > "$RUN/0/x"', 'cat "$STATE"/instances/0/*'),
    *('mkdir "$STATE/instances/1"', ': > "$STATE/instances/0/lock"', 'echo x > "$RUN"/0/*/output', 'chmod 777 "$RUN"'),
)


def ready(daemon: Running) -> None:
    """Wait until it is, with a session that runs."""
    made = daemon.ready().order("demo")
    assert made.status == 201, made


def test_running(yard: Yard) -> None:
    """While it runs, all is for nobody else's eyes, whatever the umask says, and nobody can swap any of it."""
    before = os.umask(0)
    try:
        with running(yard.config()) as daemon:
            ready(daemon)
            for path in (*yard.state.rglob("*"), *yard.run.rglob("*"), yard.state, yard.run):
                known = path.lstat()
                wanted = 0o700 if stat.S_ISDIR(known.st_mode) else 0o600
                assert (str(path), oct(known.st_mode & 0o7777)) == (str(path), oct(wanted))
                assert known.st_uid == os.geteuid()
            kept = set(yard.tree())
            for swap in SWAPS:
                assert yard.attack(swap) != 0, swap
            assert set(yard.tree()) == kept
            [session] = daemon.sessions()
            assert session["state"] == "ready"
            daemon.release(session["id"])
            daemon.ended(session["id"])
            until(lambda: not list(yard.run.glob("0/*")), "the session's folder is gone")
    finally:
        os.umask(before)
    assert (yard.victim / "kept").read_text() == "kept"
