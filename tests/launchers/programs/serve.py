"""Listens where it is told: ``tcp PORT``, ``any PORT`` (dual-stack), ``unix PATH``; ``stubborn`` ignores TERM."""

import signal
import socket
import sys
import time

kind, place = sys.argv[1:3]
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if kind == "unix":
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
elif kind == "any":
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", int(place)))
else:
    listener = socket.socket()
    listener.bind(("127.0.0.1", int(place)))
listener.listen()
sys.stdout.write(f"listening at {time.clock_gettime(time.CLOCK_MONOTONIC)}\n")
sys.stdout.flush()
time.sleep(600)
