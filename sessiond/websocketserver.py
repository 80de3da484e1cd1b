"""The command line of Nexus' ``websocketserver.py``: the same daemon, set up by options in place of a file.

``python -m sessiond.websocketserver [options] ws_server_port``, or an install's own file of that name
(``etc/websocketserver.py``). Exit status: 2 for what can't be, 3 for a port that is taken, 1 for any other start that
failed.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, TextIO

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sessiond import __version__
from sessiond.boot.foreground import REFUSED, run
from sessiond.config import Callers, Config, Face, Listener, Nexus, StaticFolder
from sessiond.config.endpoints import BACKLOG, Described
from sessiond.config.listeners import HEADER, OWN_HEADERS, header_value, origin
from sessiond.config.load import usual_state
from sessiond.config.nexus import (
    APPLICATIONS,
    MOST_SLOTS,
    Offered,
    Terms,
    built_in,
    fixed_target,
    joined,
    read_services_file,
    usual_command,
)
from sessiond.config.table import Table, list_of, text
from sessiond.config.units import Unfit
from sessiond.core.errors import ConfigError
from sessiond.core.services import Catalogue, Pool

TOKEN_VARIABLE = "WEBSOCKETSERVER_SECURITY_TOKEN"  # noqa: S105 - the name of a variable, not its value
BASIC = "basic"
MOST_BASIC = 1000
"""How many connections to the fixed target there may be at once."""

HEADERS_OPTION = "--add_header"
LAST_PORT = 65535


class UsageFault(Exception):
    """The command line says what can't be; the text says what."""


@frozen
class Install:
    """Where the daemon stands in for an install's own file.

    :ivar folder: the install, with ``bin`` in it; ``ansys`` its viewer pages. ``None`` where there is none.
    """

    folder: Path | None = None
    ansys: Path | None = None

    @classmethod
    def around(cls, script: Path) -> Install:
        """Find the install around its ``nexus###/nexus_launcher/websocketserver.py``."""
        launcher = script.absolute().parent
        if launcher.name != "nexus_launcher":
            return cls()
        viewers = sorted(found for found in launcher.parent.glob("ansys[0-9][0-9][0-9]") if found.is_dir())
        return cls(launcher.parent.parent, viewers[-1] if viewers else None)


@frozen
class Settings:
    """What only the operator of this daemon sets, in a small TOML file (``--settings``).

    :ivar applications: the commands of built-in services, by application.
    """

    state_dir: str | None = None
    ansys: Path | None = None
    novnc: Path | None = None
    origins: tuple[str, ...] = ()
    applications: Mapping[str, tuple[str, ...]] = {}


def parser() -> argparse.ArgumentParser:
    """Describe the command line, in the words and order of the original's manual."""
    top = argparse.ArgumentParser(
        prog="websocketserver.py",
        usage="%(prog)s [options] ws_server_port",
        description="Carry WebSockets to sessions, and serve files and a REST interface beside them.",
    )
    add = top.add_argument
    add("ws_server_port", type=port, help="port of the WebSocket server (ws or wss); -1: none, 0: any that is free")
    add("--http_directory", metavar="DIR", help="root of the files that are served; switches HTTP and REST on")
    add("--http_port", type=port, default=9090, metavar="N", help="port of the HTTP server (%(default)s)")
    add("--grpc_port", type=port, default=0, metavar="N", help="EnSight's gRPC port; needs a security token")
    add("--cert", metavar="FILE", help="certificate: both ports speak TLS")
    add("--key", metavar="FILE", help="its key, unless it is in the same file")
    add("--security_token", metavar="T", help=f"guards the REST interface (else ${TOKEN_VARIABLE})")
    add("--remote_session_config", metavar="FILE", help="the services of this site, as JSON")
    add("--client_hostname", default="127.0.0.1", metavar="H", help="host of the fixed target (%(default)s)")
    add("--client_port", type=port, default=-1, metavar="N", help="port of the fixed target; -1: there is none")
    add("--timeout", type=_seconds, default=300.0, metavar="S", help="an unused reservation is taken back then (300)")
    add(
        "--local_session",
        nargs=2,
        action="append",
        default=[],
        metavar=("APP", "COUNT"),
        help="offer an application of this install: ensight or envision, COUNT at once",
    )
    add("--verbose", type=int, default=0, metavar="LEVEL", help="1 and above: say more")
    add("--log_file", metavar="FILE", help="where the log goes (standard output)")
    add(HEADERS_OPTION, action="append", default=[], metavar="N=V", help="header of every answer; takes several")
    ignored = top.add_argument_group("taken and without effect")
    for flag in ("grpc_use_tcp_sockets", "grpc_allow_network_connections", "grpc_disable_tls", "separate_loops"):
        ignored.add_argument(f"--{flag}", action="store_true")
    ignored.add_argument("--grpc_uds_pathname", metavar="PATH")
    ours = top.add_argument_group("sessiond's own")
    ours.add_argument(
        "--reconnect_grace", type=_seconds, default=0.0, metavar="S", help="keep a session for a dropped client (0)"
    )
    ours.add_argument(
        "--lifetime", type=_seconds, default=30 * 86400.0, metavar="S", help="no session lives longer (30 days)"
    )
    ours.add_argument("--settings", type=Path, metavar="FILE", help="commands of applications and other settings, TOML")
    ours.add_argument("--version", action="version", version=f"sessiond {__version__}")
    return top


