"""A launcher's file as services: what stands in their commands, what clients may say, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from sessiond.config import LinkLauncher
from sessiond.config.launcher import LauncherFile, Terms, read_launcher
from sessiond.core.errors import Refused
from sessiond.core.options import check_options
from sessiond.core.services import Readiness, ReadyWhen, Service
from sessiond.core.values import LeaseKind, Watch
from sessiond.dialects.wslink.orders import app_of, options_of
from sessiond.launchers.command import arguments_of
from sessiond.launchers.placeholders import values_of

SERVER: dict[str, str | int] = {"id": "0" * 32, "port": 9001, "secret": "s3cret", "python": "/usr/bin/python3"}


def written(folder: Path, cmd: list[str], **changes: Any) -> Path:
    """Write a file with one application."""
    configuration = {
        "host": "localhost",
        "port": 8080,
        "endpoint": "/paraview/",
        "proxy_file": "proxy.txt",
        "sessionURL": "ws://${host}:${port}/ws",
        "timeout": 25,
        "log_dir": "logs",
        "fields": ["host", "port", "file"],
        **changes.pop("configuration", {}),
    }
    file = {
        "configuration": configuration,
        "resources": [{"host": "localhost", "port_range": [9001, 9003]}],
        "properties": {"data": "/data/$HOME", "port": "never"},
        "apps": {"app": {"cmd": cmd, "ready_line": "App running at"}},
        **changes,
    }
    path = folder / "launcher.json"
    path.write_text(json.dumps(file))
    return path


def read(folder: Path, cmd: list[str], **changes: Any) -> LauncherFile:
    """Read a file that is in order."""
    faults: list[str] = []
    found = read_launcher(written(folder, cmd, **changes), Terms("paraview"), faults)
    assert faults == []
    assert found is not None
    return found


def faults_of(folder: Path, cmd: list[str], **changes: Any) -> str:
    """Give the faults of a file that is not."""
    faults: list[str] = []
    read_launcher(written(folder, cmd, **changes), Terms("paraview"), faults)
    return "\n".join(faults)


def run(launcher: LinkLauncher, service: Service, said: dict[str, Any]) -> list[str]:
    """Give the argument list that a client gets."""
    _, app = app_of(launcher, {"application": "app"})
    options = check_options(service.options, options_of(launcher, app, said))
    return arguments_of(service.command, values_of(SERVER, options))


def test_terms(tmp_path: Path) -> None:
    """An application is a service whose programs end themselves."""
    found = read(tmp_path, ["app", "$port"])
    [service], [pool] = found.services, found.pools
    assert (service.name, service.pool, pool.count) == ("wslink.paraview.app", pool.name, 3)
    assert (service.ports, service.host) == ((9001, 9003), "127.0.0.1")
    assert service.ready == Readiness(ReadyWhen.LINE, "App running at")
    assert service.output_folder == str(tmp_path / "logs")
    plan = service.plan
    assert (plan.watch, plan.clients, plan.leases) == (Watch.CHILD, 64, (LeaseKind.PORT,))
    assert (plan.limits.launch_s, plan.limits.lifetime_s) == (25.0, 30 * 86400.0)
    launcher = found.launcher
    assert launcher.endpoints == ("paraview",)
    assert (launcher.mapping, launcher.content) == (tmp_path / "proxy.txt", None)
    assert (found.host, found.port) == ("localhost", 8080)


def test_order_of_names(tmp_path: Path) -> None:
    """The server's names come first, then the operator's, then the client's; unknown ones stay as they are."""
    cmd = [
        "app",
        "$port",
        "$secret",
        "--url=$sessionURL",
        "$data/${file}",
        "$$5",
        "$title",
        "${nobody}",
        "$application",
    ]
    found = read(tmp_path, cmd, sessionData={"title": "$file on $port", "data": "never"})
    said = {"file": "a.vtk", "port": 1, "secret": "mine", "data": "/etc", "title": "mine", "application": "mine"}
    [service] = found.services
    assert run(found.launcher, service, said) == [
        *("app", "9001", "s3cret", "--url=ws://localhost:9001/ws", "/data/$HOME/a.vtk", "$5"),
        *("a.vtk on 9001", "${nobody}", "app"),
    ]
    assert run(found.launcher, service, {})[4] == "/data/$HOME/$file"
    assert service.shares_secret


@pytest.mark.parametrize(
    ("said", "given"),
    [("cone", "cone"), ("sphere", "sphere"), ("cube", "cone"), ("$port", "cone"), (7, "cone"), ("-x", "cone")],
)
def test_in_list(tmp_path: Path, said: object, given: str) -> None:
    """What is not in the list becomes the default."""
    rule = {"kind": {"type": "inList", "list": ["cone", "sphere"], "default": "cone"}}
    found = read(tmp_path, ["app", "$kind"], configuration={"sanitize": rule})
    assert run(found.launcher, found.services[0], {"kind": said}) == ["app", given]


