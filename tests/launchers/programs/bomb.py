"""Forks without end, up to some hundred processes, each of which forks again when another is missing."""

import os
import time

for _ in range(7):
    os.fork()
while True:
    if os.fork() == 0:
        time.sleep(0.001)
        os._exit(0)
    os.wait()
