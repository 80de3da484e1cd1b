"""Reads who may call where: the listeners and the API tokens."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from attrs import fields

from sessiond.config.endpoints import Described, described
from sessiond.config.table import Table, boolean, list_of, matching, name, one_of, sessions, text, whole
from sessiond.config.units import Unfit, seconds
from sessiond.config.values import ApiToken, Callers, Face, Listener, Patience

MOST_CONNECTIONS = 1_000_000
SHARE = 8
"""One address has this part of a listener's connections, unless the operator says otherwise. On loopback it has all:
who calls there is a proxy, and has only one."""
LONGEST_S = 3600.0
GUARDED = frozenset({Face.API, Face.METRICS})
"""What asks for a token, where callers need one."""

COMMON_SECRETS = (
    *("", "admin", "changeme", "change-me", "default", "demo", "example", "password", "secret", "sessiond"),
    *("sessiond-token", "test", "token", "wslink-secret"),
)
"""Secrets that everybody tries first; a token with the digest of one is refused."""

HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)
"""RFC 9110 section 5.1."""
OWN_HEADERS = frozenset(
    ("connection", "content-encoding", "content-length", "content-type", "transfer-encoding", "upgrade", "date")
)
"""What says how an answer is to be read; nobody else may."""

GROUP = matching(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", "the name of a group")
SCOPE = matching("read|launch|operate", "one of read, launch, operate")
COMMON_DIGESTS = frozenset(hashlib.sha256(secret.encode()).digest() for secret in COMMON_SECRETS)


def read_listeners(root: Table, folder: Path, tokens: tuple[ApiToken, ...]) -> tuple[Listener, ...]:
    """Read ``[listeners]``.

    :param folder: what relative paths of sockets, keys and certificates begin at.
    """
    found = []
    taken: set[tuple[str | None, int]] = set()
    for listener_name, table in root.tables("listeners"):
        end = table.need("endpoint", lambda value: described(value, folder), Described("tcp", {"port": "0"}))
        listener = _read_listener(listener_name, table, end)
        if listener.callers is Callers.TOKEN and listener.serves & GUARDED and not tokens:
            table.fault("callers", 'is "token", but there are no [tokens]')
        place = (end.words.get("interface"), end.port or 0)
        if end.port and place in taken:
            table.fault("endpoint", f"port {end.port} is another listener's already")
        taken.add(place)
        found.append(listener)
    if not found:
        root.fault("listeners", "at least one is needed")
    return tuple(found)


def _read_listener(listener_name: str, table: Table, end: Described) -> Listener:
    _check_name(listener_name, table)
    most = table.read("max_connections", whole(1, MOST_CONNECTIONS), 4096)
    listener = Listener(
        name=listener_name,
        endpoint=end.text(),
        serves=frozenset(table.need("serves", list_of(one_of(Face)), ())),
        callers=table.read("callers", one_of(Callers), Callers.TOKEN),
        public_url=table.read("public_url", public_url, None),
        origins=table.read("origins", list_of(origin), ()),
        hosts=table.read("hosts", list_of(host), ()),
        max_connections=most,
        max_per_address=table.read("max_per_address", whole(1, MOST_CONNECTIONS), None)
        or (most if end.local else max(1, most // SHARE)),
        patience=_read_patience(table),
        port=end.port or None,
        headers=read_headers(table),
    )
    insecure = table.read("insecure", boolean, False)
    if not listener.serves and "serves" in table:
        table.fault("serves", "names nothing")
    if Face.CHILD in listener.serves:
        if len(listener.serves) > 1:
            table.fault("serves", "child stands alone: what programs reach, nobody else should")
        if end.kind != "tcp" or not end.local or not end.port:
            table.fault("endpoint", 'programs keep its address: "tcp:PORT:interface=127.0.0.1" with a port is needed')
    if listener.callers is Callers.ANYONE and not end.local and not insecure:
        table.fault("callers", '"anyone" beyond this machine needs insecure = true, which says that it is meant')
    table.done()
    return listener


def _read_patience(listener: Table) -> Patience:
    """Read ``limits``; keys are those of :class:`Patience` without their ``_s``."""
    table = listener.table("limits")
    read: dict[str, Any] = {
        field.name: table.read(field.name.removesuffix("_s"), _limit, field.default) for field in fields(Patience)
    }
    table.done()
    return Patience(**read)


def _limit(value: object) -> float:
    limit_s = seconds(value)
    if not 0.001 <= limit_s <= LONGEST_S:
        raise Unfit("a duration above zero and of at most an hour is needed")
    return limit_s


def read_headers(listener: Table) -> tuple[tuple[str, str], ...]:
    """Read ``headers``: what is added to every answer."""
    table, found = listener.table("headers"), []
    for key in table.written():
        found.append((key, table.read(key, header_value, "")))
        if not HEADER.fullmatch(key) or key.lower() in OWN_HEADERS:
            table.fault(key, "is no name of a header that may be added")
    return tuple(found)


def header_value(value: object) -> str:
    """Read the value of a header (RFC 9110 section 5.5): visible ASCII and spaces."""
    if not isinstance(value, str) or not value.isascii() or (value and not value.isprintable()):
        raise Unfit("a text of printable ASCII characters is needed")
    return value


def read_tokens(root: Table) -> tuple[ApiToken, ...]:
    """Read ``[tokens]``."""
    found: list[ApiToken] = []
    for token_name, table in root.tables("tokens"):
        _check_name(token_name, table)
        digest = table.need("digest", _digest, b"")
        if digest and digest in {other.digest for other in found}:
            table.fault("digest", "is another token's already")
        found.append(
            ApiToken(
                token_name,
                digest,
                frozenset(table.read("scopes", list_of(SCOPE), ())),
                frozenset(table.read("groups", list_of(GROUP), ())),
                table.read("per_owner", sessions, None),
            )
        )
        table.done()
    return tuple(found)


def _digest(value: object) -> bytes:
    found = re.fullmatch(r"sha256:([0-9a-f]{64})", value, re.ASCII) if isinstance(value, str) else None
    if found is None:
        raise Unfit('"sha256:" and 64 hexadecimal digits are needed, as "python -m sessiond token new" prints them')
    digest = bytes.fromhex(found[1])
    if digest in COMMON_DIGESTS or len(set(digest)) < 8:
        raise Unfit("is the digest of a secret that everybody knows")
    return digest


def _check_name(value: str, table: Table) -> None:
    try:
        name(value)
    except Unfit as unfit:
        table.fault("", str(unfit))


def public_url(value: object) -> str:
    """Read the URL under which clients reach a listener; a slash at its end is dropped."""
    parts = _url(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise Unfit('a URL is needed, such as "https://sessions.example.org"')
    host(parts.netloc)
    return text(value).rstrip("/")


def origin(value: object) -> str:
    """Read an origin as browsers write it (RFC 6454 section 6.2): scheme, host, port, nothing else."""
    parts = _url(value)
    if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != value:
        raise Unfit('an exact origin is needed, such as "https://portal.example.org"')
    host(parts.netloc)
    return parts.scheme + "://" + parts.netloc


def _url(value: object) -> SplitResult:
    try:
        return urlsplit(text(value))
    except ValueError as error:
        raise Unfit(f"no URL: {error}") from None


def host(value: object) -> str:
    """Read a host as a Host header holds it: a name or an address in lower case, with a port or without."""
    found = re.fullmatch(r"([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::(\d{1,5}))?", text(value), re.ASCII)
    if found is None or (found[2] and not 1 <= int(found[2]) <= 65535):
        raise Unfit('a host in lower case is needed, such as "sessions.example.org" or "127.0.0.1:8080"')
    return text(value)
