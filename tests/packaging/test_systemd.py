"""The units for systemd, as systemd itself reads them, without an installed daemon."""

import sys
from pathlib import Path

import pytest

from tests.components import needs
from tests.packaging.conftest import CHECKOUT, run

EXPOSURE_LIMIT = 40
"""Tenths of the points by which ``systemd-analyze security`` judges; 100 is without any protection."""


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """Copy the units; where twistd is not installed for all, name a program that exists."""
    needs("systemd-analyze")
    copies = []
    for unit in sorted((CHECKOUT / "systemd").iterdir()):
        copy = tmp_path / unit.name
        copy.write_text(unit.read_text(encoding="utf-8").replace("/usr/bin/twistd", sys.executable))
        copies.append(copy)
    assert [copy.name for copy in copies] == ["sessiond.service", "sessiond.socket"]
    return copies


def test_verify_prints_nothing(units: list[Path], tmp_path: Path) -> None:
    """Every line is understood; an unknown one costs only a warning, so none may be printed."""
    assert run("systemd-analyze", "verify", *units, cwd=tmp_path) == ""


def test_verify_would_print(units: list[Path], tmp_path: Path) -> None:
    """A mistake in a unit is printed: the test above can fail."""
    with units[0].open("a", encoding="utf-8") as unit:
        unit.write("[Service]\nNoSuchSetting=1\n")
    assert "NoSuchSetting" in run("systemd-analyze", "verify", *units, cwd=tmp_path)


def test_exposure(units: list[Path], tmp_path: Path) -> None:
    """The service is hardened: systemd's own judgement stays below the limit."""
    judge = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_LIMIT}"]
    run(*judge, units[0], cwd=tmp_path)


def test_command_names_the_plugin() -> None:
    """The service starts what the plugin is called, with the configuration of the documents."""
    unit = (CHECKOUT / "systemd" / "sessiond.service").read_text(encoding="utf-8")
    assert "ExecStart=/usr/bin/twistd -n --pidfile= sessiond --config /etc/sessiond/sessiond.toml\n" in unit
