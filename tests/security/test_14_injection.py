"""No input adds an argument, a variable or a path outside the slots that the service declares for it.

Whatever a caller sends over REST meets a process launcher that starts nothing: what it would have run is compared with
the service's template, slot by slot.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from urllib.parse import quote

from attrs import define, field, frozen
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from sessiond.clock import SteadyClock
from sessiond.core.services import Choice, File, Integer, Pattern, Plan, Service
from sessiond.launchers.command import Tools
from sessiond.launchers.process import ProcessLauncher
from sessiond.launchers.reaping import Reaper
from sessiond.web.access import Access
from sessiond.web.api import api_tree
from tests.broker.world import World, service
from tests.daemon import ROOT
from tests.e2e.places import Place
from tests.e2e.running import running
from tests.fakes.launchers import FakeLauncher
from tests.web.http import ANYONE, Connection, site_at

SECRET = {"LD_PRELOAD": "/evil.so", "PYTHONPATH": "/evil", "AWS_SECRET": "s3cret"}
OWN = {"PATH": os.environ["PATH"], **SECRET}
"""The daemon's own environment."""

NAMES = Pattern("(?s:.*)", "nobody", 300)
"""The most that a service can allow."""

SIZES = Choice(("small", "large"), "small")
ID = r"demo-\d{6}"


@frozen
class Spawned:
    """What would have been run."""

    executable: str
    argv: list[str]
    env: dict[str, str]
    more: dict[str, Any]


@define
class Recorder:
    """A reactor that starts nothing."""

    spawned: list[Spawned] = field(factory=list)

    def spawnProcess(self, protocol: object, executable: str, argv: list[str], env: Any, **more: Any) -> None:
        """Take note."""
        self.spawned.append(Spawned(executable, argv, env, more))

    def addReader(self, reader: object) -> None:
        """Watch nothing."""

    removeReader = addReader


def demo(folder: Path) -> Service:
    """Give a service with a slot of each kind, in its command, its environment and its directory."""
    return service(
        "demo",
        Plan(),
        endpoint="socket",
        command=(
            *("true", "--size=${options.size}", "${options.depth}", "${options.name}", "a ${options.name} b"),
            *("--", "${options.model}", "${socket}", "$${literal}", "${index}:${id}"),
        ),
        env={"NAME": "${options.name}", "MODEL": "at ${options.model}"},
        directory=str(folder / "work" / "${options.where}"),
        pass_env=("PATH",),
        options={
            "size": SIZES,
            "depth": Integer(-9, 9, 1),
            "name": NAMES,
            "where": NAMES,
            "model": File(str(folder / "models"), "cube.stl", (".stl",)),
        },
    )


class Recorded(World):
    """A daemon whose programs are written down instead of being started."""

    def __init__(self, folder: Path) -> None:
        for below in ("run", "work/nobody", "work/a b", "models/cars", "secrets"):
            (folder / below).mkdir(parents=True)
        for name in ("models/cube.stl", "models/cars/van.stl", "models/notes.txt", "secrets/key.stl"):
            (folder / name).write_text("")
        (folder / "models" / "out.stl").symlink_to(folder / "secrets" / "key.stl")
        self.folder, self.recorder, self.programs = folder, Recorder(), list[ProcessLauncher]()
        super().__init__((demo(folder),), {"demo": 1000})

    def start(self) -> None:
        """Start with a real launcher."""
        steady, reactor = SteadyClock(self.clock), self.recorder
        run = self.folder / "run"
        reaper = Reaper(cast("Any", reactor))
        self.programs.append(
            ProcessLauncher(reactor, steady, run, reaper, instance="i", nonce=lambda: "n", environ=OWN)
        )
        fake, self.launcher = self.launcher, cast("FakeLauncher", self.programs[-1])
        super().start()
        self.launcher = fake

    def close(self) -> None:
        """Let go of what the launcher watches."""
        for launcher in self.programs:
            launcher.close()


@contextmanager
def recorded() -> Iterator[Recorded]:
    """Have a daemon in a folder of its own."""
    with TemporaryDirectory(prefix="sd-") as name:
        world = Recorded(Path(name).resolve())
        try:
            yield world
        finally:
            world.close()


