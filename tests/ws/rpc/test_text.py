"""The older generation's form: the specification's vectors to the byte, attachments, and whatever else comes."""

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiond.ws.rpc.text import KEYS, Part, Reader, encode
from sessiond.ws.rpc.values import (
    ATTACHMENT,
    Attachment,
    Broken,
    Fault,
    Unencodable,
    error_of,
    publication_of,
    result_of,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def keys() -> Any:
    """Give keys as an endpoint does."""
    return (f"wslink_bin{number}" for number in itertools.count()).__next__


def head(*names: str) -> bytes:
    """Write what announces attachments."""
    return json.dumps({"wslink": "1.0", "method": ATTACHMENT, "args": list(names)}).encode()


def feed(reader: Reader, parts: list[Part]) -> None:
    """Have it read messages."""
    for is_text, payload in parts:
        if is_text:
            reader.text(payload)
        else:
            reader.binary(payload)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (result_of("rpc:c2:0", 15), '{"wslink": "1.0", "id": "rpc:c2:0", "result": 15}'),
        (
            result_of("rpc:c2:4", [float("inf"), float("nan"), float("-inf")]),
            '{"wslink": "1.0", "id": "rpc:c2:4", "result": [Infinity, NaN, -Infinity]}',
        ),
        (result_of("rpc:c2:10", None), '{"wslink": "1.0", "id": "rpc:c2:10", "result": null}'),
        (result_of("rpc:c2:1", "ü"), '{"wslink": "1.0", "id": "rpc:c2:1", "result": "ü"}'),
        (
            error_of("rpc:c2:5", Fault.UNREGISTERED, "Unregistered method called", "myprotocol.mistake.TYPO"),
            (
                '{"wslink": "1.0", "id": "rpc:c2:5", "error": {"code": -32601, '
                '"message": "Unregistered method called", "data": "myprotocol.mistake.TYPO"}}'
            ),
        ),
        (
            error_of("system:c0:0", Fault.REFUSED, "Authentication failed"),
            '{"wslink": "1.0", "id": "system:c0:0", "error": {"code": -32000, "message": "Authentication failed"}}',
        ),
        (
            publication_of("some.topic", {"v": 1}),
            '{"wslink": "1.0", "id": "publish:some.topic:0", "result": {"v": 1}}',
        ),
    ],
)
def test_vectors(message: Any, line: str) -> None:
    """Each is written as the peers write it, to the byte."""
    assert encode(message, keys()) == [(True, line.encode())]


def test_attachments() -> None:
    """Head, bytes and message, each with a key of its own wherever it stands; texts that look like keys stay texts."""
    held = Attachment(b"abc")
    found = encode(
        result_of("rpc:c:1", {"a": held, "b": [held, memoryview(b""), "wslink_bin0"], "c": bytearray(b"d")}), keys()
    )
    payloads = [b"abc", b"abc", b"", b"d"]
    expected: list[Part] = []
    for number, payload in enumerate(payloads):
        expected += [(True, head(f"wslink_bin{number}")), (False, payload)]
    assert found[:-1] == expected
    assert json.loads(found[-1][1])["result"] == {
        "a": "wslink_bin0",
        "b": ["wslink_bin1", "wslink_bin2", "wslink_bin0"],
        "c": "wslink_bin3",
    }


@pytest.mark.parametrize("value", [object(), {1, 2}, {"a": object()}, "\udc80", {(1, 2): 3}, 1j])
def test_unencodable(value: Any) -> None:
    """What has no form is told, and nothing of it is written."""
    with pytest.raises(Unencodable):
        encode(result_of("rpc:c:1", value), keys())


def test_endless() -> None:
    """A value that holds itself has none."""
    value: list[Any] = []
    value.append(value)
    with pytest.raises(Unencodable):
        encode(result_of("rpc:c:1", value), keys())


def test_uploads() -> None:
    """Attachments come before their message, several under one head too, and each is taken once."""
    reader = Reader(1000)
    assert reader.text(head("wslink_bin1")) is None
    reader.binary(b"one")
    assert reader.text(head("wslink_bin2", "wslink_bin10")) is None
    reader.binary(b"two")
    reader.binary(b"ten")
    message = {
        "id": "rpc:c:1",
        "args": ["wslink_bin10", ["wslink_bin1", "wslink_bin9", "xwslink_bin2"]],
        "kwargs": {"k": "wslink_bin2"},
    }
    found: Any = reader.text(json.dumps(message).encode())
    assert found["args"] == [b"ten", [b"one", "wslink_bin9", "xwslink_bin2"]]
    assert found["kwargs"] == {"k": b"two"}
    again: Any = reader.text(json.dumps(message).encode())
    assert again["args"] == message["args"]


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([(False, b"x")], 1002),
        ([(True, b"{")], 1007),
        ([(True, b"\xff")], 1007),
        ([(True, b"[" * 100_000)], 1007),
        ([(True, b'{"method": "wslink.binary.attachment", "args": [1]}')], 1002),
        ([(True, b'{"method": "wslink.binary.attachment"}')], 1002),
        ([(True, head("a", "b")), (False, b"x" * 60), (False, b"x" * 60)], 1009),
        ([(True, head(*map(str, range(KEYS + 1))))], 1009),
    ],
)
def test_broken(parts: list[Part], code: int) -> None:
    """What breaks the protocol or a limit has its code."""
    reader = Reader(100)
    with pytest.raises(Broken) as broken:
        feed(reader, parts)
    assert broken.value.code == code


def test_attachments_that_are_taken_make_room() -> None:
    """Only what waits counts."""
    reader = Reader(100)
    for _ in range(50):
        reader.text(head("k"))
        reader.binary(b"x" * 90)
        found: Any = reader.text(b'{"id": "rpc:c:1", "args": ["k"]}')
        assert found["args"] == [b"x" * 90]


@given(JSON)
def test_round_trip(value: Any) -> None:
    """What is written is read as it was."""
    [(_, raw)] = encode(result_of("rpc:c:1", value), keys())
    found: Any = Reader(0).text(raw)
    assert found["result"] == value


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60) | st.just(head("k")) | st.just(b'{"args":["k"]}'))))
def test_whatever_comes(parts: list[Part]) -> None:
    """Anything is read, or broken."""
    reader = Reader(100)
    with contextlib.suppress(Broken):
        feed(reader, parts)
