"""Reads the file of wslink's launcher as it stands: into services, pools, and what the dialect is to do."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from attrs import define, evolve, field, frozen

from sessiond.config.commented import read_commented
from sessiond.config.dialects import LaunchedApp, LaunchRule, LinkLauncher
from sessiond.config.patterns import costs_little
from sessiond.config.table import Table, mapping, text, whole
from sessiond.config.templates import Name, Template
from sessiond.config.units import Unfit
from sessiond.core.services import (
    Argument,
    Catalogue,
    Choice,
    Limits,
    Pattern,
    Plan,
    Pool,
    Readiness,
    ReadyWhen,
    Service,
)
from sessiond.core.values import Kind, LeaseKind, Watch

MOST_FILE_BYTES = 1 << 20
SERVER_NAMES = ("id", "host", "port", "secret", "sessionURL", "application")
"""What templates may name that neither the operator nor a client decides about."""

CLIENTS = 64
"""A page connects more than once: at a reload, the new connection may come before the old one is seen to be gone."""
LIFETIME_S = 30 * 86400.0
"""Programs of wslink end by themselves when nobody uses them; this is for those that don't."""
OUTPUT_BYTES = 16 << 20
MOST_CHARACTERS = 4096
"""How long what a client says in one field may be, where no expression is tried on it that takes long."""
LENGTHS = (MOST_CHARACTERS, 1024, 256)

PASSED = (
    *("PATH", "LANG", "LC_ALL", "TZ", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "DISPLAY", "XAUTHORITY"),
    *("LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PV_PLUGIN_PATH", "PV_PLUGIN_CONFIG_FILE", "VIRTUAL_ENV"),
    *("WSLINK_READY_MSG", "WSLINK_MAX_MSG_SIZE", "WSLINK_HEART_BEAT", "WSLINK_AUTH_MSG_SIZE", "WSLINK_LAUNCHER_GET"),
    *("TRAME_LOG_NETWORK", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "EGL_VISIBLE_DEVICES"),
)
"""What programs get of the daemon's environment, unless the operator says otherwise."""


@frozen
class Terms:
    """What the operator says of a launcher beside its file.

    :ivar aliases: further paths that it answers at.
    """

    name: str
    aliases: tuple[str, ...] = ()
    status: bool = False
    origins: tuple[str, ...] = ()
    strict: bool = False
    mapping_mode: int = 0o644
    pass_env: tuple[str, ...] = PASSED


@frozen
class LauncherFile:
    """What a file comes to.

    :ivar host: where the launcher itself was to listen, with ``port``.
    """

    launcher: LinkLauncher
    services: tuple[Service, ...]
    pools: tuple[Pool, ...]
    host: str
    port: int

    def offered(self, catalogue: Catalogue) -> Catalogue:
        """Give the catalogue with what the file offers."""
        services = {**catalogue.services, **{service.name: service for service in self.services}}
        return evolve(catalogue, services=services, pools={**catalogue.pools, **{one.name: one for one in self.pools}})


@frozen
class Resource:
    """Some ports of one host; ``pool`` is where their slots come from."""

    host: str
    address: str
    ports: tuple[int, int]
    pool: str


@define
class Meaning:
    """What the names in a file's templates stand for.

    :ivar asked: which fields of a client's body were found, as the templates write them.
    """

    names: Mapping[str, str]
    data: Mapping[str, Template]
    session_url: Template
    asked: dict[str, str] = field(factory=dict)

    def argument(self, template: Template, server: Mapping[str, str], within: tuple[str, ...] = ()) -> str:
        """Write a template as the launcher of programs has it.

        :param server: what the server's own names come to there.
        :param within: whose templates this one stands in.
        """

        def fill(name: Name) -> str:
            if name.name in server:
                return server[name.name]
            templates = {**self.data, "sessionURL": self.session_url}
            if name.name == "sessionURL" or (name.name in self.data and name.name not in self.names):
                if name.name in within:
                    return literal(name.written)
                return self.argument(templates[name.name], server, (*within, name.name))
            if name.name in self.names:
                return literal(self.names[name.name])
            self.asked.setdefault(name.name, name.written)
            return f"${{options.{name.name}}}"

        return template.put(fill, literal)


def literal(written: str) -> str:
    """Write a text so that it is a template of nothing else."""
    return written.replace("$", "$$")


