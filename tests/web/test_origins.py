"""Hosts and origins: what is one, and which are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiond.web.origins import Origin, names_local, read_host, read_origin, read_url

HOSTS = {
    "example.org": Origin(False, "example.org", 80),
    "EXAMPLE.org:8080": Origin(False, "example.org", 8080),
    "127.0.0.1:9000": Origin(False, "127.0.0.1", 9000),
    "[::1]:9000": Origin(False, "::1", 9000),
    "[0:0:0:0:0:0:0:1]": Origin(False, "::1", 80),
    "[::ffff:127.0.0.1]:9000": Origin(False, "127.0.0.1", 9000),
    "a_b.example": Origin(False, "a_b.example", 80),
}
NO_HOSTS = (
    *("", " ", "example.org.", ".example.org", "-", "example.org:", "example.org:0", "example.org:65536"),
    *("example.org:99999999", "user@example.org", "example.org/path", "example.org#", "a b", "a\tb", "a\nb", "a,b"),
    *("::1", "[::1", "[::1%eth0]", "[not]", "[]", "[127.0.0.1]", "exämple.org", "example.org\n", "*", "*.example.org"),
    *("example.org:80:80", "example.org:+1", "a" * 300, "example.org\0"),
)
NO_ORIGINS = (
    *("null", "NULL", "", "*", "http://", "https:/example.org", "ftp://example.org", "file://", "ws://example.org"),
    *("http://example.org/", "http://example.org/path", "http://user@example.org", "http://example.org?x"),
    *("http://example.org.", " http://example.org", "http://example.org ", "http://example.org, http://example.org"),
    *("javascript://example.org", "chrome-extension://abc", "http://exämple.org", "http://example.org\n"),
)


@pytest.mark.parametrize("text", HOSTS)
def test_host(text: str) -> None:
    """A Host is read as the origin of its pages."""
    assert read_host(text, secure=False) == HOSTS[text]


@pytest.mark.parametrize("text", [None, *NO_HOSTS])
def test_no_host(text: str | None) -> None:
    """What is no Host is none."""
    assert read_host(text, secure=False) is None


@pytest.mark.parametrize("text", [None, *NO_ORIGINS])
def test_no_origin(text: str | None) -> None:
    """What is no origin of HTTP is none, ``null`` first of all."""
    assert read_origin(text) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://example.org", "http://EXAMPLE.ORG:80"),
        ("https://example.org", "https://example.org:443"),
        ("HTTPS://example.org", "https://example.org"),
        ("http://[::1]:9000", "http://[0:0::1]:9000"),
    ],
)
def test_same_origin(one: str, other: str) -> None:
    """Two ways to write an origin are one origin."""
    assert read_origin(one) == read_origin(other) is not None


@pytest.mark.parametrize(
    "other",
    [
        "https://example.org",
        "http://example.org:8080",
        "http://www.example.org",
        "http://example.org.evil.test",
        "http://evil-example.org",
        "http://example.or",
        "http://example.org:800",
    ],
)
def test_different_origin(other: str) -> None:
    """Another scheme, port, beginning or end is another origin."""
    assert read_origin(other) != read_origin("http://example.org")


@given(st.builds(Origin, st.booleans(), st.sampled_from(("a.example", "::1", "10.0.0.1")), st.integers(1, 65535)))
def test_text(origin: Origin) -> None:
    """What is written is read as the same again."""
    assert read_origin(origin.text) == origin


def test_text_without_usual_port() -> None:
    """An origin is written as browsers write it, or pages could not be admitted by it."""
    assert Origin(True, "example.org", 443).text == "https://example.org"
    assert Origin(False, "::1", 8080).text == "http://[::1]:8080"


def test_url() -> None:
    """The origin of a public URL is read without its path."""
    assert read_url("https://example.org/sessions/") == Origin(True, "example.org", 443)
    assert read_url("https://example.org") == Origin(True, "example.org", 443)
    assert read_url(None) is None


@pytest.mark.parametrize(
    ("host", "local", "expected"),
    [
        ("127.0.0.1:9000", ("127.0.0.1", 9000), True),
        ("localhost:9000", ("127.0.0.1", 9000), True),
        ("localhost:9000", ("::1", 9000), True),
        ("LOCALHOST:9000", ("::ffff:127.0.0.1", 9000), True),
        ("127.0.0.1:9000", ("::ffff:127.0.0.1", 9000), True),
        ("[::1]:9000", ("::1", 9000), True),
        ("192.0.2.1", ("192.0.2.1", 80), True),
        ("localhost", None, True),
        ("localhost:9001", ("127.0.0.1", 9000), False),
        ("localhost", ("127.0.0.1", 9000), False),
        ("localhost:9000", ("192.0.2.1", 9000), False),
        ("127.0.0.2:9000", ("127.0.0.1", 9000), False),
        ("evil.test:9000", ("127.0.0.1", 9000), False),
        ("127.0.0.1.evil.test:9000", ("127.0.0.1", 9000), False),
        ("localhost.evil.test:9000", ("127.0.0.1", 9000), False),
        ("2130706433:9000", ("127.0.0.1", 9000), False),
        ("0x7f.1:9000", ("127.0.0.1", 9000), False),
        ("0177.0.0.1:9000", ("127.0.0.1", 9000), False),
        ("evil.test", None, False),
    ],
)
def test_names_local(host: str, local: tuple[str, int] | None, expected: bool) -> None:
    """Only the address itself, or ``localhost`` on a loopback, names where a request came in."""
    found = read_host(host, secure=False)
    assert found is not None
    assert names_local(found, local) is expected
