"""The one leaf: methods, errors, clients that hang up, pages of other origins."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Request

from sessiond.core.errors import SHAPES, Code, Refused
from sessiond.web.access import NOBODY, Access, Caller, Face
from sessiond.web.answers import Answer
from sessiond.web.leaf import ApiLeaf, Branch, JsonLeaf, finish_anyway
from sessiond.web.wire import WebSite
from tests.reactor import LoggedFailures
from tests.results import failure_of, no_result_of, result_of
from tests.web.http import HOST, Connection, fetch, site_at

SAFE = {"x-content-type-options": "nosniff", "cache-control": "no-store", "referrer-policy": "no-referrer"}
PORTAL = "https://portal.example.org"


class Leaf(JsonLeaf):
    """Does what the test says."""

    def __init__(self, result: object = None) -> None:
        super().__init__()
        self.result = result
        self.waiting: Deferred[Answer] | None = None
        self.cancelled = 0

    async def get(self, request: Request, caller: Caller) -> Answer:
        """Give or raise the result; without one, wait."""
        assert caller is NOBODY
        if isinstance(self.result, BaseException):
            raise self.result
        if isinstance(self.result, Answer):
            return self.result
        self.waiting = Deferred()
        try:
            return await self.waiting
        except CancelledError:
            self.cancelled += 1
            raise


class Paged(ApiLeaf):
    """Has two methods, for pages of one other origin."""

    def __init__(self) -> None:
        super().__init__(Access(()), Face(origins=(PORTAL,)))

    async def get(self, request: Request, caller: Caller) -> Answer:
        """Refuse."""
        raise Refused(Code.FULL, "later", 1.2)

    async def delete(self, request: Request, caller: Caller) -> Answer:
        """Do nothing."""
        return Answer({})


def test_answer() -> None:
    """An answer is JSON, with its length and the headers that guard it."""
    received = fetch(site_at("/x", Leaf(Answer({"ä": [1, None]}, 201, {"Location": "y"}))), "GET", "/x")
    assert (received.status, received.json, received.headers["location"]) == (201, {"ä": [1, None]}, "y")
    assert received.headers["content-type"] == "application/json"
    assert received.headers["content-length"] == str(len(received.body))
    assert SAFE.items() <= received.headers.items()


def test_no_content() -> None:
    """An answer without a body has neither type nor length (RFC 9110 section 8.6)."""
    received = fetch(site_at("/x", Leaf(Answer(None, 204))), "GET", "/x")
    assert (received.status, received.body) == (204, b"")
    assert not {"content-type", "content-length", "transfer-encoding"} & received.headers.keys()


def test_head() -> None:
    """HEAD is GET without the body, and the connection can be used on."""
    connection = Connection(site_at("/x", Leaf(Answer({"a": 1}))))
    connection.send("HEAD", "/x")
    received = connection.received()
    assert (received.status, received.body, received.headers["content-length"]) == (200, b"", "7")
    connection.send("GET", "/x")
    assert connection.received().json == {"a": 1}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "TRACE", "CONNECT", "get", "BREW", "__class__"])
def test_other_methods(method: str) -> None:
    """A method that is not offered is refused, and those that are are named."""
    received = fetch(site_at("/x", Leaf(Answer({}))), method, "/x")
    received.refused("method-not-allowed", 405)
    assert received.headers["allow"] == "GET, HEAD, OPTIONS"


def test_options() -> None:
    """OPTIONS names what is offered."""
    received = fetch(site_at("/x", Leaf(Answer({}))), "OPTIONS", "/x")
    assert (received.status, received.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("code", Code)
def test_refusals(code: Code) -> None:
    """Every code becomes the problem document that the table says, with its title and nothing more."""
    document = fetch(site_at("/x", Leaf(Refused(code))), "GET", "/x").refused(code.value, SHAPES[code].http)
    assert document == {
        "type": f"urn:sessiond:problem:{code.value}",
        "title": SHAPES[code].title,
        "status": SHAPES[code].http,
        "code": code.value,
    }


@pytest.mark.parametrize(("seconds", "header"), [(0.2, "1"), (1.0, "1"), (1.01, "2"), (59.5, "60"), (0.0, "0")])
def test_retry_after(seconds: float, header: str) -> None:
    """When to come again is told to the tenth in the document, and rounded up in the header."""
    received = fetch(site_at("/x", Leaf(Refused(Code.FULL, "no place", seconds))), "GET", "/x")
    document = received.refused("full", 503)
    assert (document["detail"], document["retry_after_s"]) == ("no place", seconds)
    assert received.headers["retry-after"] == header


def test_defect(logged_failures: LoggedFailures) -> None:
    """What fails inside is told in the log only."""
    received = fetch(site_at("/x", Leaf(ValueError("canary"))), "GET", "/x")
    received.refused("internal", 500)
    assert b"canary" not in received.body
    assert "canary" in logged_failures.take(ValueError)[0].getErrorMessage()


def test_unwritable_answer(logged_failures: LoggedFailures) -> None:
    """An answer that can't be written does not leave its client waiting."""
    fetch(site_at("/x", Leaf(Answer({"a": float("nan")}))), "GET", "/x").refused("internal", 500)
    assert logged_failures.take(ValueError)


def test_markup_is_data() -> None:
    """What a request says is repeated as JSON, which no browser takes for a page."""
    received = fetch(site_at("/x", Leaf(Refused(Code.BAD_OPTION, "<script>alert(1)</script>"))), "GET", "/x")
    assert received.refused("bad-option", 400)["detail"] == "<script>alert(1)</script>"
    assert received.headers["x-content-type-options"] == "nosniff"


