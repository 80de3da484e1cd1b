"""No path leads out of a folder, to what is hidden in it, or out of the folder of a session."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiond.launchers.process import folder_name
from tests.e2e.places import Place
from tests.e2e.running import running
from tests.security.exchange import Exchange, Got

SECRET = b"canary-7d1f"
PUBLIC = (b"public text", b"public below")
MOUNTS = (
    b"/",
    b"/files/",
    b"/deep/er/",
    b"/files/sub/",
    b"/api/v1/",
    b"/api/v1/sessions/",
)
UPS = (
    *(b"../", b"..%2f", b"..%2F", b"%2e%2e/", b"%2e%2e%2f", b".%2e/", b"%2E./", b"%252e%252e%252f", b"%252e%252e/"),
    *(
        b"..%252f",
        b"..\\",
        b"..%5c",
        b"%2e%2e%5c",
        b"..%255c",
        b"%uff0e%uff0e/",
        b"%u002e%u002e%u2215",
        b"%c0%ae%c0%ae/",
    ),
    *(b"..%c0%af", b"%c0%ae%c0%ae%c0%af", b"%e0%80%ae%e0%80%ae%e0%80%af", b"..%ef%bc%8f", b"%ef%bc%8e%ef%bc%8e/"),
    *(
        b"....//",
        b".../",
        b"..;/",
        b"..;x=1/",
        b".//../",
        b"./../",
        b"//../",
        b"..//",
        b"%00../",
        b"..%00/",
        b"..%0d%0a/",
    ),
    *(b"\xc0\xae\xc0\xae/", b"\xef\xbc\x8e\xef\xbc\x8e/", b"x/../../", b"sub/../../", b"sub/%2e%2e/%2e%2e/", b"..%20/"),
    *(
        b"%2e%2e%2f%2e%2e%2f",
        b"..%09/",
        b"?/../",
        b"%3f/../",
        b"#/../",
        b"%23/../",
        b"~/",
        b"%2e/",
        b"%2f",
        b"%5c",
        b"/",
    ),
)
TARGETS = (
    *(b"secret/s.txt", b"secret%2fs.txt", b"etc/passwd", b"state/instances/0/sessions.sqlite", b"sessiond.toml"),
    *(b"sessiond.toml%00.txt", b"sessiond.toml%00", b""),
)
INSIDE = (
    *(b".hidden.txt", b"%2ehidden.txt", b".git/config", b"%2egit/config", b".git%2fconfig", b"sub/.hidden.txt"),
    *(b"out.txt", b"out/s.txt", b"out/", b"out", b"sub/up/secret/s.txt", b"sub/up/public/a.txt", b"back.txt", b"pipe"),
    *(
        b"a.txt/",
        b"a.txt/.",
        b"a.txt/..",
        b"a.txt%00",
        b"a.txt%00.png",
        b"a.txt%20",
        b"a.txt.",
        b"a.txt%2f",
        b"a.txt%5c",
    ),
    *(b"A.TXT", b"a.txt;x", b"a.txt::$DATA", b".", b"./", b"%2e", b"%2e/", b"..", b"../", b"%00", b"sub%2fb.txt"),
    *(b"sub%5cb.txt", b"%2fetc%2fpasswd", b"/etc/passwd", b"//etc/passwd", b"%2f%2fetc/passwd", b"file:///etc/passwd"),
    *(b"x" * 5000, b"x/" * 2000, b"%", b"%zz", b"%e", b"\xff", b"%ff", b"%c3%28"),
)
WHOLE = (
    *(b"../secret/s.txt", b"secret/s.txt", b"*", b"http://%s/../secret/s.txt", b"http://%s/files/../secret/s.txt"),
    *(b"file:///etc/passwd", b"\\files\\..\\secret\\s.txt", b"/files../secret/s.txt", b"/files..%2fsecret/s.txt"),
    *(
        b"/files/..;/secret/s.txt",
        b"//secret/s.txt",
        b"/./secret/s.txt",
        b"/;/secret/s.txt",
        b"/files;/../secret/s.txt",
    ),
)


@pytest.fixture
def folders(place: Place) -> Path:
    """Give a folder to be served, with secrets in it and beside it."""
    public, secret = place.folder / "public", place.folder / "secret"
    (public / "sub").mkdir(parents=True)
    (public / ".git").mkdir()
    secret.mkdir()
    (secret / "s.txt").write_bytes(SECRET)
    (public / "a.txt").write_bytes(PUBLIC[0])
    (public / "sub" / "b.txt").write_bytes(PUBLIC[1])
    for hidden in (".hidden.txt", ".git/config", "sub/.hidden.txt"):
        (public / hidden).write_bytes(SECRET)
    (public / "out.txt").symlink_to(secret / "s.txt")
    (public / "out").symlink_to("../secret")
    (public / "sub" / "up").symlink_to("../..")
    (public / "back.txt").symlink_to(".hidden.txt")
    return public


def targets(netloc: str) -> Iterator[bytes]:
    """List every target that is tried."""
    for mount, up, target in product(MOUNTS, UPS, TARGETS):
        for depth in (1, 6):
            yield mount + up * depth + target
    yield from (mount + inside for mount, inside in product(MOUNTS, INSIDE))
    yield from (target.replace(b"%s", netloc.encode()) for target in WHOLE)


def hold(target: bytes, got: Got) -> None:
    """Hold that an answer gives away nothing."""
    told = f"{target[:200]!r}: {got.status} {got.body[:200]!r}"
    assert SECRET not in got.body, told
    assert b"root:" not in got.body, told
    assert b"SQLite format" not in got.body, told
    assert b"state_dir" not in got.body, told
    assert got.status in (200, 301, 400, 401, 404, 405, 414, 431), told
    if got.status == 200:
        listed = set(re.findall(rb'href="([^"]*)"', got.body))
        assert got.body in PUBLIC or (listed and listed <= {b"a.txt", b"sub/", b"b.txt"}), told
    if got.status == 301:
        assert got.headers["location"].startswith("./"), told


def test_static_files(place: Place, folders: Path) -> None:
    """However a path is written, only public files of the mounted folder are given."""
    static = '[static]\n"/" = { folder = "public", listing = true }\n"/files" = "public"\n"/deep/er" = "public"\n'
    config = place.configure(static, serves=("api", "tunnel", "static", "health"))
    with running(config) as daemon, Exchange(daemon.ready().url) as client:
        for good, content in ((b"/a.txt", PUBLIC[0]), (b"/files/sub/b.txt", PUBLIC[1]), (b"/deep/er/a.txt", PUBLIC[0])):
            assert client.get(good).body == content
        asked = 0
        for target in targets(client.netloc):
            hold(target, client.get(target))
            asked += 1
        assert asked > 5000
        assert client.get(b"/healthz").status == 200
        assert "Traceback" not in daemon.text


def test_what_is_hidden(place: Place, folders: Path) -> None:
    """What is hidden, or linked from outside, is answered as if it were not there, and stands in no list."""
    config = place.configure(
        '[static]\n"/files" = { folder = "public", listing = true }\n', serves=("static", "health")
    )
    with running(config) as daemon, Exchange(daemon.ready().url) as client:
        for name in (
            b".hidden.txt",
            b".git/config",
            b"out.txt",
            b"out/",
            b"out/s.txt",
            b"sub/up/",
            b"back.txt",
            b"none",
        ):
            assert client.get(b"/files/" + name).status == 404
        listed = re.findall(rb'href="([^"]*)"', client.get(b"/files/").body)
        assert sorted(listed) == [b"a.txt", b"sub/"]


@given(st.text(min_size=1), st.text(min_size=1))
def test_folders_of_sessions(one: str, other: str) -> None:
    """Whatever an id is, its session's folder is one name below the runtime folder, not hidden, and its own."""
    name = folder_name(one)
    assert name
    assert "/" not in name
    assert "\0" not in name
    assert not name.startswith(".")
    assert name.isascii()
    assert (folder_name(other) == name) == (one == other)
