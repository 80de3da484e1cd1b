"""Parties in jars: one dropped into the folder is a party, by the Java host and a core of our own (Jackson is real)."""

import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.components import JACKSON, needs
from tests.daemon import ROOT
from tests.dialects.genius2.referee import Referee, get
from tests.e2e.places import Place
from tests.e2e.test_genius2 import Server
from tests.reactor import within

SOURCES = ROOT / "tests" / "dialects" / "genius2" / "java"
HOST = ROOT / "contrib" / "genius2-host" / "Genius2Host.java"
LAUNCHER = """
[dialects.genius2.contexts.main.launchers.jar]
command = ["java", "-cp", "{file}:{folder}/host/*", "-Xshare:auto", "-Xmx64m", "Genius2Host", "{main_class}"]
"""
COMPILE_S = 120.0

pytestmark = pytest.mark.usefixtures("site_ends")


@pytest.fixture(scope="module")
def jars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile everything: the host by itself, our core, and a party against that."""
    needs("javac", JACKSON)
    folder = tmp_path_factory.mktemp("jars")
    (folder / "host").mkdir()
    jackson = [path for path in Path(JACKSON).parent.glob("jackson-*.jar") if not path.is_symlink()]
    for jar in jackson:
        (folder / "host" / jar.name).symlink_to(jar)
    compile_jar(folder / "host" / "host.jar", [HOST], [])
    compile_jar(folder / "host" / "core.jar", sorted((SOURCES / "core").rglob("*.java")), jackson)
    known = [*jackson, folder / "host" / "core.jar"]
    compile_jar(folder / "patient-1.0.jar", sorted((SOURCES / "party").rglob("*.java")), known, "org.example.Patient")
    return folder


def compile_jar(jar: Path, sources: list[Path], known: list[Path], main_class: str = "") -> None:
    """Compile into a jar; a party's manifest names the party's class."""
    classes = jar.with_suffix(".classes")
    given = ["-cp", ":".join(map(str, known))] if known else []
    argv = ["javac", "-Xlint:all,-processing", *given, "-d", str(classes), *map(str, sources)]
    subprocess.run(argv, check=True, timeout=COMPILE_S, stdin=subprocess.DEVNULL)
    with zipfile.ZipFile(jar, "w") as packed:
        named = f"Main-Class: {main_class}\r\n" if main_class else ""
        packed.writestr("META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\r\n{named}")
        for path in sorted(classes.rglob("*.class")):
            packed.write(path, str(path.relative_to(classes)))


async def with_jars(place: Place, jars: Path) -> Server:
    """Start a server, and drop the jar into its folder."""
    server = await Server.start(place, slots=2, more=LAUNCHER, parties=())
    (server.folder / "host").symlink_to(jars / "host")
    (server.folder / "patient-1.0.jar").write_bytes((jars / "patient-1.0.jar").read_bytes())
    [party] = await server.until(bool)
    assert party == {
        "uri": f"{server.base}/run/patient-1.0",
        "capabilities": {"behaviours": ["SAOP"], "profiles": ["geniusweb.profile.utilityspace.LinearAdditive"]},
        "description": "Offers so often, then takes what it is offered. \u00fc",
    }
    return server


@within(120)
async def test_plays_a_whole_negotiation(place: Place, jars: Path) -> None:
    """Two parties of a jar make a hundred actions and more, in the Java dialect, and agree; both slots are free."""
    server = await with_jars(place, jars)
    referee = Referee([f"{server.base}/run/patient-1.0"] * 2, java=True, parameters={"min_offers": 55})
    referee.duration_ms = 60_000
    closes = await referee.play()
    assert [code for code, _ in closes] == [1000, 1000]
    assert referee.actions >= 100
    await server.free(2)
    assert "crashed" not in server.daemon.text


@within(120)
async def test_a_party_that_throws(place: Place, jars: Path) -> None:
    """Its client is told the root of it, and the log has all."""
    server = await with_jars(place, jars)
    socket = await server.run("patient-1.0")
    socket.say(Referee([], java=True, duration_ms=60_000).settings(0, crash_after=1))
    socket.say({"YourTurn": {}})
    assert json.loads(await socket.next())["offer"]["bid"] == {"issuevalues": {"price": "0"}}
    socket.say({"YourTurn": {}})
    assert await socket.closed == (1011, "party failed: Caused by: java.lang.RuntimeException: it was bored")
    await server.daemon.line("java.lang.IllegalStateException: the party has had enough")
    await server.daemon.line("heard YourTurn")
    await server.free(2)


@within(120)
async def test_a_jar_without_a_party(place: Place, jars: Path) -> None:
    """A jar whose class is none is not in the list, and whoever asks hears why."""
    server = await with_jars(place, jars)
    with zipfile.ZipFile(server.folder / "wrong.jar", "w") as packed:
        packed.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\nMain-Class: org.example.Nobody\r\n")
    await server.daemon.line("wrong.jar is no party")
    status, text, _ = await get(f"{server.base}/run/wrong")
    assert status == 500
    assert text.startswith("cannot start wrong: ")
    assert "java.lang.ClassNotFoundException: org.example.Nobody" in text
