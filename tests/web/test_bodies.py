"""Bodies: exactly one JSON object, as every reader would understand it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiond.core.errors import Code, Refused
from sessiond.web.bodies import check_keys, parse_object

HOSTILE = (
    b"",
    b" ",
    b"null",
    b"[]",
    b'"text"',
    b"1",
    b"{",
    b"{}{}",
    b"{} trailing",
    b"\xef\xbb\xbf{}",
    b"\xff{}",
    b'{"a": "\xc0\xaf"}',
    b'{"a": NaN}',
    b'{"a": Infinity}',
    b'{"a": -Infinity}',
    b'{"a": 1e999}',
    b'{"a": 1, "a": 2}',
    b'{"b": {"a": 1, "a": 1}}',
    b'{"a": "\\ud800"}',
    b'{"\\udfff": 1}',
    b"{'a': 1}",
    b"{a: 1}",
    b'{"a": 1,}',
    b'{"a": 01}',
    b'{"a": "\n"}',
    b"// comment\n{}",
    b"[" * 60000,
    b'{"a":' * 12000,
    b'{"a": ' + b"9" * 60000 + b"}",
    "{}".encode("utf-16"),
    "{}".encode("utf-32-le"),
)


@pytest.mark.parametrize("raw", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile(raw: bytes) -> None:
    """Everything that readers could differ about is refused, and nothing worse happens."""
    with pytest.raises(Refused) as refused:
        parse_object(raw)
    assert refused.value.code is Code.BAD_REQUEST


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_objects(value: dict[str, Any]) -> None:
    """Every object is read as what was written."""
    assert parse_object(json.dumps(value, ensure_ascii=False).encode()) == value


def test_unknown_keys() -> None:
    """A member that nobody knows is refused by name, unless that is so long that it could be a secret."""
    check_keys({"a": 1}, frozenset({"a", "b"}))
    with pytest.raises(Refused, match="unknown member 'zz'"):
        check_keys({"a": 1, "zz": 1}, frozenset({"a"}))
    with pytest.raises(Refused) as refused:
        check_keys({"x" * 60000: 1}, frozenset())
    assert refused.value.detail == "unknown member of 60000 characters"
