"""What goes out over HTTP: JSON, problem documents, and the headers that every answer has."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus

from attrs import evolve, field, frozen
from twisted.web.server import Request

from sessiond.core.errors import Code, Refused

JSON = "application/json"
PROBLEM = "application/problem+json"

GUARDS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}
"""Headers against sniffing, keeping and leaking; an answer's own win."""


@frozen
class Answer:
    """One answer.

    :ivar body: what becomes JSON, or bytes that go out as they are; ``None`` for nothing at all.
    :ivar phrase: the reason phrase, where a wire has its own; plain ASCII on one line.
    """

    body: Mapping[str, object] | bytes | None = field(default=None, repr=False)
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)
    phrase: str | None = None

    def having(self, headers: Mapping[str, str]) -> Answer:
        """Give the same answer with more headers."""
        return evolve(self, headers={**self.headers, **headers})


def problem(refused: Refused, **members: object) -> Answer:
    """Tell a refusal as a problem document (RFC 9457).

    :param members: what the document says beside the usual; ``None`` is left out.
    """
    shape, document = refused.shape, refused.document()
    document.update((name, value) for name, value in members.items() if value is not None)
    headers = {"Content-Type": PROBLEM}
    if refused.retry_after_s is not None:
        # RFC 9110 section 10.2.3: whole seconds; rounded up, so that nobody comes too early.
        headers["Retry-After"] = str(math.ceil(refused.retry_after_s))
    if shape.http == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="sessiond"'  # RFC 9110 section 11.6.1: a 401 must name a way in
    return Answer(document, shape.http, headers)


def encode(body: Mapping[str, object] | bytes | None) -> bytes:
    """Give the bytes of a body."""
    if body is None or isinstance(body, bytes):
        return body or b""
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def send(request: Request, answer: Answer) -> None:
    """Send an answer and finish the request."""
    content = encode(answer.body)
    request.setResponseCode(answer.status, (answer.phrase or HTTPStatus(answer.status).phrase).encode("ascii"))
    headers = {"Content-Type": JSON, **GUARDS, **answer.headers}
    if answer.body is None:
        del headers["Content-Type"]
    for name, value in headers.items():
        request.setHeader(name, value)
    if answer.status != HTTPStatus.NO_CONTENT:  # RFC 9110 section 8.6
        request.setHeader("Content-Length", str(len(content)))
    request.write(content)
    request.finish()


def written(answer: Answer) -> bytes:
    """Write an answer out, for a connection that no request is served on any more."""
    content, status = encode(answer.body), HTTPStatus(answer.status)
    headers = {"Content-Type": JSON, **GUARDS, **answer.headers, "Content-Length": str(len(content))}
    lines = [f"HTTP/1.1 {status.value} {answer.phrase or status.phrase}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode() + content


def refuse(request: Request, code: Code) -> None:
    """Send a refusal that needs no more words than its title."""
    send(request, problem(Refused(code)))
