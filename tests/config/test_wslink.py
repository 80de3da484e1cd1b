"""The wslink dialect's part of the configuration: applications in the daemon, and what would be no secret."""

from pathlib import Path

import pytest

from sessiond.config import Config, parse
from sessiond.core.errors import ConfigError

WHOLE = """
[listeners.web]
endpoint = "tcp:9000:interface=127.0.0.1"
serves = ["wslink"]
[dialects.wslink.applications.board]
application = "board.app:Board"
secret = "sixteen-characters-at-least"
non_blocking = true
"""


def read(text: str) -> Config:
    """Read one."""
    return parse(text.encode(), Path("/"), {})


def test_usual() -> None:
    """An application, its secret, and that it never blocks are enough."""
    found = read(WHOLE).wslink
    assert found is not None
    [board] = found.applications
    assert (board.name, board.application, board.path) == ("board", "board.app:Board", "/ws")
    assert (board.origins, board.auth_bytes, board.debug) == ((), 512, False)
    assert "sixteen" not in repr(board)


def test_default_secret() -> None:
    """What everybody knows is taken where that is said, on loopback only."""
    meant = WHOLE.replace('secret = "sixteen-characters-at-least"', "default_secret = true")
    found = read(meant).wslink
    assert found is not None
    assert found.applications[0].secret == "wslink-secret"
    with pytest.raises(ConfigError, match="only on loopback"):
        read(meant.replace(":interface=127.0.0.1", ""))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("non_blocking = true", ""), "non_blocking: must be true"),
        (("sixteen-characters-at-least", "wslink-secret"), "16 characters are needed at least"),
        (("sixteen-characters-at-least", "short"), "16 characters are needed at least"),
        (("board.app:Board", "board.app"), "MODULE:CLASS"),
        (("board.app:Board", "../board.py:Board"), "MODULE:CLASS"),
        (("non_blocking = true", 'non_blocking = true\npath = "ws"'), "a path such as"),
        (("non_blocking = true", 'non_blocking = true\norigins = ["*"]'), "origins"),
        (("non_blocking = true", "non_blocking = true\ncolour = 1"), "colour"),
        (("applications.board", "applications.Board"), "a name is needed"),
        (('serves = ["wslink"]', 'serves = ["health"]'), "no listener serves wslink"),
    ],
)
def test_faults(change: tuple[str, str], fault: str) -> None:
    """What is wrong is named."""
    with pytest.raises(ConfigError) as refused:
        read(WHOLE.replace(*change))
    assert fault in str(refused.value)


def test_needs_both() -> None:
    """A listener and the dialect want each other, and two applications two paths."""
    with pytest.raises(ConfigError, match=r"there is no \[dialects.wslink\]"):
        read(WHOLE.partition("[dialects")[0])
    with pytest.raises(ConfigError, match="is another application's already"):
        read(WHOLE + WHOLE.partition('serves = ["wslink"]\n')[2].replace("board]", "other]"))