def test_header_injection() -> None:
    """A line break in a header's value begins no new header."""
    received = fetch(site_at("/x", Leaf(Answer({}, headers={"Location": "a\r\nSet-Cookie: b=c"}))), "GET", "/x")
    assert "set-cookie" not in received.headers


def test_waits_and_answers() -> None:
    """A coroutine that waits holds the answer back."""
    leaf = Leaf()
    connection = Connection(site_at("/x", leaf))
    connection.send("GET", "/x")
    assert not connection.answered
    assert leaf.waiting is not None
    leaf.waiting.callback(Answer({"late": True}))
    assert connection.received().json == {"late": True}


def test_hang_up() -> None:
    """A client that hangs up cancels what was waited for, at once and once."""
    leaf = Leaf()
    connection = Connection(site_at("/x", leaf))
    connection.send("GET", "/x")
    connection.hang_up()
    assert leaf.cancelled == 1
    assert not connection.answered


def test_hang_up_in_vain() -> None:
    """A coroutine that goes on when it was cancelled harms nobody."""

    class Stubborn(JsonLeaf):
        async def get(self, request: Request, caller: Caller) -> Answer:
            try:
                await Deferred()
            except CancelledError:
                return Answer({"still": "here"})
            raise AssertionError

    connection = Connection(site_at("/x", Stubborn()))
    connection.send("GET", "/x")
    connection.hang_up()
    assert not connection.answered


@pytest.mark.parametrize(
    "path", ["/", "/y", "/x/y", "/x/", "/x/y/z", "/%00", "/..", "/x/../y", "//", "/%2e%2e/%2e%2e/etc/passwd"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "BREW"])
def test_nowhere(path: str, method: str) -> None:
    """Where nothing is, a problem document says so, whatever was asked."""
    received = fetch(site_at("/x", Leaf(Answer({}))), method, path)
    assert (received.status, received.headers["content-type"]) == (404, "application/problem+json")
    assert SAFE.items() <= received.headers.items()


def test_preflight() -> None:
    """A browser learns that a page of an admitted origin may call, without any token."""
    headers = {
        "Origin": PORTAL,
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "authorization",
    }
    received = fetch(site_at("/x", Paged()), "OPTIONS", "/x", headers=headers)
    assert received.status == 204
    assert received.headers["access-control-allow-origin"] == PORTAL
    assert received.headers["access-control-allow-methods"] == "GET, DELETE, HEAD, OPTIONS"
    assert received.headers["access-control-allow-headers"] == "Authorization, Content-Type, Idempotency-Key, Prefer"
    assert received.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in received.headers


@pytest.mark.parametrize("origin", ["null", "http://evil.test", PORTAL + ".evil.test", "http://portal.example.org"])
def test_preflight_of_stranger(origin: str) -> None:
    """A page of any other origin may not."""
    headers = {"Origin": origin, "Access-Control-Request-Method": "DELETE"}
    received = fetch(site_at("/x", Paged()), "OPTIONS", "/x", headers=headers)
    received.refused("forbidden", 403)
    assert not [name for name in received.headers if name.startswith("access-control")]


def test_refusal_is_readable() -> None:
    """A page that may call can read why it was refused, and when to come again."""
    received = fetch(site_at("/x", Paged()), "GET", "/x", headers={"Origin": PORTAL})
    received.refused("unauthenticated", 401)
    assert received.headers["access-control-allow-origin"] == PORTAL
    assert received.headers["access-control-expose-headers"] == "Location, Retry-After"


def test_foreign_method() -> None:
    """A resource of Twisted's kind that lacks a method is refused in JSON too."""

    class Other(Resource):
        isLeaf = True

        def render_GET(self, request: Request) -> bytes:
            return b"ok"

    site = site_at("/x", Other())
    received = fetch(site, "POST", "/x", b"")
    received.refused("method-not-allowed", 405)
    assert "GET" in received.headers["allow"]
    assert fetch(site, "HEAD", "/x").status == 200


def test_resource_that_fails(logged_failures: LoggedFailures) -> None:
    """A resource that raises gives nothing of it away."""

    class Broken(Resource):
        isLeaf = True

        def render_GET(self, request: Request) -> bytes:
            raise ValueError("canary")

    received = fetch(site_at("/x", Broken()), "GET", "/x")
    received.refused("internal", 500)
    assert b"canary" not in received.body
    logged_failures.take(ValueError)


def test_counts_answers() -> None:
    """Each answer is counted by its status."""
    seen: list[int] = []
    root = Branch()
    root.putChild(b"x", Leaf(Answer({})))
    site = WebSite(root, Clock(), seen.append)
    for path in ("/x", "/y"):
        fetch(site, "GET", path, host=HOST)
    assert seen == [200, 404]


def test_finish_anyway() -> None:
    """What is waited for comes through: results, failures, and the end of waiting."""
    assert result_of(finish_anyway(succeed(1), str)) == 1
    failure_of(finish_anyway(fail(Refused(Code.FULL)), str), Refused)
    running: Deferred[int] = Deferred()
    late: list[int] = []
    waiter = finish_anyway(running, late.append)
    no_result_of(waiter)
    waiter.cancel()
    failure_of(waiter, CancelledError)
    assert late == []
    running.callback(2)
    assert late == [2]


def test_finish_anyway_fails_late(logged_failures: LoggedFailures) -> None:
    """A failure that nobody waits for any more is logged, unless it is only a refusal."""
    for error, count in ((Refused(Code.FULL), 0), (ValueError("x"), 1)):
        running: Deferred[int] = Deferred()
        waiter = finish_anyway(running, str)
        waiter.cancel()
        failure_of(waiter, CancelledError)
        running.errback(error)
        assert len(logged_failures.take(type(error))) == count
