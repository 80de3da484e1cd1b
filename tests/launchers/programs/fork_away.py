"""Forks into sessions of their own, twice each, and ignores TERM.

``stay``: the main process stays. ``leave``: it ends and leaves the others. ``clean``: like ``leave``, and what is left
has a new environment without any mark. ``hop``: what is left forks again and again, each parent ending at once.
"""

import os
import signal
import sys
import time

how = sys.argv[1]
signal.signal(signal.SIGTERM, signal.SIG_IGN)


def away() -> bool:
    """Leave the family: the intermediate process ends, and the last one is an orphan in a session of its own."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            return True
        os._exit(0)
    os.wait()
    return False


def hop() -> None:
    """Be another process every moment."""
    for _ in range(100_000):
        os.setsid()
        if os.fork():
            os._exit(0)


for _ in range(3):
    if away():
        if how == "clean":
            os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)"], {})
        if how == "hop":
            hop()
        time.sleep(600)
sys.stdout.write("forked away\n")
sys.stdout.flush()
if how == "stay":
    time.sleep(600)
