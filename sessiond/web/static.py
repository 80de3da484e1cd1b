"""Files of a folder, below a path of a listener: nothing beside it, nothing hidden, no listing unless asked."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted.web.http import CACHED
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.static import DirectoryLister, File

from sessiond.core.errors import Code, Refused
from sessiond.web.answers import Answer, problem, refuse, send
from sessiond.web.bodies import header
from sessiond.web.leaf import NotFound

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".htm": "text/html; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "text/xml; charset=utf-8",
}
"""Types by ending, the same on every machine: browsers refuse modules and WebAssembly of another type, and Twisted
asks the machine's own lists. What is not here is a download."""
DOWNLOAD = "application/octet-stream"
INDEX = "index.html"
LISTING_POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # a listing holds its own styles
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache", "Referrer-Policy": "no-referrer"}
"""``no-cache`` has browsers ask whether their copy is still good, so that a new version is seen at once."""
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)


def anybody(request: Request) -> bool:
    """Let everybody see a listing."""
    return True


class Files(Resource):
    """A folder and all below it.

    :param root: the folder; it may be made later.
    :param listing: whether a folder without ``index.html`` shows what is in it.
    :param may_list: says of a request whether it may see that.
    """

    isLeaf = True

    def __init__(
        self, root: Path, listing: bool = False, may_list: Callable[[Request], bool] = anybody
    ) -> None:
        super().__init__()
        self._root, self._listing, self._may_list = root, listing, may_list

    def render(self, request: Request) -> int | bytes:
        """Answer GET and HEAD."""
        if request.method not in (b"GET", b"HEAD"):
            send(request, problem(Refused(Code.METHOD_NOT_ALLOWED)).having({"Allow": "GET, HEAD"}))
            return NOT_DONE_YET
        segments = list(request.postpath or [])
        found = find(self._root, segments)
        if found is not None and found.is_dir():
            return self._render_folder(request, found, segments)
        if found is None or segments[-1:] == [b""]:
            refuse(request, Code.NOT_FOUND)
            return NOT_DONE_YET
        return _render_file(request, found)

    def _render_folder(self, request: Request, folder: Path, segments: list[bytes]) -> int | bytes:
        if segments[-1:] != [b""]:
            # Relative, so that no address is ever built of what a request says; "./" since a name may hold a colon.
            name = request.path.rpartition(b"/")[2].decode("ascii", "replace")
            send(request, Answer(None, 301, {"Location": f"./{quote(name, safe='%')}/"}))
            return NOT_DONE_YET
        index = find(self._root, [*segments, INDEX.encode()])
        if index is not None and index.is_file():
            return _render_file(request, index)
        if not self._listing:
            refuse(request, Code.NOT_FOUND)
            return NOT_DONE_YET
        if not self._may_list(request):
            refuse(request, Code.UNAUTHENTICATED)
            return NOT_DONE_YET
        try:
            return self._render_listing(request, folder, segments)
        except OSError:
            refuse(request, Code.NOT_FOUND)
            return NOT_DONE_YET

    def _render_listing(self, request: Request, folder: Path, segments: list[bytes]) -> int | bytes:
        names = [name for name in sorted(os.listdir(folder)) if find(self._root, [*segments, os.fsencode(name)])]
        for name, value in {**HEADERS, "Content-Security-Policy": LISTING_POLICY}.items():
            request.setHeader(name, value)
        lister = DirectoryLister(str(folder), names, TYPES, {}, DOWNLOAD)
        return lister.render(request)  # type: ignore[no-any-return]


class _OneFile(File):
    """One file that was found to be servable, sent by Twisted: in parts, at the client's pace."""

    contentTypes = TYPES
    # Twisted would say of a .gz that it is something else, compressed, and browsers would unpack the download.
    contentEncodings = {}  # noqa: RUF012 - as in the base class
    childNotFound: Any = NotFound()
    forbidden: Any = childNotFound


def _render_file(request: Request, path: Path) -> int | bytes:
    try:
        known = path.stat()
    except OSError:
        refuse(request, Code.NOT_FOUND)
        return NOT_DONE_YET
    for name, value in HEADERS.items():
        request.setHeader(name, value)
    satisfiable = tame_conditions(request, known.st_size)
    tag = b'"%x-%x"' % (known.st_mtime_ns, known.st_size)
    if CACHED in (request.setETag(tag), request.setLastModified(known.st_mtime)):
        return b""
    if not satisfiable:  # Twisted would say so without a word
        send(request, problem(Refused(Code.BAD_RANGE)).having({"Content-Range": f"bytes */{known.st_size}"}))
        return NOT_DONE_YET
    try:
        return _OneFile(str(path), DOWNLOAD).render_GET(request)  # type: ignore[no-any-return]
    except OSError:
        refuse(request, Code.NOT_FOUND)
        return NOT_DONE_YET


def tame_conditions(request: Request, size: int) -> bool:
    """Leave only those conditions in a request that Twisted answers well.

    Of several ranges, each may be the whole file again; a range from the end that is longer than the file is sought
    before its beginning; what is no ASCII fails. Without its Range a request is answered whole, as RFC 9110 section
    14.2 allows. An ETag counts more than a date (section 13.2.2).

    :returns: whether the range that is left, if any, has bytes of the file in it.
    """
    headers = request.requestHeaders
    try:
        wanted = _RANGE.fullmatch(header(request, "Range") or "")
    except Refused:
        wanted = None
    headers.removeHeader(b"Range")
    if headers.hasHeader(b"If-None-Match"):
        headers.removeHeader(b"If-Modified-Since")
    if wanted is not None and size and not headers.hasHeader(b"If-Range"):
        first, last = wanted.groups()
        if not first and last:
            first, last = str(max(0, size - int(last))), ""
        if first:
            headers.setRawHeaders(b"Range", [f"bytes={first}-{last}".encode()])
            return int(first) < size
    return True


def find(root: Path, segments: list[bytes]) -> Path | None:
    """Find the file or folder that a path below ``root`` names.

    :param segments: the path's parts, decoded once; empty ones (from ``//``) count for nothing.
    :returns: its real path; ``None`` for what is not there, is hidden, lies outside by a link, or is no plain file.
    """
    names = [os.fsdecode(segment) for segment in segments if segment]
    if any(name.startswith(".") or "/" in name or "\0" in name for name in names):
        return None
    try:
        base = root.resolve(strict=True)
        real = base.joinpath(*names).resolve(strict=True)
        mode = real.stat().st_mode
    except (OSError, ValueError, RuntimeError):
        return None
    if not real.is_relative_to(base) or any(part.startswith(".") for part in real.relative_to(base).parts):
        return None
    return real if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else None
