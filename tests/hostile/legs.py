"""The two ends of a tunnel through a real daemon, as plain sockets that block: each does exactly what a test says."""

import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from attrs import define, field

from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, Running, running, until
from tests.fakes.frames import CLOSE, Frame, Frames, request

MIB = 1 << 20
OFFERED_BYTES = 1500 * 1000 * 1000
STILL_S = 1.5
"""Who has taken nothing for so long takes nothing."""

RELAYS = ("ours", "reference")
REFERENCE = Path(__file__).with_name("reference.py")
READER = Path(__file__).with_name("reader.py")


def begin(place: Place, relay: str, services: str, trust: Path | None = None) -> "Daemon":
    """Give a daemon with one of the two relays; it is started as a context."""
    if trust is None:
        place.configure(services)
    program = (sys.executable, str(REFERENCE)) if relay == "reference" else ()
    return Daemon(place, program, trust)


@define
class Daemon:
    """What starts a daemon, and takes it back."""

    place: Place
    program: tuple[str, ...] = ()
    trust: Path | None = None
    before: tuple[str, ...] = ()

    @contextmanager
    def started(self) -> Iterator[Running]:
        """Start it, and wait until it is ready."""
        with running(self.place.config, program=self.program, trust=self.trust, before=self.before) as daemon:
            yield daemon.ready()


def fixed(port: int, name: str = "echo", host: str = "127.0.0.1", **tunnel: str) -> str:
    """Write the TOML of a service whose program listens already, and of the tunnels' limits."""
    limits = "".join(f'{key} = "{value}"\n' for key, value in tunnel.items())
    return f"""
[services.{name}]
kind = "tcp"
launcher = "fixed"
target = {{ host = "{host}", port = {port} }}
count = 8
[tunnel]
{limits}"""


def listen(host: str = "127.0.0.1") -> socket.socket:
    """Listen as a target does."""
    listener = socket.create_server((host, 0))
    listener.settimeout(LIMIT_S)
    return listener


def port_of(listener: socket.socket) -> int:
    """Give the port of a listening socket."""
    return int(listener.getsockname()[1])


def accept(listener: socket.socket) -> socket.socket:
    """Take the connection that the daemon dials."""
    leg = listener.accept()[0]
    leg.settimeout(LIMIT_S)
    return leg


@define
class Client:
    """A client behind its handshake.

    :ivar early: what came behind the answer to the handshake in the same read.
    """

    socket: socket.socket
    frames: Frames = field(factory=Frames)
    early: list[Frame] = field(factory=list)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def read(self) -> list[Frame]:
        """Give the frames that come next; none at the end.

        :raises OSError: the connection broke, or nothing came in time.
        """
        if self.early:
            found, self.early = self.early, []
            return found
        while data := self.socket.recv(1 << 18):
            if found := self.frames.read(data):
                return found
        return []

    def read_all(self) -> Iterator[Frame]:
        """Give the frames up to the end."""
        while found := self.read():
            yield from found

    def close_code(self) -> int:
        """Give the code of the close frame that comes, whatever comes before it."""
        return next(one.code for one in self.read_all() if one.opcode == CLOSE)


def join(url: str, trust: Path | None = None) -> Client:
    """Open a tunnel."""
    parts = urlsplit(url)
    leg = socket.create_connection((parts.hostname or "", parts.port or 0), LIMIT_S)
    if trust is not None:
        context = ssl.create_default_context(cafile=str(trust))
        leg = context.wrap_socket(leg, server_hostname=parts.hostname)
    return shake(leg, f"{parts.path}?{parts.query}", parts.netloc)


def shake(leg: socket.socket, target: str, host: str) -> Client:
    """Shake hands on a connection."""
    leg.sendall(request(target, host=host))
    came = b""
    while b"\r\n\r\n" not in came:
        data = leg.recv(1 << 16)
        assert data, came
        came += data
    head, _, rest = came.partition(b"\r\n\r\n")
    assert b" 101 " in head, head
    client = Client(leg)
    client.early = client.frames.read(rest)
    return client


def push(leg: socket.socket, piece: bytes, total: int = OFFERED_BYTES, still_s: float = STILL_S) -> int:
    """Send a piece over and over until so much was sent or nothing is taken any more; give how much was."""
    whole, sent = memoryview(piece), 0
    leg.settimeout(still_s)
    try:
        while sent < total:
            sent += leg.send(whole[sent % len(piece) :])
    except TimeoutError:
        pass
    finally:
        leg.settimeout(LIMIT_S)
    return sent


def resident_bytes(pid: int) -> int:
    """Give what a process has in memory, as /proc/PID/status says (VmRSS)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) * 1024


@define
class Apart:
    """A :mod:`tests.hostile.reader` that a signal can stop."""

    process: "subprocess.Popen[str]"

    def stop(self) -> None:
        """Stop it for now."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        self.process.send_signal(signal.SIGCONT)

    def reads(self) -> None:
        """Wait until it has read something."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "reads\n"


@contextmanager
def apart(leg: socket.socket, what: str) -> Iterator[Apart]:
    """Have a process of its own read from a socket."""
    argv = [sys.executable, "-S", str(READER), str(leg.fileno()), what]
    with subprocess.Popen(argv, pass_fds=[leg.fileno()], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Apart(process)
        finally:
            process.kill()


def metric(daemon: Running, name: str) -> int:
    """Read one figure without labels of the daemon's metrics."""
    lines = str(daemon.call("GET", "/metrics").json).splitlines()
    return int(float(next(line for line in lines if line.startswith(f"sessiond_{name} ")).split()[1]))


def gone(daemon: Running, limit_s: float = LIMIT_S) -> None:
    """Wait until no tunnel is open."""
    until(lambda: metric(daemon, "tunnels_open") == 0, "no tunnel is open", limit_s)


def ended(leg: socket.socket, limit_s: float = LIMIT_S) -> bool:
    """Wait for the end of a connection, whatever comes before it; say whether it was in order, and no reset."""
    leg.settimeout(limit_s)
    try:
        while leg.recv(1 << 18):
            pass
    except ConnectionError:
        return False
    return True
