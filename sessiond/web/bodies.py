"""What comes in over HTTP, read strictly: bodies that are JSON objects, and single headers and arguments."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from twisted.web.server import Request

from sessiond.core.errors import Code, Refused, repeated

BODY_BYTES = 64 * 1024
"""The largest body that is taken."""


def header(request: Request, name: str) -> str | None:
    """Give a header that may stand in a request once.

    :raises Refused: ``bad-request``: it is there twice, or is not ASCII. What one reader takes from the first and
        another from the last of two is how checks are passed by.
    """
    values = request.requestHeaders.getRawHeaders(name.encode(), [])
    if len(values) > 1 or not all(value.isascii() for value in values):
        raise Refused(Code.BAD_REQUEST, f"the header {name} is not understood")
    return values[0].decode("ascii") if values else None


def argument(request: Request, name: str) -> str | None:
    """Give an argument of the URL that may stand there once.

    :raises Refused: ``bad-request``: it is there twice, or is not UTF-8.
    """
    values = request.args.get(name.encode(), [])
    try:
        texts = [value.decode("utf-8") for value in values]
    except UnicodeDecodeError:
        texts = []
    if len(texts) != min(1, len(values)):
        raise Refused(Code.BAD_REQUEST, f"the argument {name} is not understood")
    return texts[0] if texts else None


def read_object(request: Request, limit_bytes: int = BODY_BYTES) -> dict[str, Any]:
    """Read a request's body as one JSON object.

    :raises Refused: ``unsupported`` for another content type, ``too-large``, ``bad-request``.
    """
    _check_type(request)
    if request.content is None:
        raise Refused(Code.BAD_REQUEST, "a body is needed")
    raw = request.content.read(limit_bytes + 1)
    if len(raw) > limit_bytes:
        raise Refused(Code.TOO_LARGE)
    return parse_object(raw)


def read_any_object(request: Request) -> dict[str, Any]:
    """Read a body that may be left out as one JSON object; without it, the object is empty.

    :raises Refused: as :func:`read_object`.
    """
    if request.content is None or not request.content.read(1):
        return {}
    request.content.seek(0)
    return read_object(request)


def _check_type(request: Request) -> None:
    # A page of a stranger can send a form or plain text without asking first, but no JSON.
    kind, _, parameters = (header(request, "Content-Type") or "").partition(";")
    if kind.strip().lower() != "application/json" or parameters.strip().lower() not in ("", "charset=utf-8"):
        raise Refused(Code.UNSUPPORTED, "application/json is needed")
    if (header(request, "Content-Encoding") or "identity").lower() != "identity":
        raise Refused(Code.UNSUPPORTED, "a body without compression is needed")


def parse_object(raw: bytes) -> dict[str, Any]:
    """Parse bytes that must be exactly one JSON object (RFC 8259) as every reader would understand it.

    :raises Refused: ``bad-request``: not UTF-8, not JSON, not an object, a name twice, a number that is none, half a
        surrogate pair.
    """
    try:
        found = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_constant=_no_number,
            parse_float=_finite,
        )
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise Refused(Code.BAD_REQUEST, "the body is no valid JSON") from None
    if not isinstance(found, dict):
        raise Refused(Code.BAD_REQUEST, "the body must be a JSON object")
    return found


def check_keys(found: dict[str, Any], known: frozenset[str]) -> None:
    """Refuse members that nobody knows.

    :raises Refused: ``bad-request``, naming one.
    """
    unknown = sorted(set(found) - known)
    if unknown:
        raise Refused(Code.BAD_REQUEST, f"unknown member {repeated(unknown[0])}")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("out of range")
    return number


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)
