"""Feeds the reader of WebSocket frames with bytes that libFuzzer grows towards code it has not seen (by atheris).

Whatever comes in, however it is cut: nothing is raised, what comes out is the same, and hardly anything is held.
Run as ``python fuzz/frames.py [options of libFuzzer] [folders of inputs]``; it ends by itself after the time given with
``-max_total_time``, and otherwise with what it found.
"""

import sys
from itertools import pairwise

import atheris

with atheris.instrument_imports(include=["sessiond.tunnel"]):
    from sessiond.tunnel.frames import (
        CONTROL_BYTES,
        FrameError,
        FrameReader,
        Opcode,
        close_payload,
        read_close,
    )

HEAD_BYTES = 14
LIMITS = (0, 100, 5000, 1 << 20)
"""Of messages: none, less than a control frame holds, some, more than comes."""
MOST_PIECES = 20

Outcome = tuple[bytes, tuple[tuple[Opcode, bytes], ...], tuple[int, str] | None]
"""Payload, controls, and the error's code and text."""


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Unmask as the native code does."""
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")


def read(pieces: list[bytes], limit_bytes: int, text: bool) -> Outcome:
    """Read a stream in pieces, and see after each that hardly anything is held."""
    reader = FrameReader(unmask, limit_bytes, text=text)
    payload, controls = b"", list[tuple[Opcode, bytes]]()
    for piece in pieces:
        received = reader.receive(piece)
        payload += received.payload
        check_held(reader)
        controls += [(control.opcode, control.payload) for control in received.controls]
        if received.error is not None:
            return payload, tuple(controls), (received.error.code, received.error.text)
    return payload, tuple(controls), None


def check_held(reader: FrameReader) -> None:
    """See that what is kept between two reads is less than a head and a control frame's payload."""
    held = vars(reader)
    if len(held["_rest"]) >= HEAD_BYTES + CONTROL_BYTES or held["_small"] or held["_keys"] or held["_done"]:
        raise RuntimeError("held more than the head and the payload of a control frame")


def check_closes(outcome: Outcome) -> None:
    """Read the payloads of close frames, and write again what could be read."""
    for opcode, payload in outcome[1]:
        if opcode is Opcode.CLOSE:
            try:
                code, text = read_close(payload)
            except FrameError:
                continue
            if code is not None and close_payload(code, text) != payload:
                raise RuntimeError("a close frame is not the same when it is written again")


def frames(data: atheris.FuzzedDataProvider) -> bytes:
    """Make a sequence that is well formed for the most part, which mere chance hardly ever is."""
    stream = b""
    while data.remaining_bytes() > 8 and len(stream) < 1 << 18:
        first = data.ConsumeIntInRange(0, 255)
        form, mask = data.ConsumeIntInRange(0, 3), data.ConsumeBytes(4).ljust(4, b"m")
        size = data.ConsumeIntInRange(0, (125, 300, 5000, 70_000)[form])
        content = data.ConsumeBytes(min(size, 300))
        content += bytes(size - len(content))
        stream += bytes((first,)) + _length(size, form) + mask + content
    return stream


def _length(size: int, form: int) -> bytes:
    if form == 0 and size <= 125:
        return bytes((0x80 | size,))
    return bytes((0xFE,)) + size.to_bytes(2, "big") if form < 3 else bytes((0xFF,)) + size.to_bytes(8, "big")


def cut(data: atheris.FuzzedDataProvider, stream: bytes) -> list[bytes]:
    """Cut a stream anywhere."""
    places = sorted(data.ConsumeIntInRange(0, len(stream)) for _ in range(data.ConsumeIntInRange(0, MOST_PIECES)))
    bounds = [0, *places, len(stream)]
    return [stream[begin:end] for begin, end in pairwise(bounds) if end > begin]


def one_input(raw: bytes) -> None:
    """Take one input of libFuzzer's."""
    data = atheris.FuzzedDataProvider(raw)
    limit_bytes, text = LIMITS[data.ConsumeIntInRange(0, len(LIMITS) - 1)], data.ConsumeBool()
    steering = atheris.FuzzedDataProvider(data.ConsumeBytes(60))
    stream = frames(data) if data.ConsumeBool() else data.ConsumeBytes(data.remaining_bytes())
    whole = read([stream], limit_bytes, text)
    if read(cut(steering, stream), limit_bytes, text) != whole:
        raise RuntimeError("another cut gave something else")
    if len(stream) <= 600 and read([stream[at : at + 1] for at in range(len(stream))], limit_bytes, text) != whole:
        raise RuntimeError("byte by byte gave something else")
    if len(whole[0]) > len(stream):
        raise RuntimeError("gave more than came")
    check_closes(whole)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
