"""What the log may hold: no secret, no control character, no field without end.

Every event passes :func:`clean` before any observer sees it, wherever it was logged (also by Twisted and Autobahn) and
wherever it goes (standard output, a file, syslog). It is an observer that stands in front of all others and changes
the event in place, since twistd adds its own observers later and by itself.
"""

from __future__ import annotations

import re
from string import Formatter
from typing import Any

from twisted.logger import ILogObserver, LogEvent, LogPublisher, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

FIELD_CHARACTERS = 1024
"""The most that one field of an event adds to its line."""

TEXT_CHARACTERS = 16 * 1024
"""The most that an event comes to, its traceback included."""

HIDDEN = "[hidden]"

_SECRETS = re.compile(
    r"""
      (?P<query>
        (?: \b | (?<=%3F) | (?<=%26) )
        (?: token | ticket | secret | password | api[_-]?key | access_token | auth ) \b
        ["']? \s* (?: = | : | %3D ) \s* b?["']?
      ) [^\s&;,"'<>)\]}]+
    | (?P<header> \b (?:proxy-)?authorization \b ["']? \s* (?:=|:|,) \s* \[? b?["']? ) [^"'\r\n]+
    | (?P<scheme> \b (?:bearer|basic) \s+ ) [A-Za-z0-9._~+/=-]{8,}
    | (?P<cookie> \b (?:set-)?cookie \b ["']? \s* (?:=|:|,) \s* \[? b?["']? ) [^"'\r\n]+
    | (?P<bare> (?<![\w-]) ) [A-Za-z0-9_-]{43} (?![\w-])
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""What a secret stands behind: in a query, a JSON document, a repr of one of them, or a header.

``bare`` is what :class:`sessiond.entropy.SystemEntropy` makes, wherever it stands.
"""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters, line separators, and the marks that make text run backwards; lone surrogates can't be written."""

_CONTROL_IN_TRACEBACK = re.compile(_CONTROL.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))

KEPT = frozenset(
    {"log_level", "log_namespace", "log_time", "log_system", "log_source", "log_logger", "time", "isError"}
)
"""What observers need beside the text; every other key could hold anything."""


def scrub(text: str) -> str:
    """Hide every secret that is recognised by what stands before it."""
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
    kept = {key: value for key, value in event.items() if key in KEPT}
    event.clear()
    event.update(kept)
    # No template any more: a brace in the text is only a brace.
    event.update({"log_format": "{text}", "text": text})


@implementer(ILogObserver)
class Cleaner:
    """The observer that stands in front of all others."""

    def __call__(self, event: LogEvent) -> None:
        """Clean an event for those who see it next."""
        if "text" in event and event.get("log_format") == "{text}":  # kept while there was no observer, and told again
            return
        clean(event)


def install(publisher: LogPublisher = globalLogPublisher) -> Cleaner:
    """Clean all that is logged from now on for every observer that is added after this."""
    cleaner = Cleaner()
    publisher.addObserver(cleaner)
    return cleaner
