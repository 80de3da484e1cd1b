"""``python -m bench.profile``: look many times a second at what a daemon is at while one tunnel is saturated.

py-spy looks from outside, native code and calls into the kernel included, at the daemon as it is otherwise measured.
Writes ``profile.json`` and ``profile.svg``; the page on performance has both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.bars import draw
from bench.client import Failed
from bench.folding import Group, Profile, fold
from bench.programs import running
from bench.sides import Ours, a_target, ours

HERE = Path(__file__).parent
CASES = {"down": None, "up, 64 KiB frames": 65536, "up, 1 KiB frames": 1024, "up, 64 B frames": 64}
"""What the client does: takes, or sends frames that carry so many bytes."""
RATE_HZ = 250
SETTLE_S = 1.0
IDLE_PERCENT = 90.0


def profiles(folder: Path, seconds: int) -> list[Profile]:
    """Look at every case for so long."""
    with a_target(folder) as target, ours(folder, target) as one:
        return [_profile(folder, one, name, size, seconds) for name, size in CASES.items()]


def _profile(folder: Path, side: Ours, name: str, size: int | None, seconds: int) -> Profile:
    sys.stderr.write(f"{name} ...\n")
    sizes = () if size is None else (str(size),)
    with running(folder, "saturate", "-m", "bench.saturate", str(side.port), side.path(), *sizes):
        time.sleep(SETTLE_S)
        # The reactor's thread is the first, so it has the number of the process; the store's waits all the while.
        found = fold(name, sample(side.pid, folder / "samples.txt", seconds), side.pid)
    if not found.samples or found.percent[Group.WAIT] > IDLE_PERCENT:
        raise Failed(f"the tunnel was not busy: {(folder / 'saturate.txt').read_text(errors='replace')}")
    return found


def sample(pid: int, output: Path, seconds: int) -> str:
    """Give the stacks of a process, as they were seen.

    :raises Failed: it can't be looked at, which may need more rights.
    """
    program = str(Path(sys.executable).with_name("py-spy"))
    how = ("--native", "--idle", "--threads", "--format", "raw", "--rate", str(RATE_HZ), "--duration", str(seconds))
    ran = subprocess.run(  # noqa: S603 - our own program
        [program, "record", *how, "--pid", str(pid), "--output", str(output)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=10 * seconds + 60,
    )
    if ran.returncode:
        raise Failed(ran.stderr)
    return output.read_text()


def write(found: list[Profile], folder: Path) -> None:
    """Write ``profile.json`` and ``profile.svg``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "profile.json").write_text(json.dumps([one.shape() for one in found], indent=2) + "\n")
    (folder / "profile.svg").write_text(draw(found))


def table(found: list[Profile]) -> str:
    """Write the figures for a terminal."""
    wide = max(len(one.name) for one in found)
    lines = [" " * wide + "".join(f"  {group.value}" for group in Group)]
    for one in found:
        cells = (f"{one.percent[group]:.1f}".rjust(len(group.value) + 2) for group in Group)
        lines.append(one.name.ljust(wide) + "".join(cells))
    return "\n".join((*lines, ""))


def main() -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="how long each case is looked at")
    parser.add_argument("--out", type=Path, default=HERE, help="where the results are written")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sessiond-profile-") as folder:
        found = profiles(Path(folder), chosen.seconds)
    write(found, chosen.out)
    sys.stdout.write(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
