"""A real site of wslink's launcher: its file, the daemon that stands in for it, and web servers in front."""

import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.components import APACHE, needs
from tests.daemon import READY, ROOT, Answer, Daemon, end_all, free_port, spawn_script
from tests.docs.documents import blocks, page
from tests.e2e.places import Place
from tests.security.fronts import Dial, running

PROGRAMS = ROOT / "tests" / "ws" / "rpc" / "programs"
OURS = ["-m", "sessiond.rpc", f"{PROGRAMS / 'application.py'}:Application"]
ORIGINAL = [str(PROGRAMS / "original.py")]
OPTIONS = ["--host", "$host", "--port", "${port}", "--authKey", "$secret"]
LOOK_S = 0.02

APACHE_CONFIG = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/pid
ErrorLog {folder}/error.log
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule rewrite_module {modules}/mod_rewrite.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
LoadModule proxy_wstunnel_module {modules}/mod_proxy_wstunnel.so
{documented}
"""
NGINX_CONFIG = """
daemon off;
{user}pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen 127.0.0.1:{port};
    {documented}
  }}
}}
"""


@pytest.fixture
def site_ends(place: Place) -> Iterator[None]:
    """End the daemon that a test has started, in order, before one looks what is left."""
    yield
    end_all("TERM")


def ready(argv: list[str], line: str | None = "Starting factory") -> dict[str, object]:
    """Give an application of a launcher."""
    return {"cmd": argv, **({} if line is None else {"ready_line": line})}


def python(*argv: str) -> list[str]:
    """Give the argument list of a Python program."""
    return ["${python}", *argv]


APPS: Mapping[str, Any] = {
    "ours": ready(python(*OURS, *OPTIONS, "--timeout", "$idle")),
    "original": ready(python(*ORIGINAL, *OPTIONS, "--timeout", "300")),
}


@define
class LauncherSite:
    """A running site.

    :ivar endpoint: where clients ask, below the daemon's root.
    """

    daemon: Daemon
    folder: Path
    port: int
    ports: range
    endpoint: str = "/paraview/"

    @classmethod
    async def start(
        cls,
        place: Place,
        apps: Mapping[str, Any] = APPS,
        *,
        ports: int = 4,
        idle: str = "300",
        options: Sequence[str] = ("--status",),
        configuration: Mapping[str, Any] | None = None,
        **top: Any,
    ) -> "LauncherSite":
        """Write the file, and start the daemon from it alone.

        :param ports: how many there are.
        :param idle: after how many seconds without a client our application ends.
        :param options: of the command line.
        """
        port, (first, _) = free_port(), place.ports
        file = {
            "configuration": {
                "host": "localhost",
                "port": port,
                "endpoint": "paraview",
                "proxy_file": str(place.folder / "proxy.txt"),
                "sessionURL": "ws://USE_HOST/proxy?sessionId=${id}&path=ws",
                "timeout": 60,
                "log_dir": "logs",
                "fields": ["host", "port"],
                **(configuration or {}),
            },
            "resources": [{"host": "localhost", "port_range": [first, first + ports - 1]}],
            "properties": {"python": sys.executable, "idle": idle},
            "apps": apps,
            **top,
        }
        path = place.folder / "launcher.json"
        path.write_text(f"// The launcher of a test.\n{json.dumps(file, indent=2)}\n/* That is all. */\n")
        daemon = await cls._started(place, options)
        return cls(daemon, place.folder, port, range(first, first + ports))

    @staticmethod
    async def _started(place: Place, options: Sequence[str]) -> Daemon:
        own = ["--state-dir", str(place.folder / "state"), *options]
        argv = [sys.executable, "-m", "sessiond.launcher", str(place.folder / "launcher.json"), *own]
        daemon = spawn_script(argv, place.folder)
        daemon.url = (await daemon.line(READY)).rpartition(": ")[2].strip()
        return daemon

    async def again(self, place: Place) -> None:
        """Start the daemon once more."""
        self.daemon = await self._started(place, ("--status",))

    async def post(self, application: str | None, **fields: object) -> Answer:
        """Ask for an application."""
        body = {**({} if application is None else {"application": application}), **fields}
        return await self.daemon.call("POST", self.endpoint, body)

    @property
    def logs(self) -> dict[str, str]:
        """Give what each session's program has printed."""
        return {path.stem: path.read_text() for path in (self.folder / "logs").iterdir()}

    @property
    def mapping(self) -> dict[str, str]:
        """Read the mapping file."""
        lines = (self.folder / "proxy.txt").read_text().splitlines()
        return dict(line.split(" ") for line in lines)

    async def until(self, look: Any, what: str) -> None:
        """Wait for something."""
        from twisted.internet import reactor

        for _ in range(int(60 / LOOK_S)):
            if look():
                return
            await _later(reactor)
        raise AssertionError(f"not in time: {what}")


def _later(reactor: Any) -> Deferred[None]:
    return deferLater(reactor, LOOK_S, lambda: None)


@contextmanager
def apache(folder: Path, daemon: int, mapping: Path) -> Iterator[int]:
    """Run Apache in front of a site with the rules that the documents give, and give its port."""
    needs(APACHE)
    (rules,) = blocks(page("launcher"), "apache")
    text = rules.text.replace("/var/lib/launcher/proxy.txt", str(mapping))
    text = text.replace("127.0.0.1:9000", f"127.0.0.1:{daemon}")
    modules = "/usr/lib/apache2/modules"
    config, port = _front(folder, APACHE_CONFIG, documented=text, modules=modules)
    with running(folder, [APACHE, "-X", "-f", str(config)], _dials(port)):
        yield port


@contextmanager
def nginx(folder: Path, daemon: int) -> Iterator[int]:
    """Run nginx in front of a site with the rules that the documents give, and give its port."""
    needs("nginx")
    (rules,) = blocks(page("launcher"), "nginx")
    text = rules.text.replace("127.0.0.1:9000", f"127.0.0.1:{daemon}")
    user = "user root;\n" if os.geteuid() == 0 else ""
    config, port = _front(folder, NGINX_CONFIG, documented=text, user=user)
    with running(folder, ["nginx", "-c", str(config), "-e", str(folder / "error.log")], _dials(port)):
        yield port


def _front(folder: Path, template: str, **more: str) -> tuple[Path, int]:
    folder.mkdir()
    config, port = folder / "front.conf", free_port()
    config.write_text(template.format(folder=folder, port=port, **more))
    return config, port


def _dials(port: int) -> Dial:
    return lambda: socket.create_connection(("127.0.0.1", port), 30)
