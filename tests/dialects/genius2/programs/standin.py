"""A party with every fault that a test asks for: by its Settings, or by variables for what comes before them."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, os.environ["STANDIN_ROOT"])

from sessiond.demo.party import CAPABILITIES, DESCRIPTION, Message, Party, read, write

LINES = os.environ.get("STANDIN_LINES") == "1"


class Standin(Party):
    """Strict as real parties are, and faulty on request."""

    def hear(self, message: Message) -> list[Message]:
        """Take a message, and do what it was set up for."""
        [kind] = message
        actions = super().hear(message)
        faults = self.parameters
        if faults.get("crash_on") == kind:
            raise RuntimeError("é" * 300 if faults.get("long_error") else "the party has had enough")
        if faults.get("exit0_on") == kind:
            sys.exit(0)
        if faults.get("print_on") == kind:
            sys.stdout.write("I was only debugging this party\n")
            sys.stdout.flush()
        if faults.get("raw_on") == kind:
            sys.stdout.buffer.write(bytes.fromhex(faults["raw"]))
            sys.stdout.buffer.flush()
        if faults.get("big_on") == kind:
            say(b'"' + b"x" * (int(faults["size"]) - 2) + b'"')
        if faults.get("write_on") == kind:
            Path(faults["file"]).write_text(self.me, "utf-8")
            say(json.dumps({"wrote": str(Path(faults["file"]).resolve())}).encode())
        if faults.get("child_on") == kind:
            subprocess.Popen(["sleep", "1000"])
        return actions


def hear() -> bytes | None:
    """Read one message."""
    if LINES:
        return sys.stdin.buffer.readline().rstrip(b"\n") or None
    return read(sys.stdin.buffer)


def say(message: bytes) -> None:
    """Write one message."""
    if LINES:
        sys.stdout.buffer.write(message + b"\n")
        sys.stdout.buffer.flush()
    else:
        write(sys.stdout.buffer, message)


def serve() -> None:
    """Play."""
    party = Standin()
    if os.environ.get("STANDIN_IGNORES_TERM") == "1":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while (message := hear()) is not None:
        if party.parameters.get("echo_bytes"):
            say(json.dumps({"digest": hashlib.sha256(message).hexdigest(), "size": len(message)}).encode())
            continue
        for action in party.hear(json.loads(message)):
            say(json.dumps(action).encode())
    while party.parameters.get("ignore_eof") or os.environ.get("STANDIN_IGNORES_EOF") == "1":
        time.sleep(1)


def main() -> None:
    """Do what the last argument says."""
    verb = sys.argv[-1]
    if os.environ.get("STANDIN_HANGS_IN") == verb:
        time.sleep(1000)
    if os.environ.get("STANDIN_BAD") == verb:
        sys.stdout.write("no JSON")
    elif verb == "capabilities":
        sys.stdout.write(json.dumps(CAPABILITIES))
    elif verb == "description":
        sys.stdout.write(json.dumps(os.environ.get("STANDIN_DESCRIPTION", DESCRIPTION)))
    else:
        serve()


main()
