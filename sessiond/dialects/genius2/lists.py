"""The two lists of the wire: parties that can be run, and runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from sessiond.dialects.genius2.folder import Party
from sessiond.dialects.genius2.front import Run

CLIENT_BYTES = 8192
"""What the usual client takes as one message unless it was told otherwise."""


def available(parties: Iterable[Party], base: str, most_characters: int) -> bytes:
    """Write the parties that can be run, by their addresses.

    :param base: what the addresses begin with.
    :param most_characters: of a description.
    """
    found: list[dict[str, object]] = [
        {
            "uri": f"{base}/run/{party.name}",
            "capabilities": party.capabilities,
            "description": party.description[:most_characters],
        }
        for party in parties
    ]
    return _written(sorted(found, key=lambda one: str(one["uri"])))


def running(runs: Mapping[str, Run]) -> bytes:
    """Write the runs, with when each began and ends at the latest."""
    by_start = sorted(runs.items(), key=lambda item: (item[1].start_ms, item[0]))
    return _written([{"name": run.name, "id": key, "start": run.start_ms, "end": run.end_ms} for key, run in by_start])


def _written(found: list[dict[str, object]]) -> bytes:
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