@pytest.mark.parametrize(("said", "given"), [("abc", "abc"), ("abc!", "abc!"), ("!abc", "none"), ("", "none")])
def test_expression(tmp_path: Path, said: str, given: str) -> None:
    """An expression is matched at the start, as the original does it."""
    rule = {"kind": {"type": "regexp", "regexp": "[a-z]+", "default": "none"}}
    found = read(tmp_path, ["app", "$kind"], configuration={"sanitize": rule})
    assert run(found.launcher, found.services[0], {"kind": said}) == ["app", given]


@pytest.mark.parametrize("said", ["-rf", "a\nb", "a\0b", "x" * 5000, ["a"], {"a": 1}])
def test_refused(tmp_path: Path, said: object) -> None:
    """What could be an option of the program, or end a line, is refused where no rule has a default for it."""
    found = read(tmp_path, ["app", "$kind"])
    with pytest.raises(Refused):
        run(found.launcher, found.services[0], {"kind": said})


def test_strict(tmp_path: Path) -> None:
    """Where the operator wants it so, a field that no rule names is refused."""
    path, faults = written(tmp_path, ["app", "$kind"]), list[str]()
    found = read_launcher(path, Terms("paraview", strict=True), faults)
    assert found is not None
    with pytest.raises(Refused, match="nothing says"):
        run(found.launcher, found.services[0], {"kind": "cone"})
    assert run(found.launcher, found.services[0], {"other": "cone"}) == ["app", "$kind"]


def test_resources(tmp_path: Path) -> None:
    """Each entry has a pool and a service of its own."""
    resources = [{"host": "localhost", "port_range": [1, 2]}, {"host": "127.0.0.1", "port_range": [5, 9]}]
    found = read(tmp_path, ["app", "$host"], resources=resources)
    assert [service.command for service in found.services] == [("app", "localhost"), ("app", "127.0.0.1")]
    assert [pool.count for pool in found.pools] == [2, 5]
    assert found.launcher.apps["app"].services == {
        "wslink.paraview.app.0": "localhost",
        "wslink.paraview.app.1": "127.0.0.1",
    }


def test_program_of_a_folder(tmp_path: Path) -> None:
    """A program that is named by a relative path lies beside the file."""
    found = read(tmp_path, ["./bin/app", "$port"])
    assert found.services[0].program == f"{tmp_path}/bin/app"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"apps": {"app": {"cmd": ["$program", "x"]}}}, "the program itself may hold no name"),
        ({"apps": {"app": {"cmd": []}}}, "a program is needed"),
        ({"apps": {"app": {"cmd": ["a", 5]}}}, "arguments are texts"),
        ({"apps": {}}, "at least one is needed"),
        ({"resources": []}, "at least one is needed"),
        ({"resources": [{"host": "192.0.2.1", "port_range": [1, 2]}]}, "no address of this machine"),
        ({"resources": [{"host": "localhost", "port_range": [2, 1]}]}, "the last port is before the first"),
        ({"configuration": {"timeout": 0}}, "a number of seconds"),
        ({"configuration": {"endpoint": "a b"}}, "a path of letters"),
        ({"configuration": {"sanitize": {"a": {"type": "regexp", "regexp": "(", "default": ""}}}}, "no regular"),
        ({"configuration": {"sanitize": {"a": {"type": "regexp", "regexp": "(a+)+$", "default": ""}}}}, "take long"),
        ({"configuration": {"sanitize": {"a": {"type": "of", "default": ""}}}}, "one of inList, regexp"),
    ],
)
def test_faults(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    """A file that can't be obeyed is refused, by the place of the fault."""
    assert fault in faults_of(tmp_path, ["app"], **changes)


@pytest.mark.parametrize(
    "key", ["endpoint", "host", "port", "proxy_file", "sessionURL", "timeout", "log_dir", "fields"]
)
def test_needed(tmp_path: Path, key: str) -> None:
    """What the original needs is needed."""
    path = written(tmp_path, ["app"])
    file = json.loads(path.read_text())
    del file["configuration"][key]
    path.write_text(json.dumps(file))
    faults: list[str] = []
    read_launcher(path, Terms("paraview"), faults)
    assert faults == [f"launcher.json.configuration.{key}: is needed"]


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{", b"\xff", b" " * (2 << 20)])
def test_no_file(tmp_path: Path, content: bytes | None) -> None:
    """What is no such file is refused by its name."""
    path, faults = tmp_path / "launcher.json", list[str]()
    if content is not None:
        path.write_bytes(content)
    assert read_launcher(path, Terms("paraview"), faults) is None
    assert str(path) in faults[0]
