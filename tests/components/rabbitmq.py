"""A real RabbitMQ on loopback, which may be hung, killed and started again; needs nothing that only tests have."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue

from tests.components import RABBITMQ

USER, PASSWORD = "sessiond", "carrot-Tango-47"
START_S = 60.0
"""How long a start may take; usual are six seconds."""

LOOK_S = 0.05


class RabbitMQ:
    """One node with an Erlang port mapper of its own; all of it listens on loopback and lives in one folder.

    :param plugins: names of those that are switched on; ``settings`` more lines of its configuration.
    :ivar port: where it speaks AMQP; the same after each start.
    """

    def __init__(self, folder: Path, plugins: Sequence[str] = (), settings: Sequence[str] = ()) -> None:
        self._folder = folder
        self.port, distribution, mapper = _free_ports(3)
        for name in ("home", "mnesia", "log"):
            (folder / name).mkdir(parents=True)
        (folder / "plugins").write_text(f"[{','.join(plugins)}].\n", encoding="ascii")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\n"
            "log.console = false\n"
            "heartbeat = 10\n"
            f"default_user = {USER}\n"
            f"default_pass = {PASSWORD}\n"
            "disk_free_limit.absolute = 50MB\n" + "".join(f"{line}\n" for line in settings),
            encoding="ascii",
        )
        self._environment = {
            "PATH": f"{Path(RABBITMQ).parent}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "HOME": str(folder / "home"),
            # Then its start script becomes the node itself, whose process is thereby our child.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": f"sessiond{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_SERVER_START_ARGS": "+S 2:2 +sbwt none",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(mapper),
        }
        # In the foreground and started by us: one that Erlang starts by itself outlives everything.
        self._mapper = self._spawn([shutil.which("epmd") or "epmd"])
        self._node: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Start it, again after it was killed; it does not answer yet."""
        assert self._node is None
        self._node = self._spawn([RABBITMQ])

    def start(self) -> None:
        """Start it and wait until it answers; the reactor waits too."""
        self.spawn()
        by = time.monotonic() + START_S
        while not self.answers:
            assert self._alive, (self._folder / "output").read_text(errors="replace")[-2000:]
            assert time.monotonic() < by, "RabbitMQ did not start"
            time.sleep(LOOK_S)

    async def come(self) -> None:
        """Wait until it answers after :meth:`spawn`."""
        from twisted.internet import reactor

        by = time.monotonic() + START_S
        while not self.answers:
            assert self._alive, (self._folder / "output").read_text(errors="replace")[-2000:]
            assert time.monotonic() < by, "RabbitMQ did not start"
            await deferLater(reactor, LOOK_S)

    @property
    def answers(self) -> bool:
        """Say whether it speaks AMQP: to what is none it says which version it wants, and hangs up."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as tried:
                tried.sendall(b"GET / HTTP")
                return tried.recv(4) == b"AMQP"
        except OSError:
            return False

    @property
    def pid(self) -> int:
        """Give the node's process."""
        assert self._node is not None
        return self._node.pid

    def kill(self) -> None:
        """End it as a power cut would, and wait for that."""
        node, self._node = self._node, None
        if node is not None:
            node.send_signal(signal.SIGCONT)
            node.kill()
            node.wait()

    def hang(self) -> None:
        """Have it stand still, its connections open."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Have it go on."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """End all of it."""
        self.kill()
        self._mapper.kill()
        self._mapper.wait()

    def ctl(self, *words: str) -> Deferred[None]:
        """Call ``rabbitmqctl``.

        :raises AssertionError: it failed; with what it said.
        """

        def look(outcome: tuple[bytes, bytes, int]) -> None:
            out, err, status = outcome
            assert status == 0, (words, out, err)

        program = str(Path(RABBITMQ).with_name("rabbitmqctl"))
        called: Deferred[tuple[bytes, bytes, int]] = getProcessOutputAndValue(program, words, self._environment)
        return called.addCallback(look)

    @property
    def log(self) -> str:
        """Give what it has logged."""
        return "".join(file.read_text(errors="replace") for file in sorted((self._folder / "log").glob("*.log")))

    @property
    def _alive(self) -> bool:
        return self._node is not None and self._node.poll() is None

    def _signal(self, number: signal.Signals) -> None:
        assert self._node is not None
        self._node.send_signal(number)

    def _spawn(self, argv: list[str]) -> "subprocess.Popen[bytes]":
        with (self._folder / "output").open("ab") as output:
            return subprocess.Popen(
                # A run of the tests that is itself killed leaves no server behind.
                ["setpriv", "--pdeathsig", "KILL", *argv],
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def _free_ports(count: int) -> list[int]:
    """Find ports of loopback that are free."""
    tried = [socket.socket() for _ in range(count)]
    try:
        for one in tried:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in tried]
    finally:
        for one in tried:
            one.close()


async def until(check: Callable[[], bool]) -> None:
    """Wait until something is so; the test's own limit ends what never comes."""
    from twisted.internet import reactor

    while not check():
        await deferLater(reactor, LOOK_S)
