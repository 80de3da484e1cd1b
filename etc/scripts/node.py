"""A program on another computer, such as a node of a cluster, with the port that follows from the slot's index.

Of the service's ``common_options``:

``host``       the node, as this computer reaches it; needed
``port_base``  slot 0 has this port there, slot 1 the next (default 6000)
``start``      a command, as a list, that starts the program there and stays for as long as that runs, such as
               ["ssh", "-tt", "{host}", "viewer", "--port", "{port}"]; by default none: something listens there anyway
``stop``       a command that ends it, for programs that outlive the one above; by default none

``{host}``, ``{port}`` and ``{index}`` are filled in, and what follows from options of the client is not: ssh gives its
command to a shell there.
"""

import subprocess

from sessiond.nexus import RemoteServiceScript

STOP_S = 15.0


class Node(RemoteServiceScript):
    """One program on the node."""

    def __init__(self, common_options=None):
        super().__init__(common_options)
        self._started = None

    def start(self, index, options):
        """Begin to start it; sessiond goes on trying to reach it there until the service's limit."""
        command = self._command("start", index)
        if command:
            self._started = subprocess.Popen(command)
        return self._common_options["host"], self._port(index)

    def stop(self, index):
        """End it here and there."""
        command = self._command("stop", index)
        if command:
            subprocess.run(command, timeout=STOP_S, check=False)
        if self._started is not None:
            self._started.terminate()
            try:
                self._started.wait(5)
            except subprocess.TimeoutExpired:
                self._started.kill()
                self._started.wait()

    def _port(self, index):
        return self._common_options.get("port_base", 6000) + index

    def _command(self, name, index):
        words = {"host": self._common_options["host"], "port": self._port(index), "index": index}
        return [word.format(**words) for word in self._common_options.get(name, [])]
