"""What ``twistd sessiond`` takes on its command line: the configuration's file, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from twisted.python.usage import Options as TwistedOptions
from twisted.python.usage import UsageError

from sessiond import __version__
from sessiond.config import Config, load
from sessiond.core.errors import ConfigError


class Options(TwistedOptions):
    """Reads the configuration while twistd still has its terminal, so that a fault is told there."""

    synopsis = "--config FILE"
    optParameters: ClassVar[list[list[str | None]]] = [["config", "c", None, "the configuration, a TOML file"]]
    longdesc = "Check a configuration without starting: python -m sessiond check-config FILE"

    config: Config
    path: Path

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"sessiond {__version__}")  # noqa: T201 - a command prints its answer
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Load the configuration.

        :raises UsageError: there is none.
        :raises SystemExit: it is refused; one fault in each line.
        """
        if self["config"] is None:
            raise UsageError("--config FILE is needed")
        self.path = Path(self["config"])
        try:
            self.config = load(self.path, os.environ)
        except ConfigError as error:
            # No UsageError: twistd would put its whole help in front of it.
            raise SystemExit(f"{self.path} is refused:\n{error}") from None
