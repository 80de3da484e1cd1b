"""Static files: what is in the folder and nothing else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessiond.web.static import Files
from sessiond.web.wire import WebSite
from tests.web.http import Connection, Received, fetch, site_at

CANARY = "canary"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with files, beside others that must never be served."""
    root = tmp_path / "www"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "indexed").mkdir()
    for name, content in {
        "www/a.js": "let a = 1;",
        "www/b.wasm": "wasm",
        "www/c.unknown": "c",
        "www/odd name é.txt": "odd",
        "www/sub/d.html": "<p>d",
        "www/sub/deep/e.css": "e",
        "www/indexed/index.html": "index",
        "www/f.tar.gz": "gz",
        "www/empty.txt": "",
        "www/..hidden": CANARY,
        "www/.env": CANARY,
        "www/.git/config": CANARY,
        "secret.txt": CANARY,
        "www-other.txt": CANARY,
    }.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "www-other").mkdir()
    (tmp_path / "www-other" / "x.txt").write_text(CANARY)
    (root / "out").symlink_to(tmp_path / "secret.txt")
    (root / "up").symlink_to("..")
    (root / "beside").symlink_to(tmp_path / "www-other")
    (root / "env").symlink_to(".env")
    (root / "git").symlink_to(".git")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    (root / "inner.js").symlink_to("a.js")
    (root / "unreadable.txt").write_text("x")
    return root


@pytest.fixture
def site(folder: Path) -> WebSite:
    """Serve the folder below ``/files``."""
    return site_at("/files", Files(folder))


def download(site: WebSite, path: str, **headers: str) -> Received:
    """Fetch a file; Twisted sends those at the client's pace."""
    connection = Connection(site)
    connection.send("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    for _ in range(100):
        producer = connection.channel._requestProducer
        if producer is None:
            break
        producer._producer.resumeProducing()  # as the reactor would, turn by turn
    received = connection.received()
    connection.hang_up()
    return received


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("a.js", b"let a = 1;", "text/javascript; charset=utf-8"),
        ("inner.js", b"let a = 1;", "text/javascript; charset=utf-8"),
        ("b.wasm", b"wasm", "application/wasm"),
        ("c.unknown", b"c", "application/octet-stream"),
        ("odd%20name%20%C3%A9.txt", b"odd", "text/plain; charset=utf-8"),
        ("sub/d.html", b"<p>d", "text/html; charset=utf-8"),
        ("sub/deep/e.css", b"e", "text/css; charset=utf-8"),
        ("sub//deep///e.css", b"e", "text/css; charset=utf-8"),
        ("indexed/", b"index", "text/html; charset=utf-8"),
        ("f.tar.gz", b"gz", "application/octet-stream"),
    ],
)
def test_files(site: WebSite, path: str, body: bytes, kind: str) -> None:
    """A file is served with the type that browsers want, and never as something else."""
    received = download(site, f"/files/{path}")
    assert (received.status, received.body, received.headers["content-type"]) == (200, body, kind)
    assert received.headers["x-content-type-options"] == "nosniff"
    assert received.headers["cache-control"] == "no-cache"
    assert received.headers["content-length"] == str(len(body))
    assert "content-encoding" not in received.headers


def test_empty_file(site: WebSite) -> None:
    """A file with nothing in it is served, whatever part of it is asked for."""
    assert download(site, "/files/empty.txt").body == b""
    assert download(site, "/files/empty.txt", Range="bytes=-5").status == 200


HOSTILE = (
    *("../secret.txt", "%2e%2e/secret.txt", "%2e%2e%2fsecret.txt", "..%2fsecret.txt", "sub/../../secret.txt"),
    *("..%5csecret.txt", "..\\secret.txt", "%252e%252e/secret.txt", "....//secret.txt", "..;/secret.txt", "./a.js"),
    *("%uff0e%uff0e/secret.txt", "%c0%ae%c0%ae/secret.txt", "%ef%bc%8e%ef%bc%8e/secret.txt", "..%00/secret.txt"),
    *("a.js%00.txt", "%00", "a.js/", "a.js/x", "a.js/..", "/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd"),
    *("file:///etc/passwd", "~/secret.txt", "..hidden", ".env", ".git/config", ".git/", "sub/.", "%2eenv", "..", "."),
    *("out", "up/secret.txt", "up/", "beside/x.txt", "env", "git/config", "loop", "dangling", "nothing", "sub/nothing"),
    *("../www-other.txt", "../www-other/x.txt", "%ff", "%ff%fe", "x" * 300, "/".join("x" * 100), "", "sub/"),
    *("a.js%20", "a.js%2f", "A.JS", "a.js::$DATA", "CON", "sub%2fd.html", "sub%2f..%2f..%2fsecret.txt"),
)


