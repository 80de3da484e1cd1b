"""The viewer page under its documented name, ``nexus/vnc_envision.html``, around a noVNC that lies on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from sessiond.web.leaf import Branch
from sessiond.web.portal import Constant
from sessiond.web.static import Files

FOLDER = b"nexus"
PAGE = b"vnc_envision.html"
PARTS = b"vnc_envision"
"""The folder beside the page with what it is made of; no file of an install is called so."""
NOVNC = b"novnc"


def is_viewer(path: Sequence[bytes]) -> bool:
    """Say whether a path below the install's viewer tree is the page's, or that of a part of it."""
    return path[0:1] == [FOLDER] and (path[1:] == [PAGE] or path[1:2] == [PARTS])


def viewer(novnc: Path | None) -> Branch:
    """Make the tree that holds the page.

    :param novnc: the folder of noVNC, as npm lays it out; without one the page says that it is missing.
    """
    source = files("sessiond.dialects.nexus") / "pages"
    top, folder, parts = Branch(), Branch(), Branch()
    for file in source.iterdir():
        if file.is_file() and not file.name.startswith("."):
            name = file.name.encode()
            (folder if name == PAGE else parts).putChild(name, Constant(file.name, file.read_bytes()))
    if novnc is not None:
        parts.putChild(NOVNC, Files(novnc))
    folder.putChild(PARTS, parts)
    top.putChild(FOLDER, folder)
    return top
