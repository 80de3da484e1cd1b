"""What frames a request, read so strictly that nobody else can have read it in another way.

Proxies in front of the daemon, the daemon and its clients must agree where each request begins and ends. Where they
don't, a part of one request is taken for another one (request smuggling). So whatever the standards have ever left to
the reader is refused here: nothing is repaired, guessed or passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST = re.compile(rb"(" + _TOKEN + rb") ([!-~]+) HTTP/1\.([01])")
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\t -~\x80-\xff]*)")
"""RFC 9110 section 5: no space in front of the colon, no control character but the tab."""
_ABSOLUTE = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE)
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_CHUNK_BEGUN = re.compile(rb"[0-9A-Fa-f]{1,8}\r?")
_LINE_END = b"\r\n"
_FRAMING = (b"host", b"content-length", b"transfer-encoding", b"upgrade")


class Doubtful(Exception):
    """What came could be read in two ways, or in none; the text says what it is, and repeats nothing of it."""


class Head:
    """The head of one request, line by line, without the line ends."""

    def __init__(self) -> None:
        self._version = b""
        self._authority: bytes | None = None
        self._values: dict[bytes, list[bytes]] = {name: [] for name in _FRAMING}

    def take(self, line: bytes) -> bytes:
        """Take the next line, and give it as it is to be read further.

        :raises Doubtful: it, or with the empty line at the end the whole head, is refused.
        """
        if not self._version:
            # RFC 9112 section 2.2: one empty line in front of a request is passed over; a second is refused later.
            return self._take_request(line) if line else line
        if line:
            self._take_field(line)
        else:
            self._check()
        return line

    def _take_request(self, line: bytes) -> bytes:
        found = _REQUEST.fullmatch(line)
        if found is None:
            raise Doubtful("a request line that is none")
        method, target, self._version = found.groups()
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is not None:  # RFC 9112 section 3.2.2: as to a proxy
            self._authority, rest = absolute.groups()
            target = rest if rest.startswith(b"/") else b"/" + rest
        if b"#" in target or not (target.startswith(b"/") or (target, method) == (b"*", b"OPTIONS")):
            raise Doubtful("a target that is no path")
        return b"%s %s HTTP/1.%s" % (method, target, self._version)

    def _take_field(self, line: bytes) -> None:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise Doubtful("a header line that is none")
        values = self._values.get(found[1].lower())
        if values is not None:
            values.append(found[2].rstrip(b" \t"))

    def _check(self) -> None:
        """Hold the lines against each other (RFC 9112 sections 3.2 and 6.3)."""
        hosts, lengths, codings, upgrades = (self._values[name] for name in _FRAMING)
        if len(hosts) > 1 or (not hosts and self._version == b"1"):
            raise Doubtful("not one Host")
        if hosts and _HOST.fullmatch(hosts[0]) is None:
            raise Doubtful("a Host that is none")
        if self._authority is not None and hosts[:1] != [self._authority]:
            raise Doubtful("a target on another host")
        if len(lengths) + len(codings) > 1:
            raise Doubtful("more than one length")
        if lengths and _LENGTH.fullmatch(lengths[0]) is None:
            raise Doubtful("a length that is no number")
        if codings and (codings != [b"chunked"] or self._version == b"0"):
            raise Doubtful("a coding that is not chunked")
        if upgrades and (codings or lengths not in ([], [b"0"])):
            raise Doubtful("a body in front of another protocol")


class Chunks:
    """A chunked body (RFC 9112 section 7.1), read as Twisted's own decoders are fed.

    Extensions and trailers are refused: nobody needs them here, and readers differ about them.

    :param took: takes each piece of content; ``done`` what came behind the body's end.
    """

    def __init__(self, took: Callable[[bytes], object], done: Callable[[bytes], object]) -> None:
        self._took, self._done = took, done
        self._buffer = bytearray()
        self._left = 0
        self._ends = self._last = False

    def dataReceived(self, data: bytes) -> None:
        """Take what came.

        :raises Doubtful: it is no chunked body.
        """
        self._buffer += data
        while self._buffer and self._step():
            pass

    def _step(self) -> bool:
        """Read the next piece, and say whether to go on."""
        if self._left:
            return self._take_content()
        return self._take_end() if self._ends else self._take_size()

    def _take_content(self) -> bool:
        piece = bytes(self._buffer[: self._left])
        del self._buffer[: len(piece)]
        self._left -= len(piece)
        self._ends = not self._left
        self._took(piece)
        return True

    def _take_end(self) -> bool:
        if not _LINE_END.startswith(self._buffer[:2]):
            raise Doubtful("a trailer" if self._last else "a chunk that does not end where it says")
        if len(self._buffer) < len(_LINE_END):
            return False
        del self._buffer[: len(_LINE_END)]
        self._ends = False
        if self._last:
            rest = bytes(self._buffer)
            self._buffer.clear()
            self._done(rest)
        return not self._last

    def _take_size(self) -> bool:
        found = _CHUNK.match(self._buffer)
        if found is None:
            if _CHUNK_BEGUN.fullmatch(self._buffer) is None:
                raise Doubtful("a chunk size that is none")
            return False
        self._left = int(found[1], 16)
        self._last = self._ends = not self._left
        del self._buffer[: found.end()]
        return True
