"""What a request says comes back as data or not at all: JSON that no browser sniffs, HTML escaped and under a policy.

No redirect is built of what a request says. Names that programs give themselves are data too: a page shows them as
text, which ``tests/e2e/test_portal.py`` drives a browser to see.
"""

import html
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.e2e.places import Place
from tests.e2e.running import Running, running
from tests.e2e.services import echo
from tests.security.exchange import Exchange, Got

MARKUP = (
    *(
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "'><svg/onload=alert(1)>",
        "</title><script>x</script>",
    ),
    *("{{7*7}}", "javascript:alert(1)", "%3Cscript%3Ealert(1)%3C/script%3E", "<!--#exec cmd=id-->", "]]><x>", "`${x}`"),
)
ELSEWHERE = (
    *(
        "//evil.test",
        "///evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "http://evil.test",
        "https:evil.test",
        "/%5cevil.test",
    ),
    *("//evil.test/%2e%2e", "/%2f%2fevil.test", "/.//evil.test", "//evil.test@", "/%09/evil.test", "//%65vil.test"),
    *("%0d%0aLocation:%20http://evil.test", "%0d%0aSet-Cookie:%20a=b", "/%0d%0a%0d%0a<script>alert(1)</script>"),
)
PAYLOADS = MARKUP + ELSEWHERE


@pytest.fixture
def daemon(place: Place) -> Iterator[Running]:
    """Run a daemon that serves all that it can, with names in a folder that are markup."""
    public = place.folder / "public"
    (public / "evil.test").mkdir(parents=True)
    (public / "<b>bold<").mkdir()
    for name in ("<script>alert(1)<.txt", '"onmouseover="x.html', "javascript:x"):
        (public / name).write_text("")
    static = '[static]\n"/" = { folder = "public", listing = true }\n"/files" = { folder = "public", listing = true }\n'
    serves = ("api", "tunnel", "static", "health", "metrics")
    with running(place.configure(static + echo(place), serves=serves)) as found:
        yield found.ready()


def hold(got: Got, payload: str, what: str) -> None:
    """Hold that an answer shows a payload as data, and leads nowhere else."""
    told = f"{what} {payload!r}: {got}"
    headers = got.headers
    assert headers.get("x-content-type-options") == "nosniff", told
    assert "set-cookie" not in headers, told
    kind = headers.get("content-type", "").partition(";")[0]
    if kind == "text/html":
        assert headers["content-security-policy"].startswith("default-src 'none'"), told
        for part in ("<script", "<img", "<svg", "<b>bold", '"onmouseover'):
            assert part.encode() not in got.body.lower(), told
    elif got.body:
        assert kind in ("application/json", "application/problem+json", "text/plain", "application/octet-stream"), told
        if kind.endswith("json"):
            json.loads(got.body)
    location = headers.get("location", "./")
    assert location.startswith(("./", "sessions/")), told
    assert "//" not in location.removeprefix("./").replace(":", ""), told


def targets(payload: str) -> Iterator[str]:
    """Put a payload everywhere in a URL."""
    raw, coded = quote(payload, safe="%/\\:{}"), quote(payload, safe="")
    places = ("/", "/files/", "/files/evil.test/", "/api/v1/", "/api/v1/sessions/", "/pages/", "/healthz/", "/none/")
    for place in places:
        yield place + raw.lstrip("/") if place != "/" else raw if raw.startswith("/") else f"/{raw}"
        yield place + coded
        yield f"{place}{coded}/"
        yield f"{place}?x={coded}"
    for query in ("/tunnel?token=", "/tunnel?ticket=", "/api/v1/services?ticket=", "/api/v1/sessions/x/log?lines="):
        yield query + coded
    yield f"/api/v1/sessions/x/liveliness?liveliness={coded}"


def test_urls(daemon: Running) -> None:
    """Whatever a URL holds, its answer is data, and no other site's address is led to."""
    with Exchange(daemon.url) as client:
        for payload in PAYLOADS:
            for target in targets(payload):
                for method in (b"GET", b"POST", b"OPTIONS"):
                    got = client.get(target.encode(), method, b"Content-Length: 0\r\n")
                    hold(got, payload, f"{method.decode()} {target}")
        assert "Traceback" not in daemon.text


@pytest.mark.parametrize("header", ["Host", "Origin", "Authorization", "Idempotency-Key", "Referer", "Range", "Cookie"])
def test_headers(daemon: Running, header: str) -> None:
    """Whatever a header holds, its answer is data, and gives no page leave to read it."""
    with Exchange(daemon.url) as client:
        for payload in PAYLOADS:
            for target in (b"/", b"/files", b"/files/none", b"/api/v1/services", b"/tunnel", b"/metrics"):
                host = payload.encode() if header == "Host" else None
                more = b"" if header == "Host" else f"{header}: {payload}\r\n".encode()
                got = client.get(target, host=host, more=more)
                hold(got, payload, f"{header} for {target.decode()}")
                assert "access-control-allow-origin" not in got.headers


@pytest.mark.parametrize("field", ["service", "owner", "wait", "options", "option", "member", "whole"])
def test_bodies(daemon: Running, field: str) -> None:
    """Whatever a body holds, its refusal is a problem document; one that is granted shows it as a text."""
    with Exchange(daemon.url) as client:
        for payload in PAYLOADS:
            bodies = {
                "service": {"service": payload},
                "owner": {"service": "none", "owner": payload},
                "wait": {"service": "echo", "wait": payload},
                "options": {"service": "echo", "options": payload},
                "option": {"service": "echo", "options": {payload: payload}},
                "member": {"service": "echo", payload: payload},
                "whole": payload,
            }
            raw = json.dumps(bodies[field])
            more = f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n"
            head = f"POST /api/v1/sessions HTTP/1.1\r\nHost: {client.netloc}\r\n{more}\r\n"
            got = client.send((head + raw).encode(), b"POST")
            hold(got, payload, field)
            assert got.headers["content-type"] == "application/problem+json"
            assert got.status in (400, 404)


def test_listing(daemon: Running) -> None:
    """Names of files stand in a list as text, and lead to the files."""
    with Exchange(daemon.url) as client:
        got = client.get(b"/files/?<script>alert(1)</script>")
        hold(got, "<script>", "a list")
        assert html.escape("<script>alert(1)<.txt").encode() in got.body
        assert b'href="javascript:' not in got.body


def test_page_of_the_daemon(place: Place) -> None:
    """Its own page comes under a policy that runs no script but its own, and says nothing of what was asked."""
    with running(place.configure(echo(place), serves=("portal", "api", "tunnel"))) as daemon:
        with Exchange(daemon.ready().url) as client:
            got = client.get(b"/?<script>alert(1)</script>")
        policy = got.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert b"<script>alert" not in got.body
        assert got.headers["x-content-type-options"] == "nosniff"