def read_launcher(path: Path, terms: Terms, faults: list[str]) -> LauncherFile | None:
    """Read a file.

    :param path: of the file; what is relative in it begins at its folder.
    :param faults: where its faults are added; ``None`` is given where there is no file to read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_FILE_BYTES + 1)
        if len(content) > MOST_FILE_BYTES:
            raise ValueError(f"is larger than {MOST_FILE_BYTES} bytes")
        found = mapping(read_commented(content.decode("utf-8")))
    except OSError as error:
        faults.append(f"{path}: {error.strerror}")
    except (ValueError, Unfit) as error:
        faults.append(f"{path}: {error}")
    else:
        return _Reading(Table(found, path.name, faults), path.absolute().parent, terms).read()
    return None


class _Reading:
    """One file on its way to a launcher."""

    def __init__(self, root: Table, folder: Path, terms: Terms) -> None:
        self._root, self._folder, self._terms = root, folder, terms
        self._general = root.table("configuration")
        self._rules = {key: _rule(table) for key, table in self._general.tables("sanitize")}

    def read(self) -> LauncherFile:
        general, terms = self._general, self._terms
        timeout_s = float(general.need("timeout", _positive, 25.0))
        names = self._root.need("properties", _texts, {})
        data = {key: Template.of(value) for key, value in self._root.read("sessionData", _texts, {}).items()}
        session_url = Template.of(general.need("sessionURL", text, ""))
        told = frozenset(general.need("fields", _words, ()))
        # The file in front of a web server is of no use where there is none.
        mapping_file = general.need("proxy_file", _text_or_nothing, "")
        log_dir = general.need("log_dir", _text_or_nothing, "")
        content = general.read("content", _text_or_nothing, "")
        endpoint = general.need("endpoint", _endpoint, "paraview")
        resources = self._resources()
        meaning = Meaning(names, data, session_url)
        services, apps = list[Service](), dict[str, LaunchedApp]()
        for called, table in self._root.tables("apps"):
            offered = self._services(called, table, resources, meaning, told, timeout_s, log_dir)
            services += offered
            hosts = {one.name: resource.host for one, resource in zip(offered, resources, strict=True)}
            shares = any(one.shares_secret for one in offered)
            apps[called] = LaunchedApp(hosts, dict(meaning.asked), shares)
        if not apps:
            self._root.fault("apps", "at least one is needed")
        launcher = LinkLauncher(
            name=terms.name,
            endpoints=tuple(dict.fromkeys((endpoint, *terms.aliases))),
            apps=apps,
            told=told,
            session_url=session_url,
            data=data,
            names=names,
            rules=self._rules,
            timeout_s=timeout_s,
            mapping=self._folder / mapping_file if mapping_file else None,
            mapping_mode=terms.mapping_mode,
            content=self._folder / content if content else None,
            status=terms.status,
            origins=terms.origins,
            strict=terms.strict,
        )
        pools = tuple(Pool(one.pool, one.ports[1] - one.ports[0] + 1) for one in resources)
        host, port = general.need("host", text, "localhost"), general.need("port", whole(0, 65535), 0)
        return LauncherFile(launcher, tuple(services), pools, host, port)

    def _resources(self) -> list[Resource]:
        found = []
        for number, entry in enumerate(self._root.need("resources", _list, [])):
            table = Table(entry if isinstance(entry, dict) else {}, f"{self._root.place}.resources.{number}", [])
            table.faults = self._root.faults
            host = table.need("host", text, "localhost")
            ports = table.need("port_range", _range, (1, 1))
            found.append(Resource(host, _address_of(host, table), ports, f"wslink.{self._terms.name}.{number}"))
        if not found:
            self._root.fault("resources", "at least one is needed")
        return found

    def _services(
        self,
        called: str,
        table: Table,
        resources: list[Resource],
        meaning: Meaning,
        told: frozenset[str],
        timeout_s: float,
        log_dir: str,
    ) -> list[Service]:
        """Make the services of one application, one for each resource; what its fields are is left in ``meaning``."""
        if not called.isprintable() or not 0 < len(called) <= 64:
            table.fault("", "a name of 1 to 64 characters is needed")
        command = [Template.of(word) for word in table.need("cmd", _command, ("true",))]
        ready_line = table.read("ready_line", _text_or_nothing, "")
        ready = Readiness(ReadyWhen.LINE, ready_line) if ready_line else Readiness()
        plan = Plan(
            limits=Limits(launch_s=timeout_s, lifetime_s=LIFETIME_S),
            clients=CLIENTS,
            watch=Watch.CHILD,
            leases=(LeaseKind.PORT,),
        )
        found = []
        meaning.asked = {}
        for number, resource in enumerate(resources):
            usual = () if "python" in (*meaning.names, *meaning.data) else ("python",)
            own = {name: f"${{{name}}}" for name in ("id", "port", "secret", *usual)}
            server = {**own, "host": literal(resource.host), "application": literal(called)}
            # What clients are told may ask for fields that no argument does.
            for template in (meaning.session_url, *meaning.data.values()):
                meaning.argument(template, server)
            argv: list[Argument] = [meaning.argument(template, server) for template in command]
            self._check_program(table, command[0], argv)
            known = {*SERVER_NAMES, "cmd", *meaning.names, *meaning.data}
            asked = {**{name: f"${{{name}}}" for name in told if name not in known}, **meaning.asked}
            meaning.asked = asked
            suffix = f".{number}" if len(resources) > 1 else ""
            found.append(
                Service(
                    name=f"wslink.{self._terms.name}.{called}{suffix}",
                    kind=Kind.WEBSOCKET,
                    launcher="process",
                    plan=plan,
                    title=called,
                    command=tuple(argv),
                    pool=resource.pool,
                    ready=ready,
                    options={name: self._option(name, written) for name, written in asked.items()},
                    ports=resource.ports,
                    host=resource.address,
                    pass_env=self._terms.pass_env,
                    output_bytes=OUTPUT_BYTES,
                    output_folder=str(self._folder / log_dir) if log_dir else None,
                )
            )
        return found

    def _check_program(self, table: Table, program: Template, argv: list[Argument]) -> None:
        """See that the operator alone says which program is run, and find one that is named by a relative path."""
        first = str(argv[0])
        if "${" in first.replace("$$", "").replace("${python}", ""):
            table.fault("cmd", f"the program itself may hold no name but properties: {program.names[0].written}")
        elif "/" in first and not first.startswith(("/", "${python}")):
            argv[0] = str(self._folder / first)

    def _option(self, name: str, written: str) -> Choice | Pattern:
        """Say what a field may hold; what a client does not say stays as it is written."""
        rule = self._rules.get(name)
        if rule is None:
            return Pattern(r"[^\0\r\n]*", written, MOST_CHARACTERS)
        if isinstance(rule.allowed, Choice):
            return Choice((*rule.allowed.of, written), written)
        return evolve(rule.allowed, default=written)


def _rule(table: Table) -> LaunchRule:
    """Read one key of ``sanitize``."""
    kind, default = table.need("type", text, ""), table.need("default", _scalar, "")
    if kind == "inList":
        words = tuple(table.need("list", _scalars, ()))
        return LaunchRule(Choice((*words, default), default), default)
    if kind != "regexp":
        table.fault("type", "one of inList, regexp is needed")
    expression = table.need("regexp", _expression, "")
    length = next((most for most in LENGTHS if costs_little(expression, most)), 0)
    if not length:
        table.fault("regexp", "could take long for some texts; write it so that each text can match in one way only")
    return LaunchRule(Pattern(expression, default, length, at_start=True), default)


def _address_of(host: str, table: Table) -> str:
    """Give the address of this machine that a host's name stands for; programs are started here, whatever it says."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        found: IPv4Address | IPv6Address = ip_address(host)
    except ValueError:
        try:
            found = ip_address(socket.gethostbyname(host))
        except OSError:
            table.fault("host", f"{host!r} is not known here")
            return host
    if found.is_unspecified:
        return "127.0.0.1" if found.version == 4 else "::1"
    family = socket.AF_INET if found.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(found), 0))
        except OSError:
            table.fault("host", f"{host!r} is no address of this machine, and programs are started here")
    return str(found)


