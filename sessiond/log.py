"""What the log may hold: no secret, no control character, no field without end, and no flood of lines.

Every event passes :func:`clean` before any observer sees it, wherever it was logged (also by Twisted and Autobahn) and
wherever it goes (standard output, a file, syslog). It is an observer that stands in front of all others and changes
the event in place, since twistd adds its own observers later and by itself.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from string import Formatter
from typing import Any
from urllib.parse import quote

from attrs import define
from twisted.logger import ILogObserver, LogEvent, LogLevel, LogPublisher, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

FIELD_CHARACTERS = 1024
"""The most that one field of an event adds to its line."""

TEXT_CHARACTERS = 16 * 1024
"""The most that an event comes to, its traceback included."""

KIND_BURST, KIND_PER_S = 1000.0, 50.0
"""How many lines of one kind may come at once, and how many a second then; a kind is who logs, and its template."""

BURST, PER_S = 4000.0, 200.0
"""The same of all lines."""

KINDS = 500
"""How many kinds are told apart: texts that are made each time anew are as many templates."""

TELL_S = 10.0
"""How long lines are left out before a line says how many."""

HIDDEN = "[hidden]"

_SECRETS = re.compile(
    r"""
      (?P<query>
        (?: \b | (?<=%3F) | (?<=%26) )
        (?: token | security_token | ticket | secret | password | api[_-]?key | access_token | auth ) \b
        ["']? \s* (?: = | : | %3D ) \s* b?["']?
      ) (?! \[hidden\] ) [^\s&;,"'<>)\]}]+
    | (?P<header> \b (?:proxy-)?authorization \b ["']? \s* (?:=|:|,) \s* \[? b?["']? ) [^"'\r\n]+
    | (?P<scheme> \b (?:bearer|basic) \s+ ) [A-Za-z0-9._~+/=-]{8,}
    | (?P<cookie> \b (?:set-)?cookie \b ["']? \s* (?:=|:|,) \s* \[? b?["']? ) [^"'\r\n]+
    | (?P<uuid> (?<![\w-]) [0-9a-f]{8} ) -[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12} (?![\w-])
    | (?P<bare> (?<![\w-]) ) [A-Za-z0-9_-]{43} (?![\w-])
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""What a secret stands behind: in a query, a JSON document, a repr of one of them, or a header.

``bare`` and ``uuid`` are what :class:`sessiond.entropy.SystemEntropy` makes, wherever it stands; of a UUID the
beginning is shown, so that a portal's log and ours can be read side by side.
"""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters, line separators, and the marks that make text run backwards; lone surrogates can't be written."""

_CONTROL_IN_TRACEBACK = re.compile(_CONTROL.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))

KEPT = frozenset(
    {"log_level", "log_namespace", "log_time", "log_system", "log_source", "log_logger", "time", "isError"}
)
"""What observers need beside the text; every other key could hold anything."""


_hidden: set[str] = set()


def hide(secret: str) -> None:
    """Have a secret of the configuration hidden wherever it stands, such as within the name of a file."""
    _hidden.update({secret, quote(secret, safe=""), quote(secret)})


def scrub(text: str) -> str:
    """Hide every secret that is recognised by what stands before it, or is known."""
    for secret in _hidden:
        text = text.replace(secret, HIDDEN)
    return _SECRETS.sub(lambda found: str(found[found.lastgroup or 0]) + HIDDEN, text)


def field(value: object) -> str:
    """Make one field of a line: on one line, without secrets, and not too long."""
    text = str(value)
    if len(text) > FIELD_CHARACTERS:
        # Cut in front of what could be a secret's half, so hide first; of a huge text only what may be shown.
        text = scrub(text[: 2 * FIELD_CHARACTERS])[:FIELD_CHARACTERS] + f"… ({len(text)} characters)"
    return escaped(scrub(text))


def escaped(text: str) -> str:
    """Write control characters as Python's escapes."""
    return _CONTROL.sub(_escape, text)


def lines(text: str) -> str:
    """Clean a text that may have several lines, as tracebacks do; who writes them out marks those that go on."""
    return _CONTROL_IN_TRACEBACK.sub(_escape, scrub(text))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")


class _Fields(Formatter):
    """Formats an event as Twisted does, names that end with ``()`` called, and cleans each field on its own."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        called = field_name.endswith("()")
        value, first = super().get_field(field_name[:-2] if called else field_name, args, kwargs)
        return value() if called else value, first

    def format_field(self, value: Any, format_spec: str) -> str:
        return field(format(value, format_spec))


_FIELDS = _Fields()


def text_of(event: LogEvent) -> str:
    """Give an event's text, its traceback included, as it may be shown."""
    line = scrub(_line_of(event))
    failure = event.get("log_failure")
    if isinstance(failure, Failure) and "log_text" not in event:
        line = f"{line}\n{_traceback_of(failure)}" if line else _traceback_of(failure)
    return line if len(line) <= TEXT_CHARACTERS else line[:TEXT_CHARACTERS] + f"… ({len(line)} characters)"


def _line_of(event: LogEvent) -> str:
    if "log_text" in event:  # of the old log API: its text is made already, an error's traceback included
        return lines(str(event["log_text"])) if event.get("isError") else field(event["log_text"])
    template = event.get("log_format")
    if template is None:
        return ""
    try:
        return _FIELDS.vformat(str(template), (), event)
    except Exception as error:  # noqa: BLE001 - what __str__ of others raises is anybody's guess
        return f"(not formatted: {field(template)}: {field(type(error).__name__)})"


def _traceback_of(failure: Failure) -> str:
    try:
        text = failure.getTraceback()
    except Exception:  # noqa: BLE001 - as above
        text = f"(no traceback: {failure.type})"
    return lines(text)


def clean(event: LogEvent) -> None:
    """Leave of an event only its text, as it may be shown, and who logged it when."""
    text = text_of(event)
    _keep(event)
    # No template any more: a brace in the text is only a brace.
    event.update({"log_format": "{text}", "text": text})


def leave_out(event: LogEvent) -> None:
    """Leave nothing of an event that an observer would write."""
    _keep(event)
    event[LEFT_OUT] = True


LEFT_OUT = "left_out"


def _keep(event: LogEvent) -> None:
    kept = {key: value for key, value in event.items() if key in KEPT}
    event.clear()
    event.update(kept)


@define
class Bucket:
    """A burst of lines, and then so many a second."""

    burst: float
    per_s: float
    _left: float = math.inf
    _at: float = 0.0

    def holds(self, now: float) -> bool:
        """Say whether there is a line left."""
        self._left = min(self.burst, self._left + max(0.0, now - self._at) * self.per_s)
        self._at = now
        return self._left >= 1.0

    def take(self) -> None:
        """Take a line."""
        self._left -= 1.0

    @property
    def full(self) -> bool:
        """Whether nothing is missing, as of the last look."""
        return self._left >= self.burst


class Ration:
    """How many lines may be written, of each kind and in all, and what was left out.

    Times are seconds by any clock that does not step; they are arguments.
    """

    def __init__(self) -> None:
        self._all = Bucket(BURST, PER_S)
        self._kinds: dict[str, Bucket] = {}
        self._left_out: dict[str, int] = {}
        self._tell_at = math.inf

    def take(self, kind: str, now: float) -> bool:
        """Say whether a line may be written, and count it, or that it was left out."""
        bucket = self._bucket(kind, now)
        if bucket.holds(now) and self._all.holds(now):
            bucket.take()
            self._all.take()
            return True
        if not self._left_out:
            self._tell_at = now + TELL_S
        known = kind if kind in self._left_out or len(self._left_out) < KINDS else ""
        self._left_out[known] = self._left_out.get(known, 0) + 1
        return False

    def due(self, now: float) -> Iterator[tuple[str, int]]:
        """Give what was left out since it was told last, once it is time: each kind, and how many lines of it."""
        if now >= self._tell_at:
            told, self._left_out, self._tell_at = self._left_out, {}, math.inf
            yield from told.items()

    def _bucket(self, kind: str, now: float) -> Bucket:
        found = self._kinds.get(kind)
        if found is None:
            if len(self._kinds) >= KINDS:
                self._kinds = {known: bucket for known, bucket in self._kinds.items() if not _rests(bucket, now)}
            if len(self._kinds) >= KINDS:
                return Bucket(1.0, 0.0)  # all of them are busy, so the limit of all lines is what counts
            found = self._kinds[kind] = Bucket(KIND_BURST, KIND_PER_S)
        return found


def _rests(bucket: Bucket, now: float) -> bool:
    bucket.holds(now)
    return bucket.full


def kind_of(event: LogEvent) -> str:
    """Name what an event is counted as: who logs it, and its template."""
    return f"{event.get('log_namespace', '-')}: {event.get('log_format')}"


@implementer(ILogObserver)
class Cleaner:
    """The observer that stands in front of all others.

    What goes beyond its ration is left out, and a line says later how many lines that were. Of what is critical only
    the traceback is.

    :param tell: takes the event of such a line; by default nobody does.
    :param seconds: a clock that does not step.
    """

    def __init__(
        self,
        tell: Callable[[LogEvent], object] = lambda event: None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell, self._seconds = tell, seconds
        self._ration = Ration()

    def __call__(self, event: LogEvent) -> None:
        """Clean an event for those who see it next."""
        if LEFT_OUT in event or ("text" in event and event.get("log_format") == "{text}"):
            return  # kept while there was no observer, and told again
        now = self._seconds()
        for kind, count in self._ration.due(now):
            self._tell(_summary(kind, count, event))
        if self._ration.take(kind_of(event), now):
            clean(event)
        elif event.get("log_level") is LogLevel.critical:
            clean(event)
            event["text"] = _shortened(event["text"])
        else:
            leave_out(event)


def _shortened(text: str) -> str:
    """Leave out what stands between the first line and the last, which names the exception."""
    first, _, rest = text.rstrip().partition("\n")
    return f"{first} [...] {rest.splitlines()[-1].strip()}" if rest else first


def _summary(kind: str, count: int, after: LogEvent) -> LogEvent:
    return {
        "log_level": LogLevel.warn,
        "log_namespace": __name__,
        "log_time": after.get("log_time", 0.0),
        "log_format": "{text}",
        "text": f"{count} lines were left out, all like this: {field(kind)}",
    }


def install(
    publisher: LogPublisher = globalLogPublisher,
    seconds: Callable[[], float] = time.monotonic,
) -> Cleaner:
    """Clean all that is logged from now on for every observer that is added after this."""
    cleaner = Cleaner(publisher, seconds)
    publisher.addObserver(cleaner)
    return cleaner
