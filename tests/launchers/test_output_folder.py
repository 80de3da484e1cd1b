"""Where a session's output goes: into its private folder, or where its service keeps it."""

from pathlib import Path

from attrs import evolve

from sessiond.core.services import Service
from sessiond.core.values import Kind
from sessiond.launchers.process import output_path
from tests.core.sessions import blank

SERVICE = Service("app", Kind.TCP, "process")


def test_place(tmp_path: Path) -> None:
    """A kept file is named after its session, whatever a dialect gives to ids."""
    session = evolve(blank(), id="../a b")
    assert output_path(session, SERVICE, tmp_path) == tmp_path / "output"
    kept = evolve(SERVICE, output_folder="/var/log/apps")
    assert output_path(session, kept, tmp_path) == Path("/var/log/apps/%2E.%2Fa%20b.txt")
