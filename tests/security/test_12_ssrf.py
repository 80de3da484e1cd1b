"""No request names a target: the daemon connects to what it has launched, or to what its configuration says.

Each way in which a request could name a host and a port is tried with a trap that listens there. The reverse proxy of
session pages has tests of its own; it does not exist yet.
"""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

import pytest

from tests.e2e.places import Place
from tests.e2e.running import Running, running
from tests.e2e.services import converse, echo, service
from tests.e2e.wire import Refusal, Tunnel
from tests.security.exchange import Exchange

FIELDS = (
    *("host", "port", "target", "url", "endpoint", "address", "socket", "path", "command", "env", "user", "directory"),
    *(
        "kind",
        "launcher",
        "public_url",
        "tunnel_url",
        "callback",
        "liveliness",
        "ready",
        "slot",
        "id",
        "token",
        "leases",
    ),
)
HEADERS = (
    *("X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Server", "X-Real-IP", "X-Original-URL", "X-Rewrite-URL"),
    *(
        "Forwarded",
        "X-Host",
        "Via",
        "Referer",
        "X-Forwarded-Port",
        "X-Target",
        "True-Client-IP",
        "X-HTTP-Host-Override",
    ),
)


@contextmanager
def trap() -> Iterator[tuple[int, list[str]]]:
    """Listen where a daemon might be led, hold that nobody comes, and name the place in every way."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = int(listening.getsockname()[1])
        hosts = (
            *(
                "127.0.0.1",
                "localhost",
                "2130706433",
                "0177.0.0.1",
                "0x7f.0.0.1",
                "0x7f000001",
                "127.1",
                "0",
                "0.0.0.0",
            ),
            *(
                "[::ffff:127.0.0.1]",
                "[::ffff:7f00:1]",
                "[::1]",
                "[::]",
                "127.0.0.1.nip.io",
                "localtest.me",
                "127.0.0.1.",
            ),
            *("127.0.0.2", "169.254.169.254", "metadata.google.internal", "user@127.0.0.1", "127.0.0.1%00.example.org"),
        )
        yield port, [f"{host}:{port}" for host in hosts]
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


@contextmanager
def serving(place: Place) -> Iterator[Running]:
    """Run a daemon with a service that works."""
    with running(place.configure(echo(place, count=2))) as daemon:
        yield daemon.ready()


def test_orders(place: Place) -> None:
    """An order names a service and its options; whatever else it holds is refused, and so are unknown options."""
    with serving(place) as daemon, trap() as (port, places):
        for field in FIELDS:
            for value in (places[0], port, {"host": "127.0.0.1", "port": port}, f"http://{places[0]}/"):
                refused = daemon.order("echo", "none", **{field: value})
                assert (refused.status, refused.json["code"]) == (400, "bad-request")
                refused = daemon.order("echo", "none", options={field: value})
                assert (refused.status, refused.json["code"]) == (400, "bad-option")
        for name in places:
            for wanted in (name, f"http://{name}", f"//{name}", f"../{name}"):
                assert daemon.order(wanted, "none").status == 404
        assert daemon.sessions() == []


def test_addresses(place: Place) -> None:
    """A request for somewhere else, as to a proxy, is for nothing here; headers of proxies lead nowhere."""
    with serving(place) as daemon, trap() as (_, places), Exchange(daemon.url) as client:
        for name in (one.encode() for one in places):
            for target in (b"http://%s/", b"https://%s/x", b"//%s/", b"/%s", b"/http://%s/", b"ws://%s/tunnel", b"%s"):
                for method in (b"GET", b"CONNECT", b"POST"):
                    try:
                        got = client.get(target % name, method, b"Content-Length: 0\r\n")
                    except (HTTPException, ConnectionError):  # hung up on without a word
                        client.close()
                        continue
                    assert 400 <= got.status < 500, (target % name, got)
            for header in HEADERS:
                got = client.get(b"/api/v1/services", more=header.encode() + b": http://" + name + b"/\r\n")
                assert got.status == 200
                assert name not in got.body


def test_urls_for_clients(place: Place) -> None:
    """The URL of a tunnel leads back to the daemon, whatever headers say of other hosts."""
    with serving(place) as daemon, trap() as (_, places), Exchange(daemon.url) as client:
        more = "".join(f"{header}: {places[0]}\r\n" for header in HEADERS)
        order = json.dumps({"service": "echo"})
        more += f"Content-Type: application/json\r\nContent-Length: {len(order)}\r\n"
        head = f"POST /api/v1/sessions HTTP/1.1\r\nHost: {client.netloc}\r\n{more}\r\n"
        got = client.send((head + order).encode(), b"POST")
        made = json.loads(got.body)
        assert made["tunnel_url"].startswith(f"ws://{client.netloc}/tunnel?token=")
        daemon.release(made["id"])
        daemon.ended(made["id"])


def test_tunnels(place: Place) -> None:
    """A tunnel leads to its own session's program; a host or port in its URL changes nothing and opens nothing."""
    with serving(place) as daemon, trap() as (port, places):
        made = daemon.order("echo")
        own = made.json["tunnel_url"]
        base = own.partition("?")[0]
        for name in places:
            query = f"host={name}&port={port}&target={name}&url=http://{name}/&path=/{name}&upstream={name}"
            for token in ("", f"token={name}&", f"ticket={name}&"):
                with pytest.raises(Refusal) as refused:
                    Tunnel(f"{base}?{token}{query}")
                assert refused.value.status in (400, 401)
        query = "".join(f"&{field}={places[0]}" for field in FIELDS if field != "token")
        with Tunnel(own + query) as tunnel:
            converse(tunnel)
        daemon.release(made.json["id"])
        daemon.ended(made.json["id"])


def test_redirecting_target(place: Place) -> None:
    """A program whose page leads elsewhere is ready by its status; nobody goes where it leads."""
    first, last = place.ports
    with trap() as (port, _):
        script = place.folder / "leads.py"
        script.write_text(LEADS)
        leads = service(
            *("leads", script, "${port}", f"http://127.0.0.1:{port}/"),
            kind="http",
            ready="http:/start",
            ports=f"{first}-{last}",
        )
        with running(place.configure(leads)) as daemon:
            made = daemon.ready().order("leads")
            assert (made.status, made.json["state"]) == (201, "ready")
            daemon.release(made.json["id"])
            daemon.ended(made.json["id"])


LEADS = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Leads(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", sys.argv[2])
        self.end_headers()


HTTPServer(("127.0.0.1", int(sys.argv[1])), Leads).serve_forever()
"""
