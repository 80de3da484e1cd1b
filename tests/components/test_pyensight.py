"""Where pyensight is, and what it means when it is not there."""

import subprocess
from pathlib import Path

import pytest

from tests.components import pyensight
from tests.daemon import ROOT


def test_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that needs it is skipped by name, and fails in CI."""
    monkeypatch.setattr(pyensight, "HOME", tmp_path)
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match=r"pyensight 0\.10\.10"):
        pyensight.needs_pyensight("0.10.10")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="pyensight"):
        pyensight.needs_pyensight("0.10.10")


def test_make_wants_the_same() -> None:
    """The marks that make leaves are those that tests look for, and there is one for each list of packages."""
    database = subprocess.run(["make", "-npq"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    [line] = [line for line in database.splitlines() if line.startswith("PYENSIGHT_MARKS :=")]
    versions = sorted(path.stem for path in pyensight.WANTED.glob("[0-9]*.txt"))
    marks = line.partition(":=")[2].split()
    assert marks == [f".venv/pyensight/{version}/installed-{pyensight.digest()}" for version in versions]
