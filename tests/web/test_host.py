"""How busy the machine is."""

from sessiond.web.host import MEMORY, cpu_percent, memory_percent, read_memory


def test_memory_is_read() -> None:
    """The fields of the kernel's table are read by name, those without a unit too."""
    text = "MemTotal:       2000 kB\nMemAvailable:    500 kB\nHugePages_Total:       0\nActive(anon): 7 kB\n"
    assert read_memory(text) == {"MemTotal": 2000, "MemAvailable": 500, "HugePages_Total": 0}


def test_this_machine() -> None:
    """What this machine tells is a share of it."""
    assert {"MemTotal", "MemAvailable"} <= read_memory(MEMORY.read_text("ascii")).keys()
    assert 0 < memory_percent() < 100
    assert 0 <= cpu_percent() < 100_000
