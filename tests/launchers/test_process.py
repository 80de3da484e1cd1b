"""Real children of the process launcher: how they start, what they hold, and every way in which they end."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet import process

from sessiond.core.events import Exited, Failed, Gone, PortTaken, Ready, Started
from sessiond.core.services import Readiness, ReadyWhen, Rlimits, Service
from sessiond.core.session import Session
from sessiond.core.values import Exit, Stdio, StopStep, Tcp, Unix
from sessiond.launchers.child import ProcessChild
from sessiond.launchers.reaping import SWEEP_KEY
from sessiond.ports import Child
from tests.contracts.launcher import Told, make_service
from tests.fakes.streams import Producer, Taker
from tests.launchers.real import INSTANCE, RealBench, marked, program, until
from tests.reactor import within

LIMIT_S = 30.0
STARTED = Readiness(ReadyWhen.STARTED)


class Run:
    """One launched session."""

    def __init__(self, bench: RealBench, session: Session | None = None, **service: Any) -> None:
        self.session = bench.session() if session is None else session
        self.told = Told()
        self.service: Service = make_service(**service)
        self.child: Child = bench.launcher.launch(self.session, self.service, self.told)

    async def until(self, kind: type[Any]) -> Any:
        """Wait for an event of a kind."""
        await until(lambda: self.told.has(kind))
        return self.told.last(kind)

    async def end(self, step: StopStep = StopStep.KILL) -> None:
        """Halt it, wait until it is gone, and tidy up."""
        self.child.halt(step)
        await self.until(Gone)
        assert marked(self.session.nonce) == []
        self.child.tidy()

    @property
    def pid(self) -> int:
        """The main process."""
        return int(self.told.last(Started).program.pid)


@within(LIMIT_S)
async def test_child_holds_three_descriptors(real: RealBench) -> None:
    """A child has 0, 1 and 2 and nothing of the daemon's, even what the daemon left inheritable."""
    leak, other = os.pipe()
    os.set_inheritable(leak, True)
    try:
        session = evolve(real.session(), options={"size": "a b;$(c)"})
        run = Run(real, session, command=program("holdings", "${index}", "${options.size}"), ready=STARTED)
        await run.until(Gone)
        found = json.loads(run.child.tail(1)[0])
    finally:
        os.close(leak)
        os.close(other)
    run.child.tidy()
    assert found["descriptors"] == [0, 1, 2]
    assert found["input"] == "/dev/null"
    assert found["arguments"] == ["0", "a b;$(c)"]
    assert found["session"]


@within(LIMIT_S)
async def test_environment_is_an_allow_list(real: RealBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the service names, and the marks, reach a child."""
    for name in ("LD_LIBRARY_PATH", "PYTHONPATH", "HOME", "AWS_SECRET"):
        monkeypatch.setenv(name, "/nowhere")
    session = evolve(real.session(), options={"size": "1"})
    service = make_service(
        command=program("holdings"), ready=STARTED, env={"PORT": "at ${port}"}, pass_env=("PATH", "HOME")
    )
    told = Told()
    child = real.launcher.launch(session, service, told)
    await until(lambda: told.has(Gone))
    folder = str(real.runtime / session.id)
    found = json.loads(child.tail(1)[0])["environment"]
    found.pop("LC_CTYPE", None)  # Python sets it for itself
    assert found == {
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
        "PORT": f"at {session.leases[0].number}",
        "PYTHONUNBUFFERED": "1",
        "SESSIOND_SESSION": session.id,
        "SESSIOND_NONCE": session.nonce,
        "SESSIOND_SECRET": session.child_secret,
        "SESSIOND_INSTANCE": INSTANCE,
        "XDG_RUNTIME_DIR": folder,
    }
    child.tidy()


@within(LIMIT_S)
async def test_programs_in_front(real: RealBench, tmp_path: Path) -> None:
    """Limits and folder are set, and the child is still the process that was started."""
    run = Run(
        real,
        command=program("holdings"),
        ready=STARTED,
        directory=str(tmp_path),
        rlimits=Rlimits((("nofile", 99),)),
    )
    await run.until(Gone)
    found = json.loads(run.child.tail(1)[0])
    assert (found["folder"], found["limit"], found["session"]) == (str(tmp_path), [99, 99], True)
    run.child.tidy()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run programs as another user")
@within(LIMIT_S)
async def test_other_user(real: RealBench) -> None:
    """A child runs as the user and group it is configured for, without the daemon's groups."""
    run = Run(real, command=("/bin/sh", "-c", "id -u; id -g; id -G"), ready=STARTED, user="nobody")
    await run.until(Gone)
    assert not run.told.has(Failed)
    assert len(set(run.child.tail(3)) - {"0"}) >= 1
    assert "0" not in " ".join(run.child.tail(3)).split()
    run.child.tidy()


@within(LIMIT_S)
async def test_folder_and_output_are_private(real: RealBench) -> None:
    """Each session has a folder of its own that nobody else can read, and tidying deletes it."""
    run = Run(real, command=program("wait", "hello"), ready=Readiness(ReadyWhen.LINE, "hello"))
    await run.until(Ready)
    folder = real.runtime / run.session.id
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "output").stat().st_mode & 0o777 == 0o600
    assert run.child.tail(9) == ["hello"]
    await run.end()
    assert list(real.runtime.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "link"])
