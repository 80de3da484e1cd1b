"""The command line of wslink's launcher: the daemon, set up by the launcher's own file and by nothing else.

``python -m sessiond.launcher CONFIG``. Exit status: 2 for what can't be, 3 for a port that is taken, 1 for any other
start that failed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from sessiond import __version__
from sessiond.boot.foreground import REFUSED, run
from sessiond.config import Callers, Config, Face, Listener, Wslink
from sessiond.config.endpoints import BACKLOG, Described
from sessiond.config.launcher import Terms, endpoint, read_launcher
from sessiond.config.listeners import origin
from sessiond.config.load import usual_state
from sessiond.config.units import Unfit
from sessiond.core.errors import ConfigError
from sessiond.core.services import Catalogue

NAME = "launcher"


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(
        prog="python -m sessiond.launcher",
        description="Start applications of wslink on request, and carry their clients' WebSockets to them.",
    )
    add = top.add_argument
    add("config", metavar="CONFIG", type=Path, help="the launcher's configuration: JSON, comments allowed")
    add("-d", "--debug", action="store_true", help="log more")
    add("--backend", metavar="NAME", help="taken and without effect")
    ours = top.add_argument_group("sessiond's own")
    add = ours.add_argument
    add("--state-dir", metavar="DIR", help="where sessions are kept (usually below ~/.local/state)")
    add("--alias", metavar="PATH", action="append", default=[], help="answer at this path too; takes several")
    add("--status", action="store_true", help="let clients ask for a session by GET, and end it by DELETE")
    add("--origin", metavar="ORIGIN", action="append", default=[], help="pages that may call (all); takes several")
    add("--strict", action="store_true", help="refuse fields of clients that sanitize does not name")
    add("--version", action="version", version=f"sessiond {__version__}")
    return top


def configure(words: Sequence[str], environment: Mapping[str, str]) -> tuple[Config, argparse.Namespace]:
    """Make the configuration.

    :raises SystemExit: argparse has said what is wrong, or was asked for help.
    :raises ConfigError: the file is refused; one fault in each line.
    """
    said = parser().parse_args(words)
    try:
        aliases = tuple(endpoint(alias) for alias in said.alias)
        origins = tuple(origin(one) for one in said.origin)
    except Unfit as unfit:
        raise ConfigError(str(unfit)) from None
    terms = Terms(NAME, aliases, status=said.status, origins=origins, strict=said.strict)
    faults: list[str] = []
    found = read_launcher(said.config, terms, faults)
    if faults or found is None:
        raise ConfigError("\n".join(faults))
    state_dir = Path(said.state_dir or usual_state(environment)).absolute()
    # As a name, it may stand for an address of version 6 first, where nothing that knows the launcher looks.
    host = "127.0.0.1" if found.host == "localhost" else found.host
    listener = Listener(
        name=NAME,
        endpoint=Described("tcp", {"port": str(found.port), "interface": host, "backlog": BACKLOG}).text(),
        serves=frozenset({Face.WSLINK}),
        callers=Callers.ANYONE,
        origins=origins,
        port=found.port or None,
    )
    config = Config(
        state_dir=state_dir,
        runtime_dir=state_dir / "run",
        listeners=(listener,),
        catalogue=found.offered(Catalogue()),
        wslink=Wslink(launchers=(found.launcher,)),
    )
    return config, said


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run the daemon until it is stopped, and end the process."""
    try:
        config, said = configure(sys.argv[1:] if words is None else words, os.environ)
    except ConfigError as error:
        sys.stderr.write(f"sessiond.launcher: {error}\n")
        raise SystemExit(REFUSED) from None
    run(config, sys.stdout, "sessiond.launcher", verbose=said.debug)


if __name__ == "__main__":
    main()
