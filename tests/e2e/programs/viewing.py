"""The sample desktop, made difficult; how is in its common options, by ``how``."""

import os
import sys
import time
from typing import Any

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "etc", "scripts"))

import desktop  # type: ignore[import-not-found]

WAIT_S = 60.0


class Viewing(desktop.Desktop):  # type: ignore[misc]
    """A desktop."""

    def start(self, index: int, options: Any) -> Any:
        """Start it once a file is there, or raise instead."""
        if self._common_options.get("how") == "raise":
            raise RuntimeError("no licence is left")
        gate = self._common_options.get("gate")
        until = time.monotonic() + WAIT_S
        while gate and not os.path.exists(gate) and time.monotonic() < until:
            time.sleep(0.05)
        return super().start(index, options)

    def _run(self, command: list[str], **environment: str) -> None:
        secret = self._common_options.get("password_file")
        if secret and command[0] == "Xvnc":
            command = [*command[:-1], "VncAuth", "-PasswordFile", secret]
        super()._run(command, **environment)
