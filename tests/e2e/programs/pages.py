"""Shows pages on a port of loopback, or on a UNIX socket: what a reverse proxy is tried with."""

import hashlib
import json
import socket
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

NEXT = threading.Semaphore(0)
"""Counts the events that may be told."""


class Pages(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        """Name nobody: who comes over a UNIX socket has no address."""
        return "-"

    def say(self, found: object, status: int = 200, **headers: str) -> None:
        """Answer with JSON."""
        content = json.dumps(found).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def begin(self, **headers: str) -> None:
        """Begin an answer in parts."""
        self.send_response(200)
        for name, value in {"Transfer-Encoding": "chunked", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def part(self, content: bytes) -> None:
        """Send a part of it."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self.say({})

    def do_GET(self) -> None:
        """Show a page."""
        page = getattr(self, "show_" + self.path.partition("?")[0].strip("/").partition("/")[0], self.show_asked)
        page()

    def show_asked(self) -> None:
        """Say what was asked for, and how."""
        lines = [[name, value] for name, value in self.headers.items()]
        self.say({"path": self.path, "lines": lines})

    def show_page(self) -> None:
        """Show a page whose script asks for more."""
        content = (
            b"<!doctype html><title>page</title><p id=told></p><script>"
            b"fetch('more').then(answer => answer.json()).then(json => { told.textContent = json.path })</script>"
        )
        self.begin(Content_Type="text/html")
        self.part(content)
        self.part(b"")

    def show_elsewhere(self) -> None:
        """Send the browser elsewhere, and set what a program sets."""
        told = {"Location": "/there", "Set_Cookie": "own=1; Path=/; Domain=example.org", "Connection": "X-Hop"}
        self.say({}, 302, X_Hop="1", Keep_Alive="timeout=5", Strict_Transport_Security="max-age=1", **told)

    def show_events(self) -> None:
        """Tell three events, each when it is asked for."""
        self.begin(Content_Type="text/event-stream")
        for number in range(3):
            NEXT.acquire()
            self.part(b"data: %d\n\n" % number)
        self.part(b"")

    def show_flood(self) -> None:
        """Send for ever, and note how much was taken."""
        self.begin()
        while True:
            self.part(bytes(65536))

    def show_half(self) -> None:
        """Break off in the midst."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def show_plain(self) -> None:
        """Answer as old programs do: the end of the connection is the end of the answer."""
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nplain and old")
        self.close_connection = True

    def show_never(self) -> None:
        """Never answer."""
        threading.Event().wait(600)

    def show_echo(self) -> None:
        """Speak another protocol from now on: say everything back."""
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        self.wfile.flush()
        while data := self.connection.recv(65536):
            self.connection.sendall(data)
        self.close_connection = True

    def do_POST(self) -> None:
        """Let an event be told, or refuse a body without reading it."""
        if self.path == "/next":
            NEXT.release()
            self.say({})
        else:
            self.say({"refused": True}, 413, Connection="close")
            self.close_connection = True

    def do_PUT(self) -> None:
        """Read a body, and say what it was."""
        digest, size = hashlib.sha256(), 0
        for part in self.body():
            digest.update(part)
            size += len(part)
        coding = self.headers.get("Transfer-Encoding")
        self.say({"size": size, "sha256": digest.hexdigest(), "coding": coding, "expect": self.headers.get("Expect")})

    def body(self) -> Any:
        """Give the parts of a body."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            part = self.rfile.read(min(left, 65536))
            left -= len(part)
            yield part


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves any number of clients."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 100

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""


class LocalServer(Server):
    """Does so on a UNIX socket."""

    address_family = socket.AF_UNIX


where: Any = sys.argv[1]
with Server(("127.0.0.1", int(where)), Pages) if where.isdigit() else LocalServer(where, Pages) as server:
    server.serve_forever()
