"""``python -m bench``: measure, print the table, and write it down with a picture."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench.limits import raise_descriptors
from bench.report import table, write
from bench.run import FULL, TINY, measure

HERE = Path(__file__).parent


def main() -> int:
    """Run it all; aims that are missed are told and are no failure."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="try it out with sizes that tell nothing")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--out", type=Path, default=HERE, help="where the results are written")
    chosen = parser.parse_args()
    raise_descriptors()
    with tempfile.TemporaryDirectory(prefix="sessiond-bench-") as folder:
        rows = measure(Path(folder), TINY if chosen.tiny else FULL, chosen.only)
    write(rows, chosen.out)
    sys.stdout.write(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
