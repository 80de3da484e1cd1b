"""The wheel as users get it: built once from a clean copy, installed in an empty virtual environment."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]

SOURCES = ("sessiond", "twisted", "setup.cfg", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.rst")
"""What a wheel is built from. A copy, since an old ``build`` folder in a checkout would leak into it."""


def outside_environment() -> Mapping[str, str]:
    """Return an environment in which nothing leads back to the checkout."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def run(*command: str | Path, cwd: Path, limit_s: float = 300) -> str:
    """Run a program to its end and return what it printed; show that where it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=outside_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit_s,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{command[0]} ended with {done.returncode}:\n{done.stdout}", pytrace=False)
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    source = tmp_path_factory.mktemp("source")
    generated = shutil.ignore_patterns("__pycache__", "dropin.cache")
    for name in SOURCES:
        origin = CHECKOUT / name
        if origin.is_dir():
            shutil.copytree(origin, source / name, ignore=generated)
        elif origin.exists():
            shutil.copy(origin, source / name)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", "dist", ".", cwd=source)
    [built] = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel and what it asks for where nothing else is; return the folder of programs."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", venv, cwd=venv.parent)
    run(venv / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", wheel, cwd=venv.parent)
    return venv / "bin"
