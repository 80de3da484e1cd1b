"""The program that runs a service's script: a process for each slot, started as ``python -P`` and this file's path.

It reads one order, a line of JSON, from its standard input, and answers in lines of JSON on its standard output. That
input ends when the script is to stop, and also when the daemon is gone, however it went: so the script's ``stop`` runs
in either case. What the script itself prints goes to the session's output, as everything else does there.

It may be run by another interpreter than the daemon's, where sessiond is not installed. So it imports the standard
library and, from beside its own file, :mod:`sessiond.nexus`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

NONCE_VARIABLE = "SESSIOND_NONCE"
MODULE = "sessiond_script"
"""The name of the script as a module: none that it could hide."""

CAUSE_CHARACTERS = 120
LATE_S = 10.0
"""How long after ``stop`` should be over everything is ended by force; a daemon that lives has done so before."""

TERM_S, KILL_S, LOOK_S = 5.0, 5.0, 0.02

Say = Callable[[dict[str, Any]], None]


class LoadError(Exception):
    """The script has not exactly one service; the text says what it has."""


# -- the script --------------------------------------------------------------------------------------------------------


def load(path: str, common_options: Any) -> Any:
    """Run a script's file and give its one service.

    :raises LoadError: it has none, or several.
    :raises BaseException: whatever the script raises.
    """
    base = _base()
    module = ModuleType(MODULE)
    module.__file__ = path
    vars(module)["RemoteServiceScript"] = base
    sys.modules[MODULE] = module  # classes are looked up by it
    # It finds what lies beside it, as any program does.
    sys.path.insert(0, str(Path(path).parent))
    sys.argv[:] = [path]
    exec(compile(Path(path).read_bytes(), path, "exec"), vars(module))  # noqa: S102 - the operator's own program
    service = _service_of(vars(module), base, common_options)
    if getattr(service, "_common_options", None) is None:
        service._common_options = common_options
    return service


def _base() -> type:
    """Import the base class from beside this file, whatever else of that name the interpreter has."""
    folder = Path(__file__).parent
    spec = importlib.util.spec_from_file_location(
        "sessiond", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if "sessiond" not in sys.modules and spec is not None and spec.loader is not None:
        sys.modules["sessiond"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["sessiond"])
    from sessiond.nexus import RemoteServiceScript  # noqa: PLC0415 - found only now

    return RemoteServiceScript


def _service_of(names: dict[str, Any], base: type, common_options: Any) -> Any:
    """Give the one instance of a subclass, else one of the one subclass that the file defines."""
    found = {id(value): (name, value) for name, value in names.items() if isinstance(value, base)}
    if len(found) == 1:
        return next(iter(found.values()))[1]
    if found:
        raise LoadError("several instances of RemoteServiceScript: " + ", ".join(name for name, _ in found.values()))
    classes = {value for value in names.values() if isinstance(value, type) and value.__module__ == MODULE}
    classes = {value for value in classes if issubclass(value, base)}
    if len(classes) == 1:
        return classes.pop()(common_options)
    if classes:
        named = ", ".join(sorted(value.__name__ for value in classes))
        raise LoadError(f"no instance, and several subclasses of RemoteServiceScript: {named}")
    raise LoadError("neither an instance nor a subclass of RemoteServiceScript")


def host_and_port(value: Any) -> list[Any] | None:
    """Give what a start returned as a list, ``None`` unless it is a pair of text and number."""
    is_pair = isinstance(value, tuple | list) and len(value) == 2
    if is_pair and isinstance(value[0], str) and isinstance(value[1], int) and not isinstance(value[1], bool):
        return [str(value[0]), int(value[1])]
    return None


def in_short(error: BaseException, path: str) -> str:
    """Tell an exception in one line: its type, its message, and the script's line that it came from."""
    name, lines = Path(path).name, [one.lineno for one in traceback.extract_tb(error.__traceback__, 1000)
                                    if one.filename == path]  # fmt: skip
    if isinstance(error, SyntaxError) and error.filename == path:
        lines, message = [error.lineno], str(error.msg)
    else:
        message = str(error)
    place = f" ({name}, line {lines[-1]})" if lines else ""
    kind = "" if isinstance(error, LoadError) else type(error).__name__
    room = CAUSE_CHARACTERS - 20 - len(place) - len(kind)  # 20: for the words in front of it
    message = shortened(message, max(room, 20))
    return ": ".join(part for part in (kind, message) if part) + place


def shortened(text: str, most: int) -> str:
    """Give a text on one line, without control characters, and no longer than that."""
    plain = "".join(one if one.isprintable() else " " for one in text).strip()
    return plain if len(plain) <= most else plain[: most - 1] + "…"


# -- its processes -----------------------------------------------------------------------------------------------------


