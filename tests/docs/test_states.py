"""The picture and the tables of states say what the machine does."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from bench.folding import Group
from bench.profile import CASES
from docs import draw_states
from docs.draw_states import ROUTES, arrows, svg, word_of
from docs.write_tables import BROKEN, transitions, write
from sessiond.config.units import seconds
from sessiond.core import events
from sessiond.core.draft import EXIT_WAIT_S, RECLAIMS, STUCK_S
from sessiond.core.errors import CLOSE_CODES, SHAPES, Refused
from sessiond.core.machine import ROWS, TABLE, RowKey, step
from sessiond.core.services import DEFAULT_STOP, Limits
from sessiond.core.values import Deadline, Reason, State, StopStep
from sessiond.tunnel import frames
from sessiond.web.orders import WAIT_S
from tests.core.sessions import NOW, by_state, can_happen, samples, walk
from tests.docs.documents import page, tables, words

SVG = "{http://www.w3.org/2000/svg}"
Change = tuple[State, RowKey, State]


def in_the_table() -> set[tuple[str, str, str]]:
    """Give what leads from which state to which other, in words, as the machine's table has it."""
    return {
        ("" if state is None else state.value, to.value, word_of(key))
        for (state, key), rule in TABLE.items()
        for to in rule.to
        if to is not state
    }


def drawn() -> ET.Element:
    """Draw the picture, and read it as XML."""
    return ET.fromstring(svg())


def changes() -> Iterator[Change]:
    """Take many steps; give every change of state."""
    of_all = ((session, event, NOW + 1.0) for found in by_state().values() for session in found
              for event in samples(session, NOW) if can_happen(session, event))  # fmt: skip
    of_lives = (taken for seed in range(20) for taken in walk(seed, 500))
    for session, event, now in (*of_all, *of_lives):
        try:
            after = step(session, event, now).session
        except Refused:
            continue
        if after is not None and after.state is not session.state:
            yield session.state, event.deadline if isinstance(event, events.Due) else type(event), after.state


def test_every_arrow_of_the_table_is_drawn_and_no_other() -> None:
    """The picture has each arrow once, with all the events and deadlines that lead along it."""
    groups = [group for group in drawn().iter(f"{SVG}g") if group.get("class") == "transition"]
    told = {
        (group.get("data-from", "?"), group.get("data-to", "?"), word)
        for group in groups
        for word in group.get("data-by", "").split()
    }
    assert told == in_the_table()
    assert len(groups) == len(ROUTES) == len(arrows())


def test_every_arrow_is_labelled() -> None:
    """What leads along an arrow can be read at it; the arrows to ``ended`` that share their way share a label."""
    shared = {("launching", "ended"), ("ready", "ended")}
    for group in drawn().iter(f"{SVG}g"):
        if group.get("class") != "transition" or (group.get("data-from"), group.get("data-to")) in shared:
            continue
        shown = [word for text in group.iter(f"{SVG}text") for word in re.findall(r"[a-z-]+", text.text or "")]
        assert sorted(shown) == sorted(group.get("data-by", "").split())


def test_every_state_and_stop_step_is_drawn() -> None:
    """The picture has a box for each state, marked where it holds a slot, and names the stop steps in their order."""
    boxes = {group.get("id"): group for group in drawn().iter(f"{SVG}g") if group.get("id")}
    assert set(boxes) == {f"state-{state.value}" for state in State}
    for state in State:
        assert ("held" in (boxes[f"state-{state.value}"].get("class") or "")) == state.holds_slot
    steps = [text.text for text in boxes["state-stopping"].iter(f"{SVG}text")][1:]
    assert steps == [step.value for step in StopStep]


def test_labels_stay_within_the_picture() -> None:
    """No word stands outside of the picture, or on a box."""
    for text in drawn().iter(f"{SVG}text"):
        x, y = float(text.get("x", "-1")), float(text.get("y", "-1"))
        assert 0 < x < draw_states.WIDTH
        assert 0 < y < draw_states.HEIGHT
        if "event" in (text.get("class") or ""):
            assert not any(b.x < x < b.x + b.width and b.y < y < b.y + b.height for b in draw_states.BOXES.values())


def test_the_table_names_no_target_that_is_never_reached() -> None:
    """Every arrow is one that some step takes: the picture shows nothing that can't happen."""
    named = {(state, key, to) for (state, key), rule in TABLE.items() for to in rule.to if state not in (None, to)}
    assert named - set(changes()) == set()


