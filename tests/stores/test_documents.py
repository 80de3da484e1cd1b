"""Values as JSON and back, strict in both directions."""

import json
import math
from collections.abc import Callable, Mapping
from enum import Enum, IntEnum
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given

from sessiond.core.services import Plan
from sessiond.core.session import Session
from sessiond.core.values import Clients, Endpoint, State, Stdio, Tcp, Unix
from sessiond.stores.documents import DocumentError, form_of
from tests.contracts.store import FULL
from tests.strategies import calm, plans, sessions

SESSION = form_of(Session)


class Level(IntEnum):
    """Numbers that pass for whole numbers elsewhere."""

    LOW = 1


@frozen
class Wider(Tcp):
    """A class that nobody can read back."""


@frozen
class Inner:
    """A value within another."""

    names: Mapping[State, float]


@frozen
class Outer:
    """A value that holds others."""

    inner: tuple[Inner, ...]
    flag: bool | None = None


@calm
@given(sessions())
def test_sessions_come_back(session: Session) -> None:
    """Every session is the same after it was JSON."""
    document = json.loads(json.dumps(SESSION.write(session), allow_nan=False))
    assert SESSION.read(document) == session


@calm
@given(plans())
def test_writing_is_stable(plan: Plan) -> None:
    """What was read is written as it was before."""
    form = form_of(Plan)
    assert form.write(form.read(form.write(plan))) == form.write(plan)


@pytest.mark.parametrize(
    ("annotation", "value", "written"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (bool, True, True),
        (bytes, b"\x00\xff", "00ff"),
        (State, State.READY, "ready"),
        (State | None, None, None),
        (int | Clients, 4, 4),
        (int | Clients, Clients.ONCE, "once"),
        (float | None, 4, 4.0),
        (str | int, "4", "4"),
        (str | int | float | bool | None, True, True),
        (str | int | float | bool | None, 7, 7),
        (Endpoint, Tcp("::1", 80), {"is": "tcp", "host": "::1", "port": 80}),
        (Endpoint | None, Stdio(), {"is": "stdio"}),
        (Unix | None, Unix("/s"), {"path": "/s"}),
        (tuple[bytes, ...], (b"a",), ["61"]),
        (Mapping[State, int], {State.READY: 1}, {"ready": 1}),
    ],
)
def test_form(annotation: Any, value: Any, written: Any) -> None:
    """Each kind of annotation has its form, which is read back to the same value of the same class."""
    form = form_of(annotation)
    assert form.write(value) == written
    assert form.read(written) == value
    assert type(form.write(value)) is type(written)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, True),
        (int, "1"),
        (int, 1.0),
        (int, Level.LOW),
        (str, b"x"),
        (float, math.nan),
        (float, math.inf),
        (float, "1"),
        (float, True),
        (bytes, "00"),
        (State, "ready"),
        (State | None, Clients.ONCE),
        (str | int, 1.5),
        (str | int, None),
        (str | int, Level.LOW),
        (Endpoint, Wider("h", 1)),
        (Tcp, Wider("h", 1)),
        (tuple[int, ...], [1]),
        (Mapping[str, int], [("a", 1)]),
        (Mapping[State, int], {"ready": 1}),
    ],
)
def test_refuses_to_write(annotation: Any, value: Any) -> None:
    """A value that is not what its annotation says is not written."""
    with pytest.raises(DocumentError):
        form_of(annotation).write(value)


@pytest.mark.parametrize(
    ("annotation", "document"),
    [
        (int, "1"),
        (int, 1.0),
        (int, None),
        (bool, 1),
        (float, math.inf),
        (bytes, "0"),
        (bytes, 7),
        (State, "asleep"),
        (State, ["ready"]),
        (State, None),
        (Endpoint, {"is": "tcp"}),
        (Endpoint, {"is": "pipe"}),
        (Endpoint, {"is": ["tcp"]}),
        (Endpoint, {}),
        (Endpoint, "tcp"),
        (tuple[int, ...], {"0": 1}),
        (Mapping[str, int], [1]),
        (Mapping[State, int], {"asleep": 1}),
        (Plan, []),
        (Plan, {}),
    ],
)
def test_refuses_to_read(annotation: Any, document: Any) -> None:
    """A document that does not fit is refused by a named error, whatever stands in it."""
    with pytest.raises(DocumentError):
        form_of(annotation).read(document)


@pytest.mark.parametrize("name", sorted(SESSION.write(FULL)))
def test_every_field_is_needed(name: str) -> None:
    """A document that lacks a field is refused by the field's name."""
    document = SESSION.write(FULL)
    del document[name]
    with pytest.raises(DocumentError, match=f"^{name}: is missing$"):
        SESSION.read(document)


def _spoil(document: Any, *path: str | int) -> Any:
    """Put something unfit at a place of a document."""
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = {"unfit": "top secret"}
    return document


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("version",), "version"),
        (("plan", "limits", "queue_s"), "plan.limits.queue_s"),
        (("plan", "stop", 1, "step"), "plan.stop.1.step"),
        (("deadlines", "lifetime"), "deadlines.lifetime"),
        (("tunnels", 0, "phase"), "tunnels.0.phase"),
        (("endpoint", "path"), "endpoint.path"),
    ],
)
def test_error_names_the_place(path: tuple[str | int, ...], place: str) -> None:
    """An error says where, and shows nothing of a value that may be secret."""
    document = _spoil(SESSION.write(FULL), *path)
    with pytest.raises(DocumentError) as raised:
        SESSION.read(document)
    assert raised.value.place == place
    assert "secret" not in str(raised.value)


def test_error_shows_no_secret() -> None:
    """A secret of the wrong kind does not stand in the error."""
    with pytest.raises(DocumentError) as raised:
        SESSION.read(_spoil(SESSION.write(FULL), "child_secret"))
    assert str(raised.value) == "child_secret: expected text"


def test_unknown_word_is_cut() -> None:
    """A word that no enum knows is shown, but not at any length."""
    with pytest.raises(DocumentError, match=r"^no State is called 'x{40}'$"):
        form_of(State).read("x" * 1000)


def test_writing_names_the_place() -> None:
    """A value deep within another is refused by its place too."""
    outer = Outer((Inner({}), Inner({State.READY: math.nan})))
    with pytest.raises(DocumentError, match=r"^inner\.1\.names\.ready: expected a finite number$"):
        form_of(Outer).write(outer)


def test_unknown_keys_are_passed_over() -> None:
    """A key that the class lacks does no harm."""
    assert form_of(Tcp).read({"host": "h", "port": 1, "colour": "red"}) == Tcp("h", 1)


@pytest.mark.parametrize(
    "annotation", [object, list[int], set[int], tuple[int, str], Callable, str | State, str | bytes, Mapping[int, int]]
)
def test_unfit_annotation(annotation: Any) -> None:
    """An annotation that JSON can't hold, or can't tell from another, is a defect that shows at once."""
    with pytest.raises(TypeError):
        form_of(annotation)


def test_enum_of_other_values() -> None:
    """Only enums of words are kept."""

    class Odd(Enum):
        ONE = 1

    with pytest.raises(TypeError):
        form_of(Odd)
