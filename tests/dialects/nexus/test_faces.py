"""The files beside the control API, and the paths that the dialect keeps to itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.dialects.nexus.house import KEY, House, logged

ADDED = {"listener": {"headers": (("instance_name", "N"),)}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a session's folder, and an install's viewer tree beside it."""
    folder, viewer = tmp_path / "session", tmp_path / "ansys252"
    (folder / "sub").mkdir(parents=True)
    (folder / "indexed").mkdir()
    (folder / "v1").mkdir()
    (folder / f"{KEY}_1_0.png").write_bytes(b"png")
    (folder / "a.mjs").write_text("export {}")
    (folder / "a.js.gz").write_bytes(b"\x1f\x8b")
    (folder / ".env").write_text("canary")
    (folder / "v1" / "status").write_text("canary")
    (folder / "indexed" / "index.html").write_text("<p>index")
    (viewer / "nexus").mkdir(parents=True)
    (viewer / "nexus" / "viewer-loader.js").write_text("load()")
    return folder


def test_files_take_no_token(root: Path) -> None:
    """Their names are secrets, so clients send none; a query says nothing."""
    house = House(root=root, security_token=KEY)
    told = house.get(f"/{KEY}_1_0.png?instance_name=X")
    assert (told.status, told.body, told.headers["content-type"]) == (200, b"png", "image/png")
    assert told.headers["cache-control"] == "no-cache"
    assert "last-modified" in told.headers
    assert house.call("HEAD", f"/{KEY}_1_0.png").headers["content-length"] == "3"
    assert house.get(f"/{KEY}_1_0.png", "Range: bytes=1-").body == b"ng"
    assert house.call("PUT", f"/{KEY}_1_0.png").status == 405


def test_types_and_encodings(root: Path) -> None:
    """Modules have a type that browsers take, and nothing is ever said to be encoded."""
    house = House(root=root)
    assert house.get("/a.mjs", "Accept-Encoding: gzip").headers["content-type"].startswith("text/javascript")
    packed = house.get("/a.js.gz", "Accept-Encoding: gzip")
    assert packed.headers["content-type"] == "application/octet-stream"
    assert "content-encoding" not in packed.headers


def test_listings(root: Path) -> None:
    """A listing takes the security token where there is one, for it shows names; an index wins over it."""
    opened = House(root=root).get("/")
    assert (opened.status, f"{KEY}_1_0.png".encode() in opened.body) == (200, True)
    house = House(root=root, security_token=KEY)
    for path in ("/", "/sub/"):
        assert house.get(path).status == 401
        assert KEY not in house.get(path).body.decode()
        assert house.get(f"{path}?security_token={KEY}").status == 200
    assert house.get("/indexed/").body == b"<p>index"


@pytest.mark.parametrize("path", ["/.env", "/nothing", "/..%2fansys252", "/%00", "/v1/../.env", "/v3/status"])
def test_what_is_not_served(root: Path, path: str) -> None:
    """What is hidden, outside or kept is not there."""
    told = House(root=root).get(path)
    assert told.status == 404
    assert b"canary" not in told.body
    assert len(told.body) < 300


def test_kept_paths(root: Path) -> None:
    """The control API wins over a file of the same path, but only there."""
    house = House(root=root)
    assert house.get("/v1/status").headers["content-type"] == "application/json"
    (root / "v1x").mkdir()
    (root / "v1x" / "a.txt").write_text("mine")
    (root / "ensight").mkdir()
    (root / "ensight" / "a.txt").write_text("mine too")
    assert house.get("/v1x/a.txt").body == b"mine"
    assert house.get("/ensight/a.txt").body == b"mine too"


