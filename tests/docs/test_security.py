"""The page on security: its tables against the tests, its figures and words against the code."""

import re
from math import ceil
from pathlib import Path

import attrs
import pytest

from sessiond.core.session import Session
from sessiond.entropy import SystemEntropy
from sessiond.launchers.command import Marks
from sessiond.web.access import Scope
from sessiond.web.answers import GUARDS
from sessiond.web.portal import POLICY
from tests.docs.documents import ROOT, page, tables, words

LINES = 30
"""How many lines the list of attacks has."""

SECURITY = ROOT / "tests" / "security"


def rows() -> dict[int, tuple[str, str]]:
    """Give what the table says of each line: the attack, and the tests."""
    [found] = tables(page("security"), "attacks")
    return {int(number): (attack, tests) for number, attack, tests in found.rows}


def named_after(line: int) -> set[str]:
    """Name the tests of security that are there for a line."""
    return {str(path.relative_to(ROOT)) for path in SECURITY.glob(f"test_{line:02}_*.py")}


def test_every_line_is_there() -> None:
    """The table has each line once, in order, with words of its own."""
    found = rows()
    assert list(found) == list(range(1, LINES + 1))
    assert len({attack for attack, _ in found.values()}) == LINES


@pytest.mark.parametrize("line", range(1, LINES + 1))
def test_line_names_its_tests(line: int) -> None:
    """A line names each test that is named after it and none that is not there, or else says what it waits for."""
    _, tests = rows()[line]
    named = {word for word in words(tests) if "/" in word and word.endswith(".py")}
    assert {name for name in named if not (ROOT / name).is_file()} == set()
    assert {name for name in named if name.startswith("tests/security/")} == named_after(line)
    assert named or re.search(r"\bwaits? for \w", tests)


def test_every_test_of_security_has_a_line() -> None:
    """No test of security is left out: each is named after one line of the table."""
    found = {str(path.relative_to(ROOT)) for path in SECURITY.rglob("test_*.py")}
    assert found == {name for line in range(1, LINES + 1) for name in named_after(line)}


def test_secrets_are_what_it_says() -> None:
    """The secrets that a session has are in the table, with what is kept of them, and have the bits that it says."""
    [found] = tables(page("security"), "secrets")
    kept = {row[0]: row[3] for row in found.rows}
    members = {member.name for member in attrs.fields(Session) if not member.repr}
    assert members == {"token_digest", "child_secret", "nonce", "key"}
    assert "SHA-256" in kept["session token"]
    assert kept["child secret"].startswith("itself")
    assert kept["nonce"].startswith("itself")
    variables = Marks("id", "nonce-of", "secret-of", "instance", Path("/run")).variables()
    for row, value in (("child secret", "secret-of"), ("nonce", "nonce-of")):
        [name] = [name for name, held in variables.items() if held == value]
        assert name in words(next(cells[1] for cells in found.rows if cells[0] == row))
    entropy = SystemEntropy()
    assert "Tokens and child secrets have 256 bits, nonces 128" in " ".join(page("security").split())
    assert (len(entropy.token()), len(entropy.nonce())) == (ceil(256 / 6), 128 / 4)


def test_headers_are_those_of_answers() -> None:
    """The headers that the page speaks of are those that answers have."""
    said = words(" ".join(page("security").split()))
    assert {f"{name}: {value}" for name, value in GUARDS.items()} <= set(said)
    assert "'unsafe-inline'" not in POLICY
    assert "frame-ancestors 'none'" in POLICY


def test_words_are_the_daemons_own() -> None:
    """Keys and scopes that the page names are there."""
    text, operations = page("security"), page("operations")
    assert f"``{Scope.OPERATE.value}``" in text
    for key in ("callers", "insecure", "origins", "hosts", "public_url", "max_per_address", "user", "rlimits"):
        assert f"``{key}``" in text or re.search(rf"``{key} = ", text), key
        assert f"* - ``{key}``" in operations, key
