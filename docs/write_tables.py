"""Writes the tables that the documents include, from where the daemon itself has what stands in them.

``write(folder)`` is called by ``conf.py`` each time that Sphinx runs; nothing that it writes is kept in the repository.
"""

from __future__ import annotations

import inspect
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.folding import KERNEL
from docs.draw_states import svg, word_of
from sessiond.bus.cloudevents import TYPE_PREFIX
from sessiond.clock import SteadyClock
from sessiond.core.errors import CLOSE_CODES, SHAPES, Code
from sessiond.core.facts import MEANINGS
from sessiond.core.machine import ROWS, TABLE, RowKey
from sessiond.core.rules import SAME, Rule
from sessiond.core.values import Deadline, State
from sessiond.meters import Level, Meters, Now, Outside
from sessiond.tunnel.relay import FAULTS, LEFT_BEHIND

Row = tuple[str, ...]

PROFILE = Path(__file__).parents[1] / "bench" / "profile.json"
"""What ``make profile`` wrote last."""


def literal(*words: str) -> str:
    """Write some words as they stand in requests and answers."""
    return ", ".join(f"``{word}``" for word in words)


def facts() -> Iterator[Row]:
    """Give what may happen to a session, as others are told."""
    for fact, meaning in MEANINGS.items():
        data = "; ".join(f"``{name}``: {text}" for name, text in meaning.data.items())
        yield literal(TYPE_PREFIX + fact.value), meaning.text, data or "none"


CUTS = (Code.ALREADY_CONNECTED, Code.UNREACHABLE, Code.SHUTTING_DOWN)
"""The codes that end a tunnel for another cause than its session's end."""

BROKEN = {
    1002: "says which rule of RFC 6455 the client broke",
    1003: literal("only binary messages are carried"),
    1007: "says what is not UTF-8",
    1009: literal("the message is too large"),
}
"""What a client is told that broke a rule."""


def write(folder: Path) -> None:
    """Write all of it."""
    folder.mkdir(exist_ok=True)
    for name, text in (
        ("states.svg", svg()),
        ("transitions.txt", table(("Event or deadline", "State", "What it does", "Next state"), transitions())),
        ("problems.txt", table(("Code", "Status", "Title"), problems())),
        ("closes.txt", table(("Close code", "Text"), closes())),
        ("metrics.txt", table(("Metric", "Type", "What it tells"), metrics())),
        ("facts.txt", table(("Type", "When it is told", "Its own data"), facts())),
        ("profile.txt", table(*profile())),
    ):
        (folder / name).write_text(text, encoding="utf-8")


def table(head: Row, rows: Iterable[Row]) -> str:
    """Write a table as reST."""
    lines = [".. list-table::", "   :header-rows: 1", "   :class: generated", ""]
    for row in (head, *rows):
        lines += [f"   {'* -' if i == 0 else '  -'} {cell}".rstrip() for i, cell in enumerate(row)]
    return "\n".join((*lines, ""))


def transitions() -> Iterator[Row]:
    """Tell every pair of event and state that can be; pairs with the same rule and the same end share a row."""
    [(first, rule)] = [(key, rule) for (state, key), rule in TABLE.items() if state is None]
    yield (name_of(first), "(none)", what_of(rule), next_of(None, rule))
    for key, row in ROWS.items():
        for states, rule in row.items():
            ends: defaultdict[str, list[str]] = defaultdict(list)
            for state in states:
                ends[next_of(state, rule)].append(state.value)
            for end, before in ends.items():
                yield (name_of(key), ", ".join(before), what_of(rule), end)


def name_of(key: RowKey) -> str:
    """Name an event; a deadline is set off as in the picture."""
    return f"*{word_of(key)}*" if isinstance(key, Deadline) else word_of(key)


def next_of(state: State | None, rule: Rule) -> str:
    """Tell where a rule may lead from a state; empty where it stays there."""
    return ", ".join(to.value for to in rule.to if to is not state)


def what_of(rule: Rule) -> str:
    """Say what a rule does: in its own words, or in those for the rules that are made by the dozen."""
    if rule is SAME:
        return "Comes late or twice, and changes nothing."
    maker = rule.act.__qualname__.partition(".")[0]
    made_of = inspect.getclosurevars(rule.act).nonlocals
    if maker == "stopping":
        return f"The session is being ended, ``{made_of['reason'].value}``."
    if maker == "ending":
        return f"The session has ended, ``{made_of['reason'].value}``: nothing of it runs."
    if maker == "refuse":
        return f"Refused, ``{made_of['code'].value}``: {made_of['detail']}."
    if maker == "answer_at_once":
        return f"The caller is told at once: {made_of['verdict'].value}."
    return inspect.cleandoc(rule.act.__doc__ or "").splitlines()[0]


def problems() -> Iterator[Row]:
    """Tell every code of a problem document."""
    for code, shape in SHAPES.items():
        yield (f"``{code.value}``", str(shape.http), shape.title)


def closes() -> Iterator[Row]:
    """Tell every way in which a tunnel is closed from our side, in order of the code."""
    told = [(LEFT_BEHIND.code, LEFT_BEHIND.text)]
    told += [(close_code, reason.value) for reason, close_code in CLOSE_CODES.items()]
    told += [(SHAPES[code].close, code.value) for code in CUTS]
    told += [(close.code, close.text) for _, close in FAULTS.values()]
    for close_code in sorted({*BROKEN, *(close_code for close_code, _ in told)}):
        texts = [literal(text) for own, text in told if own == close_code]
        yield (str(close_code), ", ".join([*texts, BROKEN[close_code]] if close_code in BROKEN else texts))


def metrics() -> Iterator[Row]:
    """Tell every metric, with the labels that it has."""
    from twisted.internet.task import Clock  # noqa: PLC0415 - no reactor where only a picture is drawn

    meters = Meters(("any",), SteadyClock(Clock()), outside=lambda: Outside(feeds={"any": (0, 0)}))
    lines = meters.text(Now((), {"any": Level(1, 0, 0)}, 0)).splitlines()
    for at, line in enumerate(lines):
        if line.startswith("# HELP "):
            _, _, name, said = line.split(" ", 3)
            kind = lines[at + 1].rsplit(" ", 1)[1]
            yield (f"``{name}``", kind, said + labels_of(lines[at + 2]))


def labels_of(sample: str) -> str:
    """Name the labels of a sample."""
    found = [part.split("=")[0] for part in sample.partition("{")[2].rpartition("}")[0].split(",") if part]
    return f" Labels: {literal(*found)}." if found else ""


def profile() -> tuple[Row, list[Row]]:
    """Tell where the time of a frame goes, under a head that names the parts."""
    cases = json.loads(PROFILE.read_text(encoding="utf-8"))
    head = ("", *(literal(part) if part in KERNEL else part for part in cases[0]["percent"]))
    return head, [(one["name"], *(f"{percent:.0f}" for percent in one["percent"].values())) for one in cases]
