"""Scripts as real processes: how they start, fail, hang, stop, and what is left of them, which is nothing."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from sessiond.core.events import Exited, Failed, Gone, Ready
from sessiond.core.services import Choice, File, OptionType, Readiness, ReadyWhen, Script, Service
from sessiond.core.session import Session
from sessiond.core.values import Exit, StopStep, Tcp
from sessiond.entropy import SystemEntropy
from sessiond.launchers import script as launcher_of_scripts
from sessiond.launchers.script import ScriptLauncher, endpoint_at, is_host, plain
from sessiond.log import text_of
from sessiond.ports import Child, Described
from tests.contracts.launcher import LauncherContract, Told, make_service, session_named
from tests.launchers.real import RealBench, free_port, marked
from tests.reactor import within

SCRIPTS = Path(__file__).parent / "scripts"
LIMIT_S = 60.0
HOWS = {"prompt": "", "never-ready": "hang", "dying": "vanishing", "stubborn": "stubborn-stop"}


def serving(how: str, **common: Any) -> Service:
    """Make a service of the script that behaves as it is told."""
    return scripted(SCRIPTS / "serving.py", how=how, port=free_port(), **common)


def scripted(path: Path, **common: Any) -> Service:
    """Make a service of any script."""
    script = Script(str(path), common)
    return make_service(launcher="script", script=script, ready=Readiness(ReadyWhen.STARTED))


class ScriptBench(RealBench):
    """A script launcher above a process launcher."""

    def __init__(self, runtime: Path) -> None:
        super().__init__(runtime)
        self.programs: Any = self.launcher
        self.launcher: Any = self._above()

    def _above(self) -> ScriptLauncher:
        return ScriptLauncher(self.programs, self.clock, SystemEntropy().nonce)

    def service(self, behaviour: str) -> Service:
        """Give a service whose script behaves as the contract names it."""
        return make_service(launcher="script") if behaviour == "missing" else serving(HOWS[behaviour])

    def restart(self) -> None:
        """Begin anew with nothing in memory."""
        self.launcher = self.programs
        super().restart()
        self.programs = self.launcher
        self.launcher = self._above()

    def close(self) -> None:
        """Let go of the reactor."""
        self.launcher = self.programs
        super().close()

    def start(self, service: Service, **options: Any) -> tuple[Child, Told, Session]:
        """Launch a session."""
        told, session = Told(), session_named(f"demo-{os.urandom(3).hex()}", slot=2, leases=(), options=options)
        return self.launcher.launch(session, service, told), told, session

    async def over(self, child: Child, told: Told, session: Session) -> list[str]:
        """Wait until all of it is gone, and give the lines that it printed."""
        await self.until(lambda: told.has(Gone))
        assert marked(session.nonce) == []
        lines = child.tail(1000)
        child.tidy()
        return lines


@pytest.fixture
def real(tmp_path: Path, started_reactor: None) -> Any:
    """Give a script launcher, and hold afterwards that no process of it is left."""
    from tests.launchers.conftest import _marked

    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    bench = ScriptBench(folder)
    yield bench
    bench.close()
    assert _marked() == []


@pytest.fixture
def logged() -> Any:
    """Collect the lines of the log."""
    kept = Lines()
    globalLogPublisher.addObserver(kept)
    yield kept.lines
    globalLogPublisher.removeObserver(kept)


@implementer(ILogObserver)
class Lines:
    """What was logged, as text."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        """Take an event."""
        self.lines.append(text_of(event))


class TestScriptLauncher(LauncherContract):
    """The contract, with scripts."""

    @pytest.fixture
    def bench(self, real: ScriptBench) -> ScriptBench:
        """Give real scripts."""
        return real


@within(LIMIT_S)
async def test_asked_to_stop(real: ScriptBench, logged: list[str]) -> None:
    """A script gets its index and the options as texts; asked, it stops, and what it has started ends with it."""
    child, told, session = real.start(serving(""), size="1x1", number=7)
    await real.until(lambda: told.has(Ready))
    child.halt(StopStep.ASK)
    lines = await real.over(child, told, session)
    assert lines[0] == "start 2 [('number', '7'), ('size', '1x1')]"
    assert "stop 2" in lines
    assert told.kinds == ["Started", "Ready", "Exited", "Gone"]
    assert told.last(Exited).exit == Exit(code=0)
    assert any(line.endswith(": stop 2") and session.id in line and "slot 2" in line for line in logged)


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("raising", "start failed: ValueError: no such thing, token=[hidden] (serving.py, line 53)"),
        ("exiting", "start failed: SystemExit: 3 (serving.py, line 57)"),
        ("nonsense", "start failed: returned ('nowhere', True)"),
        ("bad-host", "start failed: returned ('no host/at all', 5900)"),
    ],
)
@within(LIMIT_S)
async def test_start_fails(real: ScriptBench, logged: list[str], how: str, cause: str) -> None:
    """A start that fails is told in few words, lives to be asked, and then stops."""
    child, told, session = real.start(serving(how))
    await real.until(lambda: told.has(Failed))
    assert told.events[1:] == [Failed(cause, lives=True)]
    assert len(cause) <= 120
    assert any(cause in line for line in logged)
    child.halt(StopStep.ASK)
    lines = await real.over(child, told, session)
    assert "stop 2" in lines
    assert told.kinds == ["Started", "Failed", "Exited", "Gone"]
    assert ("Traceback (most recent call last):" in lines) == (how in ("raising", "exiting"))
    assert ("Traceback" in "\n".join(logged)) == (how in ("raising", "exiting"))


@pytest.mark.parametrize(("how", "end"), [("vanishing", Exit(code=1)), ("suicide", Exit(signal=9))])
@within(LIMIT_S)
async def test_process_ends_in_start(real: ScriptBench, how: str, end: Exit) -> None:
    """A script that takes its process with it is told as any program that ends."""
    child, told, session = real.start(serving(how))
    await real.over(child, told, session)
    assert told.kinds == ["Started", "Exited", "Gone"]
    assert told.last(Exited).exit == end


@within(LIMIT_S)
async def test_blocks_in_start(real: ScriptBench) -> None:
    """A start that never returns is ended by TERM, and its ``stop`` is not called beside it."""
    child, told, session = real.start(serving("hang"))
    await real.until(lambda: bool(child.tail(1)))
    child.halt(StopStep.TERM)
    assert "stop 2" not in await real.over(child, told, session)
    assert told.last(Exited).exit == Exit(signal=signal.SIGTERM)


@within(LIMIT_S)
async def test_blocks_in_stop(real: ScriptBench, logged: list[str]) -> None:
    """A stop that hangs is ended by force, and the log says that it did not end."""
    child, told, session = real.start(serving("hang-in-stop"))
    await real.until(lambda: told.has(Ready))
    child.halt(StopStep.ASK)
    await real.until(lambda: "stop 2" in child.tail(5))
    child.halt(StopStep.TERM)
    await real.over(child, told, session)
    assert any("stop() does not come to an end" in line for line in logged)


@within(LIMIT_S)
async def test_raises_in_stop(real: ScriptBench, logged: list[str]) -> None:
    """A stop that raises is logged, and everything ends all the same."""
    child, told, session = real.start(serving("raise-in-stop"))
    await real.until(lambda: told.has(Ready))
    child.halt(StopStep.ASK)
    await real.over(child, told, session)
    assert told.kinds == ["Started", "Ready", "Exited", "Gone"]
    assert told.last(Exited).exit == Exit(code=1)
    assert any("stop failed: OSError: no stop today (serving.py, line 35)" in line for line in logged)


@pytest.mark.parametrize("how", ["forking", "forking-clean"])
@within(LIMIT_S)
async def test_leaves_children_behind(real: ScriptBench, how: str) -> None:
    """What a script leaves in sessions of their own, deaf to TERM and without a mark, is ended too."""
    child, told, session = real.start(serving(how))
    await real.until(lambda: told.has(Ready))
    child.halt(StopStep.ASK)
    await real.over(child, told, session)
    await real.until(lambda: real.children() == set())


@within(LIMIT_S)
async def test_prints_much(real: ScriptBench, logged: list[str]) -> None:
    """Of a flood the log gets a part and says so; the session's output has its end."""
    child, told, session = real.start(serving("printing"))
    await real.until(lambda: told.has(Ready))
    child.halt(StopStep.ASK)
    lines = await real.over(child, told, session)
    assert "a line of many, number 19999" in lines
    assert any("bytes more that are not shown" in line for line in logged)
    assert sum("a line of many" in line for line in logged) < 2000


