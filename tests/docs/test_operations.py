"""The configuration reference names every key with its default, and the numbers on the page are the daemon's own."""

import re
import tomllib
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from sessiond import __main__ as command_line
from sessiond import log
from sessiond.boot import daemon, instance, parts
from sessiond.broker import alarm, journal, leasing
from sessiond.config import parse
from sessiond.config.load import MOST_FILE_BYTES, SOCKET_PATH_BYTES
from sessiond.config.table import Table, mapping
from sessiond.config.units import seconds, size_bytes
from sessiond.core.capacity import suspended_until
from sessiond.core.services import Readiness
from sessiond.launchers import child, command, output, process
from sessiond.launchers.placeholders import SERVER_NAMES
from sessiond.web import bodies, door, orders, wire
from tests.docs.documents import page, tables, words

EVERYTHING = b"""
[store]
[bus]
kind = "amqp"
url = "amqp://localhost"
[listeners.web]
endpoint = "tcp:9000:interface=127.0.0.1"
serves = ["api", "tunnel", "static"]
[tokens.portal]
digest = "sha256:5b1d3f8be0d8d6c1b9af1f1fb5bba6b51ac9c0a2e6f4d8f3a7c2e9d0b4a68c17"
[pools.shared]
count = 9
[static]
"/files" = { folder = "." }
[services.any]
kind = "rfb"
launcher = "process"
command = ["x", "${port}"]
count = 1
options.a = { type = "choice", of = ["a"], default = "a" }
options.b = { type = "integer", minimum = 0, maximum = 1, default = 0 }
options.c = { type = "pattern", pattern = "x", default = "x" }
options.d = { type = "file", root = "/models", optional = true }
options.e = { type = "folders", roots = ["/models"] }
[services.told]
kind = "rfb"
launcher = "script"
script = "x.py"
count = 1
options = "any"
[services.there]
kind = "rfb"
launcher = "fixed"
count = 1
target = { port = 1 }
[feeds.any]
"""
"""A configuration in which every table is read."""

FREE = ("env", "rlimits", "common_options", "headers")
"""Tables whose keys are the operator's."""

Keys = dict[str, tuple[bool, Any]]
"""By its place: whether it is needed, and its default."""


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Keys:
    """Have the configuration's own reader tell every key that it looks for."""
    found: Keys = {}
    read, need = Table.read, Table.need

    def note(table: Table, key: str, reader: Callable[[object], Any], default: Any, *, needed: bool) -> None:
        place = re.sub(r'static\."[^"]*"', "static.PATH", f"{table.place}.{key}".strip("."))
        place = re.sub(r"^(\w+)\.(?:web|portal|shared|any|told|there)\b", r"\1.NAME", place)
        place = re.sub(r"options\.[abcde]\b", "options.OPTION", place)
        if (reader is not mapping or key in FREE) and not place.startswith("static./"):
            found.setdefault(place, (needed, default))

    def noted_read(table: Table, key: str, reader: Callable[[object], Any], default: Any) -> Any:
        note(table, key, reader, default, needed=False)
        return read(table, key, reader, default)

    def noted_need(table: Table, key: str, reader: Callable[[object], Any], blank: Any) -> Any:
        note(table, key, reader, blank, needed=True)
        return need(table, key, reader, blank)

    monkeypatch.setattr(Table, "read", noted_read)
    monkeypatch.setattr(Table, "need", noted_need)
    parse(EVERYTHING, Path("/"), {})
    # A table of tables is no key: its own keys are.
    return {place: told for place, told in found.items() if not any(other.startswith(f"{place}.") for other in found)}


def referenced() -> dict[str, tuple[str, ...]]:
    """Read the reference: each row by the whole name of its key."""
    rows: dict[str, tuple[str, ...]] = {}
    for table in tables(page("operations"), "config"):
        within = re.fullmatch(r"``\[(.+)\]``", table.section)
        prefix = "" if within is None else within[1].replace('"PATH"', "PATH") + "."
        rows |= {prefix + words(row[0])[0]: row for row in table.rows}
    return rows


def written(default: object) -> object:
    """Give a default as it would stand in the file."""
    if isinstance(default, Readiness):
        return default.when.value
    if isinstance(default, Enum):
        return default.value
    if isinstance(default, tuple):
        if default and hasattr(default[0], "step"):
            return [f"{entry.step.value} {entry.seconds:.0f}s" for entry in default]
        return "-".join(map(str, default)) if default and isinstance(default[0], int) else list(default)
    return "off" if default is None else default


def measured(said: object) -> object:
    """Give a duration or size as the configuration keeps it, anything else as it is."""
    for reader in (seconds, size_bytes):
        try:
            return reader(said)
        except ValueError:
            continue
    return said


def test_reference_names_every_key(keys: Keys) -> None:
    """What the configuration's reader looks for is what the reference lists."""
    assert set(referenced()) == set(keys)


