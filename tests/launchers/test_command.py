"""The argument list and the environment of a child, without starting one."""

from pathlib import Path
from typing import Any

import pytest

from sessiond.core.services import Rlimits, Scalar
from sessiond.launchers.command import CommandError, Marks, Tools, argv_of, directory_of, environment_of, missing
from tests.contracts.launcher import make_service

TOOLS = Tools("/b/setsid", "/b/env", "/b/prlimit", "/b/setpriv")
MARKS = Marks("demo-1", "n", "s", "i", Path("/run/demo-1"))
MARKED = {
    "PYTHONUNBUFFERED": "1",
    "SESSIOND_SESSION": "demo-1",
    "SESSIOND_NONCE": "n",
    "SESSIOND_SECRET": "s",
    "SESSIOND_INSTANCE": "i",
    "XDG_RUNTIME_DIR": "/run/demo-1",
}


@pytest.mark.parametrize(
    ("changes", "user", "front"),
    [
        ({}, None, ["/b/setsid"]),
        ({"directory": "/srv/${id}"}, None, ["/b/setsid", "/b/env", "-C", "/srv/demo-1"]),
        (
            {"rlimits": Rlimits((("nofile", 9), ("core", 0)))},
            None,
            ["/b/prlimit", "--nofile=9", "--core=0", "/b/setsid"],
        ),
        (
            {"user": "ada"},
            (7, 8),
            ["/b/setpriv", "--reuid=7", "--regid=8", "--init-groups", "/b/setsid"],
        ),
        ({"user_group": "g"}, (0, 8), ["/b/setpriv", "--reuid=0", "--regid=8", "--clear-groups", "/b/setsid"]),
        (
            {"user": "ada", "directory": "/srv", "rlimits": Rlimits((("core", 0),))},
            (7, 8),
            [
                *("/b/prlimit", "--core=0", "/b/setpriv", "--reuid=7", "--regid=8", "--init-groups"),
                *("/b/setsid", "/b/env", "-C", "/srv"),
            ],
        ),
    ],
)
def test_argv(changes: dict[str, Any], user: tuple[int, int] | None, front: list[str]) -> None:
    """Only what is configured stands in front of a command."""
    service = make_service(command=("prog", "${port}", "a b"), **changes)
    assert argv_of(service, {"port": 5, "id": "demo-1"}, TOOLS, user) == [*front, "prog", "5", "a b"]


def test_value_is_one_argument() -> None:
    """No value adds an argument."""
    service = make_service(command=("prog", "${options.x}"))
    assert argv_of(service, {"options.x": "a b; c"}, TOOLS, None)[1:] == ["prog", "a b; c"]


@pytest.mark.parametrize(
    ("value", "rest"), [("", ["end"]), ("cube", ["--model", "cube", "end"]), (0, ["--model", "0", "end"])]
)
def test_group_with_empty_option(value: Scalar, rest: list[str]) -> None:
    """What stands in a list of its own is left out where an option in it is empty."""
    service = make_service(command=("prog", ("--model", "${options.x}"), "end"))
    assert argv_of(service, {"options.x": value}, TOOLS, None)[1:] == ["prog", *rest]


def test_equals_sign() -> None:
    """A command that env would take for a variable is refused."""
    with pytest.raises(CommandError, match="'='"):
        argv_of(make_service(command=("/opt/a=b/prog",), directory="/srv"), {}, TOOLS, None)


@pytest.mark.parametrize(("value", "filled"), [("a/b", "/srv/a/b"), ("a..b", "/srv/a..b"), ("/etc", "/srv//etc")])
def test_directory_below(value: str, filled: str) -> None:
    """A value leads further down from a folder that the service names."""
    service = make_service(directory="/srv/${options.x}")
    assert directory_of(service, {"options.x": value}) == filled


@pytest.mark.parametrize("value", ["..", "../etc", "a/../../etc", "a/.."])
def test_directory_above(value: str) -> None:
    """No value leads above it."""
    service = make_service(directory="/srv/${options.x}")
    with pytest.raises(CommandError, match="above"):
        directory_of(service, {"options.x": value})


def test_environment() -> None:
    """What is passed on is named, what is set is filled, and the marks can't be changed."""
    service = make_service(
        pass_env=("PATH", "LANG"), env={"PORT": "${port}", "LANG": "C", "SESSIOND_NONCE": "forged", "HOME": "$$HOME"}
    )
    own = {"PATH": "/bin", "LANG": "de", "LD_PRELOAD": "x", "TOKEN": "y"}
    found = environment_of(service, {"port": 5}, own, MARKS)
    assert found == {**MARKED, "PATH": "/bin", "LANG": "C", "PORT": "5", "HOME": "$HOME"}


def test_buffering_can_be_had() -> None:
    """An operator may change what is only a default."""
    found = environment_of(make_service(env={"PYTHONUNBUFFERED": ""}, pass_env=()), {}, {}, MARKS)
    assert found == {**MARKED, "PYTHONUNBUFFERED": ""}


def test_missing(tmp_path: Path) -> None:
    """A command is looked for on the child's PATH, or from its folder."""
    tool = tmp_path / "tool"
    tool.touch(mode=0o755)
    (tmp_path / "text").touch(mode=0o644)
    assert missing("tool", str(tmp_path), None) is None
    assert missing("tool", "/nowhere", None) == "command not found: tool"
    assert missing("./tool", None, str(tmp_path)) is None
    assert missing("./text", None, str(tmp_path)) == "command not executable: ./text"
    assert missing(str(tool), None, "/nowhere") is None


def test_tools_are_found() -> None:
    """The programs in front are looked up once, by their absolute paths."""
    assert all(Path(path).is_absolute() for path in (Tools.found_on(None).setsid, Tools.found_on("/nowhere").env))
