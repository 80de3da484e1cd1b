"""The viewer page: where it is found, what it is made of, and what it may do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sessiond.web.portal import POLICY
from tests.dialects.nexus.house import KEY, House

PAGE = "nexus/vnc_envision.html"


@pytest.fixture
def novnc(tmp_path: Path) -> Path:
    """Give a folder laid out as noVNC's."""
    (tmp_path / "novnc" / "core").mkdir(parents=True)
    (tmp_path / "novnc" / "core" / "rfb.js").write_text("export default class {}")
    return tmp_path / "novnc"


@pytest.fixture
def ansys(tmp_path: Path) -> Path:
    """Give the viewer tree of an install, with a page of that name."""
    (tmp_path / "ansys252" / "nexus").mkdir(parents=True)
    for name in ("vnc_envision.html", "viewer-loader.js"):
        (tmp_path / "ansys252" / "nexus" / name).write_text("the install's")
    return tmp_path / "ansys252"


@pytest.mark.parametrize("folder", ["/ansys/", "/ansys252/", "//ansys261//"])
def test_where(folder: str, novnc: Path) -> None:
    """It is found by its old name and that of every release, by anybody; slashes too many do no harm."""
    told = House(novnc=novnc, security_token=KEY).get(folder + PAGE + "?token=T")
    assert (told.status, told.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert told.headers["content-security-policy"] == POLICY
    assert told.headers["referrer-policy"] == "no-referrer"


def test_its_parts(novnc: Path) -> None:
    """All that the page names is there, with types that browsers take, and nothing in it is blocked by its policy."""
    house = House(novnc=novnc)
    text = house.get(f"/ansys/{PAGE}").body.decode()
    assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|https?://", text)
    named = re.findall(r'(?:src|href)="(vnc_envision/[^"]+)"', text)
    assert sorted(named) == ["vnc_envision/page.css", "vnc_envision/page.js"]
    kinds = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
    for path in named:
        told = house.get(f"/ansys/nexus/{path}")
        assert (told.status, told.headers["content-type"]) == (200, kinds[path.rpartition(".")[2]])
        for module in re.findall(r'(?:from |import\()"\./([\w./]+)"', told.body.decode()):
            assert house.get(f"/ansys/nexus/vnc_envision/{module}").status == 200


def test_without_novnc() -> None:
    """The page is there all the same, and says what is missing."""
    house = House()
    assert house.get(f"/ansys/{PAGE}").status == 200
    assert house.get("/ansys/nexus/vnc_envision/novnc/core/rfb.js").status == 404


def test_beside_an_install(novnc: Path, ansys: Path) -> None:
    """The install's own page stays, unless ours is set up; all else there is the install's in any case."""
    house = House(ansys=ansys)
    assert house.get(f"/ansys252/{PAGE}").body == b"the install's"
    assert house.get("/ansys252/nexus/vnc_envision/page.js").status == 404
    house = House(ansys=ansys, novnc=novnc)
    assert b"vnc_envision/page.js" in house.get(f"/ansys252/{PAGE}").body
    assert house.get("/ansys252/nexus/viewer-loader.js").body == b"the install's"


@pytest.mark.parametrize(
    "path", ["nexus", "nexus/", "vnc_envision.html", f"{PAGE}/", f"{PAGE}/x", "nexus/vnc_envision/", "x/" + PAGE]
)
def test_nothing_else(path: str, novnc: Path) -> None:
    """No other path leads there."""
    assert House(novnc=novnc).get(f"/ansys/{path}").status == 404


def test_methods() -> None:
    """HEAD tells of the page what GET would; nothing can be sent there."""
    house = House()
    assert house.call("HEAD", f"/ansys/{PAGE}").status == 200
    assert house.call("POST", f"/ansys/{PAGE}").status == 405
