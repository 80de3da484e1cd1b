"""Where Autobahn|Testsuite is, and what it means when it is not there."""

from pathlib import Path

import pytest

from tests.components import wstest


def test_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that needs it is skipped by name, and fails in CI."""
    monkeypatch.setattr(wstest, "MARK", tmp_path / "none")
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match=r"wstest .*Python 2\.7"):
        wstest.needs_wstest()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="wstest"):
        wstest.needs_wstest()


def test_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is, nothing is installed."""
    monkeypatch.setattr(wstest, "MARK", tmp_path)
    monkeypatch.setattr(wstest, "_install", None)
    assert wstest.install_wstest() is None


def test_without_an_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a Python 2.7 that is told, and nothing is tried."""
    monkeypatch.setattr(wstest, "MARK", tmp_path / "none")
    monkeypatch.setattr(wstest, "_install", None)
    for name in ("PY27", "PYENV_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert wstest.install_wstest() == "no Python 2.7"


def test_an_interpreter_of_pyenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that only pyenv has is found."""
    python = tmp_path / "versions" / "2.7.18" / "bin" / "python2.7"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    monkeypatch.delenv("PY27", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert wstest.python27() == str(python)
    python.write_text("#!/bin/sh\nexit 127\n")
    assert wstest.python27() is None