@pytest.mark.parametrize("version", ["ansys", "ansys252", "ansys261"])
@pytest.mark.parametrize("slashes", ["/", "//"])
def test_viewer_tree(root: Path, version: str, slashes: str) -> None:
    """The old name and that of every release lead to the one tree that is there; slashes too many do no harm."""
    house = House(root=root, ansys=root.parent / "ansys252")
    assert house.get(f"/{version}/nexus{slashes}viewer-loader.js").body == b"load()"
    assert house.get(f"/{version}/nexus/").status == 404
    assert house.get("/ansys2/nexus/viewer-loader.js").status == 404
    assert House(root=root).get(f"/{version}/nexus/viewer-loader.js").status == 404


def test_a_root_that_vanishes(root: Path) -> None:
    """A client deletes its folder while the server still stands: nothing is there then, and nothing breaks."""
    house = House(root=root)
    assert house.get("/a.mjs").status == 200
    shutil.rmtree(root)
    assert [house.get(path).status for path in ("/", "/a.mjs", "/sub/")] == [404, 404, 404]
    assert house.get("/v1/status").status == 200


@pytest.mark.parametrize(
    "path", ["/a.mjs", "/", "/nothing", "/v1/status", "/v1/nothing", "/ensight/v1/a/exec", "/ansys/x", "/v1/release/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_added_headers(root: Path, method: str, path: str) -> None:
    """What the operator adds stands in every answer, errors among them."""
    assert House(root=root, **ADDED).call(method, path).headers["instance_name"] == "N"  # type: ignore[arg-type]


# -- EnSight's own REST ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"security_token": KEY}, {"ensight": True}])
def test_ensight_is_off(settings: dict[str, object]) -> None:
    """It takes both an EnSight and a security token."""
    told = House(**settings).call("PUT", "/ensight/v1/session/exec", f"Authorization: Bearer {KEY}", body=b'"x"')  # type: ignore[arg-type]
    assert (told.status, told.json["error"]) == (404, "ensight_rest_disabled")


@pytest.mark.parametrize(
    ("word", "lines", "status"),
    [
        ("session", (), 401),
        ("session", (f"Authorization: Bearer {KEY}",), 501),
        ("session", (f"authorization: bearer  {KEY}",), 501),
        ("session", ("Authorization: Bearer other",), 401),
        ("session", (f"Authorization: Basic {KEY}",), 401),
        ("session", (f"Authorization: Bearer {KEY}", "Authorization: Bearer x"), 401),
        (KEY, (), 501),
        (KEY, ("Authorization: Bearer other",), 401),
    ],
)
def test_ensight(word: str, lines: tuple[str, ...], status: int) -> None:
    """The security token is known from the header, which wins, or from the path."""
    house = House(ensight=True, security_token=KEY)
    told = house.call("PUT", f"/ensight/v1/{word}/exec", *lines, body=b'"ensight.part"')
    assert told.status == status
    assert told.json["error"] == {401: "bad_session_id", 501: "ensight_rest_unavailable"}[status]
    assert house.get(f"/ensight/v1/{word}/ensobjs/1/NAME", *lines).status == status


def test_ensight_with_the_token_of_a_session() -> None:
    """A viewer has no other; it is good as long as its session lives."""
    house = House(ensight=True, security_token=KEY)
    token = house.get(f"/v1/reserve/local_envision?security_token={KEY}").json["token"]
    for path, lines in ((f"/ensight/v1/{token}/exec", ()), ("/ensight/v1/x/exec", (f"Authorization: Bearer {token}",))):
        assert house.call("PUT", path, *lines, body=b'""').status == 501
    house.get(f"/v1/release/{token}")
    house.advance(10)
    assert house.call("PUT", f"/ensight/v1/{token}/exec", body=b'""').status == 401


def test_ensight_is_logged_once() -> None:
    """Ten calls a run would otherwise fill the log."""
    with logged() as lines:
        house = House(ensight=True, security_token=KEY)
        for _ in range(10):
            house.call("PUT", f"/ensight/v1/{KEY}/exec", body=b'""')
    assert sum("EnSight" in line for line in lines) == 1
