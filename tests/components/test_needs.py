"""What a missing program means for a test."""

import sys
from pathlib import Path

import pytest

from tests import components

ABSENT = "sessiond-no-such-program"


@pytest.fixture(autouse=True)
def absent_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """List a program that no machine has."""
    monkeypatch.setattr(components, "PACKAGES", {**components.PACKAGES, ABSENT: "no-package"})


def test_present_program_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test whose programs are here runs, in CI and elsewhere."""
    monkeypatch.setenv("CI", "true")
    components.needs("setsid")


@pytest.mark.parametrize("value", ["", "false", None])
def test_absent_program_skips_by_name(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """Outside CI a test is skipped, and the report names the program and its package."""
    monkeypatch.delenv("CI", raising=False)
    if value is not None:
        monkeypatch.setenv("CI", value)
    with pytest.raises(pytest.skip.Exception, match=rf"{ABSENT} \(package no-package\)"):
        components.needs("setsid", ABSENT)


def test_absent_program_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """In CI the same is a failure."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=ABSENT):
        components.needs(ABSENT)


def test_unlisted_program_is_an_error() -> None:
    """A name that the set-up does not know is a mistake of the test."""
    with pytest.raises(KeyError, match="not in the table"):
        components.needs("unlisted")


@pytest.mark.parametrize(("ci", "outcome"), [("", {"skipped": 2}), ("true", {"errors": 2})])
def test_run_without_chromium(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, outcome: dict[str, int]
) -> None:
    """Where a browser is missing, a whole run passes with its tests skipped by name, and fails in CI."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.setenv("PATH", str(pytester.path))
    monkeypatch.setenv("CI", ci)
    pytester.makeconftest("from tests.conftest import *")
    pytester.makepyfile("def test_one(browsing): pass\ndef test_two(chromium): pass")
    run = pytester.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rsE", timeout=60)
    run.assert_outcomes(**outcome)
    run.stdout.fnmatch_lines("*not installed: chromium (package chromium)*")
    assert run.ret == (1 if ci else 0)