def port(word: str) -> int:
    """Read a port; ``-1`` means none."""
    if not re.fullmatch(r"-1|\d{1,5}", word, re.ASCII) or int(word) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"{word!r} is no port")
    return int(word)


def _seconds(word: str) -> float:
    try:
        found = float(word)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 10 * 365 * 86400:
        raise argparse.ArgumentTypeError(f"{word!r} is no number of seconds")
    return found


def with_headers_apart(words: Sequence[str]) -> list[str]:
    """Give each header an option of its own: how many follow the option only their ``=`` tells."""
    found: list[str] = []
    within = False
    for word in words:
        # Any beginning of it: no other option begins with "--a".
        if len(word) > len("--") and HEADERS_OPTION.startswith(word) and word.startswith("--a"):
            within = True
        elif within and "=" in word and not word.startswith("--"):
            found.append(f"{HEADERS_OPTION}={word}")
        else:
            within = False
            found.append(word)
    return found


def configure(
    words: Sequence[str], environment: Mapping[str, str], install: Install, warn: Callable[[str], object]
) -> tuple[Config, argparse.Namespace]:
    """Make the configuration that a file would.

    :raises SystemExit: argparse has said what is wrong, or was asked for help.
    :raises UsageFault: the options can't be obeyed.
    :raises ConfigError: a file that they name can't be.
    """
    said = parser().parse_args(with_headers_apart(words))
    settings = read_settings(said.settings)
    terms = Terms(max(said.timeout, 0.001), said.reconnect_grace, max(said.lifetime, 0.001))
    offered = _offered(said, install, settings, terms, warn)
    catalogue, target = joined(Catalogue(), offered), None
    if said.client_port > 0:
        target = BASIC
        while target in catalogue.services:
            target += "-"  # a site may call its own service so
        service = fixed_target(target, said.client_hostname, said.client_port, terms)
        catalogue = Catalogue(
            {**catalogue.services, target: service}, {**catalogue.pools, target: Pool(target, MOST_BASIC)}
        )
    token = said.security_token if said.security_token is not None else environment.get(TOKEN_VARIABLE)
    state_dir = Path(settings.state_dir or usual_state(environment)).absolute()
    root = None if said.http_directory is None else Path(said.http_directory).absolute()
    config = Config(
        state_dir=state_dir,
        runtime_dir=state_dir / "run",
        listeners=_listeners(said, settings),
        catalogue=catalogue,
        static=() if root is None else (StaticFolder("/", root, listing=True),),
        nexus=Nexus(
            services={called: one.reports for called, one in offered.items()},
            target=target,
            security_token=token or None,
            ansys=settings.ansys or install.ansys,
            novnc=settings.novnc,
            ensight=said.grpc_port > 0,
            allow_stop=True,
        ),
    )
    if not token:
        warn("no security token is set: whoever reaches the ports may reserve, release and stop")
    return config, said


def _offered(
    said: argparse.Namespace, install: Install, settings: Settings, terms: Terms, warn: Callable[[str], object]
) -> dict[str, Offered]:
    found: dict[str, Offered] = {}
    for application, count in said.local_session:
        if application not in APPLICATIONS:
            raise UsageFault(f"--local_session {application}: one of {', '.join(APPLICATIONS)} is needed")
        if not re.fullmatch(r"\d{1,5}", count, re.ASCII) or not 1 <= int(count) <= MOST_SLOTS:
            raise UsageFault(f"--local_session {application} {count}: a count from 1 to {MOST_SLOTS} is needed")
        if f"local_{application}" in found:
            warn(f"--local_session {application} stands twice: the last counts")
        command = settings.applications.get(application) or usual_command(application, install.folder)
        found[f"local_{application}"] = built_in(application, int(count), command, terms)
    if said.remote_session_config is not None:
        path = Path(said.remote_session_config)
        for called, one in read_services_file(path, terms).items():
            if called in found:
                raise ConfigError(f"{path}: {called!r}: --local_session has a service of this name")
            found[called] = one
    return found


