"""Events as CloudEvents in JSON: what a fact becomes, and what of others is taken for an event."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiond.bus.cloudevents import NoEvent, decode, encode, of_fact
from sessiond.core.facts import CloudEvent, Fact, FactType, StoredFact

WORDS = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
EXTENSIONS = st.dictionaries(
    st.from_regex(r"x[a-z0-9]{1,10}", fullmatch=True), st.text(max_size=9) | st.integers(), max_size=3
)
EVENTS = st.builds(
    CloudEvent,
    id=WORDS,
    source=WORDS,
    type=WORDS,
    subject=st.none() | WORDS,
    time=st.none() | st.integers(0, 4_000_000_000).map(float),
    data=JSON,
    extensions=EXTENSIONS,
)
LEAST: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/a", "type": "t"}


@given(EVENTS)
def test_there_and_back(event: CloudEvent) -> None:
    """What is written is read as it was."""
    assert decode(encode(event)) == event


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_anything(body: bytes) -> None:
    """Whatever comes is an event or refused."""
    try:
        assert decode(body).id
    except NoEvent:
        return


def test_a_fact() -> None:
    """A fact says whose it is, where it happened and when; its id is the same whenever it is told."""
    fact = Fact(FactType.ENDED, "clock-1", "clock", "ada", 1_700_000_000.25, 7, {"reason": "idle"})
    event = of_fact(StoredFact(41, fact), "e1", "/sessiond/0")
    assert json.loads(encode(event)) == {
        "specversion": "1.0",
        "id": "e1-41",
        "source": "/sessiond/0",
        "type": "sessiond.session.ended",
        "subject": "clock-1",
        "time": "2023-11-14T22:13:20.250Z",
        "epoch": "e1",
        "offset": 41,
        "datacontenttype": "application/json",
        "data": {"service": "clock", "owner": "ada", "version": 7, "reason": "idle"},
    }


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "0.3"},
        {"id": ""},
        {"id": 1},
        {"source": None},
        {"type": "a\nb"},
        {"type": "x" * 300},
        {"subject": 5},
        {"time": "yesterday"},
        {"time": "2026-01-01T00:00:00"},
        {"time": 5},
        {"Upper": "case"},
        {"deep": {"a": 1}},
    ],
)
def test_no_event(change: dict[str, Any]) -> None:
    """What no attribute may be is refused, and the words repeat nothing of it."""
    decode(json.dumps(LEAST).encode())
    with pytest.raises(NoEvent) as refused:
        decode(json.dumps({**LEAST, **change}).encode())
    assert "yesterday" not in str(refused.value)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff", b'{"a":NaN}', b"[" * 100_000])
def test_no_json(body: bytes) -> None:
    """What is no JSON object is no event."""
    with pytest.raises(NoEvent):
        decode(body)
