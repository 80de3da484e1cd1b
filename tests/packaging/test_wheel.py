"""The installed wheel, used from an empty folder as its users will."""

import zipfile
from pathlib import Path

import pytest

import sessiond
from tests.packaging.conftest import CHECKOUT, run


def test_wheel_is_complete(wheel: Path) -> None:
    """It holds every file of the package, the plugin and nothing else."""
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {
        str(path.relative_to(CHECKOUT))
        for path in (CHECKOUT / "sessiond").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == wanted | {"twisted/plugins/sessiond_plugin.py"}


def test_twistd_lists_the_plugin(installed: Path, tmp_path: Path) -> None:
    """``twistd --help`` names the daemon, and Twisted's own plugins beside it."""
    listed = run(installed / "twistd", "--help", cwd=tmp_path)
    assert "\n    sessiond " in listed
    assert "\n    web " in listed


def test_version(installed: Path, tmp_path: Path) -> None:
    """The metadata carry the version that the package names."""
    ask = "import importlib.metadata as m; print(m.version('sessiond'))"
    assert run(installed / "python", "-c", ask, cwd=tmp_path).strip() == sessiond.__version__


def test_autobahn_is_native(installed: Path, tmp_path: Path) -> None:
    """The Autobahn that comes along masks and validates in C."""
    ask = "import autobahn.websocket as w, autobahn.nvx; print(w.USES_NVX)"
    assert run(installed / "python", "-c", ask, cwd=tmp_path).strip() == "True"


@pytest.mark.parametrize("extra", ["amqp", "tests", "lint", "types", "docs", "dev"])
def test_extras(wheel: Path, extra: str) -> None:
    """The extras that the documents name are there."""
    [metadata] = [
        zipfile.ZipFile(wheel).read(name).decode()
        for name in zipfile.ZipFile(wheel).namelist()
        if name.endswith(".dist-info/METADATA")
    ]
    assert f"Provides-Extra: {extra}\n" in metadata