@within(LIMIT_S)
async def test_pipes_are_out_of_reach(real: ScriptBench) -> None:
    """Neither the script nor what it forks can read or answer in place of its program."""
    child, told, session = real.start(serving("reading"))
    await real.until(lambda: told.has(Ready) or told.has(Failed))
    child.halt(StopStep.ASK)
    lines = await real.over(child, told, session)
    assert "descriptors of a fork beside the three: 0" in lines
    assert told.kinds == ["Started", "Ready", "Exited", "Gone"]


@within(LIMIT_S)
async def test_interpreter_is_missing(real: ScriptBench) -> None:
    """An interpreter that is not there is told as any program that is not."""
    service = make_service(launcher="script", script=Script("x.py", {}, "/nowhere/python"))
    child, told, session = real.start(service)
    await real.over(child, told, session)
    assert told.events == [Failed("command not found: /nowhere/python"), Gone()]


SOUND = "class One(RemoteServiceScript):\n    pass\n"
LOADS = [
    (SOUND, Described("One")),
    (SOUND + "service = One()\n", Described("One")),
    ("from sessiond.nexus import RemoteServiceScript\nfrom beside import Two\nservice = Two()", Described("Two")),
    (
        "def f(:\n",
        Described(cause="load failed: SyntaxError: invalid syntax (checked.py, line 1)"),
    ),
    (
        "x = 1\n",
        Described(cause="load failed: neither an instance nor a subclass of RemoteServiceScript"),
    ),
    (
        SOUND + "a, b = One(), One()\n",
        Described(cause="load failed: several instances of RemoteServiceScript: a, b"),
    ),
    (
        SOUND + "class Two(RemoteServiceScript):\n    pass\n",
        Described(cause="load failed: no instance, and several subclasses of RemoteServiceScript: One, Two"),
    ),
    (
        "import nowhere\n",
        Described(cause="load failed: ModuleNotFoundError: No module named 'nowhere' (checked.py, line 1)"),
    ),
    ("import os\nos._exit(0)\n", Described(cause="the script's process ended while the script was loaded")),
]


