"""Listens, says so by a report of its own, and announces its end once a client has come and gone."""

import socket
import sys
from urllib.request import ProxyHandler, build_opener


def main(port: str, base: str, session_id: str) -> None:
    """Serve one client."""
    opener = build_opener(ProxyHandler({}))

    def report(what: str) -> None:
        with opener.open(f"{base}//{session_id}/?liveliness={what}", b"{}", 30) as answer:
            assert answer.status == 204

    with socket.create_server(("127.0.0.1", int(port))) as listening:
        report("ping")
        report("ready")
        client, _ = listening.accept()
        while client.recv(1024):
            pass
        client.close()
    report("disconnect")


main(*sys.argv[1:])
