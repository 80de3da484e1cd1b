"""The ``process`` launcher: programs as children of the daemon, each in a process session of its own."""

from __future__ import annotations

import grp
import os
import pwd
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from sessiond.core.events import Failed, Gone
from sessiond.core.services import Readiness, Scalar, Service
from sessiond.core.session import Session
from sessiond.core.values import Endpoint, Exit, LeaseKind, Stdio, Tcp, Unix
from sessiond.launchers.asking import ask
from sessiond.launchers.census import of_launch, of_strays
from sessiond.launchers.child import ProcessChild, Watches, remove_folder
from sessiond.launchers.command import CommandError, Marks, Tools, argv_of, directory_of, environment_of, missing
from sessiond.launchers.files import FileError, with_real_paths
from sessiond.launchers.inotify import GrowthWatch
from sessiond.launchers.output import KEPT_BYTES, OutputFile
from sessiond.launchers.placeholders import PlaceholderError, fill, values_of
from sessiond.launchers.procfs import boot_id
from sessiond.launchers.readiness import Lookout, socket_path_fits
from sessiond.launchers.reaping import Reaper
from sessiond.launchers.recovery import RecoveredChild, Search, Strays
from sessiond.launchers.sockets import SocketTable
from sessiond.ports import Child, Clock, Described, Streams, Tell

OUTPUT_NAME = "output"
SOCKET_NAME = "endpoint.sock"

MakeChild = Callable[[Watches, Tell, Readiness, str, Path, OutputFile, Endpoint | None], ProcessChild]

log = Logger()


