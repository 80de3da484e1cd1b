"""How busy this machine is, as Linux tells it."""

from __future__ import annotations

import os
import re
from pathlib import Path

MEMORY = Path("/proc/meminfo")
"""proc(5); its fields are in KiB."""


def cpu_percent() -> int:
    """Give the load of the last minute per processor, in percent; it is above 100 where programs wait for one."""
    return round(100 * os.getloadavg()[0] / (os.cpu_count() or 1))


def memory_percent() -> int:
    """Give how much of the memory is in use and could not be had at once, in percent."""
    found = read_memory(MEMORY.read_text("ascii"))
    return round(100 * (1 - found["MemAvailable"] / found["MemTotal"]))


def read_memory(text: str) -> dict[str, int]:
    """Read the fields of ``/proc/meminfo``."""
    return {name: int(size) for name, size in re.findall(r"^(\w+): +(\d+)", text, re.MULTILINE)}