@pytest.mark.parametrize("path", HOSTILE, ids=range(len(HOSTILE)))
def test_traversal(site: WebSite, path: str) -> None:
    """Nothing outside the folder, nothing hidden, no listing; and the answer is no page."""
    received = download(site, f"/files/{path}")
    assert received.status == 404
    assert CANARY.encode() not in received.body
    received.refused("not-found", 404)


def test_root_itself(folder: Path) -> None:
    """The folder may itself be reached through a link, and may not be there at all."""
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert download(site_at("/files", Files(link)), "/files/a.js").status == 200
    assert download(site_at("/files", Files(folder / "nowhere")), "/files/a.js").status == 404


def test_folder_without_slash(site: WebSite) -> None:
    """A folder is asked for again with a slash, at an address that is built of nothing that was sent."""
    for path in ("/files/indexed", "//files/indexed", "/files//indexed?x=//evil.test"):
        received = fetch(site, "GET", path, host="evil.test")
        if received.status == 404:  # a site that does not collapse its root
            continue
        assert (received.status, received.headers["location"], received.body) == (301, "./indexed/", b"")
    assert fetch(site, "GET", "/files").headers["location"] == "./files/"


@pytest.mark.parametrize("name", ["evil.test", "a:b", "a%0d%0aSet-Cookie:x", "%22%3e%3cscript%3e", "%5cevil.test", "é"])
def test_redirect_is_relative(folder: Path, name: str) -> None:
    """Whatever a folder is called, the way to it stays on this site."""
    from urllib.parse import quote, unquote

    (folder / unquote(name)).mkdir()
    received = fetch(site_at("/files", Files(folder)), "GET", f"/files/{quote(unquote(name))}")
    location = received.headers["location"]
    assert received.status == 301
    assert location.startswith("./")
    assert location.isascii()
    assert not set('\r\n"<> \\') & set(location)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_read_only(site: WebSite, method: str) -> None:
    """Files are read and nothing else."""
    received = fetch(site, method, "/files/a.js")
    received.refused("method-not-allowed", 405)
    assert received.headers["allow"] == "GET, HEAD"


def test_head(site: WebSite) -> None:
    """HEAD tells of a file what GET would."""
    received = fetch(site, "HEAD", "/files/a.js")
    assert (received.status, received.body, received.headers["content-length"]) == (200, b"", "10")
    assert received.headers["content-type"] == "text/javascript; charset=utf-8"


def test_known_already(site: WebSite, folder: Path) -> None:
    """Who has the file is told that it is still good, by its mark or by its time, and otherwise gets the new one."""
    known = download(site, "/files/a.js").headers
    assert download(site, "/files/a.js", If_None_Match=known["etag"]).status == 304
    assert download(site, "/files/a.js", If_Modified_Since=known["last-modified"]).status == 304
    (folder / "a.js").write_text("let a = 2;")
    os.utime(folder / "a.js", (0, 0))
    changed = download(site, "/files/a.js", If_None_Match=known["etag"], If_Modified_Since=known["last-modified"])
    assert (changed.status, changed.body) == (200, b"let a = 2;")


