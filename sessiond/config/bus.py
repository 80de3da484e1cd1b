"""Reads ``[bus]``: where facts go out beside this daemon's own listeners."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from attrs import field, frozen

from sessiond.config.table import Table, boolean, matching, one_of, text
from sessiond.config.units import Unfit

PORTS = {"amqp": 5672, "amqps": 5671}
GUEST = "guest"
"""RabbitMQ's own first user, and the password that it has; it is let in from the server's own machine only."""

ONLY_AMQP = ("url", "password_file", "password_env", "exchange", "trust_file", "insecure")
EXCHANGE = matching(r"[A-Za-z0-9_.:-]{1,127}", "a name of letters, digits, and . _ : -, 127 at most,")
VARIABLE = matching(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a variable")


class BusKind(Enum):
    """Which bus it is."""

    LOCAL = "local"
    AMQP = "amqp"


@frozen
class RabbitMQ:
    """A RabbitMQ server, and what is told it.

    :ivar trusted: certificates in PEM that its own must come from; ``None`` takes the system's.
    """

    host: str
    port: int
    tls: bool
    vhost: str
    user: str
    password: str = field(repr=False)
    exchange: str
    trusted: bytes | None = field(default=None, repr=False)


def read_bus(table: Table, folder: Path, environment: Mapping[str, str]) -> RabbitMQ | None:
    """Read the table; ``None`` where facts stay in the daemon."""
    if table.read("kind", one_of(BusKind), BusKind.LOCAL) is BusKind.LOCAL:
        table.refuse(ONLY_AMQP, 'only with kind = "amqp"')
        for key in ONLY_AMQP:
            table.read(key, lambda value: value, None)
        table.done()
        return None
    if find_spec("pika") is None:
        table.fault("kind", 'needs pika, which is not installed: pip install "sessiond[amqp]"')
    url = table.need("url", amqp_url, urlsplit("amqp://localhost"))
    user = unquote(url.username or GUEST)
    if not table.read("insecure", boolean, False) and url.scheme == "amqp" and not _is_loopback(url.hostname or ""):
        table.fault("url", "amqps is needed, or insecure = true: the password would be sent as it is")
    found = RabbitMQ(
        host=url.hostname or "",
        port=url.port or PORTS[url.scheme],
        tls=url.scheme == "amqps",
        vhost=unquote(url.path[1:]) or "/",
        user=user,
        password=_read_password(table, folder, environment, GUEST if user == GUEST else None),
        exchange=table.read("exchange", EXCHANGE, "sessiond-events"),
        trusted=_read_trusted(table, folder, tls=url.scheme == "amqps"),
    )
    table.done()
    return found


def amqp_url(value: object) -> SplitResult:
    """Read ``amqp://USER@HOST:PORT/VHOST`` or ``amqps:``; all but the host may be left out.

    :raises Unfit: it is none, or holds a password. The text does not repeat it.
    """
    needed = 'a URL such as "amqps://USER@HOST:5671/VHOST" is needed'
    try:
        url = urlsplit(text(value))
        port_is_fit = url.port is None or url.port > 0
    except ValueError:
        raise Unfit(needed) from None
    if url.password is not None:
        raise Unfit("a password has no place in the URL: name a file that holds it in password_file")
    if url.scheme not in PORTS or not url.hostname or not port_is_fit or url.query or url.fragment:
        raise Unfit(needed)
    if re.fullmatch(r"(/[^/]*)?", url.path) is None:
        raise Unfit("the virtual host is one word behind the server, a slash within it written as %2F")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_password(table: Table, folder: Path, environment: Mapping[str, str], usual: str | None) -> str:
    """Read the password from a file or a variable; it never stands in the configuration itself."""
    path = table.read("password_file", text, None)
    variable = table.read("password_env", VARIABLE, None)
    if path is not None and variable is not None:
        table.fault("password_env", "contradicts password_file")
    if variable is not None:
        password, place = environment.get(variable, ""), "password_env"
    elif path is not None:
        password, place = _content(table, "password_file", folder / path).strip(), "password_file"
    elif usual is not None:
        return usual
    else:
        password, place = "", "password_file"
    if not password and not any(fault.startswith(f"{table.place_of(place)}:") for fault in table.faults):
        table.fault(place, "is needed, with a password in it, or password_env")
    return password


def _read_trusted(table: Table, folder: Path, *, tls: bool) -> bytes | None:
    path = table.read("trust_file", text, None)
    if path is None:
        return None
    if not tls:
        table.fault("trust_file", "only with amqps:")
    content = _content(table, "trust_file", folder / path)
    if "-----BEGIN CERTIFICATE-----" not in content:
        table.fault("trust_file", "holds no certificate in PEM")
    return content.encode()


def _content(table: Table, key: str, path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        table.fault(key, getattr(error, "strerror", None) or "is no text")
        return ""
