"""Feeds the reader of whole messages from a client with bytes that libFuzzer grows (by atheris).

Whatever comes in, however it is cut: nothing is raised, the messages, controls and errors are the same, each message
keeps the rules, together they are what the reader of frames makes of the same bytes, and no more than one is held.
Run as ``python -m fuzz.messages``, with the options of ``fuzz.frames``.
"""

from collections.abc import Iterator

import atheris

from fuzz.streams import EITHER, LIMITS, check_held, cut, frames, masked, pick, run, seed, single, steering, unmask

with atheris.instrument_imports(include=["sessiond.tunnel"]):
    from sessiond.core.services import Framing
    from sessiond.tunnel.frames import FrameReader, Opcode
    from sessiond.tunnel.framing import Rules
    from sessiond.tunnel.messages import MessageReader

FRAMINGS = tuple(Framing)

Outcome = tuple[tuple[bytes, ...], tuple[tuple[Opcode, bytes], ...], tuple[int, str] | None]
"""Messages, controls, and the error's code and text."""


def read(pieces: list[bytes], rules: Rules) -> Outcome:
    """Read a stream in pieces, and see after each that no more than one message is held."""
    reader, messages, controls = MessageReader(unmask, rules), list[bytes](), list[tuple[Opcode, bytes]]()
    reader.tell = messages.append
    for piece in pieces:
        received = reader.receive(piece)
        check_held(reader)
        if received.payload or len(vars(reader)["_gathered"]) > rules.message_bytes:
            raise RuntimeError("held more than one message, or gave a part of one")
        controls += [(control.opcode, control.payload) for control in received.controls]
        if received.error is not None:
            return tuple(messages), tuple(controls), (received.error.code, received.error.text)
    return tuple(messages), tuple(controls), None


def check_messages(messages: tuple[bytes, ...], stream: bytes, rules: Rules) -> None:
    """See that each message keeps the rules, and that they are what came."""
    for message in messages:
        rules.check(message)
        if rules.text:
            message.decode()
        if len(message) > rules.message_bytes:
            raise RuntimeError("a message is too large")
    payload = FrameReader(unmask, rules.message_bytes, text=rules.text).receive(stream).payload
    if not payload.startswith(b"".join(messages)):
        raise RuntimeError("the messages are not what came")


def one_input(raw: bytes) -> None:
    """Take one input of libFuzzer's."""
    data = atheris.FuzzedDataProvider(raw)
    limit_bytes, framing = pick(data, LIMITS), pick(data, FRAMINGS)
    rules = Rules(framing, pick(data, EITHER), limit_bytes)
    cuts = steering(data)
    stream = frames(data) if pick(data, EITHER) else data.ConsumeBytes(data.remaining_bytes())
    whole = read([stream], rules)
    if read(cut(cuts, stream), rules) != whole:
        raise RuntimeError("another cut gave something else")
    if len(stream) <= 600 and read(single(stream), rules) != whole:
        raise RuntimeError("byte by byte gave something else")
    check_messages(whole[0], stream, rules)


def seeds() -> Iterator[bytes]:
    """Give inputs to begin with, each under every limit, in both framings, as text and as bytes."""
    streams = (
        masked(0x81, b'{"id": 1}') * 2 + masked(0x82, b"\0\xff"),
        masked(0x82, b"bytes") + masked(0x02, b"in ") + masked(0x89, b"there?") + masked(0x80, b"parts"),
        masked(0x01, "ä€".encode()[:3]) + masked(0x80, "ä€".encode()[3:]) + masked(0x81, b"\xff"),
        masked(0x02, bytes(60)) + masked(0x00, bytes(40)) + masked(0x80, b"!"),
        masked(0x81, b"two\nlines") + masked(0x88, b"\x03\xe8bye"),
    )
    for stream in streams:
        for limit in range(len(LIMITS)):
            for framing in range(len(FRAMINGS)):
                for text in (False, True):
                    yield seed(stream, limit, framing, text, False)


if __name__ == "__main__":
    run(one_input, seeds())
