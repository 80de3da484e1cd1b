"""Twisted's endpoint strings, read only as far as a listener's checks need it."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from attrs import frozen

from sessiond.config.units import LAST_PORT, Unfit

KNOWN: dict[str, frozenset[str]] = {
    "tcp": frozenset({"port", "interface", "backlog"}),
    "ssl": frozenset({"port", "interface", "backlog", "privateKey", "certKey", "extraCertChain", "dhParameters"}),
    "unix": frozenset({"address", "mode", "backlog", "lockfile"}),
    "systemd": frozenset({"domain", "index", "name"}),
}
"""The kinds of endpoint, and the words that each takes."""

FIRST = {"tcp": "port", "ssl": "port", "unix": "address"}
"""What a part without a name stands for."""

FILES = ("address", "privateKey", "certKey", "extraCertChain", "dhParameters")
BACKLOG = "1024"
"""How many clients wait in the kernel while the daemon recovers; Twisted's own 50 turns a class away."""

PATTERNS = {"backlog": r"\d{1,5}", "mode": "[0-7]{3,4}", "lockfile": "[01]", "index": r"\d{1,4}"}

_PART = re.compile(r"((?:\\.|[^:\\])*)(:|$)", re.DOTALL)


@frozen
class Described:
    """An endpoint string in its parts."""

    kind: str
    words: dict[str, str]

    @property
    def port(self) -> int | None:
        """The TCP port, where it has one."""
        return int(self.words["port"]) if "port" in self.words else None

    @property
    def local(self) -> bool:
        """Say whether only this machine reaches it: loopback, or a UNIX socket."""
        if self.kind == "unix" or self.words.get("domain") == "UNIX":
            return True
        try:
            return ipaddress.ip_address(self.words.get("interface", "0.0.0.0")).is_loopback  # noqa: S104
        except ValueError:
            return False

    def text(self) -> str:
        """Write the endpoint string for Twisted."""
        words = (f"{word}={_escaped(value)}" for word, value in self.words.items())
        return ":".join((self.kind, *words))


def described(value: object, folder: Path) -> Described:
    """Read an endpoint string.

    :param folder: what relative paths in it begin at.
    :raises Unfit: it names a kind or a word that is not known, or lacks one that is needed.
    """
    if not isinstance(value, str) or not value.isprintable():
        raise Unfit('an endpoint is needed, such as "tcp:8080:interface=127.0.0.1"')
    kind, *parts = _parts(value)
    if kind not in KNOWN:
        raise Unfit(f"an endpoint of kind {', '.join(KNOWN)} is needed")
    words = _words(kind, parts)
    _check(kind, words)
    for word in set(FILES) & set(words):
        words[word] = str(folder / words[word])
    if kind == "unix":
        # Twisted's 0666 would let every user of the machine in.
        words.setdefault("mode", "600")
    if kind != "systemd":
        words.setdefault("backlog", BACKLOG)
    return Described(kind, words)


def _parts(value: str) -> list[str]:
    """Split at colons that have no backslash before them."""
    parts = []
    at = 0
    while True:
        found = _PART.match(value, at)
        if found is None:
            raise Unfit("the endpoint ends with a backslash")
        parts.append(found[1])
        at = found.end()
        if not found[2]:
            return parts


def _words(kind: str, parts: list[str]) -> dict[str, str]:
    words: dict[str, str] = {}
    for part in parts:
        word, named, value = part.partition("=")
        if not named:
            word, value = FIRST.get(kind, ""), part
        if word not in KNOWN[kind] or word in words:
            raise Unfit(f"the endpoint has no place for {part!r}")
        words[word] = re.sub(r"\\(.)", r"\1", value)
    return words


def _check(kind: str, words: dict[str, str]) -> None:
    if "port" in FIRST.get(kind, "") and not _is_port(words.get("port", "")):
        raise Unfit("the endpoint needs a port from 1 to 65535, or 0 for any")
    if kind == "unix" and not words.get("address"):
        raise Unfit("the endpoint needs the path of a socket")
    if kind == "ssl" and not {"privateKey", "certKey"} <= words.keys():
        raise Unfit("the endpoint needs privateKey=FILE and certKey=FILE")
    if kind == "systemd" and ("index" in words) == ("name" in words):
        raise Unfit("the endpoint needs either name= or index=")
    for word, pattern in PATTERNS.items():
        if word in words and not re.fullmatch(pattern, words[word], re.ASCII):
            raise Unfit(f"the endpoint's {word} is not understood")
    _check_interface(words)
    if words.get("domain", "INET") not in ("INET", "INET6", "UNIX") or (kind == "systemd" and "domain" not in words):
        raise Unfit("the endpoint needs domain=INET, INET6 or UNIX")


def _check_interface(words: dict[str, str]) -> None:
    try:
        ipaddress.ip_address(words.get("interface", "::"))
    except ValueError:
        raise Unfit(r"the endpoint's interface must be an address, colons in it written as \:") from None


def _is_port(value: str) -> bool:
    return re.fullmatch(r"\d{1,5}", value, re.ASCII) is not None and int(value) <= LAST_PORT


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(":", "\\:").replace("=", "\\=")
