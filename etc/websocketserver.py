#!/usr/bin/env python3
"""Stands in for an Ansys install's nexus###/nexus_launcher/websocketserver.py: put it there under that name.

Launchers find a running server by this file's name as the second word of its process, so it stays that whichever
interpreter runs it.
"""

import os
import sys

INTERPRETER = "/opt/sessiond/bin/python"
"""The Python in which sessiond is installed."""

SETTINGS = None
"""A TOML file with what the command line has no option for, or None."""

HERE = os.path.abspath(__file__)
MARK = "SESSIOND_STANDS_IN"


def run():
    """Run sessiond here, or this file once more by the interpreter that has it."""
    if os.environ.pop(MARK, None) is None and os.path.abspath(sys.executable) != os.path.abspath(INTERPRETER):
        try:
            os.execve(INTERPRETER, [INTERPRETER, HERE, *sys.argv[1:]], {**os.environ, MARK: "1"})
        except OSError as error:
            raise SystemExit(f"{HERE}: INTERPRETER {INTERPRETER}: {error.strerror}") from None
    # What lies beside this file is the install's, and no module of sessiond's.
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != os.path.dirname(HERE)]
    from sessiond.websocketserver import main

    main([*(["--settings", SETTINGS] if SETTINGS else []), *sys.argv[1:]], script=HERE)


if __name__ == "__main__":
    run()
