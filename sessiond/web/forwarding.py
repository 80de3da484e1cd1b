"""What of a request goes on to a session's program, and what of its answer comes back: headers, targets, cookies.

The program believes that it is alone on its host. Here it has a place below a path, and is one of many: what it says of
addresses is put below that path, and what would bind the whole host is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import unquote_to_bytes

from attrs import frozen

Lines = list[tuple[bytes, bytes]]
"""Headers in their order, a name as often as it stands there."""

SECRETS = (b"token", b"ticket")
"""What proves in a query that a client may come in."""
COOKIE = b"sessiond-"
"""What the names of our own cookies begin with."""
PARTED = re.compile(rb"([&;])")
"""Where a query is divided: at ``;`` too, as Twisted does, so that what was taken for a secret is also left out."""
OF_THE_HOP = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"proxy-authenticate", b"proxy-authorization", b"content-length", b"expect"),
    )
)
"""What is between two neighbours (RFC 9110 section 7.6.1), with what each of them frames and asks anew."""
SAID_BY_US = frozenset((b"forwarded", b"x-real-ip", b"x-script-name", b"x-original-url", b"x-rewrite-url"))
"""What a client has no business to say of itself, beside everything that begins with ``X-Forwarded-``."""
OF_THE_HOST = frozenset(
    (
        *(b"alt-svc", b"clear-site-data", b"nel", b"public-key-pins", b"report-to", b"reporting-endpoints"),
        *(b"service-worker-allowed", b"strict-transport-security"),
    )
)
"""What a browser would take as said for the whole host, which is not the program's."""


@frozen
class Address:
    """Where a session's pages are, as their clients see it.

    :ivar path: without a slash at its end.
    :ivar authority: host and port; ``secure`` whether clients speak TLS.
    """

    path: bytes
    authority: bytes
    secure: bool


def without_secrets(target: bytes) -> bytes:
    """Give path and query without what proves that a client may come in."""
    path, _, query = target.partition(b"?")
    words, rest = PARTED.split(query), b""
    for mark, word in zip([b"", *words[1::2]], words[::2], strict=True):
        if unquote_to_bytes(word.partition(b"=")[0]) not in SECRETS:
            rest += (mark if rest else b"") + word
    return path + b"?" + rest if rest else path


def target_of_root(target: bytes) -> bytes:
    """Give the root of a program, with the query of a target, without secrets."""
    return b"/" + without_secrets(b"?" + target.partition(b"?")[2])


def target_below(target: bytes) -> bytes:
    """Give what stands below ``/session/{id}`` in a target, as it was written, without secrets; empty for nothing.

    However many slashes stand in front of the two first parts, they count as one each.
    """
    path, mark, query = target.partition(b"?")
    for _ in range(2):
        _, slash, rest = path.lstrip(b"/").partition(b"/")
        path = slash + rest
    return without_secrets(path + mark + query)


def _name(raw: bytes) -> bytes:
    # What programs are told by CGI's rules does not tell "-" and "_" apart (RFC 3875 section 4.1.18).
    return raw.lower().replace(b"_", b"-")


def _named(headers: Lines) -> frozenset[bytes]:
    """Give the names of headers that are meant for the next hop alone."""
    words = b",".join(value for name, value in headers if name.lower() == b"connection").split(b",")
    return OF_THE_HOP | {_name(word.strip(b" \t")) for word in words}


def request_lines(headers: Iterable[tuple[bytes, bytes]], address: Address, peer: str | None, *, proof: bool) -> Lines:
    """Give the headers of a client's request as the program gets them.

    :param peer: the client's address, where it has one.
    :param proof: whether ``Authorization`` was meant for us.
    """
    lines = list(headers)
    left_out = (_named(lines) | SAID_BY_US | ({b"authorization"} if proof else set())) - {b"host"}
    found: Lines = []
    for name, value in lines:
        key = _name(name)
        if key in left_out or key.startswith(b"x-forwarded-"):
            continue
        passed = CLEARED.get(key, bytes)(value)
        if passed or not value:
            found.append((name, passed))
    found.append((b"X-Forwarded-Prefix", address.path))
    found.append((b"X-Forwarded-Host", address.authority))
    found.append((b"X-Forwarded-Proto", b"https" if address.secure else b"http"))
    if peer is not None:
        found.append((b"X-Forwarded-For", peer.encode("ascii", "replace")))
    return found


def without_our_cookies(value: bytes) -> bytes:
    """Leave our own cookies out of a ``Cookie`` header."""
    cookies = [cookie.strip(b" \t") for cookie in value.split(b";")]
    return b"; ".join(cookie for cookie in cookies if cookie and not cookie.lower().startswith(COOKIE))


CLEARED: Mapping[bytes, Callable[[bytes], bytes]] = {b"cookie": without_our_cookies, b"referer": without_secrets}
"""What takes our secrets out of a header."""


def our_cookies(values: Iterable[bytes], name: bytes) -> list[bytes]:
    """Give what stands in ``Cookie`` headers under one name; it may stand there more than once."""
    cookies = [cookie.strip(b" \t").partition(b"=") for value in values for cookie in value.split(b";")]
    return [value for found, _, value in cookies if found == name]


def answer_lines(headers: Iterable[tuple[bytes, bytes]], address: Address, host: bytes) -> Lines:
    """Give the headers of a program's answer as its client gets them.

    :param host: the ``Host`` that the program was asked with.
    """
    lines = list(headers)
    left_out, found = _named(lines) | OF_THE_HOST, Lines()
    for name, value in lines:
        key = name.lower()
        if key in (b"location", b"content-location"):
            found.append((name, placed(value, address, host)))
        elif key == b"set-cookie":
            found += [(name, kept)] if (kept := confined(value, address)) else []
        elif key not in left_out:
            found.append((name, value))
    return found


def placed(location: bytes, address: Address, host: bytes) -> bytes:
    """Put an address that a program gave below the session's path, where it is one of the program's own.

    A program that heeds ``X-Forwarded-Prefix`` has done so itself.
    """
    scheme, mark, rest = location.partition(b"://")
    if mark and scheme.lower() in (b"http", b"https"):
        authority, slash, path = rest.partition(b"/")
        if authority.lower() not in (host.lower(), address.authority.lower()):
            return location
        location = b"/" + path.lstrip(b"/") if slash else b"/"
    if not location.startswith(b"/") or location[1:2] in (b"/", b"\\"):
        return location
    return location if is_below(location, address.path) else address.path + location


def is_below(path: bytes, place: bytes) -> bool:
    """Say whether a path is that of a place or lies below it."""
    return path == place or path.startswith((place + b"/", place + b"?", place + b"#"))


def confined(cookie: bytes, address: Address) -> bytes:
    """Keep a cookie that a program sets below the session's path; empty for one that would be taken for ours."""
    pair, *attributes = cookie.split(b";")
    if pair.strip(b" \t").lower().startswith(COOKIE):
        return b""
    kept = [pair]
    for attribute in attributes:
        name, _, value = attribute.partition(b"=")
        key, value = name.strip(b" \t").lower(), value.strip(b" \t")
        if key == b"path":
            if value.startswith(b"/"):
                kept.append(b" Path=" + (value if is_below(value, address.path) else address.path + value))
        elif key != b"domain":
            kept.append(attribute)
    return b";".join(kept)
