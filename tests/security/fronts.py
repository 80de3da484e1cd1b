"""Real proxies in front of a daemon, as credulous as they can be made. Each listens on a socket in its own folder."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.components import needs
from tests.e2e.running import LIMIT_S, until

NGINX = """
daemon off;
{user}pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  client_header_timeout {patience_s}s; client_body_timeout {patience_s}s; keepalive_timeout {patience_s}s;
  ignore_invalid_headers off; underscores_in_headers on; merge_slashes off;
  map $http_upgrade $connection_of {{ default upgrade; '' ''; }}
  upstream daemon {{ server {netloc}; keepalive 4; }}
  server {{
    listen unix:{folder}/front;
    location / {{
      proxy_pass http://daemon;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_next_upstream off;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_of;
    }}
  }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 30s
  timeout server 30s
  timeout client {patience_s}s
  timeout http-request {patience_s}s
  timeout http-keep-alive {patience_s}s
frontend front
  bind unix@{folder}/front
  option accept-invalid-http-request
  default_backend daemon
backend daemon
  http-reuse always
  server daemon {netloc}
"""
PATIENCE_S = 2
"""How long a proxy waits for the rest of a request, or for the next one."""

Dial = Callable[[], socket.socket]


@contextmanager
def nginx(folder: Path, netloc: str) -> Iterator[Dial]:
    """Run nginx in front of a daemon, and give what connects to it."""
    needs("nginx")
    user = "user root;\n" if os.geteuid() == 0 else ""
    config = _written(folder, NGINX, netloc, user)
    with running(folder, ["nginx", "-c", str(config), "-e", str(folder / "error.log")]) as dial:
        yield dial


@contextmanager
def haproxy(folder: Path, netloc: str) -> Iterator[Dial]:
    """Run HAProxy in front of a daemon, and give what connects to it."""
    needs("haproxy")
    with running(folder, ["haproxy", "-db", "-f", str(_written(folder, HAPROXY, netloc))]) as dial:
        yield dial


@contextmanager
def nothing(folder: Path, netloc: str) -> Iterator[Dial]:
    """Have nothing between."""
    host, _, port = netloc.partition(":")
    yield lambda: socket.create_connection((host, int(port)), LIMIT_S)


FRONTS: Mapping[str, Callable[[Path, str], AbstractContextManager[Dial]]] = {
    "directly": nothing,
    "nginx": nginx,
    "haproxy": haproxy,
}


def _written(folder: Path, text: str, netloc: str, user: str = "") -> Path:
    config = folder / "front.conf"
    config.write_text(text.format(folder=folder, netloc=netloc, user=user, patience_s=PATIENCE_S))
    return config


@contextmanager
def running(folder: Path, argv: list[str], dials: Dial | None = None) -> Iterator[Dial]:
    """Run a server until the end, once it listens: on the socket ``front`` in its folder, unless ``dials`` is given."""

    def front() -> socket.socket:
        leg = socket.socket(socket.AF_UNIX)
        leg.settimeout(LIMIT_S)
        try:
            leg.connect(str(folder / "front"))
        except OSError:
            leg.close()
            raise
        return leg

    dial = dials or front

    def listens() -> bool:
        assert process.poll() is None, (folder / "said").read_text()
        try:
            dial().close()
        except OSError:
            return False
        return True

    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    with process:
        try:
            until(listens, f"{argv[0]} listens")
            yield dial
        finally:
            process.terminate()
            try:
                process.wait(LIMIT_S)
            finally:
                process.kill()
