"""Frames in a program's output: whatever way they are cut, the same messages come out."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from sessiond.core.services import Framing
from sessiond.tunnel.frames import FrameError
from sessiond.tunnel.framing import BrokenFrame, Cutter, Rules, cutter

LINES, LENGTH = Rules(Framing.LINES, message_bytes=20), Rules(Framing.LENGTH, message_bytes=20)


def cut(subject: Cutter, data: bytes) -> list[bytes]:
    """Give the messages that are complete now."""
    subject.take(data)
    found = []
    while (message := subject.next()) is not None:
        found.append(message)
    return found


@given(st.sampled_from([LINES, LENGTH]), st.lists(st.binary(max_size=20)), st.integers(1, 40))
def test_any_split(rules: Rules, messages: list[bytes], size: int) -> None:
    """Messages come back as they were, and nothing is left of them."""
    if rules.framing is Framing.LINES:
        messages = [message.replace(b"\n", b"") for message in messages]
    stream = b"".join(map(rules.frame, messages))
    subject = cutter(rules)
    found = [message for at in range(0, len(stream), size) for message in cut(subject, stream[at : at + size])]
    assert found == messages
    assert subject.rest() == b""


def test_as_it_stands() -> None:
    """Lines end with a line end, lengths are four bytes, the lowest first."""
    assert LINES.frame(b"ab") == b"ab\n"
    assert LENGTH.frame(b"ab") == b"\x02\0\0\0ab"


@pytest.mark.parametrize(
    ("rules", "sent"),
    [(LINES, b"x" * 21), (LINES, b"x" * 21 + b"\n"), (LENGTH, b"\x15\0\0\0"), (LENGTH, b"\xff\xff\xff\xff")],
)
def test_too_large(rules: Rules, sent: bytes) -> None:
    """A frame above the limit is broken as soon as that can be known; nothing is gathered for it."""
    with pytest.raises(BrokenFrame):
        cut(cutter(rules), sent)


def test_messages_before_a_broken_one() -> None:
    """What was complete before is given first."""
    subject = cutter(LINES)
    subject.take(b"one\n" + b"x" * 30)
    assert subject.next() == b"one"
    with pytest.raises(BrokenFrame):
        subject.next()


def test_rest() -> None:
    """What is in no message yet can be had back."""
    for rules, stream in ((LINES, b"one\ntwo\nthr"), (LENGTH, b"\x03\0\0\0one\x03\0\0\0two\x05\0\0\0thr")):
        subject = cutter(rules)
        subject.take(stream)
        assert subject.next() == b"one"
        again = cutter(rules)
        assert cut(again, subject.rest()) == [b"two"]


def test_line_in_a_line() -> None:
    """A message that holds a line end is refused where frames are lines, and only there."""
    with pytest.raises(FrameError) as refused:
        LINES.check(b"a\nb")
    assert refused.value.code == 1007
    evolve(LINES, framing=Framing.LENGTH).check(b"a\nb")
