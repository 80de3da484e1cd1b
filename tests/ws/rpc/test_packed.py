"""The newer generation's form: the specification's vectors, pieces in any order, limits that nobody's word moves."""

import contextlib
import datetime as dt
import itertools
import tracemalloc
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiond.ws.rpc import packed
from sessiond.ws.rpc.packed import CUT_BYTES, HEAD, Limits, Reader, decode
from sessiond.ws.rpc.values import Attachment, Broken, Fault, Unencodable, error_of, publication_of, result_of


def encode(message: Any, number: int, cut_bytes: int = CUT_BYTES) -> list[bytes]:
    """Write a message, each of its frames in one piece."""
    return [b"".join(frame) for frame in packed.encode(message, number, cut_bytes)]


HELLO = bytes.fromhex(
    "b0d5b582000000005300000085a677736c696e6ba3312e30a26964ab73797374656d3a63303a30a66d6574686f64ac77736c696e6b2e68656c"
    "6c6fa4617267739181a6736563726574ad77736c696e6b2d736563726574a66b776172677380"
)


@pytest.mark.parametrize(
    ("message", "written"),
    [
        (
            result_of("rpc:x:1", {"args": [], "kwargs": {}}),
            (
                "1f0b3bb3000000002d00000083a677736c696e6ba3312e30a26964a77270633a783a31a6726573756c7482a46172677390a66b7761726773"
                "80"
            ),
        ),
        (
            error_of("system:c0:0", Fault.REFUSED, "Authentication failed"),
            (
                "f5029b76000000004800000083a677736c696e6ba3312e30a26964ab73797374656d3a63303a30a56572726f7282a4636f6465d18300a7"
                "6d657373616765b541757468656e7469636174696f6e206661696c6564"
            ),
        ),
        (
            error_of("system:c0:1", Fault.UNREGISTERED, "Unknown system method called"),
            (
                "5a9f743f000000004f00000083a677736c696e6ba3312e30a26964ab73797374656d3a63303a31a56572726f7282a4636f6465d180a7a7"
                "6d657373616765bc556e6b6e6f776e2073797374656d206d6574686f642063616c6c6564"
            ),
        ),
        (
            publication_of("bin.topic", {"a": Attachment(b"\0\1\2\3")}),
            (
                "745ca9f7000000003300000083a677736c696e6ba3312e30a26964b37075626c6973683a62696e2e746f7069633a30a6726573756c7481"
                "a161c40400010203"
            ),
        ),
    ],
)
def test_vectors(message: Any, written: str) -> None:
    """Each is written as the peers write it, but for the number of the message."""
    raw = bytes.fromhex(written)
    assert encode(message, HEAD.unpack_from(raw)[0]) == [raw]


def test_hello() -> None:
    """The hello of the real client."""
    message = Reader(Limits(512)).frame(HELLO, 0.0)
    assert message is not None
    assert decode(message) == {
        "wslink": "1.0",
        "id": "system:c0:0",
        "method": "wslink.hello",
        "args": [{"secret": "wslink-secret"}],
        "kwargs": {},
    }


def test_pieces_in_order() -> None:
    """Two pieces, as a client cuts."""
    reader = Reader(Limits())
    first = bytes.fromhex("02000000000000003300000084a677736c696e6ba3312e30a26964")
    second = bytes.fromhex(
        "020000000f00000033000000a87270633a783a3132a66d6574686f64a6742e6563686fa46172677391a67365636f6e64"
    )
    assert reader.frame(first, 0.0) is None
    message = reader.frame(second, 0.0)
    assert message is not None
    found: Any = decode(message)
    assert found == {"wslink": "1.0", "id": "rpc:x:12", "method": "t.echo", "args": ["second"]}


def test_pieces_out_of_order() -> None:
    """The second half first, with another message between."""
    reader = Reader(Limits())
    late = bytes.fromhex("01000000140000003200000" + "0783a3131a66d6574686f64a6742e6563686fa46172677391a56669727374")
    early = bytes.fromhex("01000000000000003200000084a677736c696e6ba3312e30a26964a87270633a")
    assert reader.frame(late, 0.0) is None
    assert reader.frame(HELLO, 0.0) is not None
    message = reader.frame(early, 0.0)
    assert message is not None
    found: Any = decode(message)
    assert found["args"] == ["first"]