def _listeners(said: argparse.Namespace, settings: Settings) -> tuple[Listener, ...]:
    headers, found = _headers(said.add_header), []
    if said.http_directory is not None and said.http_port >= 0:
        found.append(("http", said.http_port, frozenset({Face.NEXUS, Face.STATIC})))
    if said.ws_server_port >= 0:
        found.append(("websocket", said.ws_server_port, frozenset({Face.NEXUS_TUNNEL})))
    if not found:
        raise UsageFault("nothing is to be served: neither --http_directory nor a WebSocket port is given")
    return tuple(
        Listener(
            name=called,
            endpoint=_endpoint(number, said.cert, said.key),
            serves=serves,
            callers=Callers.ANYONE,
            origins=settings.origins,
            port=number or None,
            headers=headers,
        )
        for called, number, serves in found
    )


def _headers(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for word in words:
        key, _, value = word.partition("=")
        if not HEADER.fullmatch(key) or key.lower() in OWN_HEADERS:
            raise UsageFault(f"{HEADERS_OPTION} {key}: is no name of a header that may be added")
        try:
            found.append((key, header_value(value)))
        except Unfit as unfit:
            raise UsageFault(f"{HEADERS_OPTION} {key}: {unfit}") from None
    return tuple(found)


def _endpoint(number: int, cert: str | None, key: str | None) -> str:
    if cert is None and key is not None:
        raise UsageFault("--key needs --cert")
    words = {"port": str(number), "backlog": BACKLOG}
    if cert is None:
        return Described("tcp", words).text()
    certificate, private = Path(cert).absolute(), Path(key or cert).absolute()
    check_certificate(certificate, private)
    words |= {"privateKey": str(private), "certKey": str(certificate)}
    if certificate.read_bytes().count(b"BEGIN CERTIFICATE") > 1:
        words["extraCertChain"] = str(certificate)
    return Described("ssl", words).text()


def check_certificate(certificate: Path, key: Path) -> None:
    """See that a certificate and a key can be used together.

    :raises UsageFault: they can't.
    """
    found = [
        _public_key(option, path, read)
        for option, path, read in (
            ("--cert", certificate, lambda content: x509.load_pem_x509_certificate(content).public_key()),
            ("--key", key, lambda content: load_pem_private_key(content, None).public_key()),
        )
    ]
    if found[0] != found[1]:
        raise UsageFault(f"--key {key}: does not belong to the certificate {certificate}")


def _public_key(option: str, path: Path, read: Callable[[bytes], object]) -> object:
    try:
        return read(path.read_bytes())
    except OSError as error:
        raise UsageFault(f"{option} {path}: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: there is a passphrase, and none was given
        raise UsageFault(f"{option} {path}: not PEM, or protected by a passphrase") from None


def read_settings(path: Path | None) -> Settings:
    """Read the operator's settings.

    :raises ConfigError: they are refused; one fault in each line.
    """
    if path is None:
        return Settings()
    import tomllib  # noqa: PLC0415 - most starts need none of it

    try:
        decoded = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    faults: list[str] = []
    table, folder = Table(decoded, "", faults), path.absolute().parent
    applications: dict[str, tuple[str, ...]] = {}
    for called, within in table.tables("applications"):
        applications[called] = within.need("command", list_of(text), ("",))
        if called not in APPLICATIONS or not applications[called]:
            within.fault("", f"one of {', '.join(APPLICATIONS)} is needed, with a command")
        within.done()
    state_dir, ansys, novnc = (table.read(key, text, None) for key in ("state_dir", "ansys", "novnc"))
    settings = Settings(
        state_dir=None if state_dir is None else str(folder / state_dir),
        ansys=None if ansys is None else folder / ansys,
        novnc=None if novnc is None else folder / novnc,
        origins=table.read("origins", list_of(origin), ()),
        applications=applications,
    )
    table.done()
    if faults:
        raise ConfigError("\n".join(f"{path}: {fault}" for fault in faults))
    return settings


def main(words: Sequence[str] | None = None, script: str | None = None) -> NoReturn:
    """Run the daemon until it is stopped, and end the process.

    :param script: the file of the install that this daemon stands in for.
    """
    if sys.platform != "linux":
        _leave("sessiond runs on Linux only")
    warnings: list[str] = []
    install = Install() if script is None else Install.around(Path(script))
    try:
        config, said = configure(sys.argv[1:] if words is None else words, os.environ, install, warnings.append)
        log_to = _log_file(said.log_file)
    except (UsageFault, ConfigError) as error:
        _leave(str(error))
    run(config, log_to, "sessiond.websocketserver", warnings, verbose=said.verbose > 0)


def _log_file(path: str | None) -> TextIO:
    if path is None:
        return sys.stdout
    try:
        return open(path, "a", encoding="utf-8")
    except OSError as error:
        raise UsageFault(f"--log_file {path}: {error.strerror}") from None


def _leave(why: str) -> NoReturn:
    sys.stderr.write(f"websocketserver.py: {why}\n")
    raise SystemExit(REFUSED)


if __name__ == "__main__":
    main()
