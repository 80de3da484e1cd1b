"""The log: no secret gets through, whichever way it takes, and nobody forges a line."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import (
    Logger,
    LogLevel,
    LogPublisher,
    jsonFileLogObserver,
    textFileLogObserver,
)
from twisted.python.failure import Failure

from sessiond import log
from sessiond.entropy import SystemEntropy

CANARY = "canary-0123456789"


class Sink:
    """A log with the cleaner in front of a text file and a structured one."""

    def __init__(self) -> None:
        self.publisher = LogPublisher()
        log.install(self.publisher)
        self.text, self.json = io.StringIO(), io.StringIO()
        self.publisher.addObserver(textFileLogObserver(self.text))
        self.publisher.addObserver(jsonFileLogObserver(self.json))
        self.logger = Logger("sessiond.test", observer=self.publisher)

    @property
    def all(self) -> str:
        """What was written, in both."""
        return self.text.getvalue() + self.json.getvalue()


@pytest.mark.parametrize(
    "told",
    [
        "GET /tunnel?token={} HTTP/1.1",
        "GET /tunnel?a=b&ticket={}&c=d",
        "/session/x/?path=tunnel%3Ftoken%3D{}",
        "{{'token': '{}'}}",
        '{{"token": "{}"}}',
        "Request(token='{}')",
        "Authorization: Bearer {}",
        "authorization: Basic {}",
        "{{b'Authorization': [b'Bearer {}']}}",
        "(b'Authorization', b'Bearer {}')",
        "Cookie: session={}; a=b",
        "Set-Cookie: ticket={}; Path=/",
        "sent Bearer {} to it",
        "https://u/?access_token={}#x",
    ],
)
def test_canaries(told: str) -> None:
    """A secret is hidden as part of a field, of a template, of an object and of a traceback."""
    sink, line = Sink(), told.format(CANARY)
    sink.logger.info("{line}", line=line)
    sink.logger.info(line.replace("{", "{{").replace("}", "}}"))
    sink.logger.info("{held[0]} {held}", held=[line])
    sink.logger.warn("{error!r}", error=ValueError(line))
    try:
        raise ValueError(line)
    except ValueError:
        sink.logger.failure("while {doing}", doing="this")
    sink.publisher({"log_level": LogLevel.info, "log_text": line, "log_format": "{log_text}", "log_time": 0.0})
    assert CANARY not in sink.all
    assert sink.text.getvalue().count(log.HIDDEN) >= 6
    assert "while this" in sink.text.getvalue()


def test_bare_token() -> None:
    """A token is hidden where nothing says that it is one."""
    sink, token = Sink(), SystemEntropy().token()
    sink.logger.info("what is {it}?", it=token)
    assert token not in sink.all


def test_unformatted_fields() -> None:
    """Fields that the line does not show don't reach structured sinks either."""
    sink = Sink()
    sink.logger.info("a request", request={"token": CANARY})
    assert CANARY not in sink.all
    assert json.loads(sink.json.getvalue().strip("\x1e"))["text"] == "a request"


def test_forged_line() -> None:
    """A field can't begin a line, turn text around, or colour a terminal."""
    sink = Sink()
    sink.logger.info("{name}", name="x\n2026-01-01 [root] all is well\r\x1b[31m\u202e\x85\u2028\ud800")
    assert len(sink.text.getvalue().splitlines()) == 1
    assert r"x\n2026" in sink.text.getvalue()
    assert "\x1b" not in sink.text.getvalue()


def test_forged_line_in_traceback() -> None:
    """The lines of a traceback are indented, so that none passes for an event."""
    sink = Sink()
    try:
        raise ValueError("x\n2026-01-01 [root] all is well\x1b[31m")
    except ValueError:
        sink.logger.failure("broken")
    first, *rest = sink.text.getvalue().splitlines()
    assert "broken" in first
    assert all(line.startswith("\t") for line in rest)
    assert "\x1b" not in sink.text.getvalue()


def test_huge_field() -> None:
    """A field of megabytes comes to one kilobyte, and so do many of them to a bounded line."""
    sink = Sink()
    sink.logger.info("{name}!", name="x" * 10_000_000)
    assert len(sink.text.getvalue()) < 1300
    assert sink.text.getvalue().endswith("(10000000 characters)!\n")
    sink.logger.info(" ".join(["{name}"] * 1000), name="y" * 2000)
    assert len(sink.text.getvalue()) < 1300 + log.TEXT_CHARACTERS + 200


def test_secret_at_the_cut() -> None:
    """A secret at the end of what is shown of a field is no less hidden."""
    for fill in range(log.FIELD_CHARACTERS - 30, log.FIELD_CHARACTERS + 1):
        assert CANARY[:6] not in log.field("." * fill + "?token=" + CANARY + "." * 5000)


def test_broken_event() -> None:
    """An event that can't be formatted is told, and the log goes on."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError(f"token={CANARY}")

    sink = Sink()
    sink.logger.info("{it}", it=Broken())
    sink.logger.info("{missing}")
    sink.logger.failure("with a failure", Failure(ValueError(Broken())))
    assert sink.text.getvalue().count("not formatted") == 2
    assert CANARY not in sink.all


def test_calls_and_braces() -> None:
    """Calls in a template work as Twisted's do; braces in a value are only braces."""
    sink = Sink()
    sink.logger.info("{now()} {value}", now=lambda: "today", value="{name} %s")
    assert "today {name} %s" in sink.text.getvalue()


def test_seen_twice() -> None:
    """What was kept while there was no observer is told again as it was."""
    event = {"log_format": "{a}", "a": "{b}", "log_level": LogLevel.info, "log_time": 0.0}
    cleaner = log.Cleaner()
    cleaner(event)
    first = dict(event)
    cleaner(event)
    assert event == first
    assert event["text"] == "{b}"


@given(st.text(max_size=200))
def test_any_field(text: str) -> None:
    """Whatever a field holds, it stays on its line and can be written."""
    cleaned = log.field(text)
    assert len(cleaned.splitlines()) <= 1
    cleaned.encode("utf-8")