def end_family(nonce: str) -> None:
    """End what the script has left: processes of this process session, or with this launch's mark."""
    for number, limit_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, KILL_S)):
        until, told = time.monotonic() + limit_s, set[int]()
        while (family := _family(nonce)) and time.monotonic() < until:
            for pid in family:
                if number is signal.SIGKILL or pid not in told:
                    _signal(pid, nonce, number)
            told |= set(family)
            time.sleep(LOOK_S)


def _family(nonce: str) -> list[int]:
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdecimal() and int(entry) != os.getpid()]
    return [pid for pid in pids if _is_ours(pid, nonce)]


def _is_ours(pid: int, nonce: str) -> bool:
    """Say whether a process lives and is of this launch; one that nobody may look at is none of ours."""
    try:
        state, _, _, session = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[:4]
        if state in b"ZX":
            return False
        mark = f"{NONCE_VARIABLE}={nonce}".encode()
        return int(session) == os.getsid(0) or mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _signal(pid: int, nonce: str, number: signal.Signals) -> None:
    """Signal a process, unless its number was given to another one meanwhile."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if _is_ours(pid, nonce):
            signal.pidfd_send_signal(handle, number)
    except OSError:
        pass
    finally:
        os.close(handle)


# -- the daemon --------------------------------------------------------------------------------------------------------


class Line:
    """The two pipes to the daemon, taken away from the script and from all that it starts.

    :ivar ended: the daemon wants an end, or is gone.
    """

    def __init__(self) -> None:
        self._orders, self._answers = os.dup(0), os.dup(1)  # not inherited by programs that the script starts
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        os.close(nothing)
        os.register_at_fork(after_in_child=self._close)
        self._read: queue.Queue[bytes | None] = queue.Queue()
        self.ended = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def order(self) -> dict[str, Any] | None:
        """Wait for the order; ``None`` where none comes any more."""
        line = self._read.get()
        return None if line is None else dict(json.loads(line))

    def say(self, answer: dict[str, Any]) -> None:
        """Answer; nothing happens where nobody is there to hear it."""
        try:
            os.write(self._answers, json.dumps(answer).encode() + b"\n")
        except OSError:
            pass

    def _listen(self) -> None:
        with os.fdopen(self._orders, "rb", closefd=False) as orders:
            line = orders.readline()
            self._read.put(line or None)
            orders.read()
        self.ended.set()

    def _close(self) -> None:
        """Leave them in a forked child, which would otherwise hear what is not for it."""
        os.close(self._orders)
        os.close(self._answers)


class Play:
    """One script from its loading to its end.

    :param say: answers the daemon.
    """

    def __init__(self, order: dict[str, Any], say: Say) -> None:
        self._path, self._index, self._order, self._say = str(order["script"]), order["index"], order, say
        self._service: Any = None
        self._begun = False

    def begin(self) -> None:
        """Load the script and, unless it was only to be looked at, start its service."""
        self._service = self._try("load", lambda: load(self._path, self._order["common_options"]))
        if self._service is None:
            return
        self._say({"loaded": type(self._service).__name__})
        if self._index is None:
            return
        self._begun = True
        returned = self._try("start", lambda: [self._service.start(self._index, self._order["options"])])
        if returned is None:
            return
        place = host_and_port(returned[0])
        if place is None:
            self._say({"failed": f"returned {shortened(repr(returned[0]), 80)}", "during": "start"})
        else:
            self._say({"returned": place})

    def end(self) -> bool:
        """Stop the service if it was begun; says whether that went well."""
        return not self._begun or self._try("stop", lambda: [self._service.stop(self._index)]) is not None

    def _try(self, what: str, call: Callable[[], Any]) -> Any:
        """Do something of the script's; what it raises is told, and its traceback goes to the output."""
        try:
            return call()
        except BaseException as error:  # noqa: BLE001 - also what a script says by sys.exit
            traceback.print_exc()
            self._say({"failed": in_short(error, self._path), "during": what})
            return None


def main() -> None:
    """Serve one order."""
    line, nonce = Line(), os.environ.get(NONCE_VARIABLE, "")
    order = line.order()
    if order is None:
        leave(0, "")
    else:
        threading.Thread(target=_watch, args=(line.ended, float(order["stop_s"]), nonce), daemon=True).start()
        play = Play(order, line.say)
        play.begin()
        line.ended.wait()
        leave(0 if play.end() else 1, nonce)


def _watch(ended: threading.Event, stop_s: float, nonce: str) -> None:
    """See that a start or stop that hangs does not outlive the daemon."""
    ended.wait()
    time.sleep(stop_s + LATE_S)
    leave(1, nonce)


def leave(status: int, nonce: str) -> None:
    """End all that is left of the script, then this process, whatever its threads still do."""
    if nonce:
        end_family(nonce)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(status)


if __name__ == "__main__":
    main()
