"""A program that reads all it gets and says when it has begun, until it is stopped: as a target, or as a client.

As a target it is given a listening socket's descriptor and the word ``accept``, as a client a connected one's and
``read``. It is run apart, so that a signal can stop it.
"""

import socket
import sys

if __name__ == "__main__":
    leg = socket.socket(fileno=int(sys.argv[1]))
    leg.setblocking(True)
    if sys.argv[2] == "accept":
        leg = leg.accept()[0]
    told = False
    while leg.recv(1 << 18):
        if not told:
            told = True
            sys.stdout.write("reads\n")
            sys.stdout.flush()
