"""Frames without I/O: every split of every sequence gives the same, and every broken rule has its code."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiond.tunnel.frames import (
    SMALL_BYTES,
    Control,
    FrameError,
    FrameReader,
    Opcode,
    close_payload,
    head,
    read_close,
)
from tests.fakes.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frames, close, frame

LIMIT = 100_000


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Unmask byte by byte."""
    assert len(payload) >= SMALL_BYTES, "small pieces are not worth a call"
    return bytes(byte ^ mask[at & 3] for at, byte in enumerate(payload))


def read(pieces: list[bytes], *, text: bool = True, limit: int = LIMIT) -> tuple[bytes, list[Control], int | None]:
    """Read a stream in pieces: its payload, its controls and the code it failed with."""
    reader = FrameReader(unmask, limit, text=text)
    payload = b""
    controls: list[Control] = []
    for piece in pieces:
        received = reader.receive(piece)
        payload += received.payload
        controls += received.controls
        if received.error is not None:
            return payload, controls, received.error.code
    return payload, controls, None


PAYLOADS = st.one_of(
    st.binary(max_size=130),
    st.builds(lambda unit, times: unit * times, st.binary(min_size=1, max_size=3), st.integers(1, 30_000)),
)


@st.composite
def messages(draw: st.DrawFn) -> tuple[list[bytes], bytes, list[Control]]:
    """Give frames of whole messages with controls among them, and what they come to."""
    frames, payload, controls = [], b"", []
    for _ in range(draw(st.integers(1, 5))):
        parts = draw(st.lists(PAYLOADS, min_size=1, max_size=3))
        for at, part in enumerate(parts):
            if draw(st.booleans()):
                kind, content = draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=125))
                frames.append(frame(kind, content))
                controls.append(Control(Opcode(kind), content))
            frames.append(frame(CONTINUATION if at else BINARY, part, fin=at == len(parts) - 1))
        payload += b"".join(parts)
    return frames, payload, controls


def cut(stream: bytes, at: list[int]) -> list[bytes]:
    """Cut a stream at these places."""
    places = [0, *sorted(place % (len(stream) + 1) for place in at), len(stream)]
    return [stream[begin:end] for begin, end in pairwise(places) if end > begin]


@given(messages(), st.lists(st.integers(0, 1_000_000), max_size=12))
def test_any_split_gives_the_same(sent: tuple[list[bytes], bytes, list[Control]], at: list[int]) -> None:
    """However the network cuts a sequence of frames, the same payload and controls come out."""
    frames, payload, controls = sent
    assert read(cut(b"".join(frames), at), limit=1_000_000) == (payload, controls, None)


@given(messages())
def test_byte_by_byte(sent: tuple[list[bytes], bytes, list[Control]]) -> None:
    """One byte at a time gives the same as all at once, for streams that are not long."""
    frames, _, _ = sent
    stream = b"".join(frames)[:3000]
    assert read([bytes((byte,)) for byte in stream]) == read([stream])


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_noise_is_refused_the_same_however_it_is_cut(noise: bytes, at: list[int]) -> None:
    """What is no sequence of frames fails with the same code, after the same payload, and never otherwise."""
    assert read(cut(noise, at)) == read([noise])


