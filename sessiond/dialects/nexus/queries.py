"""Query strings as Nexus' clients write them: some encode nothing, some append a second ``?``. Nothing is refused here.

Source: section 4 ("reserve") of the dialect's description in ``docs/nexus.rst``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from attrs import field, frozen

TARGET, INSTANCE, SECURITY = "target_pathname", "instance_name", "security_token"
MOST_BYTES = 8 * 1024
"""The longest query that is taken."""

_SECOND_MARK = re.compile(rb"\?(?=(?:target_pathname|instance_name|security_token)=)")
_BARE = re.compile(rb"[/\\:]")
"""What a form would have encoded: a value that holds one was written as it is, and a plus in it is a plus."""


@frozen
class Query:
    """What a query says.

    :ivar tokens: what may be meant as the security token, one of which must be right.
    :ivar options: all other fields; of one that comes twice the first counts.
    """

    tokens: tuple[str, ...] = field(default=(), repr=False)
    options: Mapping[str, str] = field(factory=dict, repr=False)


def read_query(raw: bytes) -> Query:
    """Read what stands behind the first ``?`` of a URL, whatever it is."""
    pieces = _SECOND_MARK.sub(b"&", raw).split(b"&")
    names = [_decoded(piece.partition(b"=")[0], plus_is_space=True) for piece in pieces]
    fields = list(zip(names, pieces, strict=True))
    start = names.index(TARGET) if TARGET in names else len(names)
    before, target = fields[:start], [pair for pair in fields[start:] if pair[0] != SECURITY]
    # The target runs to the end, for it may hold "&" itself; what a proxy or a caller has put behind it does not.
    behind = []
    while len(target) > 1 and target[-1][0] == INSTANCE:
        behind.append(target.pop())
    options: dict[str, str] = {}
    for name, piece in (*before, *reversed(behind)):
        if name and name != SECURITY:
            options.setdefault(name, _decoded(piece.partition(b"=")[2], plus_is_space=True))
    if target:
        options.setdefault(TARGET, _target(b"&".join(piece for _, piece in target).partition(b"=")[2]))
    return Query(_tokens(fields), options)


def _tokens(fields: list[tuple[str, bytes]]) -> tuple[str, ...]:
    """Give the security token by both readings of a plus: not every client encodes it."""
    values = [piece.partition(b"=")[2] for name, piece in fields if name == SECURITY]
    return tuple(_decoded(value, plus_is_space=plus) for value in values for plus in (False, True))


def _target(raw: bytes) -> str:
    return _decoded(raw, plus_is_space=_BARE.search(raw) is None)


def _decoded(raw: bytes, *, plus_is_space: bool) -> str:
    """Decode ``%XX`` once; what is no UTF-8 is replaced."""
    return unquote_to_bytes(raw.replace(b"+", b" ") if plus_is_space else raw).decode("utf-8", "replace")
