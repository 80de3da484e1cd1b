"""Where a test's daemon lives: its folders and its configuration, and what must be left of it in the end: nothing."""

import itertools
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from attrs import field, frozen

from sessiond.launchers.procfs import send
from tests.e2e.running import launched_below, until
from tests.ports import EACH, OWN, base

PORTS = 20
"""How many ports the services of one test have."""
PLACES = (EACH - OWN) // PORTS

CONFIG = """
state_dir = "state"
runtime_dir = {run}
[listeners.web]
endpoint = {endpoint}
serves = {serves}
callers = "anyone"
"""


@frozen
class Place:
    """The folders of one test's daemon.

    :ivar folder: of the configuration and the state.
    :ivar run: of sockets: pytest's own folders are too deep for their paths.
    :ivar number: tells it from those of other tests.
    """

    folder: Path
    run: Path
    number: int = field(factory=itertools.count().__next__)

    @property
    def config(self) -> Path:
        """Name the configuration."""
        return self.folder / "sessiond.toml"

    @property
    def temporary(self) -> Path:
        """Give a folder that programs can be told to put their temporary files in."""
        folder = self.folder / "temporary"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def ports(self) -> tuple[int, int]:
        """Give the range of ports that the services may use, outside the ephemeral range.

        It is another for each test: of a test that ended badly a port may rest for a minute.
        """
        first = base() + OWN + (os.getpid() + self.number) % PLACES * PORTS
        return first, first + PORTS - 1

    def configure(
        self,
        services: str,
        endpoint: str = "tcp:0:interface=127.0.0.1",
        serves: tuple[str, ...] = ("api", "tunnel", "health", "metrics"),
    ) -> Path:
        """Write a configuration with one listener.

        :param services: TOML that goes below it.
        """
        values = {"run": str(self.run), "endpoint": endpoint, "serves": serves}
        head = CONFIG.format(**{name: json.dumps(value) for name, value in values.items()})
        self.config.write_text(head + services)
        return self.config

    @property
    def left(self) -> list[str]:
        """Name what is left of the sessions: processes, their folders and sockets, temporary files."""
        folders = [*self.run.glob("*/*"), *self.temporary.iterdir()]
        return [*map(str, launched_below(self.folder)), *map(str, folders)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Give a test's daemon its folders, and see in the end that no process and no file of a session is left."""
    with TemporaryDirectory(prefix="sd-") as run:
        where = Place(tmp_path, Path(run))
        yield where
        try:
            until(lambda: not where.left, "nothing is left of any session")
        except AssertionError:
            pytest.fail(f"left behind: {where.left}", pytrace=False)
        finally:
            for process in launched_below(where.folder):
                send(process.pid, process.started, signal.SIGKILL)