def send(world: Recorded, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Connection:
    """Send a request to its API, and let what comes of it happen."""
    site = site_at("/api/v1", api_tree(world.broker, Access(()), ANYONE), world.clock)
    connection = Connection(site)
    connection.send(method, path, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    world.advance(0.0)
    return connection


TEXTS = st.text(max_size=20) | st.sampled_from(
    [
        *("", "-x", "--help", "a b", "a\nb", "a\rb", "a\0b", "a;b", "$(id)", "`id`", "|id", "'", '"', "\\", "*", "~"),
        *("${id}", "${options.model}", "$${port}", "${", "%s", "{0}", "NAME=x", "LD_PRELOAD=/x", "..", "../a b", "/"),
        *("../../etc", "/etc/passwd", "cars/van.stl", "cars/../cube.stl", "../secrets/key.stl", "out.stl", "notes.txt"),
        *(".stl", "cube.stl/", "nobody", "a b", "\u202e", "\u2028", "é", "😀", "x" * 301, "--size=large", "small"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
GOOD = st.fixed_dictionaries(
    {},
    optional={
        "size": st.sampled_from(["small", "large"]),
        "depth": st.integers(-9, 9),
        "name": st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), max_size=20),
        "where": st.sampled_from(["nobody", "a b", "./nobody//"]),
        "model": st.sampled_from(["cube.stl", "cars/van.stl"]),
    },
)
ODD = st.builds(
    lambda good, name, value: {**good, name: value},
    GOOD,
    st.sampled_from(["size", "depth", *["name"] * 6, "where", "model", "port"]),
    TEXTS,
)
"""All but one of the options could be granted, and ``name`` takes almost any text."""

ORDERS = st.fixed_dictionaries({"service": st.just("demo"), "options": ODD}, optional={"owner": st.just("${id}")})
BODIES = JSON | st.fixed_dictionaries(
    {"service": st.just("demo") | JSON, "options": st.dictionaries(TEXTS, JSON, max_size=3) | JSON},
    optional={"owner": JSON, "wait": JSON, "command": JSON, "env": JSON, "directory": JSON, "id": JSON},
)
HEADERS = st.dictionaries(
    st.sampled_from(["Idempotency-Key", "X-Session", "SESSIOND_NONCE", "Cookie", "Referer", "X-Forwarded-For", "Path"]),
    st.text(st.characters(max_codepoint=255, exclude_characters="\0\r\n"), min_size=1, max_size=20)
    | st.sampled_from(["${options.name}", "../../x", "-x", "LD_PRELOAD=/x"]),
    max_size=2,
)


def chosen(body: Any, name: str, default: Any) -> Any:
    """Give what a request that was granted said for an option."""
    return body.get("options", {}).get(name, default)


def hold(spawned: Spawned, body: Any, folder: Path) -> None:
    """Compare what would be run with the template, slot by slot."""
    size, depth, name = chosen(body, "size", "small"), chosen(body, "depth", 1), chosen(body, "name", "nobody")
    where = chosen(body, "where", "nobody")
    model = str(folder / "models" / chosen(body, "model", "cube.stl"))
    tools, argv = Tools.found_on(OWN["PATH"]), spawned.argv
    session = argv[-1].partition(":")[2]
    assert re.fullmatch(ID, session)
    own = folder / "run" / session
    assert argv == [
        *(tools.setsid, tools.env, "-C", f"{folder}/work/{where}"),
        *("true", f"--size={size}", str(depth), name, f"a {name} b", "--", model, str(own / "endpoint.sock")),
        *("${literal}", f"{argv[-1].partition(':')[0]}:{session}"),
    ]
    assert re.fullmatch(r"\d{1,3}", argv[-1].partition(":")[0])
    assert size in SIZES.of
    assert depth in range(-9, 10)
    assert name.isprintable()
    assert not name.startswith("-")
    assert Path(f"{folder}/work/{where}").resolve() in [folder / "work" / below for below in ("", "nobody", "a b")]
    assert model in (str(folder / "models" / "cube.stl"), str(folder / "models" / "cars" / "van.stl"))
    secrets = {key: spawned.env.pop(key) for key in ("SESSIOND_NONCE", "SESSIOND_SECRET")}
    assert re.fullmatch(r"nonce-\d+ token-\d+", " ".join(secrets.values()))
    assert spawned.env == {
        "PATH": OWN["PATH"],
        "NAME": name,
        "MODEL": f"at {model}",
        "PYTHONUNBUFFERED": "1",
        "SESSIOND_SESSION": session,
        "SESSIOND_INSTANCE": "i",
        "XDG_RUNTIME_DIR": str(own),
    }
    assert spawned.executable == argv[0]
    assert set(spawned.more) == {"childFDs"}  # neither path nor uid nor gid
    assert set(spawned.more["childFDs"]) == {0, 1, 2}


def tree(folder: Path) -> set[str]:
    """Name all that is below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def launches(body: Any, headers: Mapping[str, str]) -> list[Spawned]:
    """Order a session, hold what comes of it, and give what would be run."""
    with recorded() as world:
        before = tree(world.folder)
        send(world, "POST", "/api/v1/sessions", body, headers)
        spawned = world.recorder.spawned
        assert len(spawned) <= 1
        for launch in spawned:
            hold(launch, body, world.folder)
        for added in tree(world.folder) - before:
            assert re.fullmatch(rf"run/{ID}(/output)?", added)
        return spawned


PLAIN: dict[str, Any] = {
    "service": "demo",
    "options": {"name": "a;b", "where": "a b", "model": "cars/van.stl", "depth": -9},
}


@settings(max_examples=300)
@example(body={"service": "demo", "options": {"model": "out.stl"}}, headers={}).via("a link out")
@example(body={"service": "demo", "options": {"where": "nobody/../.."}}, headers={}).via("a folder above")
@given(body=ORDERS, headers=st.just({}) | HEADERS)
def test_no_option_adds_anything(body: Any, headers: dict[str, str]) -> None:
    """What is launched for a good order with one odd option is the template with values in its slots."""
    event(f"launched: {len(launches(body, headers))}")


@given(body=BODIES, headers=HEADERS)
def test_no_json_adds_anything(body: Any, headers: dict[str, str]) -> None:
    """What is launched for any JSON, if anything is, is the template too."""
    launches(body, headers)


def test_plain_order() -> None:
    """An order without any fault is launched: what the tests above hold is not held of nothing."""
    assert len(launches(PLAIN, {"Idempotency-Key": "../../x"})) == 1


@given(
    session_id=TEXTS | st.text(max_size=30),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    what=st.sampled_from(["", "/log", "/extend", "/liveliness?liveliness=ready", "/liveliness?liveliness=disconnect"]),
)
def test_no_id_names_anything(session_id: str, method: str, what: str) -> None:
    """An id that a caller makes up launches nothing, touches no file, and is not that of another session."""
    with recorded() as world:
        send(world, "POST", "/api/v1/sessions", PLAIN, {})
        [launched] = world.recorder.spawned
        before = tree(world.folder)
        path = f"/api/v1/sessions/{quote(session_id, safe='')}{what}"
        answer = send(world, method, path, {}, {"Authorization": "Bearer x"}).received()
        assert answer.status in (401, 404, 405) or not session_id
        assert tree(world.folder) == before
        assert world.recorder.spawned == [launched]
        [session] = world.broker.sessions()
        assert session.state.value == "launching"


def test_real_child(place: Place) -> None:
    """A real program prints its arguments and its environment: the service's own, with hostile text in its slot."""
    hostile = "$(id) `id`; ${id} ${options.model} %s \\ ' \" * é"
    models = place.folder / "models"
    (models / "cars").mkdir(parents=True)
    (models / "cars" / "van.stl").write_text("")
    holdings = Path(__file__).parents[1] / "launchers" / "programs" / "holdings.py"
    config = place.configure(f"""
[services.demo]
kind = "rfb"
launcher = "process"
command = ["${{python}}", "-S", "{holdings}", "${{socket}}", "${{options.text}}", "--model=${{options.model}}"]
count = 1
ready = "started"
env = {{ TEXT = "${{options.text}}" }}
options.text = {{ type = "pattern", pattern = ".*", default = "x" }}
options.model = {{ type = "file", root = "models", suffixes = [".stl"], default = "x.stl" }}
""")
    environment = {**SECRET, "PYTHONPATH": str(ROOT)}
    with running(config, **cast("Any", environment)) as daemon:
        daemon.ready()
        made = daemon.order("demo", "none", options={"text": hostile, "model": "cars/van.stl"}, owner="")
        session_id = made.json["id"]
        daemon.ended(session_id)
        [line] = daemon.call("GET", f"/api/v1/sessions/{session_id}/log").json["lines"]
        missing = daemon.order("demo", options={"model": "none.stl"})
        assert (missing.status, missing.json["code"]) == (502, "launch-failed")
        assert missing.json["cause"] == "model: there is no such file"
        assert str(place.folder) not in json.dumps(missing.json)
    found = json.loads(line)
    own = place.run / "0" / session_id
    assert found["arguments"] == [str(own / "endpoint.sock"), hostile, f"--model={models / 'cars' / 'van.stl'}"]
    environment = found["environment"]
    assert {environment.pop(name) for name in ("SESSIOND_NONCE", "SESSIOND_SECRET")} != {""}
    environment.pop("LC_CTYPE", None)  # Python sets it for itself
    passed = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    assert environment == {
        **passed,
        "TEXT": hostile,
        "PYTHONUNBUFFERED": "1",
        "SESSIOND_SESSION": session_id,
        "SESSIOND_INSTANCE": environment["SESSIOND_INSTANCE"],
        "XDG_RUNTIME_DIR": str(own),
    }
    assert environment["SESSIOND_INSTANCE"].startswith(str(place.folder))
    assert found["descriptors"] == [0, 1, 2]
