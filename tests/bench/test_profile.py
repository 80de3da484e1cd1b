"""The profile: how stacks are told apart, the picture of it, and a short run against the real daemon."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from twisted.internet.utils import getProcessOutputAndValue

from bench.folding import FRAMES_FILES, UNMASKING_FILES, UNMASKING_NAMES, Group, Profile, fold, group_of
from bench.profile import CASES, table, write
from sessiond.tunnel import frames
from tests.components import lack
from tests.reactor import within

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"
LIMIT_S = 300.0
REACTOR = "EPollReactor.doPoll (twisted/internet/epollreactor.py:244)"
READER = "FrameReader.receive (sessiond/tunnel/frames.py:106)"
EVEN = {group: 100 / len(Group) for group in Group}


@pytest.mark.parametrize(
    ("stack", "group"),
    [
        ([REACTOR, "Connection.doRead (twisted/internet/tcp.py:278)", "recv (libc.so.6)"], Group.RECV),
        ([REACTOR, "FrameSocket.send (sessiond/tunnel/socket.py:53)", "__libc_send (libc.so.6)"], Group.SEND),
        ([REACTOR, "select_epoll_poll (selectmodule.c.h:841)", "epoll_wait (libc.so.6)"], Group.WAIT),
        ([READER, "FrameReader._take_small (sessiond/tunnel/frames.py:138)", "0x7feb7478 (libc.so.6)"], Group.FRAMES),
        (["TunnelSocket.dataReceived (sessiond/ws/socket.py:30)"], Group.FRAMES),
        ([READER, "FrameReader._unmask_small (sessiond/tunnel/frames.py:239)"], Group.UNMASKING),
        ([READER, "_xor (sessiond/tunnel/frames.py:252)", "long_bitwise (libpython3.11.so.1.0)"], Group.UNMASKING),
        ([READER, "XorMaskerNvx.process (autobahn/nvx/_xormasker.py:134)"], Group.UNMASKING),
        ([READER, "ByteRelay.client_sent (sessiond/tunnel/relay.py:190)"], Group.REST),
        (["0x7feb7464524a (libc.so.6)"], Group.REST),
    ],
)
def test_groups(stack: list[str], group: Group) -> None:
    """A stack belongs to its innermost call into the kernel, or else to its innermost frame of Python."""
    assert group_of(stack) is group


def test_what_is_told_apart_is_there() -> None:
    """Files and functions that are looked for have not been renamed."""
    for place in (*FRAMES_FILES, *UNMASKING_FILES):
        module = place.removesuffix("/").removesuffix(".py").replace("/", ".")
        assert find_spec(module) is not None, place
    for name in UNMASKING_NAMES:
        assert hasattr(frames, name) or hasattr(frames.FrameReader, name), name


def test_one_thread_counts() -> None:
    """What other threads did is left out, and the rest makes a hundred."""
    seen = (
        "thread (7): MainThread;epoll_wait (libc.so.6) 3",
        f"thread (7): MainThread;{READER} 1",
        "thread (8): sessiond-store;Writer._take (sessiond/stores/writer.py:123) 40",
    )
    found = fold("down", "\n".join(seen), 7)
    assert (found.samples, found.percent[Group.WAIT], found.percent[Group.FRAMES]) == (4, 75.0, 25.0)
    assert sum(found.percent.values()) == 100.0


def test_written_down(tmp_path: Path) -> None:
    """JSON, picture and table tell every group of every case; a part is as wide as it is large."""
    found = [Profile("down", 600, EVEN), Profile("<up>", 600, {**dict.fromkeys(Group, 0.0), Group.SEND: 100.0})]
    write(found, tmp_path)
    kept = json.loads((tmp_path / "profile.json").read_text())
    assert [one["name"] for one in kept] == ["down", "<up>"]
    assert kept[1]["percent"] == {**{group.value: 0.0 for group in Group}, "send": 100.0}
    drawn = ET.fromstring((tmp_path / "profile.svg").read_text())
    texts = [text.text or "" for text in drawn.iter(f"{SVG}text")]
    assert {"down", "<up>", "unmasking", "100"} <= set(texts)
    assert texts.count("17") == len(Group)
    assert all(group.value in table(found) for group in Group)
    assert table(found).splitlines()[1].split() == ["down", *["16.7"] * len(Group)]


@within(LIMIT_S)
async def test_a_short_run(tmp_path: Path) -> None:
    """A run looks at the real daemon in every case and sees it work."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    arguments = ["-m", "bench.profile", "--seconds", "1", "--out", str(tmp_path)]
    out, err, status = await getProcessOutputAndValue(sys.executable, arguments, environment, str(ROOT))
    if b"ermission denied" in err:
        lack("looking into another process is not allowed here")
    assert status == 0, err.decode()
    found = {one["name"]: one for one in json.loads((tmp_path / "profile.json").read_text())}
    assert list(found) == list(CASES)
    assert all(name in out.decode() for name in CASES)
    assert all(abs(sum(one["percent"].values()) - 100) < 1 for one in found.values())
    assert found["down"]["percent"]["recv"] > 0
    assert found["up, 64 B frames"]["percent"]["frames"] > 0
    assert found["up, 64 B frames"]["percent"]["unmasking"] > 0