def test_table_of_transitions_is_whole() -> None:
    """Each pair of the machine's table stands in the document's, in words that say something."""
    pairs = set()
    for key, states, what, _ in transitions():
        assert what.endswith(".")
        assert len(what) > 10
        pairs |= {(state, key.strip("*")) for state in states.split(", ")}
    assert pairs == {("(none)" if state is None else state.value, word_of(key)) for state, key in TABLE}


def test_tables_are_written(tmp_path: Path) -> None:
    """What the documents include is there, and names every code."""
    write(tmp_path)
    pages = [page(name) for name in ("rest", "events", "operations", "performance", "states")]
    included = {name for text in pages for name in re.findall(r"_generated/(\S+)", text)}
    assert included == {path.name for path in tmp_path.iterdir()}
    problems, closes = (tmp_path / "problems.txt").read_text(), (tmp_path / "closes.txt").read_text()
    assert all(f"``{code.value}``\n     - {shape.http}\n" in problems for code, shape in SHAPES.items())
    for reason, code in CLOSE_CODES.items():
        assert re.search(rf"\* - {code}\n     - [^\n]*``{reason.value}``", closes)
    measured = (tmp_path / "profile.txt").read_text()
    assert all(f"\n   * - {name}\n" in measured for name in CASES)
    assert all(group.value in measured for group in Group)
    broken = re.findall(r'FrameError\((\d+), "(.*?)"', Path(frames.__file__).read_text())
    assert {int(code) for code, _ in broken} == set(BROKEN)
    assert all("says" in BROKEN[int(code)] or f"``{text}``" == BROKEN[int(code)] for code, text in broken)


def test_states_are_told() -> None:
    """The page's table of states says which hold a slot."""
    found = next(tables(page("states")))
    assert [(words(row[0])[0], row[1] == "yes") for row in found.rows] == [(s.value, s.holds_slot) for s in State]


def test_deadlines_are_told_with_their_defaults() -> None:
    """The page names every deadline, its default, and where it leads."""
    [found] = tables(page("states"), "deadlines")
    told = {words(row[0])[0]: row for row in found.rows}
    assert set(told) == {deadline.value for deadline in Deadline}
    usual = {name: getattr(Limits(), f"{name}_s") for name in told if hasattr(Limits(), f"{name}_s")}
    usual |= {"answer": WAIT_S, "exit": EXIT_WAIT_S}
    for name, (_, default, _, then) in told.items():
        if name != "step":
            assert (None if default == "off" else seconds(default)) == usual[name]
        reasons = {word for word in words(then) if word in {reason.value for reason in Reason}}
        assert reasons == {reason for row in ROWS[Deadline(name)].values() for reason in reasons_in(row.act)}


def reasons_in(act: object) -> set[str]:
    """Give the reasons that a rule which is made by the dozen may give, by what it was made of."""
    closure = getattr(act, "__closure__", None) or ()
    found = {cell.cell_contents.value for cell in closure if isinstance(cell.cell_contents, Reason)}
    if found or not hasattr(act, "__code__"):
        return found
    named = {"idle_due": {"idle"}, "silence": {"heartbeat-lost"}}
    return named.get(getattr(act, "__name__", ""), set())


def test_reclaims_and_stop_steps_are_told() -> None:
    """The page says which deadlines are reclaims, and what the usual stop steps are."""
    text = page("states")
    said = re.search(r"A \*reclaim\* is (.*?)\. ", text, re.DOTALL)
    assert said is not None
    assert words(said[1]) == [deadline.value for deadline in RECLAIMS]
    steps = next(table for table in tables(text) if table.section == "Stop steps")
    assert [words(row[0])[0] for row in steps.rows] == [step.value for step in StopStep]
    assert all(f"``{entry.step.value} {entry.seconds:.0f}s``" in text for entry in DEFAULT_STOP)
    assert f"every {STUCK_S:.0f} s" in steps.rows[-1][1]


def test_every_reason_is_told() -> None:
    """Both tables of reasons are whole, in the order of the list."""
    for name, table in (("states", "reasons"), ("operations", "trouble")):
        [found] = tables(page(name), table)
        assert [words(row[0])[0] for row in found.rows] == [reason.value for reason in Reason]