def test_reference_tells_what_is_needed(keys: Keys) -> None:
    """A key that must be there is said to be needed, any other only under a condition."""
    for place, (_, _, default, _) in referenced().items():
        if keys[place][0]:
            assert default == "needed", place
        else:
            assert default != "needed", place


def test_reference_tells_the_defaults(keys: Keys) -> None:
    """A default that is written as a value is the one that the reader takes."""
    compared = 0
    for place, (_, _, said, _) in referenced().items():
        literal = (words(said) or [""])[0]
        try:
            value = tomllib.loads(f"x = {literal}")["x"]
        except tomllib.TOMLDecodeError:
            continue
        if not said.startswith("needed"):
            assert measured(value) == written(keys[place][1]), place
            compared += 1
    assert compared > 30


def test_values_are_told(keys: Keys) -> None:
    """Where a value is one of some words, the reference lists the words that are accepted."""
    compared = 0
    for place, (_, value, _, _) in referenced().items():
        said = [word.strip('"') for word in words(value) if re.fullmatch(r'"[a-z-]+"', word)]
        default = keys[place][1]
        if len(said) > 1 and isinstance(default, Enum):
            assert set(said) == {member.value for member in type(default)}, place
            compared += 1
    assert compared >= 5


def test_placeholders_and_variables_are_told() -> None:
    """Every placeholder is explained, and every variable that a program gets."""
    [found] = tables(page("operations"), "placeholders")
    told = [words(row[0])[0].removeprefix("${").removesuffix("}") for row in found.rows]
    assert set(told) == {*SERVER_NAMES, "options.NAME"}
    marks = command.Marks("id", "nonce", "secret", "instance", Path("/run"))
    assert all(f"``{name}``" in page("operations") for name in marks.variables())


def test_numbers_are_the_daemons_own() -> None:
    """Bounds and times on the page are those in the code."""
    text = " ".join(page("operations").split())
    assert daemon.STOP_S > daemon.SESSIONS_S
    for said in (
        f"takes at most {daemon.STOP_S:.0f} seconds",
        f"{bodies.BODY_BYTES // 1024} KiB of body",
        f"{wire.HEADERS} headers, {wire.HEAD_BYTES // 1024} KiB of them",
        f"cut at {log.FIELD_CHARACTERS} characters",
        f"at {log.TEXT_CHARACTERS >> 10} KiB",
        f"one kind {log.KIND_BURST:.0f} may come at once and {log.KIND_PER_S:.0f} a second then",
        f"all lines {log.BURST:.0f} and {log.PER_S:.0f};",
        f"how many, after {log.TELL_S:.0f} s",
        f"{wire.CLOSE_S:.0f} s until it must let go",
        f'(``wait: "ready"``) - {orders.WAIT_S:.0f} s',
        f"how many, every {door.WARN_S:.0f} s",
        f"five failures in a row it is suspended for {suspended_until(5, 0.0):.0f} s",
        f"doubling up to {suspended_until(99, 0.0) / 60:.0f} min",
        f"the last {child.TAIL_LINES} lines",
        f"the last {output.KEPT_BYTES // 1024} KiB",
        f"the configuration - {MOST_FILE_BYTES >> 20} MiB",
        f"({SOCKET_PATH_BYTES} bytes in all)",
        f"then every {'second' if leasing.RETEST_S == 1 else leasing.RETEST_S}",
        f"tried again every {'second' if journal.RETRY_S == 1 else journal.RETRY_S}",
    ):
        assert said in text, said
    assert suspended_until(4, 0.0) == 0
    steady = " ".join((page("states") + page("architecture")).split())
    assert f"more than {alarm.LATE_S:.0f} seconds" in steady
    assert f"at least every {alarm.TICK_S:.0f} seconds" in steady


def test_folders_are_the_daemons_own() -> None:
    """Files and folders have the names that the page shows."""
    shown = re.search(r"state_dir/\n(.*?)\n\n", page("operations"), re.DOTALL)
    assert shown is not None
    for name in (parts.STORE_NAME, instance.LOCK, instance.RUNNING, process.OUTPUT_NAME, process.SOCKET_NAME):
        assert re.search(rf"\b{re.escape(name)}\b", shown[1])


def test_metrics_that_are_named_exist() -> None:
    """A metric that the text speaks of is one."""
    from docs.write_tables import metrics

    known = {words(row[0])[0] for row in metrics()}
    named = {word for word in words(page("operations")) if word.startswith("sessiond_")}
    assert named
    assert named <= known


def test_commands_that_are_named_exist() -> None:
    """Each command line of ``python -m sessiond`` in the documents is understood."""
    text = page("operations") + page("rest")
    found = {line for line in words(text) if line.startswith("python -m sessiond ")}
    assert len(found) >= 3
    for line in found:
        command_line.parser().parse_args(line.lower().split()[3:])
