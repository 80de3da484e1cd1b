"""The JavaScript client, run by Node's own test runner against a stand-in of the daemon."""

import json
import os
import re
import shutil
import subprocess
from enum import Enum
from pathlib import Path

import pytest

from sessiond.core.errors import Code
from sessiond.core.facts import FactType
from sessiond.core.values import Deadline, Kind, Reason, State
from tests.components import lack
from tests.daemon import ROOT
from tests.docs.documents import blocks, page, tables, words

HERE = Path(__file__).parent
CLIENT = ROOT / "clients" / "js"
WS = ROOT / "clients" / "wslink" / "node_modules" / "ws"
TYPES = (CLIENT / "index.d.ts").read_text()
INNER = {"constructor", "call", "headers", "hasToken", "hasTicket", "freshTicket"}
"""What the module's own parts need of each other."""
LIMIT_S = 300.0
PROGRAMS = sorted(path.name for path in HERE.glob("*.mjs") if path.name != "standing.mjs")


def node() -> str:
    """Find Node.js and its WebSockets."""
    found = shutil.which("node")
    if found is None or not WS.is_dir():
        lack("not installed: Node.js with ws (npm, in clients/wslink)")
    return found


@pytest.mark.parametrize("program", PROGRAMS)
def test_in_node(standin: str, program: str) -> None:
    """Every test of a file runs and passes."""
    environment = {**os.environ, "STANDIN": standin, "WS_FOLDER": f"{WS}/", "NODE_ENV": "test"}
    argv = [node(), "--test-reporter=tap", str(HERE / program)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    counts = {name: int(count) for name, count in re.findall(r"^# (\w+) (\d+)$", done.stdout, re.MULTILINE)}
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert counts["pass"] == counts["tests"] >= written(program), done.stdout
    assert (counts["fail"], counts["skipped"], counts["todo"], counts["cancelled"]) == (0, 0, 0, 0)


def written(program: str) -> int:
    """Count the tests that stand in a file; a loop makes several of one."""
    count = len(re.findall(r"^\s*test\(", (HERE / program).read_text(), re.MULTILINE))
    assert count > 0
    return count


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("FactName", FactType),
        ("ProblemCode", Code),
        ("DeadlineName", Deadline),
        ("Kind", Kind),
        ("Reason", Reason),
        ("State", State),
    ],
)
def test_words(name: str, known: type[Enum]) -> None:
    """The types name the words that the daemon has, each of them and no other."""
    found = re.search(rf"^export type {name} =(.*?);", TYPES, re.MULTILINE | re.DOTALL)
    assert found is not None
    assert re.findall(r'"([^"]+)"', found[1]) == [member.value for member in known]


def test_details_are_of_facts() -> None:
    """What the types say of a fact's data is said of a fact that there is."""
    found = re.search(r"^export interface FactDetails \{(.*?)^\}", TYPES, re.MULTILINE | re.DOTALL)
    assert found is not None
    named = re.findall(r'^  "([^"]+)":', found[1], re.MULTILINE)
    assert named
    assert set(named) <= {member.value for member in FactType}


def test_all_is_typed() -> None:
    """Each name that the module gives has its types, and each member of its classes."""
    index = (CLIENT / "index.js").read_text()
    names = {name.strip() for part in re.findall(r"export \{(.*?)\}", index) for name in part.split(",")}
    declared = set(re.findall(r"^export (?:class|function) (\w+)", TYPES, re.MULTILINE))
    assert names == declared
    for program, name in (("feed.js", "Feed"), ("sessions.js", "Sessions")):
        body = class_of((CLIENT / program).read_text(), name)
        told = set(re.findall(r"^  (?:get |async )?(\w+)\(", body, re.MULTILINE)) - INNER
        typed = set(re.findall(r"^  (?:readonly )?(\w+)[(:<]", class_of(TYPES, name), re.MULTILINE)) - INNER
        assert told == typed, name


def class_of(text: str, name: str) -> str:
    """Give the body of a class."""
    found = re.search(rf"^export class {name} [^\n]*\{{\n(.*?)^\}}", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_five_lines() -> None:
    """The page that shows a session takes five lines, as the documents say."""
    [html, _] = blocks(page("javascript"), "html")
    assert "Five lines" in page("javascript")
    assert len(html.text.strip().splitlines()) == 5


def test_options_are_told() -> None:
    """The documents tell each option of a feed, each member, and what else it tells than events."""
    text = page("javascript")
    named = {word for table in tables(text) for row in table.rows for word in words(row[0])}
    kinds = re.findall(r"^  (\w+): ", body_of("Lifecycle"), re.MULTILINE)
    options = re.findall(r"^  (\w+)\?: ", body_of("FeedOptions") + body_of("Filter"), re.MULTILINE)
    members = re.findall(r"^  (?:readonly )?(\w+)[(:<]", class_of(TYPES, "Feed"), re.MULTILINE)
    told = {word.partition("(")[0] for word in named} | {"constructor", "other", "clock"}
    assert {*kinds, *options, *members} <= told
    assert told <= {*kinds, *options, *members}
    assert all(f"``{name}``" in text for name in re.findall(r"^  (\w+): number", body_of("Times"), re.MULTILINE))


def body_of(name: str) -> str:
    """Give the body of an interface."""
    found = re.search(rf"^export interface {name}[^\n]*\{{\n(.*?)^\}}", TYPES, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_package() -> None:
    """The package needs nothing, and each of its files is reached from the one that it names."""
    package = json.loads((CLIENT / "package.json").read_text())
    assert (package["name"], package["type"], package["private"]) == ("sessiond-client", "module", True)
    assert not {"dependencies", "peerDependencies", "optionalDependencies"} & set(package)
    reached, ahead = set[str](), ["index.js"]
    while ahead:
        name = ahead.pop()
        reached.add(name)
        source = (CLIENT / name).read_text()
        imported = re.findall(r'from "([^"]+)"', source)
        assert all(target.startswith("./") for target in imported), name
        ahead += [target[2:] for target in imported if target[2:] not in reached]
    assert reached == {path.name for path in CLIENT.glob("*.js")}
