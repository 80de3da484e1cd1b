"""pyensight, each version in a virtual environment that ``make test`` makes: where its Python is."""

import hashlib
from pathlib import Path

from tests.components import lack

ROOT = Path(__file__).resolve().parents[2]
WANTED = ROOT / "clients" / "pyensight"
HOME = ROOT / ".venv" / "pyensight"


def digest() -> str:
    """Give the digest of what is wanted, as make computes it."""
    content = b"".join(path.read_bytes() for path in sorted(WANTED.glob("*.txt")))
    return hashlib.sha256(content).hexdigest()[:16]


def needs_pyensight(version: str) -> Path:
    """Give the Python that has a version; without it skip the running test, or with ``CI=true`` fail it."""
    if not (HOME / version / f"installed-{digest()}").exists():
        lack(f"not installed: pyensight {version} (make test installs clients/pyensight/{version}.txt)")
    return HOME / version / "bin" / "python"