@within(LIMIT_S)
async def test_folder_of_somebody_else(real: RealBench, tmp_path: Path, kind: str) -> None:
    """What stands in a session's place already is neither used nor deleted."""
    session = real.session()
    place = real.runtime / session.id
    target = tmp_path / "elsewhere"
    target.mkdir()
    if kind == "link":
        place.symlink_to(target)
    else:
        place.mkdir()
    run = Run(real, session, command=program("wait"))
    assert run.told.kinds == ["Failed", "Gone"]
    run.child.tidy()
    assert place.exists()
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"command": ("no-such-program", "x")}, "command not found: no-such-program"),
        ({"command": ("./no-such-program",)}, "command not found: ./no-such-program"),
        ({"command": ("/etc/passwd",)}, "command not executable: /etc/passwd"),
        ({"command": ()}, "the service has no command"),
        ({"command": ("true", "${nothing}")}, "nothing to put in for ${nothing}"),
        ({"command": ("true",), "directory": "/no/such/folder"}, "the service's directory does not exist"),
        ({"command": ("true",), "user": "no-such-user"}, "the service's user or group does not exist"),
    ],
)
@within(LIMIT_S)
async def test_refused_at_once(real: RealBench, changes: dict[str, Any], cause: str) -> None:
    """What can't be run is refused with a cause that says why, before anything is started."""
    run = Run(real, **changes)
    assert run.told.events == [Failed(cause), Gone()]
    run.child.halt(StopStep.KILL)
    run.child.tidy()
    assert list(real.runtime.iterdir()) == []


@within(LIMIT_S)
async def test_not_runnable_after_all(real: RealBench, tmp_path: Path) -> None:
    """What only the kernel refuses is a failed start with a cause, not a strange exit status."""
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    run = Run(real, command=(str(broken),))
    await run.until(Gone)
    assert run.told.kinds == ["Started", "Failed", "Gone"]
    assert str(broken) in run.told.last(Failed).cause
    run.child.tidy()


@within(LIMIT_S)
async def test_path_too_long(real: RealBench) -> None:
    """A socket whose path the kernel could not take is refused before the start."""
    run = Run(real, evolve(real.session(), id="x" * 100), command=program("wait"), endpoint="socket")
    assert "107" in run.told.last(Failed).cause


@pytest.mark.parametrize("kind", ["tcp", "any"])
@within(LIMIT_S)
async def test_listens_on_tcp(real: RealBench, kind: str) -> None:
    """A child is ready when its port listens, be it on the loopback address or on ``::``."""
    run = Run(real, command=program("serve", kind, "${port}"))
    ready = await run.until(Ready)
    assert ready.endpoint == Tcp("127.0.0.1", run.session.leases[0].number)
    socket.create_connection(("127.0.0.1", ready.endpoint.port)).close()
    await run.end()


@within(LIMIT_S)
async def test_listens_on_unix(real: RealBench) -> None:
    """A child is ready when its socket listens, not when it is only bound."""
    run = Run(real, command=program("serve", "unix", "${socket}"), endpoint="socket")
    ready = await run.until(Ready)
    assert ready.endpoint == Unix(str(real.runtime / run.session.id / "endpoint.sock"))
    await run.end()


