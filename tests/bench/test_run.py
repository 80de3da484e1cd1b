"""The measurements: a run whose sizes tell nothing, and what is made of its figures."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

from twisted.internet.utils import getProcessOutputAndValue

from bench.client import frame
from bench.report import cells, table, write
from bench.rows import Aim, Row, row
from bench.run import percentile
from sessiond.tunnel.frames import FrameReader
from sessiond.ws.handover import unmask
from tests.components import RABBITMQ, is_here
from tests.reactor import within

ROOT = Path(__file__).parents[2]
KEYS = ["name", "ours", "peer", "unit", "ratio", "aim", "holds"]
WSLINK = () if find_spec("wslink") else ("RPC", "wslink's launcher")
ALONE = ("durable", "application listens", "REST", "Nexus status", *WSLINK)
LIMIT_S = 120.0
ROWS = [
    row("cost", "s/GiB", [1.0, 3.0, 2.0], [4.0, 4.0, 5.0], Aim(at_most=True, figure=0.6)),
    row("rate", "1/s", [100.0], [50.0], Aim(at_most=False, figure=10)),
    row("memory", "KiB", [12.0], [], Aim(at_most=True, figure=40, of_peer=False)),
    row("latency", "ms", [3.0], []),
    row("lacks its peer", "us", [3.0], [], Aim(at_most=True, figure=0.5)),
    row("nothing", "s/GiB", [0.0], [0.0], Aim(at_most=True, figure=0.9)),
]


@within(LIMIT_S)
async def test_a_tiny_run(tmp_path: Path) -> None:
    """A run measures every row with real programs, prints the table and writes it down."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    arguments = ["-m", "bench", "--tiny", "--out", str(tmp_path)]
    out, err, status = await getProcessOutputAndValue(sys.executable, arguments, environment, str(ROOT))
    assert status == 0, err.decode()
    found = json.loads((tmp_path / "results.json").read_text())
    assert len(found) == (31 if is_here(RABBITMQ) else 26)
    assert all(list(one) == KEYS for one in found)
    assert all(one["ours"] >= 0 for one in found if "memory" not in one["name"])
    peerless = {one["name"] for one in found if one["peer"] is None}
    assert all(name in out.decode() for name in peerless)
    if find_spec("websockify") is not None:
        assert all(name.startswith(ALONE) for name in peerless)


def test_aims() -> None:
    """An aim is held against the ratio or the figure, and left open where there is no peer."""
    assert [one.holds for one in ROWS] == [True, False, True, None, None, None]
    assert [one.ratio for one in ROWS] == [0.5, 2.0, None, None, None, None]


def test_shapes(tmp_path: Path) -> None:
    """Table, JSON, Markdown and picture tell the same rows."""
    write(ROWS, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())[0] == {
        "name": "cost",
        "ours": 2.0,
        "peer": 4.0,
        "unit": "s/GiB",
        "ratio": 0.5,
        "aim": "<= 0.6 x",
        "holds": True,
    }
    lines = table(ROWS).splitlines()
    assert lines[2].split() == ["rate", "100", "50", "1/s", "2", ">=", "10", "x", "no"]
    for one in ROWS:
        assert f"| {' | '.join(cells(one))} |" in (tmp_path / "RESULTS.md").read_text()
    drawn = ET.fromstring((tmp_path / "results.svg").read_text())
    texts = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "cost" in texts
    assert "memory" not in texts


def test_a_picture_of_nothing(tmp_path: Path) -> None:
    """Rows without a peer are written down too."""
    write([Row("alone", "ms", 1.0)], tmp_path)
    assert ET.fromstring((tmp_path / "results.svg").read_text()) is not None


def test_the_clients_frames() -> None:
    """What the client sends is what the daemon's reader takes."""
    for size in (0, 5, 125, 126, 70_000):
        payload = os.urandom(size)
        assert FrameReader(unmask, 1 << 20).receive(frame(payload)).payload == payload


def test_percentiles() -> None:
    """A percentile lies among the figures."""
    assert percentile([float(n) for n in range(101)], 99) == 99.0
    assert percentile([1.0, 1.0], 50) == 1.0
