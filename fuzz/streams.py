"""What the programs here share: streams made of an input of libFuzzer's, their cuts, and how a program is run."""

import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import atheris

with atheris.instrument_imports(include=["sessiond.tunnel"]):
    from sessiond.tunnel.frames import CONTROL_BYTES, FrameReader

T = TypeVar("T")
CORPUS = Path(__file__).parent / "found" / "corpus"
"""What was grown is kept there, for the next run to begin with."""
EITHER = (False, True)
LIMITS = (0, 100, 5000, 1 << 20)
"""Of messages: none, less than a control frame holds, some, more than comes."""
HEAD_BYTES = 14
MOST_PIECES = 20
STEERING_BYTES = 60
"""So many bytes at the front of an input say where its stream is cut."""


def run(one_input: Callable[[bytes], None], seeds: Iterable[bytes]) -> None:
    """Begin with the seeds, and go on until libFuzzer is told to end or has found something."""
    folder = CORPUS / Path(sys.argv[0]).stem
    folder.mkdir(parents=True, exist_ok=True)
    for i, one in enumerate(seeds):
        (folder / f"seed-{i}").write_bytes(one)
    atheris.Setup([*sys.argv, str(folder)], one_input)
    atheris.Fuzz()


def seed(stream: bytes, *choices: int) -> bytes:
    """Write the input from which a stream is made: bytes are consumed from the front, choices from the back."""
    return bytes(range(STEERING_BYTES)) + stream + bytes(reversed(choices))


def pick(data: atheris.FuzzedDataProvider, choices: Sequence[T]) -> T:
    """Choose one of a few; ``ConsumeBool`` would take a byte of the front."""
    at: int = data.ConsumeIntInRange(0, len(choices) - 1)
    return choices[at]


def steering(data: atheris.FuzzedDataProvider) -> atheris.FuzzedDataProvider:
    """Split off what says where the stream is cut, so that the stream is the same however it is cut."""
    return atheris.FuzzedDataProvider(data.ConsumeBytes(STEERING_BYTES))


def cut(data: atheris.FuzzedDataProvider, stream: bytes) -> list[bytes]:
    """Cut a stream anywhere."""
    places = sorted(data.ConsumeIntInRange(0, len(stream)) for _ in range(data.ConsumeIntInRange(0, MOST_PIECES)))
    bounds = [0, *places, len(stream)]
    return [stream[begin:end] for begin, end in pairwise(bounds) if end > begin]


def single(stream: bytes) -> list[bytes]:
    """Cut a stream everywhere."""
    return [stream[at : at + 1] for at in range(len(stream))]


def frames(data: atheris.FuzzedDataProvider) -> bytes:
    """Make a sequence of WebSocket frames, well formed for the most part, which mere chance hardly ever is."""
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


def masked(first: int, payload: bytes, mask: bytes = b"mask") -> bytes:
    """Write one short frame of a client's."""
    return bytes((first, 0x80 | len(payload))) + mask + unmask(payload, mask)


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Unmask as the native code does."""
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")


def check_held(reader: FrameReader) -> None:
    """See that what is kept of frames between two reads is less than a head and a control frame's payload."""
    held = vars(reader)
    if len(held["_rest"]) >= HEAD_BYTES + CONTROL_BYTES or held["_small"] or held["_keys"] or held["_done"]:
        raise RuntimeError("held more than the head and the payload of a control frame")