@given(st.binary(max_size=200), st.integers(13, 40), st.randoms(use_true_random=False))
def test_any_cut_and_order(data: bytes, cut: int, chance: Any) -> None:
    """However a message is cut, and in whatever order its pieces come, it is read as it was."""
    frames = encode(result_of("rpc:c:1", data), 7, cut)
    assert all(len(frame) <= cut for frame in frames)
    chance.shuffle(frames)
    reader = Reader(Limits())
    *before, message = [reader.frame(frame, 0.0) for frame in frames]
    assert set(before) <= {None}
    assert message is not None
    found: Any = decode(message)
    assert found["result"] == data


def test_cut() -> None:
    """No frame of ours is larger than the strictest client takes."""
    frames = encode(result_of("rpc:c:1", bytes(9_000_000)), 1)
    assert [len(frame) for frame in frames[:2]] == [CUT_BYTES] * 2
    assert max(map(len, frames)) <= 4_194_303


def part(number: int, offset: int, size: int, content: bytes) -> bytes:
    """Write a frame."""
    return HEAD.pack(number, offset, size) + content


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b"short"], 1002),
        ([part(1, 0, 2000, b"")], 1009),
        ([part(1, 5, 8, b"1234")], 1002),
        ([part(1, 4_000_000_000, 100, b"1")], 1002),
        ([part(1, 0, 10, b"12"), part(1, 2, 11, b"34")], 1002),
        ([part(1, 0, 10, b"1234"), part(1, 3, 10, b"45")], 1002),
        ([part(1, 4, 10, b"4567"), part(1, 2, 10, b"234")], 1002),
        ([part(1, 0, 10, b"1234"), part(1, 0, 10, b"1234")], 1002),
        ([part(n, 0, 10, b"1") for n in range(5)], 1002),
        ([part(1, n, 1000, b"x") for n in range(11)], 1002),
        ([part(n, 0, 900, b"x" * 600) for n in range(2)], 1009),
    ],
)
def test_broken(frames: list[bytes], code: int) -> None:
    """What breaks the form or a limit has its code."""
    reader = Reader(Limits(message_bytes=1000, waiting_bytes=1000, messages=4, chunks=10))
    with pytest.raises(Broken) as broken:
        list(map(reader.frame, frames, itertools.repeat(0.0)))
    assert broken.value.code == code


def test_stands_still() -> None:
    """A message that gets nothing for too long is given up; an empty piece is nothing."""
    reader = Reader(Limits(still_s=60.0))
    reader.frame(part(1, 0, 10, b"1"), 0.0)
    reader.frame(part(1, 1, 10, b"2"), 50.0)
    reader.check(110.0)
    reader.frame(part(1, 5, 10, b""), 109.0)
    with pytest.raises(Broken, match="does not go on"):
        reader.check(111.0)


def test_an_announced_length_costs_nothing() -> None:
    """Memory grows with what comes, not with what is promised."""
    reader = Reader(Limits(message_bytes=1 << 30, waiting_bytes=1 << 30))
    tracemalloc.start()
    try:
        for number in range(16):
            reader.frame(part(number, 0, 1 << 30, b"x"), 0.0)
        assert tracemalloc.get_traced_memory()[1] < 100_000
        for raw in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x91" * 5000):
            with pytest.raises(Broken):
                decode(raw)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", [object(), {1, 2}, 1 << 70, "\udc80"])
def test_unencodable(value: Any) -> None:
    """What has no form is told."""
    with pytest.raises(Unencodable):
        encode(result_of("rpc:c:1", value), 1)


def test_dates() -> None:
    """JavaScript's dates come as instants."""
    at = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    assert decode(msgpack.packb(at, datetime=True)) == at


@given(st.lists(st.binary(max_size=60) | st.tuples(*[st.integers(0, 40)] * 3, st.binary(max_size=20))))
def test_whatever_comes(frames: list[Any]) -> None:
    """Anything is read, or broken, and what waits stays within its limit."""
    reader = Reader(Limits(message_bytes=100, waiting_bytes=200))
    with contextlib.suppress(Broken):
        for one in frames:
            message = reader.frame(one if isinstance(one, bytes) else part(*one), 0.0)
            if message is not None:
                with contextlib.suppress(Broken):
                    decode(message)
    assert reader._bytes <= 200
    assert reader._bytes == sum(map(len, itertools.chain(*(one.pieces for one in reader._incomplete.values()))))
