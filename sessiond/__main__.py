"""``python -m sessiond``: the operator's commands."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from sessiond import __version__, commands

SCOPES = ("read", "launch", "operate")
DEFAULT_URL = "http://127.0.0.1:9000"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    :param arguments: without the program's name; those of the process if they are left out.
    :returns: 0 if it did what was asked, 1 if not, 2 (by argparse) for a command line that is not understood.
    """
    found = parser().parse_args(arguments)
    try:
        run(found)
    except commands.Failed as failed:
        print(failed, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the answer has seen enough; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return 0


def run(found: argparse.Namespace) -> None:
    """Carry a command out."""
    if found.command == "check-config":
        commands.check_config(found.file, os.environ, print)
    elif found.command == "token":
        commands.new_token(found.name, found.scope or ["launch"], found.group, print)
    else:
        api = commands.Api(found.url, commands.read_token(found.token_file, os.environ))
        if found.action == "list":
            commands.list_sessions(api, print)
        elif found.action == "end":
            commands.end_session(api, found.id, print)
        else:
            commands.show_log(api, found.id, print)


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(prog="sessiond", description="Commands for the operator of a session daemon.")
    top.add_argument("--version", action="version", version=f"sessiond {__version__}")
    below = top.add_subparsers(dest="command", required=True)
    check = below.add_parser("check-config", help="check a configuration file")
    check.add_argument("file", type=Path, metavar="FILE")
    new = below.add_parser("token", help="make tokens").add_subparsers(dest="action", required=True)
    _add_new(new.add_parser("new", help="make a token, and the lines for the configuration"))
    _add_sessions(below.add_parser("sessions", help="see to the sessions of a running daemon"))
    return top


def _add_new(new: argparse.ArgumentParser) -> None:
    new.add_argument("name", type=name, metavar="NAME", help="a lower-case name for the caller")
    new.add_argument("--scope", action="append", choices=SCOPES, help="what it is good for (launch)")
    new.add_argument("--group", action="append", default=[], type=group, help="whose services it sees and starts")


def _add_sessions(sessions: argparse.ArgumentParser) -> None:
    sessions.add_argument("--url", default=DEFAULT_URL, help="how the daemon is reached (%(default)s)")
    where = f"a file that holds the token; else it is taken from {commands.TOKEN_VARIABLE}"
    sessions.add_argument("--token-file", type=Path, metavar="FILE", help=where)
    actions = sessions.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="show them")
    for action, said in (("end", "end one"), ("log", "show the last lines of one's output")):
        actions.add_parser(action, help=said).add_argument("id", metavar="ID")


def name(text: str) -> str:
    """Read a name as the configuration takes it."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", text, re.ASCII):
        raise argparse.ArgumentTypeError("a lower-case letter, then letters, digits and dashes, 32 at most")
    return text


def group(text: str) -> str:
    """Read a group's name as the configuration takes it."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", text, re.ASCII):
        raise argparse.ArgumentTypeError("letters, digits and _.@-, 64 at most")
    return text


if __name__ == "__main__":
    sys.exit(main())
