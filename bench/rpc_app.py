"""The RPC application that is measured, ours and the peer's: the same methods, by either's own classes.

``python -m sessiond.rpc bench/rpc_app.py:Ours`` serves it here; ``python -m bench.rpc_app PORT`` by wslink.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import Any

SECRET = "of-the-bench"  # noqa: S105 - guards nothing
BLOCK = os.urandom(4 << 20)
TOPIC, VALUE = "bench.topic", {"v": 1.5}


class Methods:
    """What either offers."""

    def echo(self, value: Any) -> Any:
        """Give back."""
        return value

    def blob(self, size: int) -> Any:
        """Give bytes."""
        return self.addAttachment(memoryview(BLOCK)[:size])  # type: ignore[attr-defined]

    def tell(self, count: int) -> int:
        """Publish so often."""
        for _ in range(count):
            self.publish(TOPIC, VALUE)  # type: ignore[attr-defined]
        return count


def application(link: Any, server: Any, register: Any) -> Any:
    """Make the application out of a library's classes."""

    class Bench(Methods, link):  # type: ignore[misc]
        echo = register("bench.echo")(Methods.echo)
        blob = register("bench.blob")(Methods.blob)
        tell = register("bench.tell")(Methods.tell)

    class Application(server):  # type: ignore[misc]
        authKey = SECRET

        def initialize(self) -> None:
            self.registerLinkProtocol(Bench())
            self.updateSecret(SECRET)

    return Application


def ours() -> Any:
    """Give it with our classes."""
    from sessiond.rpc import LinkProtocol, ServerProtocol, register  # noqa: PLC0415 - the peer needs none of them

    return application(LinkProtocol, ServerProtocol, register)


def main(port: int) -> None:
    """Serve it by the peer."""
    library, sockets = import_module("wslink"), import_module("wslink.websocket")
    server = import_module("wslink.server")
    parser = argparse.ArgumentParser()
    server.add_arguments(parser)
    given = parser.parse_args(["--host", "127.0.0.1", "--port", str(port), "--authKey", SECRET, "--timeout", "0"])
    server.start_webserver(given, application(sockets.LinkProtocol, sockets.ServerProtocol, library.register))


if __name__ == "__main__":
    main(int(sys.argv[1]))
else:
    Ours = ours()