class ProcessLauncher:
    """Starts programs on this machine.

    :param runtime: the folder of this instance of the daemon; each session gets one of its own in it.
    :param reaper: open, and shared by all that starts children.
    :param instance: this instance's name, the same in each of its runs; it marks all of its children.
    :param liveliness: gives the URL where a session's child reports.
    :param nonce: makes the mark of one launch, for programs that are only asked something.
    :param environ: the daemon's environment, of which services pass on what they name.
    """

    adopts = False

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        runtime: Path,
        reaper: Reaper,
        *,
        instance: str,
        liveliness: Callable[[Session], str] = lambda session: "",
        nonce: Callable[[], str],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._reactor, self._nonce = reactor, nonce
        self._runtime = runtime
        self._instance = instance
        self._liveliness = liveliness
        self._environ = environ
        self._reclaiming: list[set[str]] = []
        self._clock = clock
        self._search = Search(clock)
        self._tools = Tools.found_on(environ.get("PATH"))
        self._table = SocketTable()
        self._watches = Watches(reactor, reaper, Lookout(clock, self._table), GrowthWatch(reactor, clock), boot_id())

    def launch(self, session: Session, service: Service, tell: Tell) -> Child:
        """Start a session's program; see :class:`sessiond.ports.Launcher`."""
        return self.launch_as(ProcessChild, session, service, tell)

    def launch_as(self, make: MakeChild, session: Session, service: Service, tell: Tell) -> Child:
        """Start a program as :meth:`launch` does, for a child of another kind.

        :param make: makes the child, which says whether it wants pipes.
        """
        folder = self._runtime / folder_name(session.id)
        for accounted in self._reclaiming:
            accounted.add(session.nonce)
        try:
            endpoint = endpoint_of(session, service, folder)
            make_folder(folder)
        except LaunchError as refusal:
            return NeverLaunched(tell, str(refusal))
        except OSError as error:
            return NeverLaunched(tell, f"no private folder: {error.strerror}")
        try:
            return self._launch_in(make, folder, endpoint, session, service, tell)
        except (LaunchError, CommandError, FileError, PlaceholderError) as refusal:
            return NeverLaunched(tell, str(refusal), folder)
        except ValueError:  # text that no argument can hold; the texts above are ours, this one's is not
            log.failure("can't launch session {id}", id=session.id)
            return NeverLaunched(tell, "can't be started: an argument or variable can't be passed", folder)
        except OSError as error:
            log.failure("can't launch session {id}", id=session.id)
            return NeverLaunched(tell, f"can't be started: {error.strerror}", folder)

    def recover(self, session: Session, tell: Tell) -> Child:
        """Find what is left of a launch by an earlier run; see :class:`sessiond.ports.Launcher`."""
        folder = self._runtime / folder_name(session.id)
        description = of_launch(session.nonce, session.program, self._watches.boot_id)
        # Its cap is not known here, and not needed: recovered output is only read.
        output = OutputFile(folder / OUTPUT_NAME, KEPT_BYTES)
        child = RecoveredChild(description, tell, self._search, session.endpoint, folder, output)
        self._search.begin(child)
        return child

    def reclaim_strays(self, live_nonces: Collection[str]) -> Deferred[None]:
        """Kill what this instance has launched in earlier runs for no session that is on record.

        A ``kill -9`` of the daemon between a launch and its saving leaves such.

        :param live_nonces: of all sessions on record now; what is launched meanwhile is left alone too.
        :returns: fires when nothing is left; never fails.
        """
        accounted = set(live_nonces)
        self._reclaiming.append(accounted)
        strays = Strays(of_strays(self._instance, accounted), killing=True)
        strays.done.addCallback(lambda _: self._reclaiming.remove(accounted))
        self._search.begin(strays)
        return strays.done

    def sweep_runtime(self, live_ids: Collection[str]) -> list[str]:
        """Delete the private folders of sessions that are no more.

        :param live_ids: of all sessions on record now.
        :returns: the names of the folders.
        """
        folders = [Path(entry) for entry in os.scandir(self._runtime) if entry.is_dir(follow_symlinks=False)]
        live = {folder_name(session_id) for session_id in live_ids}
        idle = [folder for folder in folders if folder.name not in live]
        for folder in idle:
            remove_folder(folder)
        return sorted(folder.name for folder in idle)

    def describe(self, service: Service) -> Deferred[Described]:
        """Say what would be run, and what it answers to the service's questions.

        Whether one without questions can be run is seen when it is: a program may be installed meanwhile.
        """
        if not service.questions:
            return succeed(Described(service.program))
        return Deferred.fromCoroutine(ask(self, self._clock, service, self._nonce))

    def close(self) -> Deferred[None]:
        """Let go of watches; children live on."""
        self._search.close()
        self._watches.lookout.close()
        self._watches.growth.close()
        self._table.close()
        return succeed(None)

    def _launch_in(
        self,
        make: MakeChild,
        folder: Path,
        endpoint: Endpoint | None,
        session: Session,
        service: Service,
        tell: Tell,
    ) -> ProcessChild:
        values = self._values(session, service)
        user = user_of(service)
        argv = argv_of(service, values, self._tools, user)
        marks = Marks(session.id, session.nonce, session.child_secret, self._instance, folder)
        environment = environment_of(service, values, self._environ, marks)
        self._check_command(service, values, environment)
        if user is not None:
            os.chown(folder, *user)
        path = output_path(session, service, folder)
        path.parent.mkdir(mode=0o755, exist_ok=True)
        output = OutputFile(path, service.output_bytes)
        written = output.create(user)
        child = make(self._watches, tell, service.ready, session.nonce, folder, output, endpoint)
        try:
            self._spawn(child, argv, environment, written, has_pipes=child.piped)
        finally:
            os.close(written)
        return child

    def _spawn(
        self, child: ProcessChild, argv: list[str], environment: dict[str, str], written: int, *, has_pipes: bool
    ) -> None:
        """Start it with the descriptors 0, 1 and 2 and no other.

        Neither ``path`` nor ``uid`` nor ``gid`` is passed: Twisted would fork then, instead of ``posix_spawn``.
        """
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        streams: dict[int, Any] = {0: nothing, 1: written, 2: written}
        if has_pipes:
            streams |= {0: "w", 1: "r"}
        try:
            self._reactor.spawnProcess(_Watcher(child), argv[0], argv, env=environment, childFDs=streams)
        finally:
            os.close(nothing)

    def _values(self, session: Session, service: Service) -> dict[str, Scalar]:
        server: dict[str, Scalar] = {
            "folder": str(self._runtime / folder_name(session.id)),
            "socket": str(self._runtime / folder_name(session.id) / SOCKET_NAME),
            "id": session.id,
            "python": sys.executable,
            "liveliness": self._liveliness(session),
            "secret": session.application_secret,
        }
        server |= {lease.kind.value: lease.number for lease in reversed(session.leases)}
        if session.slot is not None:
            server["index"] = session.slot
        return values_of(server, with_real_paths(service.options, session.options))

    def _check_command(self, service: Service, values: Mapping[str, Scalar], environment: Mapping[str, str]) -> None:
        """Refuse at once what can't be run, with a cause that names it.

        :raises LaunchError: it can't be run.
        """
        if not service.command:
            raise LaunchError("the service has no command")
        directory = directory_of(service, values)
        if directory is not None and not Path(directory).is_dir():
            raise LaunchError("the service's directory does not exist")
        why = missing(fill(service.program, values), environment.get("PATH"), directory)
        if why is not None:
            raise LaunchError(why)


