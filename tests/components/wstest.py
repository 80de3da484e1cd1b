"""Autobahn|Testsuite, which runs on Python 2.7 only: where it is, and how it gets there.

Read before anything is installed too, so this file imports only the standard library.
"""

import os
import shutil
import subprocess
from pathlib import Path

SUITE = "autobahntestsuite==25.10.1"
VIRTUALENV = "virtualenv<20.22"
"""The last that makes environments for Python 2.7."""

VENV = Path(__file__).resolve().parents[2] / ".venv"
HOME = VENV / "wstest"
PROGRAM = HOME / "bin" / "wstest"
MARK = HOME / f"installed-{SUITE.partition('==')[2]}"
LIMIT_S = 600


def needs_wstest() -> str:
    """Give the path of wstest; without it skip the running test, or with ``CI=true`` fail it."""
    from tests.components import lack

    if not MARK.exists():
        lack(f"not installed: wstest (PyPI package {SUITE}, needs a Python 2.7)")
    return str(PROGRAM)


def python27() -> str | None:
    """Find a Python 2.7: as ``PY27``, on the PATH, or among those of pyenv."""
    named = os.environ.get("PY27") or shutil.which("python2.7")
    if named:
        return named
    root = os.environ.get("PYENV_ROOT") or _pyenv_root()
    found = sorted(Path(root).glob("versions/2.7.*/bin/python2.7")) if root else []
    return str(found[-1]) if found else None


def _pyenv_root() -> str | None:
    pyenv = shutil.which("pyenv")
    if pyenv is None:
        return None
    told = subprocess.run([pyenv, "root"], capture_output=True, text=True, timeout=30, check=False)
    return told.stdout.strip() or None


def install_wstest() -> str | None:
    """Install it where it is not yet; what keeps it from being there is told, ``None`` where it is."""
    if MARK.exists():
        return None
    python, ours = python27(), VENV / "bin" / "python"
    if python is None:
        return "no Python 2.7"
    if not ours.exists():
        return f"no {VENV.name}"
    try:
        _install(python, str(ours))
    except (subprocess.SubprocessError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    MARK.touch()
    return None


def _install(python: str, ours: str) -> None:
    shutil.rmtree(HOME, ignore_errors=True)
    maker = HOME.with_name("wstest-maker")
    pip = ["-q", "--disable-pip-version-check"]
    _run([ours, "-m", "pip", "install", *pip, "--target", str(maker), VIRTUALENV])
    _run([ours, "-m", "virtualenv", "-q", "-p", python, str(HOME)], {"PYTHONPATH": str(maker)})
    shutil.rmtree(maker, ignore_errors=True)
    _run([str(HOME / "bin" / "pip"), "install", *pip, SUITE])


def _run(argv: list[str], more: dict[str, str] | None = None) -> None:
    subprocess.run(
        argv,
        env={**os.environ, **(more or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT_S,
        check=True,
    )
