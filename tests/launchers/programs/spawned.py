"""A small daemon: launches one session with a process launcher, prints its program, and waits to be killed.

Arguments: the runtime folder, the instance, the session's id and nonce, a port, and the command.
"""

import sys
from pathlib import Path

from twisted.internet import reactor

from sessiond.clock import SteadyClock
from sessiond.core.events import Event
from sessiond.launchers.process import ProcessLauncher
from sessiond.launchers.reaping import Reaper
from tests.contracts.launcher import make_service, session_named

runtime, instance, session_id, nonce, port, *command = sys.argv[1:]


def tell(event: Event) -> None:
    """Print what comes."""
    sys.stdout.write(f"{event!r}\n")
    sys.stdout.flush()


def begin() -> None:
    """Launch."""
    reaper = Reaper(reactor)
    reaper.open()
    launcher = ProcessLauncher(
        reactor,
        SteadyClock(reactor),
        Path(runtime),
        reaper,
        instance=instance,
        nonce=lambda: nonce,
    )
    launcher.launch(session_named(session_id, int(port), nonce=nonce), make_service(command=tuple(command)), tell)


reactor.callWhenRunning(begin)
reactor.run()
