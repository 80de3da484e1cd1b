"""Says which port it has, waits until it may bind it (a file is there), and stays even where it can't."""

import socket
import sys
import time
from pathlib import Path

port, here, go = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
here.with_suffix(".part").write_text(str(port))
here.with_suffix(".part").rename(here)
while not go.exists():
    time.sleep(0.01)
try:
    server = socket.create_server(("127.0.0.1", port))
except OSError as error:
    sys.stderr.write(f"{error.strerror}\n")
time.sleep(600)
