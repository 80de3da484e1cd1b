"""A VNC desktop for each slot: Xvnc, on a display and a port that follow from the slot's index.

Of the service's ``common_options``:

``sizes``         the sizes on offer, such as ["1280x800", "1600x1200"]; the first is taken where a client asks for none
``display_base``  slot 0 has this display, slot 1 the next (default 50); its port is 5900 more
``client``        a command, as a list, that is run on each desktop, such as ["xterm"]; by default none

A client chooses one of ``sizes`` by the option ``size``.
"""

import os
import socket
import subprocess
import time

from sessiond.nexus import RemoteServiceScript

WAIT_S = 20.0


class Desktop(RemoteServiceScript):
    """One Xvnc, and what runs on it."""

    def __init__(self, common_options=None):
        super().__init__(common_options)
        self._running = []

    def start(self, index, options):
        """Start Xvnc and wait until it listens."""
        sizes = self._common_options.get("sizes") or ["1280x800"]
        size = options.get("size", sizes[0])
        if size not in sizes:
            raise ValueError(f"size must be one of {', '.join(sizes)}")
        display = self._common_options.get("display_base", 50) + index
        port = 5900 + display
        # Unix sockets and TCP beyond loopback are off: only sessiond comes in.
        self._run(
            ["Xvnc", f":{display}", "-rfbport", str(port), "-localhost", "-geometry", size, "-SecurityTypes", "None"]
        )
        self._wait_for(port)
        client = self._common_options.get("client")
        if client:
            self._run(client, DISPLAY=f":{display}")
        return "127.0.0.1", port

    def stop(self, index):
        """End what was started, last first."""
        while self._running:
            program = self._running.pop()
            program.terminate()
            try:
                program.wait(5)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()

    def _run(self, command, **environment):
        self._running.append(subprocess.Popen(command, env={**os.environ, **environment}))

    def _wait_for(self, port):
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            if self._running[0].poll() is not None:
                raise RuntimeError(f"Xvnc ended with status {self._running[0].returncode}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError("Xvnc does not listen")