@within(LIMIT_S)
async def test_child_of_child_listens(real: RealBench) -> None:
    """Whichever process of the tree listens makes the session ready."""
    script = '"$@" & wait'
    run = Run(real, command=("/bin/sh", "-c", script, "sh", *program("serve", "tcp", "${port}")))
    await run.until(Ready)
    await run.end(StopStep.TERM)
    assert run.told.last(Exited).exit == Exit(signal=15)


@within(LIMIT_S)
async def test_stranger_on_port(real: RealBench) -> None:
    """A port that somebody else has is told, and never called ready."""
    run_session = real.session()
    port = run_session.leases[0].number
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        run = Run(real, run_session, command=program("wait"))
        assert (await run.until(PortTaken)).port == port
        await real.settle()
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has connected
            stranger.accept()
    await run.end()
    assert run.told.kinds == ["Started", "PortTaken", "Exited", "Gone"]


@within(LIMIT_S)
async def test_line(real: RealBench) -> None:
    """A child is ready with its ready line, and not before."""
    run = Run(
        real,
        command=("/bin/sh", "-c", "echo not yet; read x < $0; echo now READY at last; sleep 600", "${socket}"),
        ready=Readiness(ReadyWhen.LINE, "READY at"),
    )
    os.mkfifo(real.runtime / run.session.id / "endpoint.sock")
    await until(lambda: run.child.tail(1) == ["not yet"])
    await real.settle()
    assert run.told.kinds == ["Started"]
    (real.runtime / run.session.id / "endpoint.sock").write_text("go\n")
    await run.until(Ready)
    await run.end()


@pytest.mark.parametrize("endpoint", ["port", "socket"])
@within(LIMIT_S)
async def test_http(real: RealBench, endpoint: str) -> None:
    """A child is ready when its page answers with less than 500."""
    where = ("tcp", "${port}") if endpoint == "port" else ("unix", "${socket}")
    run = Run(real, command=program("page", *where), endpoint=endpoint, ready=Readiness(ReadyWhen.HTTP, "/up?x=1"))
    await run.until(Ready)
    assert run.child.tail(9) == ["GET /up?x=1 HTTP/1.1"] * 3
    await run.end()


@within(LIMIT_S)
async def test_report_is_not_ours(real: RealBench) -> None:
    """Where the child reports by itself nothing is told; the endpoint is known from the start."""
    run = Run(real, command=program("serve", "tcp", "${port}"), ready=Readiness(ReadyWhen.REPORT))
    await until(lambda: run.child.tail(1) != [])
    await real.settle()
    assert run.told.kinds == ["Started"]
    assert run.child.endpoint == Tcp("127.0.0.1", run.session.leases[0].number)
    await run.end()


@within(LIMIT_S)
async def test_stdio(real: RealBench) -> None:
    """With a stdio endpoint both pipes carry bytes, errors go to the output file, and ``ask`` closes the input."""
    run = Run(real, command=("/bin/sh", "-c", "echo oops >&2; cat; echo end"), endpoint="stdio")
    await run.until(Ready)
    assert run.child.endpoint == Stdio()
    assert isinstance(run.child, ProcessChild)
    streams = run.child.streams
    assert streams is not None
    taker = Taker(streams)
    streams.take(taker, Producer())
    streams.write(b"there and back\n")
    await until(lambda: b"".join(taker.got) == b"there and back\n")
    run.child.halt(StopStep.ASK)
    await run.until(Gone)
    await until(lambda: taker.ends == 1)
    assert b"".join(taker.got) == b"there and back\nend\n"
    assert run.told.last(Exited).exit == Exit(code=0)
    assert run.child.tail(5) == ["oops"]
    run.child.tidy()


@within(LIMIT_S)
async def test_gone_waits_for_descendants(real: RealBench) -> None:
    """A main process that ends is told at once; the tree is gone only when its last descendant is."""
    run = Run(real, command=program("fork_away", "leave"), ready=STARTED)
    await run.until(Exited)
    await until(lambda: len(marked(run.session.nonce)) == 3)
    await real.settle()
    assert not run.told.has(Gone)
    run.child.halt(StopStep.TERM)
    await real.settle()
    assert len(marked(run.session.nonce)) == 3  # they ignore it
    await run.end()
    assert run.told.kinds == ["Started", "Ready", "Exited", "Gone"]


