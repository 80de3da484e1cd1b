"""The log: no secret gets through, whichever way it takes, and nobody forges a line."""

import io
import json
import re
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import (
    LegacyLogObserverWrapper,
    Logger,
    LogLevel,
    LogPublisher,
    jsonFileLogObserver,
    textFileLogObserver,
)
from twisted.python.failure import Failure
from twisted.python.log import FileLogObserver

from sessiond import log
from sessiond.entropy import SystemEntropy

CANARY = "canary-0123456789"


class Sink:
    """A log with the cleaner in front of a text file and a structured one."""

    def __init__(self) -> None:
        self.publisher, self.clock = LogPublisher(), Clock()
        log.install(self.publisher, self.clock.seconds)
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


def test_flood() -> None:
    """Of lines of one kind only so many are written, and once it is time one says how many were not."""
    sink, most = Sink(), int(log.KIND_BURST)
    for _ in range(5 * most):
        sink.logger.info("again {number}", number=1)
    assert sink.text.getvalue().count("again 1") == most
    sink.logger.info("something else")
    assert "something else" in sink.text.getvalue()
    assert "left out" not in sink.text.getvalue()
    sink.clock.advance(log.TELL_S)
    sink.logger.info("something else")
    *_, told, last = sink.text.getvalue().splitlines()
    assert f"{4 * most} lines were left out, all like this: sessiond.test: again {{number}}" in told
    assert "something else" in last
    sink.clock.advance(log.TELL_S)
    sink.logger.info("something else")
    assert sink.text.getvalue().count("left out") == 1


def test_flood_goes_on() -> None:
    """While lines keep coming so many a second are written, and each one left out is counted once."""
    sink, each, times = Sink(), 100, 400
    for _ in range(times):
        for _ in range(each):
            sink.logger.info("again {number}", number=1)
        sink.clock.advance(0.5)
    sink.clock.advance(log.TELL_S)
    sink.logger.info("something else")
    written = sink.text.getvalue().count("again 1")
    assert written == pytest.approx(log.KIND_BURST + log.KIND_PER_S * times * 0.5, rel=0.05)
    left_out = [int(count) for count in re.findall(r"(\d+) lines were left out", sink.text.getvalue())]
    assert sum(left_out) == each * times - written
    assert len(left_out) <= times * 0.5 / log.TELL_S + 1


def test_flood_of_kinds() -> None:
    """A text that is made anew each time is bounded too, and costs no memory."""
    sink = Sink()
    for number in range(3 * int(log.BURST)):
        sink.logger.info(f"number {number}")
    assert len(sink.text.getvalue().splitlines()) <= log.BURST
    sink.clock.advance(log.TELL_S)
    before = len(sink.text.getvalue().splitlines())
    sink.logger.info("something else")
    assert len(sink.text.getvalue().splitlines()) - before <= log.KINDS + 2


def test_flood_of_failures() -> None:
    """What is critical is never left out, but from some point on its traceback is."""
    sink, extra = Sink(), 50
    for _ in range(int(log.KIND_BURST) + extra):
        sink.logger.failure("it failed", Failure(ValueError("of course")))
    *_, last = sink.text.getvalue().splitlines()
    assert last.endswith("it failed [...] Failure: builtins.ValueError: of course")
    assert sink.text.getvalue().count("it failed") == log.KIND_BURST + extra
    assert sink.text.getvalue().count("[...]") == extra


def test_left_out_is_not_written() -> None:
    """An observer of the old kind, as twistd has them, writes nothing for a line that was left out."""
    sink, written = Sink(), io.StringIO()
    sink.publisher.addObserver(LegacyLogObserverWrapper(cast("Any", FileLogObserver(written).emit)))
    for _ in range(2 * int(log.KIND_BURST)):
        sink.logger.info("again")
    assert len(written.getvalue().splitlines()) == log.KIND_BURST


def test_left_out_twice() -> None:
    """What was left out while there was no observer stays so when it is told again."""
    seen = dict[str, object]()
    cleaner = log.Cleaner(seconds=Clock().seconds)
    for _ in range(int(log.KIND_BURST) + 1):
        seen = {"log_format": "{a}", "a": "b", "log_level": LogLevel.info, "log_time": 0.0}
        cleaner(seen)
    first = dict(seen)
    cleaner(seen)
    assert seen == first
    assert "log_format" not in seen


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0.0, 100.0)), max_size=200))
def test_ration(asked: list[tuple[int, float]]) -> None:
    """Whatever is asked for when, every line is either written or told, and never more than the ration."""
    ration, now, written, told = log.Ration(), 0.0, 0, 0
    for kind, passed in asked:
        now += passed
        told += sum(count for _, count in ration.due(now))
        written += sum(ration.take(str(kind), now) for _ in range(300))
    told += sum(count for _, count in ration.due(now + log.TELL_S))
    assert written + told == 300 * len(asked)
    assert written <= log.BURST + log.PER_S * now
