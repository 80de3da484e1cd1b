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
    """Find a Python 2.7: as ``PY27``, among those of pyenv, or on the PATH."""
    root = os.environ.get("PYENV_ROOT") or _pyenv_root()
    kept = sorted(map(str, Path(root).glob("versions/2.7.*/bin/python2.7")), reverse=True) if root else []
    candidates = (os.environ.get("PY27"), *kept, shutil.which("python2.7"))
    return next((python for python in candidates if python and is_python27(python)), None)


def is_python27(python: str) -> bool:
    """Say whether it runs, and as what it is called: pyenv puts a name on the PATH that runs nothing by itself."""
    question = "import sys; sys.exit(sys.version_info[:2] != (2, 7))"
    try:
        return subprocess.run([python, "-c", question], capture_output=True, timeout=30, check=False).returncode == 0
    except OSError:
        return False


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
