"""Feeds both cutters of a program's output, lines and lengths, with bytes that libFuzzer grows (by atheris).

Whatever comes in, however it is cut, and whoever goes on with what another left: only a broken frame is raised, the
messages are the same, written again they are what came, and no more than one is held beside what a call brought.
Run as ``python -m fuzz.framing``, with the options of ``fuzz.frames``.
"""

from collections.abc import Iterator

import atheris

from fuzz.streams import EITHER, LIMITS, cut, pick, run, seed, single, steering

with atheris.instrument_imports(include=["sessiond.tunnel"]):
    from sessiond.core.services import Framing
    from sessiond.tunnel.framing import LENGTH_BYTES, BrokenFrame, Cutter, Rules, cutter

FRAMINGS = tuple(Framing)

Outcome = tuple[tuple[bytes, ...], bytes, str | None]
"""Messages, what is in none yet, and why what follows is no frame; then there is nothing that is in none yet."""


def read(pieces: list[bytes], rules: Rules, hand_over: bool) -> Outcome:
    """Read a stream in pieces, and see after each that no more than one message is held.

    :param hand_over: a new cutter takes each piece, behind what the one before it left.
    """
    subject, messages = cutter(rules), list[bytes]()
    for piece in pieces:
        if hand_over:
            rest, subject = subject.rest(), cutter(rules)
            subject.take(rest)
        subject.take(piece)
        try:
            while (message := subject.next()) is not None:
                messages.append(message)
        except BrokenFrame as broken:
            return tuple(messages), b"", str(broken)
        check_held(subject, rules, len(piece))
    return tuple(messages), subject.rest(), None


def check_held(subject: Cutter, rules: Rules, brought_bytes: int) -> None:
    """See that what waits for more is at most one frame, and what is kept at most what one call brought beside it."""
    most = rules.message_bytes + (LENGTH_BYTES if rules.framing is Framing.LENGTH else 0)
    if len(subject.rest()) > most or len(vars(subject)["_held"]) > most + brought_bytes:
        raise RuntimeError("held more than one message")


def check_messages(outcome: Outcome, stream: bytes, rules: Rules) -> None:
    """See that each message keeps the rules, and that they are what came."""
    messages, rest, broken = outcome
    for message in messages:
        rules.check(message)
        if len(message) > rules.message_bytes:
            raise RuntimeError("a message is too large")
    written = b"".join(map(rules.frame, messages)) + rest
    if not stream.startswith(written) or (broken is None and written != stream):
        raise RuntimeError("the messages are not what came")


def frames(data: atheris.FuzzedDataProvider, rules: Rules) -> bytes:
    """Make a sequence that is well formed for the most part, a length just above the limit included."""
    stream = b""
    while data.remaining_bytes() > 4 and len(stream) < 1 << 16:
        size = data.ConsumeIntInRange(0, min(rules.message_bytes, 6000) + 1)
        message = data.ConsumeBytes(min(size, 300))
        stream += rules.frame(message + bytes(size - len(message)))
    return stream


def one_input(raw: bytes) -> None:
    """Take one input of libFuzzer's."""
    data = atheris.FuzzedDataProvider(raw)
    limit_bytes, framing = pick(data, LIMITS), pick(data, FRAMINGS)
    rules = Rules(framing, message_bytes=limit_bytes)
    cuts = steering(data)
    stream = frames(data, rules) if pick(data, EITHER) else data.ConsumeBytes(data.remaining_bytes())
    whole, pieces = read([stream], rules, False), cut(cuts, stream)
    if read(pieces, rules, False) != whole or read(pieces, rules, True) != whole:
        raise RuntimeError("another cut gave something else")
    if len(stream) <= 600 and read(single(stream), rules, False) != whole:
        raise RuntimeError("byte by byte gave something else")
    check_messages(whole, stream, rules)


def seeds() -> Iterator[bytes]:
    """Give inputs to begin with, each under every limit and in both framings."""
    streams = (
        b"one\ntwo\n\nthree",
        b"\x03\0\0\0one\0\0\0\0\x05\0\0\0three\x04",
        b"x" * 101 + b"\n",
        b"\xff\xff\xff\xff",
    )
    for stream in streams:
        for limit in range(len(LIMITS)):
            for framing in range(len(FRAMINGS)):
                yield seed(stream, limit, framing, False)


if __name__ == "__main__":
    run(one_input, seeds())
