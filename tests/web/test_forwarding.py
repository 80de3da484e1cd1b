"""What of a request goes on to a program, and what of its answer comes back."""

from __future__ import annotations

import pytest
from twisted.web.http import parse_qs

from sessiond.web.forwarding import (
    Address,
    answer_lines,
    confined,
    our_cookies,
    placed,
    request_lines,
    target_below,
    without_our_cookies,
    without_secrets,
)

ADDRESS = Address(b"/session/desk-1", b"host.example", secure=True)


@pytest.mark.parametrize(
    ("target", "passed"),
    [
        (b"/tunnel", b"/tunnel"),
        (b"/tunnel?token=t", b"/tunnel"),
        (b"/tunnel?ticket=t", b"/tunnel"),
        (b"/tunnel?ticket=t&size=1", b"/tunnel?size=1"),
        (b"/tunnel?size=1&token=t", b"/tunnel?size=1"),
        (b"/tunnel?a=1&token=t&b=2;c=3", b"/tunnel?a=1&b=2;c=3"),
        (b"/tunnel?a=1;token=t", b"/tunnel?a=1"),
        (b"/tunnel?token=t;ticket=u;a=1", b"/tunnel?a=1"),
        (b"/tunnel?%74oken=t&tick%65t=u&a", b"/tunnel?a"),
        (b"/tunnel?a=token=t", b"/tunnel?a=token=t"),
        (b"/tunnel?tokens=1&Token=2", b"/tunnel?tokens=1&Token=2"),
    ],
)
def test_without_secrets(target: bytes, passed: bytes) -> None:
    """What the daemon would take for a token or ticket is left out, and nothing else."""
    assert without_secrets(target) == passed
    assert not {b"token", b"ticket"} & parse_qs(passed.partition(b"?")[2], True).keys()


@pytest.mark.parametrize(
    ("target", "below"),
    [
        (b"/session/desk-1", b""),
        (b"/session/desk-1?a=1", b"?a=1"),
        (b"/session/desk-1/", b"/"),
        (b"//session//desk-1//x//", b"//x//"),
        (b"/%73ession/desk%2d1/a%2Fb/%2e%2e/c?x=%26", b"/a%2Fb/%2e%2e/c?x=%26"),
        (b"/session/desk-1/../x", b"/../x"),
        (b"/session/desk-1/?token=t&x", b"/?x"),
        (b"/session/desk-1/a?b/c/d", b"/a?b/c/d"),
        (b"/session/desk-1/session/desk-1/", b"/session/desk-1/"),
    ],
)
def test_target_below(target: bytes, below: bytes) -> None:
    """What stands below the session's address goes on as it was written."""
    assert target_below(target) == below


