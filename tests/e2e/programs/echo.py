"""Listens on a port of loopback and says everything back in capitals, to any number of clients."""

import socket
import sys
import threading


def serve(client: socket.socket) -> None:
    """Answer one client until it hangs up."""
    with client:
        while data := client.recv(65536):
            client.sendall(data.upper())


with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()