@pytest.mark.parametrize("how", ["stay", "leave", "hop"])
@within(LIMIT_S)
async def test_forks_away(real: RealBench, how: str) -> None:
    """What forks twice into sessions of its own and ignores TERM is ended, with no zombie left."""
    run = Run(real, command=program("fork_away", how), ready=Readiness(ReadyWhen.LINE, "forked away"))
    await until(lambda: run.told.has(Ready) or run.told.has(Exited))
    await run.end()
    await real.settle()
    assert not real.children()


@within(LIMIT_S)
async def test_orphan_without_marks(real: RealBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What left its family, its process session and its environment does not outlive its session either."""
    # Other parts of the daemon, of which such an orphan might be, have no children here.
    monkeypatch.setattr(process, "reapProcessHandlers", {SWEEP_KEY: real.reaper})
    run = Run(real, command=program("fork_away", "clean"), ready=STARTED)
    await run.until(Exited)
    await run.end()
    await until(lambda: not real.children())


@within(LIMIT_S)
async def test_fork_bomb(real: RealBench) -> None:
    """A tree that forks all the time is ended, and the reactor is not held up by it."""
    run = Run(real, command=program("bomb"), ready=STARTED)
    await until(lambda: len(marked(run.session.nonce)) > 100)
    begun = time.monotonic()
    await run.end()
    assert time.monotonic() - begun < 10
    await until(lambda: not real.children())


@within(LIMIT_S)
async def test_two_trees_are_two(real: RealBench) -> None:
    """Ending one session touches no process of another, orphans included."""
    first = Run(real, command=program("fork_away", "leave"), ready=STARTED)
    second = Run(real, command=program("fork_away", "leave"), ready=STARTED)
    await first.until(Exited)
    await second.until(Exited)
    await until(lambda: len(marked(second.session.nonce)) == 3)
    await first.end()
    assert len(marked(second.session.nonce)) == 3
    assert not second.told.has(Gone)
    await second.end()


@within(LIMIT_S)
async def test_stopped_child_hears_term(real: RealBench) -> None:
    """A stopped process is woken to hear of TERM."""
    run = Run(real, command=program("wait", "up"), ready=Readiness(ReadyWhen.LINE, "up"))
    await run.until(Ready)
    os.kill(run.pid, signal.SIGSTOP)
    await run.end(StopStep.TERM)


@within(LIMIT_S)
async def test_halt_right_behind_launch(real: RealBench) -> None:
    """A child is ended even before it has a process session of its own, and nobody else is hit."""
    for step in (StopStep.TERM, StopStep.KILL):
        run = Run(real, command=program("wait"))
        await run.end(step)
        assert run.told.kinds == ["Started", "Exited", "Gone"]


@within(LIMIT_S)
async def test_flood_is_curbed(real: RealBench) -> None:
    """A child that writes without end fills no disk, and its last lines can be read."""
    cap_bytes, flood_bytes = 256 * 1024, 500_000_000
    run = Run(real, command=program("flood"), ready=STARTED, output_bytes=cap_bytes)
    folder = real.runtime / run.session.id
    largest = 0
    while written_by(run.pid) < flood_bytes:
        await real.turn()
        largest = max(largest, sum(file.stat().st_size for file in folder.iterdir()))
    assert "a line of a flood, as long as lines usually are in an output" in run.child.tail(5)
    run.child.halt(StopStep.KILL)
    await run.until(Gone)
    assert largest < flood_bytes / 2  # its cap, and what it writes between two looks
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 2 * cap_bytes
    assert len(run.told.last(Gone).tail) == 20
    run.child.tidy()


@within(LIMIT_S)
async def test_launches_beside_many_descriptors(real: RealBench) -> None:
    """Neither watches nor descriptors are left behind by sessions that ended."""
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(5):
        run = Run(real, command=program("serve", "tcp", "${port}"))
        await run.until(Ready)
        await run.end()
    assert sorted(os.listdir("/proc/self/fd")) == before


def written_by(pid: int) -> int:
    """Say how many bytes a process has written."""
    line = Path(f"/proc/{pid}/io").read_text().splitlines()[1]
    return int(line.removeprefix("wchar: "))