@pytest.mark.parametrize(("text", "found"), LOADS)
@within(LIMIT_S)
async def test_looked_at(real: ScriptBench, tmp_path: Path, text: str, found: Described) -> None:
    """A look at a service says what its script holds, or why it can't be loaded, and leaves nothing."""
    beside = "from sessiond.nexus import RemoteServiceScript\nclass Two(RemoteServiceScript): ...\n"
    (tmp_path / "beside.py").write_text(beside)
    path = tmp_path / "checked.py"
    path.write_text(text)
    assert await real.launcher.describe(scripted(path)) == found
    assert list(real.runtime.iterdir()) == []
    await real.until(lambda: real.children() == set())


@within(LIMIT_S)
async def test_look_has_what_sessions_have(real: ScriptBench, tmp_path: Path) -> None:
    """A script that is only looked at finds its variables, and no file of a client's is looked for."""
    path = tmp_path / "needy.py"
    path.write_text("import os\nassert os.environ['A'] == '0 small x.stl'\n" + SOUND)
    options: dict[str, OptionType] = {"size": Choice(("small",), "small"), "model": File("/nowhere", "x.stl")}
    env = {"A": "${index} ${options.size} ${options.model}"}
    assert await real.launcher.describe(evolve(scripted(path), options=options, env=env)) == Described("One")


@within(LIMIT_S)
async def test_files_are_given_by_their_real_path(real: ScriptBench, tmp_path: Path) -> None:
    """A file that a client chose reaches the script as a path that leads nowhere else; one that is not there fails."""
    (tmp_path / "cube.stl").touch()
    service = evolve(serving(""), options={"model": File(str(tmp_path), "cube.stl")})
    child, told, session = real.start(service, model="cube.stl")
    await real.until(lambda: told.has(Ready))
    child.halt(StopStep.ASK)
    assert f"start 2 [('model', '{tmp_path}/cube.stl')]" in await real.over(child, told, session)
    child, told, session = real.start(service, model="none.stl")
    await real.over(child, told, session)
    assert told.events == [Failed("model: there is no such file"), Gone()]


@within(LIMIT_S)
async def test_look_is_bounded(real: ScriptBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that never loads is given up, and is no more."""
    monkeypatch.setattr(launcher_of_scripts, "LOAD_S", 0.5)
    path = tmp_path / "endless.py"
    path.write_text("import time\ntime.sleep(600)\n")
    found = await real.launcher.describe(scripted(path))
    assert found.cause == "load failed: not done within 0 s"
    assert list(real.runtime.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "fits"),
    [
        *((host, True) for host in ("127.0.0.1", "::1", "node8", "node_8.example.org", "a.b.", "x" * 63)),
        *((host, False) for host in ("", "a b", "-a", "a/b", "[::1]", "fe80::1%eth0", "x" * 64, "a..b", "ü", "a\n")),
    ],
)
def test_form_of_a_host(host: str, fits: bool) -> None:
    """Only what has the form of an address or a name is a host."""
    assert is_host(host) is fits
    assert endpoint_at(host, 1) == (Tcp(host, 1) if fits else None)


@pytest.mark.parametrize("port", [0, 65536, -1, True, "80", 80.0, None])
def test_form_of_a_port(port: object) -> None:
    """Only a whole number from 1 to 65535 is a port."""
    assert endpoint_at("node8", port) is None


def test_causes_are_plain() -> None:
    """A cause has one line, a bounded length, and no secret that is told by the word before it."""
    assert plain("a\nb\x1b[0m") == "a b [0m"
    assert len(plain("x y" * 100)) == 120
    assert "abcdefgh" not in plain("failed: password=abcdefgh")