@given(st.binary(max_size=2000))
def test_nothing_is_held_but_a_head_and_a_control_frame(noise: bytes) -> None:
    """Whatever a client announces, less than 140 bytes of it are kept between two reads."""
    reader = FrameReader(unmask, LIMIT)
    reader.receive(noise)
    assert len(reader._rest) < 140
    assert reader._small == reader._keys == reader._done == []


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(BINARY, b"x", masked=False), 1002),
        (frame(BINARY, b"x", rsv=1), 1002),
        (frame(BINARY, b"x", rsv=2), 1002),
        (frame(BINARY, b"x", rsv=4), 1002),
        (frame(0x3, b"x"), 1002),
        (frame(0xB, b"x"), 1002),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(BINARY, b"x", fin=False) + frame(BINARY, b"x"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(BINARY, b"x" * (LIMIT + 1))[:14], 1009),
        (frame(BINARY, b"x" * 60_000, fin=False) + frame(CONTINUATION, b"x" * 60_000), 1009),
        (b"\x82\xff" + struct.pack("!Q", 1 << 63) + b"mask", 1009),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION, b""), 1007),
    ],
)
def test_broken_rules(sent: bytes, code: int) -> None:
    """Each broken rule has the close code of RFC 6455 section 7.4.1, as soon as it shows."""
    assert read([sent])[2] == code
    assert read([bytes((byte,)) for byte in sent[:20]] + ([sent[20:]] if sent[20:] else []))[2] == code


def test_text_is_taken_where_it_is_wanted() -> None:
    """Text in two frames, cut within a character, is UTF-8 all the same; a byte tunnel refuses it with 1003."""
    euro = "€".encode()
    stream = frame(TEXT, euro[:1], fin=False) + frame(CONTINUATION, euro[1:])
    assert read([stream]) == (euro, [], None)
    assert read([stream], text=False)[2] == 1003


@pytest.mark.parametrize(
    "wrong", [b"\xff", b"\xe2\x82(", b"\xe2(", b"\xed\xa0\x80", b"\xf4\x90", b"\xc0\x80", b"\xe2\x82", b"\xf0\x9f\x98"]
)
def test_text_counts_up_to_where_it_is_none(wrong: bytes) -> None:
    """What comes out of a text that is not UTF-8 does not depend on how it was cut."""
    stream = frame(TEXT, b"so far " + wrong)
    whole = read([stream])
    assert whole[0] == b"so far "
    assert whole[2] == 1007
    assert read([bytes((byte,)) for byte in stream]) == whole


def test_what_came_before_a_broken_rule_counts() -> None:
    """Payload and controls in front of a broken frame are given out with the error; what is behind it is not read."""
    stream = frame(BINARY, b"good") + frame(PING, b"p") + frame(0x3) + frame(BINARY, b"bad")
    assert read([stream]) == (b"good", [Control(Opcode.PING, b"p")], 1002)


def test_nothing_is_read_behind_a_close_frame() -> None:
    """A client that goes on after its close frame is not heard."""
    payload, controls, error = read([close(1000) + frame(BINARY, b"more"), frame(BINARY, b"and more")])
    assert (payload, error) == (b"", None)
    assert [control.opcode for control in controls] == [Opcode.CLOSE]


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536])
def test_heads_of_our_own(length: int) -> None:
    """A client reads our heads: final, not masked, the shortest form of the length."""
    (found,) = Frames().read(head(Opcode.BINARY, length) + b"x" * length)
    assert (found.opcode, len(found.payload)) == (BINARY, length)


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
def test_close_payloads(code: int) -> None:
    """What we write of a close can be read again; a long text is cut between two characters."""
    assert read_close(close_payload(code, "why")) == (code, "why")
    long = close_payload(code, "é" * 100)
    assert len(long) <= 125
    assert read_close(long) == (code, "é" * 61)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])
def test_codes_that_may_not_be_sent(code: int) -> None:
    """RFC 6455 section 7.4: some codes are never sent, others belong to nobody."""
    with pytest.raises(FrameError) as caught:
        read_close(struct.pack("!H", code))
    assert caught.value.code == 1002


@pytest.mark.parametrize(("payload", "code"), [(b"x", 1002), (b"\x03\xe8\xff", 1007)])
def test_close_payloads_that_are_none(payload: bytes, code: int) -> None:
    """Half a code, or a text that is not UTF-8."""
    with pytest.raises(FrameError) as caught:
        read_close(payload)
    assert caught.value.code == code
    assert read_close(b"") == (None, "")
    assert CLOSE == Opcode.CLOSE