# -- readers -----------------------------------------------------------------------------------------------------------


def _each(item: Callable[[object], str], wanted: str) -> Callable[[object], tuple[str, ...]]:
    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise Unfit(wanted)
        return tuple(item(one) for one in value)

    return read


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise Unfit("a list is needed")
    return value


def _positive(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86400:
        raise Unfit("a number of seconds is needed")
    return float(value)


def _scalar(value: object) -> str:
    if not isinstance(value, str | int | float) or any(character in str(value) for character in "\0\r\n"):
        raise Unfit("a text or number without line ends is needed")
    return str(value)


def _text_or_nothing(value: object) -> str:
    return "" if value in (None, "") else text(value)


def _argument(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise Unfit("arguments are texts")
    return value


def _arguments(value: object) -> tuple[str, ...]:
    return _each(_argument, "a list of arguments is needed")(value)


def _command(value: object) -> tuple[str, ...]:
    found = _arguments(value)
    if not found or not found[0]:
        raise Unfit("a program is needed")
    return found


_words = _each(text, "a list of names is needed")
_scalars = _each(_scalar, "a list of texts is needed")


def _texts(value: object) -> Mapping[str, str]:
    return {key: _argument(one if isinstance(one, str) else _scalar(one)) for key, one in mapping(value).items()}


def _endpoint(value: object) -> str:
    found = "/".join(part for part in text(value).split("/") if part)
    if re.fullmatch(r"[A-Za-z0-9._~/-]+", found, re.ASCII) is None or ".." in found.split("/"):
        raise Unfit("a path of letters, digits, dots, dashes and underscores is needed")
    return found


endpoint = _endpoint
"""Reads a path that a launcher answers at."""


def _range(value: object) -> tuple[int, int]:
    port = whole(1, 65535)
    if not isinstance(value, list) or len(value) != 2:
        raise Unfit("two ports are needed, the first and the last")
    first, last = port(value[0]), port(value[1])
    if first > last:
        raise Unfit("the last port is before the first")
    return first, last


def _expression(value: object) -> str:
    found = text(value)
    try:
        re.compile(found)
    except re.error as error:
        raise Unfit(f"no regular expression: {error}") from None
    return found
