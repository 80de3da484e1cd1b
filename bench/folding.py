"""What a sampling profiler saw, folded into the few groups that a frame's way consists of. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import Enum

from attrs import frozen


class Group(Enum):
    """What the daemon can be at while bytes go through."""

    RECV = "recv"
    SEND = "send"
    WAIT = "epoll_wait"
    FRAMES = "frames"
    UNMASKING = "unmasking"
    REST = "relay, watch, reactor"


KERNEL = {"recv": Group.RECV, "send": Group.SEND, "epoll_wait": Group.WAIT}
"""Calls of the C library's, which may write them with a prefix."""
UNMASKING_FILES = ("autobahn/nvx/", "sessiond/ws/handover.py")
UNMASKING_NAMES = ("xor_small", "_xor", "_unmask_small")
"""Methods and functions of ``sessiond.tunnel.frames``."""
FRAMES_FILES = ("sessiond/tunnel/frames.py", "sessiond/tunnel/socket.py", "sessiond/ws/socket.py")


@frozen
class Profile:
    """Where the time went.

    :ivar samples: how often the daemon was looked at.
    :ivar percent: of these, by group; every group is there.
    """

    name: str
    samples: int
    percent: dict[Group, float]

    def shape(self) -> dict[str, object]:
        """Give it as JSON has it."""
        percent = {group.value: round(part, 1) for group, part in self.percent.items()}
        return {"name": self.name, "samples": self.samples, "percent": percent}


def fold(name: str, raw: str, thread: int) -> Profile:
    """Count the samples of one thread.

    :param raw: a line for each stack that was seen: its frames from the outermost, joined by semicolons, the first
        naming the thread; then a space and how often it was seen.
    """
    counts = Counter[Group]()
    for stack, count in _stacks(raw):
        if stack[0].startswith(f"thread ({thread})"):
            counts[group_of(stack[1:])] += count
    samples = counts.total()
    return Profile(name, samples, {group: 100 * counts[group] / max(samples, 1) for group in Group})


def _stacks(raw: str) -> Iterator[tuple[list[str], int]]:
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        yield stack.split(";"), int(count)


def group_of(stack: list[str]) -> Group:
    """Say what a stack was at: what its innermost call into the kernel is, or else its innermost frame of Python."""
    for name, _, place in (frame.partition(" (") for frame in reversed(stack)):
        if (found := KERNEL.get(name.lstrip("_").removeprefix("libc_"))) is not None:
            return found
        if ".py:" in place:
            return _of_python(name.rpartition(".")[2], place)
    return Group.REST


def _of_python(name: str, place: str) -> Group:
    if place.startswith(UNMASKING_FILES) or (place.startswith(FRAMES_FILES) and name in UNMASKING_NAMES):
        return Group.UNMASKING
    return Group.FRAMES if place.startswith(FRAMES_FILES) else Group.REST
