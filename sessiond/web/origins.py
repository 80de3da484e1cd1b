"""Hosts and origins as values: read strictly, then compared as wholes, never by their beginnings or ends."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from attrs import frozen

PORTS = {False: 80, True: 443}
LAST_PORT = 65535

# No dot at the end: "example.org." is another origin than "example.org" to a browser. No user, no path, no zone.
_AUTHORITY = re.compile(
    r"(?:\[(?P<v6>[0-9a-f]{0,4}:[0-9a-f:.]{1,44})\]|(?P<name>[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_-])?))"
    r"(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)
_ORIGIN = re.compile(r"http(?P<secure>s?)://(?P<authority>.+)", re.ASCII)


@frozen
class Origin:
    """Scheme, host and port of a page, or of what a Host header names (RFC 6454 section 4).

    :ivar host: a name in lower case, or an address in its shortest form, without brackets.
    """

    secure: bool
    host: str
    port: int

    @property
    def text(self) -> str:
        """Write it as browsers do: without the port that goes without saying."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.secure] else f":{self.port}"
        return f"http{'s' * self.secure}://{host}{port}"


def read_host(text: str | None, secure: bool) -> Origin | None:
    """Read a Host header, as the origin of a page that was fetched with it.

    :param secure: whether it came over TLS, which says what port is meant by none.
    :returns: ``None`` for what is no host.
    """
    found = _AUTHORITY.fullmatch(text.lower()) if text is not None and text.isascii() else None
    if found is None:
        return None
    host = found["name"] if found["v6"] is None else shortest(found["v6"])
    port = PORTS[secure] if found["port"] is None else int(found["port"])
    if host is None or not 1 <= port <= LAST_PORT:
        return None
    return Origin(secure, host, port)


def read_origin(text: str | None) -> Origin | None:
    """Read an Origin header; ``None`` for ``null`` and everything else that is no origin of HTTP."""
    found = _ORIGIN.fullmatch(text.lower()) if text is not None and text.isascii() else None
    return None if found is None else read_host(found["authority"], found["secure"] == "s")


def read_url(url: str | None) -> Origin | None:
    """Read the origin of a URL that an operator wrote."""
    return None if url is None else read_origin("/".join(url.split("/", 3)[:3]))


def shortest(text: str) -> str | None:
    """Write an address in its one shortest form, ``None`` for what is none; IPv4 within IPv6 becomes IPv4."""
    address = as_address(text)
    return None if address is None else address.compressed


def as_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address; ``None`` for a name."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def names_local(host: Origin, local: tuple[str, int] | None) -> bool:
    """Say whether a Host names the very address on which its request came in.

    A page that has its own name resolve to us (DNS rebinding) sends that name, never an address and not
    ``localhost``.

    :param local: our own address and port of that connection; ``None`` where it is a UNIX socket.
    """
    if local is None:
        return host.host == "localhost"
    address = as_address(local[0])
    loopback = address is not None and address.is_loopback
    named = host.host == shortest(local[0]) or (loopback and host.host == "localhost")
    return named and host.port == local[1]
