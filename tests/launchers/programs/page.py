"""Serves HTTP at ``tcp PORT`` or ``unix PATH``: 503 the first two times, then 200; prints each request line."""

import socket
import sys

kind, place = sys.argv[1:3]
if kind == "unix":
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
else:
    listener = socket.socket()
    listener.bind(("127.0.0.1", int(place)))
listener.listen()
for number in range(100):
    client, _ = listener.accept()
    request = client.recv(4096)
    sys.stdout.write(request.split(b"\r\n")[0].decode() + "\n")
    sys.stdout.flush()
    status = b"503 Soon" if number < 2 else b"200 OK"
    client.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok")
    client.close()