def passed(*lines: tuple[bytes, bytes], proof: bool = False) -> dict[bytes, bytes]:
    """Give what goes on of some headers, without what we say ourselves."""
    found = request_lines(lines, ADDRESS, "192.0.2.1", proof=proof)
    said = found[-4:]
    assert said == [
        (b"X-Forwarded-Prefix", b"/session/desk-1"),
        (b"X-Forwarded-Host", b"host.example"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-For", b"192.0.2.1"),
    ]
    return dict(found[:-4])


def test_request() -> None:
    """What is the program's goes on unchanged, and so does the Host; what is between neighbours does not."""
    kept = [(b"Host", b"host.example"), (b"Accept", b"*/*"), (b"X-Own", b"1"), (b"Content-Type", b"text/plain")]
    dropped = [
        (b"Connection", b"close, X-Hop, Host"),
        (b"X-Hop", b"1"),
        (b"Keep-Alive", b"5"),
        (b"TE", b"trailers"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Content-Length", b"5"),
        (b"Upgrade", b"h2c"),
        (b"Expect", b"100-continue"),
        (b"Proxy-Authorization", b"x"),
    ]
    assert passed(*kept, *dropped) == dict(kept)


@pytest.mark.parametrize(
    "name",
    [b"Forwarded", b"X-Forwarded-For", b"x-forwarded-proto", b"X_Forwarded_Host", b"X-Forwarded-Any", b"X-Real-IP"],
)
def test_said_by_clients(name: bytes) -> None:
    """What a client says of where it comes from is not passed on, in no way of writing it."""
    assert passed((name, b"evil")) == {}


def test_peer_without_address() -> None:
    """A client that came over a UNIX socket has no address, and none is made up."""
    assert b"X-Forwarded-For" not in dict(request_lines([], ADDRESS, None, proof=False))


def test_proofs() -> None:
    """What proved to us who came is for us alone; what proves something to the program is the program's."""
    lines = (b"Authorization", b"Bearer x")
    assert passed(lines) == {b"Authorization": b"Bearer x"}
    assert passed(lines, proof=True) == {}
    assert passed((b"Cookie", b"sessiond-desk-1=x; own=1")) == {b"Cookie": b"own=1"}
    assert passed((b"Cookie", b"sessiond-desk-1=x")) == {}
    referer = (b"Referer", b"https://host.example/session/desk-1/?token=t&a=1")
    assert passed(referer) == {b"Referer": b"https://host.example/session/desk-1/?a=1"}


def test_cookies() -> None:
    """Our cookies are known by the beginning of their names."""
    assert without_our_cookies(b"a=1;Sessiond-x=2 ;  b=3;;") == b"a=1; b=3"
    assert our_cookies([b"sessiond-a=1; sessiond-ab=2; x=3", b" sessiond-a=4=5"], b"sessiond-a") == [b"1", b"4=5"]


def test_answer() -> None:
    """The program's headers come back in order, as often as they stand there."""
    kept = [
        (b"Content-Type", b"text/html"),
        (b"X-Own", b"1"),
        (b"X-Own", b"2"),
        (b"Set-Cookie", b"a=1; Path=/session/desk-1/"),
    ]
    dropped = [
        (b"Connection", b"X-Hop"),
        (b"X-Hop", b"1"),
        (b"Content-Length", b"5"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Strict-Transport-Security", b"max-age=1"),
        (b"Clear-Site-Data", b'"*"'),
        (b"Service-Worker-Allowed", b"/"),
    ]
    assert answer_lines([*dropped, *kept], ADDRESS, b"host.example") == kept


@pytest.mark.parametrize(
    ("location", "told"),
    [
        (b"/", b"/session/desk-1/"),
        (b"/a?b=/c", b"/session/desk-1/a?b=/c"),
        (b"/session/desk-1/a", b"/session/desk-1/a"),
        (b"/session/desk-1", b"/session/desk-1"),
        (b"/session/desk-10/a", b"/session/desk-1/session/desk-10/a"),
        (b"a/b", b"a/b"),
        (b"?a", b"?a"),
        (b"//other.example/a", b"//other.example/a"),
        (b"/\\other.example/a", b"/\\other.example/a"),
        (b"https://other.example/a", b"https://other.example/a"),
        (b"http://HOST.example/a", b"/session/desk-1/a"),
        (b"http://inner:1/a", b"/session/desk-1/a"),
        (b"http://inner:1", b"/session/desk-1/"),
        (b"mailto:ada@host.example", b"mailto:ada@host.example"),
    ],
)
def test_locations(location: bytes, told: bytes) -> None:
    """An address of the program's own is put below the session's; any other is left alone."""
    assert placed(location, ADDRESS, b"inner:1") == told
    assert answer_lines([(b"Location", location)], ADDRESS, b"inner:1") == [(b"Location", told)]


@pytest.mark.parametrize(
    ("cookie", "kept"),
    [
        (b"a=1", b"a=1"),
        (b"a=1; HttpOnly; SameSite=Lax", b"a=1; HttpOnly; SameSite=Lax"),
        (b"a=1; Path=/", b"a=1; Path=/session/desk-1/"),
        (b"a=1;path = /x ;Secure", b"a=1; Path=/session/desk-1/x;Secure"),
        (b"a=1; Path=/session/desk-1/x", b"a=1; Path=/session/desk-1/x"),
        (b"a=1; Path=/session/desk-2/", b"a=1; Path=/session/desk-1/session/desk-2/"),
        (b"a=1; Path=x; Domain=example", b"a=1"),
        (b"sessiond-desk-1=1", b""),
        (b" SESSIOND-desk-2=1; Path=/", b""),
    ],
)
def test_confined(cookie: bytes, kept: bytes) -> None:
    """A program's cookie goes to that program alone, and none is taken for ours."""
    assert confined(cookie, ADDRESS) == kept