class LaunchError(Exception):
    """A program can't be started; the text may be shown to the caller."""


class NeverLaunched:
    """The child of a launch that came to nothing: tells so at once, and is nothing."""

    endpoint: Endpoint | None = None
    streams: Streams | None = None

    def __init__(self, tell: Tell, cause: str, folder: Path | None = None) -> None:
        self._folder = folder
        tell(Failed(cause))
        tell(Gone())

    def halt(self, step: object) -> None:
        """Do nothing: nothing runs."""

    def tail(self, lines: int) -> list[str]:
        """Give no output."""
        return []

    def tidy(self) -> None:
        """Delete the folder, if this launch has made it."""
        if self._folder is not None:
            remove_folder(self._folder)


class _Watcher(ProcessProtocol):
    """What Twisted tells of a process, told to its child."""

    def __init__(self, child: ProcessChild) -> None:
        self._child = child
        self._pid = 0

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self._pid = transport.pid  # it forgets that when the process ends
        self._child.running(transport)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._child.pipes.received(data)

    def inConnectionLost(self) -> None:
        self._child.pipes.input_closed()

    def outConnectionLost(self) -> None:
        self._child.pipes.output_ended()

    def processExited(self, reason: Failure) -> None:
        # Not processEnded: with pipes, that waits for descendants who have them open.
        ended = reason.value
        if isinstance(ended, ProcessDone | ProcessTerminated):
            self._child.exited(self._pid, Exit(ended.exitCode, ended.signal))


def endpoint_of(session: Session, service: Service, folder: Path) -> Endpoint | None:
    """Say where a session's program will listen; ``None`` where only its script knows.

    :raises LaunchError: there is no lease for it, or the socket's path is too long for the kernel.
    """
    if service.script is not None:
        return None
    if service.endpoint == "stdio":
        return Stdio()
    if service.endpoint == "socket":
        path = str(folder / SOCKET_NAME)
        if not socket_path_fits(path):
            raise LaunchError("the socket's path is longer than 107 bytes; the runtime folder must be shorter")
        return Unix(path)
    port = next((lease.number for lease in session.leases if lease.kind is LeaseKind.PORT), None)
    if port is None:
        raise LaunchError("the session has no port")
    return Tcp(service.host, port)


def output_path(session: Session, service: Service, folder: Path) -> Path:
    """Say where a session's output goes: into its private folder, unless its service keeps what was said."""
    if service.output_folder is None:
        return folder / OUTPUT_NAME
    return Path(service.output_folder) / f"{folder_name(session.id)}.txt"


def folder_name(session_id: str) -> str:
    """Name a session's folder after its id, whatever characters a dialect gives to ids."""
    name = quote(session_id, safe="")
    return f"%2E{name[1:]}" if name.startswith(".") else name


def make_folder(folder: Path) -> None:
    """Make a session's private folder.

    :raises LaunchError: something of that name is there already, be it a link; it was not made by this launch.
    :raises OSError: it can't be made.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise LaunchError("the session's folder exists already") from None


def user_of(service: Service) -> tuple[int, int] | None:
    """Give the numbers of the user and group that a service's programs run as, ``None`` for the daemon's own.

    :raises LaunchError: there is no such user or group.
    """
    try:
        if service.user is not None:
            entry = pwd.getpwnam(service.user)
            group = grp.getgrnam(service.user_group).gr_gid if service.user_group else entry.pw_gid
            return entry.pw_uid, group
        if service.user_group is not None:
            return os.getuid(), grp.getgrnam(service.user_group).gr_gid
    except KeyError:
        raise LaunchError("the service's user or group does not exist") from None
    return None
