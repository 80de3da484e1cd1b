"""The demo's program for HOOPS' viewers: what it answers, and to whom."""

import asyncio

import pytest

from sessiond.demo.model import answer_to, frame, frames


def test_handshake() -> None:
    """The accept key is the RFC's own example (section 1.3); what asks for no upgrade gets no answer."""
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in (answer_to(head) or b"")
    assert answer_to(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") is None
    assert answer_to(b"") is None


@pytest.mark.parametrize(("size", "head"), [(5, "8105"), (126, "817e007e"), (70000, "817f0000000000011170")])
def test_frames(size: int, head: str) -> None:
    """Frames have the shortest head that tells their length."""
    assert frame(1, b"x" * size)[:-size].hex() == head


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("818548494a4b202c262727", [(1, b"hello")]),
        ("8105" + b"hello".hex(), []),
        ("81ff7fffffffffffffff00000000", []),
        ("8185484", []),
    ],
)
def test_what_viewers_send(sent: str, read: list[tuple[int, bytes]]) -> None:
    """Masked frames are read; one without a mask, without an end or without measure ends it."""

    async def all_of() -> list[tuple[int, bytes]]:
        reader = asyncio.StreamReader()
        reader.feed_data(bytes.fromhex(sent[: len(sent) // 2 * 2]))
        reader.feed_eof()
        return [one async for one in frames(reader)]

    assert asyncio.run(all_of()) == read
