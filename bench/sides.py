"""The two that are measured: each opens tunnels to the same target."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from attrs import frozen

from bench.client import WebSocket
from bench.programs import ROOT, free_port, running
from bench.rest import Rest
from bench.rpc_app import SECRET

SLOTS = 10_000
"""The most that the configuration takes."""
CONNECTIONS = 16_384


class Side(Protocol):
    """One that carries tunnels."""

    @property
    def pid(self) -> int:
        """Give its process; it may have children."""

    def path(self) -> str:
        """Give the address of a new tunnel, its session made beforehand."""

    def connect(self, path: str) -> WebSocket:
        """Open it."""


@frozen
class Peer:
    """websockify from PyPI, as its command line starts it."""

    pid: int
    port: int

    def path(self) -> str:
        """Give the one path."""
        return "/websockify"

    def connect(self, path: str) -> WebSocket:
        """Open a tunnel."""
        return WebSocket(self.port, path)


@frozen
class Ours:
    """This daemon, with a session for each tunnel."""

    pid: int
    port: int

    def path(self, service: str = "target") -> str:
        """Reserve a session."""
        with Rest(self.port) as rest:
            return f"/tunnel?token={rest.call('POST', '/sessions', {'service': service})['token']}"

    def paths(self, count: int) -> list[str]:
        """Reserve many."""
        with Rest(self.port) as rest:
            made = [rest.call("POST", "/sessions", {"service": "target"}) for _ in range(count)]
        return [f"/tunnel?token={one['token']}" for one in made]

    def connect(self, path: str) -> WebSocket:
        """Open a tunnel."""
        return WebSocket(self.port, path)


def daemon(config: Path) -> tuple[str, ...]:
    """Give the words, behind the interpreter, that run this daemon."""
    twistd = str(Path(sys.executable).with_name("twistd"))
    return (twistd, "-n", "--pidfile=", "sessiond", "--config", str(config))


@contextmanager
def a_target(folder: Path) -> Iterator[int]:
    """Run the target, and give its port."""
    port = free_port()
    with running(folder, "target", "-m", "bench.target", str(port), port=port):
        yield port


@contextmanager
def ours(folder: Path, target: int) -> Iterator[Ours]:
    """Run this daemon with nothing kept but in a new folder."""
    port = free_port()
    state = folder / f"state-{port}"
    config = folder / f"{port}.toml"
    config.write_text(configuration(state, port, target))
    with running(folder, "sessiond", *daemon(config), port=port) as pid:
        yield Ours(pid, port)


@contextmanager
def peer(folder: Path, target: int) -> Iterator[Peer | None]:
    """Run websockify, where it is installed."""
    if find_spec("websockify") is None:
        yield None
        return
    port = free_port()
    arguments = ("-m", "websockify", f"127.0.0.1:{port}", f"127.0.0.1:{target}")
    with running(folder, "websockify", *arguments, port=port) as pid:
        yield Peer(pid, port)


@contextmanager
def rpc(folder: Path) -> Iterator[tuple[int, int | None]]:
    """Run the same application here and by wslink, where that is installed; give both ports."""
    with ExitStack() as stack:
        ports: list[int | None] = []
        own = ("-m", "sessiond.rpc", f"{ROOT / 'bench' / 'rpc_app.py'}:Ours", "--host", "127.0.0.1", "--timeout", "0")
        for name, words in (("rpc", own), ("wslink", ("-m", "bench.rpc_app"))):
            if name == "wslink" and find_spec("wslink") is None:
                ports.append(None)
                continue
            port = free_port()
            more = ("--port", str(port), "--authKey", SECRET) if name == "rpc" else (str(port),)
            stack.enter_context(running(folder, name, *words, *more, port=port))
            ports.append(port)
        mine, other = ports
        yield mine or 0, other


STATUS_SERVICES, STATUS_SLOTS = 50, 20


@contextmanager
def nexus(folder: Path) -> Iterator[Ours]:
    """Run this daemon as Nexus' portals see it, with many services; half of their slots are to be reserved."""
    port = free_port()
    names = [f"service-{number}" for number in range(STATUS_SERVICES)]
    config = folder / f"{port}.toml"
    services = "".join(
        f'[services.{name}]\nkind = "tcp"\nlauncher = "process"\nlaunch = "on-connect"\n'
        f'command = ["true", "${{port}}"]\nwatch = "child"\ncount = {STATUS_SLOTS}\n'
        for name in names
    )
    offered = "".join(f"services.{name} = {{}}\n" for name in names)
    config.write_text(f"""\
state_dir = {json.dumps(str(folder / f"state-{port}"))}
[listeners.web]
endpoint = "tcp:{port}:interface=127.0.0.1:backlog=1024"
serves = ["nexus", "health"]
callers = "anyone"
{services}[dialects.nexus]
{offered}""")
    with running(folder, "sessiond", *daemon(config), port=port) as pid:
        yield Ours(pid, port)


def configuration(state: Path, port: int, target: int) -> str:
    """Write a configuration: the durable store, everything else as it is by default."""
    command = json.dumps(["${python}", "-S", "-m", "bench.app", "${port}"])
    party = json.dumps(["${python}", "-S", "-m", "bench.party"])
    return f"""\
state_dir = {json.dumps(str(state))}
[listeners.web]
endpoint = "tcp:{port}:interface=127.0.0.1:backlog=1024"
serves = ["api", "tunnel", "health", "metrics"]
callers = "anyone"
max_connections = {CONNECTIONS}
max_per_address = {CONNECTIONS}
[services.target]
kind = "tcp"
launcher = "fixed"
target = {{ host = "127.0.0.1", port = {target} }}
count = {SLOTS}
limits = {{ connect = "10m" }}
[services.app]
kind = "tcp"
launcher = "process"
command = {command}
pass_env = ["PATH", "PYTHONPATH"]
ports = "18000-18999"
count = 50
[services.party]
kind = "messages"
launcher = "process"
command = {party}
framing = "length"
pass_env = ["PATH", "PYTHONPATH"]
count = 50
"""
