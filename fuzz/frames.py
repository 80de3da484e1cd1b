"""Feeds the reader of WebSocket frames with bytes that libFuzzer grows towards code it has not seen (by atheris).

Whatever comes in, however it is cut: nothing is raised, what comes out is the same, and hardly anything is held.
Run as ``python -m fuzz.frames [options of libFuzzer] [folders of inputs]``; it ends by itself after the time given with
``-max_total_time``, and otherwise with what it found.
"""

from collections.abc import Iterator

import atheris

from fuzz.streams import EITHER, LIMITS, check_held, cut, frames, masked, pick, run, seed, single, steering, unmask

with atheris.instrument_imports(include=["sessiond.tunnel"]):
    from sessiond.tunnel.frames import FrameError, FrameReader, Opcode, close_payload, read_close

Outcome = tuple[bytes, tuple[tuple[Opcode, bytes], ...], tuple[int, str] | None]
"""Payload, controls, and the error's code and text."""


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


def one_input(raw: bytes) -> None:
    """Take one input of libFuzzer's."""
    data = atheris.FuzzedDataProvider(raw)
    limit_bytes, text = pick(data, LIMITS), pick(data, EITHER)
    cuts = steering(data)
    stream = frames(data) if pick(data, EITHER) else data.ConsumeBytes(data.remaining_bytes())
    whole = read([stream], limit_bytes, text)
    if read(cut(cuts, stream), limit_bytes, text) != whole:
        raise RuntimeError("another cut gave something else")
    if len(stream) <= 600 and read(single(stream), limit_bytes, text) != whole:
        raise RuntimeError("byte by byte gave something else")
    if len(whole[0]) > len(stream):
        raise RuntimeError("gave more than came")
    check_closes(whole)


def seeds() -> Iterator[bytes]:
    """Give inputs to begin with, each under every limit: messages, fragments around a ping, text, a close frame."""
    streams = (
        masked(0x82, b"keys") * 3 + masked(0x82, bytes(125)),
        masked(0x02, b"one") + masked(0x89, b"there?") + masked(0x00, b"") + masked(0x80, b"two"),
        masked(0x01, "ä€".encode()[:3]) + masked(0x80, "ä€".encode()[3:]) + masked(0x81, b"\xff"),
        masked(0x82, b"") + masked(0x88, b"\x03\xe8bye"),
    )
    for stream in streams:
        for limit in range(len(LIMITS)):
            yield seed(stream, limit, True, False)


if __name__ == "__main__":
    run(one_input, seeds())