@pytest.mark.parametrize(
    ("wanted", "status", "body"),
    [
        ("bytes=0-2", 206, b"let"),
        ("bytes=4-", 206, b"a = 1;"),
        ("bytes=-2", 206, b"1;"),
        ("bytes=-5000", 206, b"let a = 1;"),
        ("bytes=8-5000", 206, b"1;"),
        ("bytes=5-2", 200, b"let a = 1;"),
        ("bytes=-", 200, b"let a = 1;"),
        ("bytes=0-0,1-1", 200, b"let a = 1;"),
        ("bytes=" + ",".join(["0-"] * 2000), 200, b"let a = 1;"),
        ("bytes=" + "9" * 5000 + "-", 200, b"let a = 1;"),
        ("items=0-1", 200, b"let a = 1;"),
        ("bytes=a-b", 200, b"let a = 1;"),
        ("bytes=\xff", 200, b"let a = 1;"),
        ("bytes=--1", 200, b"let a = 1;"),
    ],
    ids=range(14),
)
def test_ranges(site: WebSite, wanted: str, status: int, body: bytes) -> None:
    """One part of a file is sent; what asks for more than one, or is malformed, gets the whole once."""
    received = download(site, "/files/a.js", Range=wanted)
    assert (received.status, received.body) == (status, body)


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=11-12", "bytes=-0"])
def test_range_behind_the_end(site: WebSite, wanted: str) -> None:
    """A range without a byte in it is refused, and the file's size is told (RFC 9110 section 15.5.17)."""
    received = download(site, "/files/a.js", Range=wanted)
    received.refused("bad-range", 416)
    assert received.headers["content-range"] == "bytes */10"
    head = fetch(site, "HEAD", "/files/a.js", headers={"Range": wanted})
    assert (head.status, head.body) == (416, b"")
    tag = download(site, "/files/a.js").headers["etag"]
    assert download(site, "/files/a.js", Range=wanted, If_None_Match=tag).status == 304


@pytest.mark.parametrize(
    "value", ["", "yesterday", "\xff", "Thu, 99 Xyz 2020 00:00:00 GMT", "9" * 5000, "*", '"a", "b"', 'W/"']
)
def test_hostile_conditions(site: WebSite, value: str) -> None:
    """A condition that is not understood is no condition."""
    assert download(site, "/files/a.js", If_Modified_Since=value).status == 200
    assert download(site, "/files/a.js", If_None_Match=value).status in (200, 304)


def test_listing(folder: Path) -> None:
    """A listing, where it was asked for, shows what can be fetched, its names as text."""
    (folder / "sub" / "<script>.txt").write_text("x")
    (folder / "sub" / ".hidden").write_text("x")
    (folder / "sub" / "out").symlink_to(folder.parent / "secret.txt")
    received = fetch(site_at("/files", Files(folder, listing=True)), "GET", "/files/sub/")
    assert received.status == 200
    assert b"d.html" in received.body
    assert b"deep" in received.body
    assert b"<script>" not in received.body
    assert b"hidden" not in received.body
    assert b"out" not in received.body.replace(b"about", b"")
    assert received.headers["content-security-policy"].startswith("default-src 'none'")
    indexed = download(site_at("/files", Files(folder, listing=True)), "/files/indexed/")
    assert indexed.body == b"index"


@pytest.fixture
def special(folder: Path) -> Iterator[Path]:
    """Put things into the folder that are no files."""
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        yield folder


@pytest.mark.parametrize("name", ["fifo", "socket"])
def test_no_files(special: Path, name: str) -> None:
    """What would block its reader, or is no file, is not opened."""
    fetch(site_at("/files", Files(special)), "GET", f"/files/{name}").refused("not-found", 404)


def test_large_file(folder: Path) -> None:
    """A large file is sent in parts, as the client takes them, and no more once it goes."""
    (folder / "large.bin").write_bytes(b"x" * 1_000_000)
    site = site_at("/files", Files(folder))
    connection = Connection(site)
    connection.send("GET", "/files/large.bin")
    assert len(connection.transport.value()) < 500_000
    producer = connection.channel._requestProducer
    connection.hang_up()
    producer.stopProducing()  # as a transport does that is gone
    assert len(download(site, "/files/large.bin").body) == 1_000_000


def test_unreadable(folder: Path, site: WebSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the daemon may not read is not there."""

    def refuse(self: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("sessiond.web.static._OneFile.openForReading", refuse)
    fetch(site, "GET", "/files/unreadable.txt").refused("not-found", 404)


def test_vanishes(site: WebSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that goes while it is being looked at was not there."""

    def gone(self: object) -> None:
        raise FileNotFoundError(2, "No such file")

    monkeypatch.setattr("sessiond.web.static._OneFile.openForReading", gone)
    fetch(site, "GET", "/files/a.js").refused("not-found", 404)
