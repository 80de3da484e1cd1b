"""The Genius2 dialect's part of the configuration: contexts, and what would break the protocol's clients."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from sessiond.config import Config, parse
from sessiond.core.errors import ConfigError
from sessiond.core.services import Framing

WHOLE = """
[listeners.web]
endpoint = "tcp:8080:interface=127.0.0.1"
serves = ["genius2"]
[dialects.genius2.contexts.parties]
folder = "agents"
"""


def read(text: str) -> Config:
    """Read one that lies in /srv."""
    return parse(text.encode(), Path("/srv"), {})


def test_usual() -> None:
    """A folder is enough; only this machine may call."""
    found = read(WHOLE)
    assert found.genius2 is not None
    [context] = found.genius2.contexts
    assert (context.name, context.paths, context.folder) == ("parties", ("/parties",), Path("/srv/agents"))
    assert set(context.allow_from) == {ip_network("127.0.0.0/8"), ip_network("::1")}
    assert (context.setup_s, context.grace_s, context.run_wait_s) == (3.0, 1.0, 0.5)
    assert (context.message_bytes, context.description_characters) == (20_000_000, 400)
    assert not context.transcript
    assert found.catalogue.pools[context.pool].count == context.slots


def test_several() -> None:
    """Each context has a pool of its own; launchers are read by their suffix."""
    found = read(
        WHOLE
        + """
slots = 3
paths = ["/partiesserver", "/partiesserver-2.0.0"]
[dialects.genius2.contexts.parties.launchers.jar]
command = ["java", "-cp", "{file}", "{main_class}"]
framing = "lines"
env = { A = "b" }
[dialects.genius2.contexts.python]
folder = "/python"
slots = 1
"""
    )
    assert found.genius2 is not None
    first, second = found.genius2.contexts
    assert (first.slots, second.slots) == (3, 1)
    assert first.pool != second.pool
    launcher = first.launchers["jar"]
    assert (launcher.command[0], launcher.framing, dict(launcher.env)) == ("java", Framing.LINES, {"A": "b"})


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ('paths = ["/a/run/b"]', "no part of a context path may be run, . or .."),
        ('paths = ["/a/../b"]', "no part of a context path may be run, . or .."),
        ('paths = ["a"]', "a path such as"),
        ('paths = ["/a/"]', "a path such as"),
        ("paths = []", "paths: names nothing"),
        ("slots = 0", "slots"),
        ('grace = "900ms"', "grace: must be 1s at least"),
        ('setup = "0s"', "setup: a duration above zero is needed"),
        ('allow_from = ["10.0.0.0/33"]', "a network such as"),
        ('allow_from = ["10.0.0.1/8"]', "a network such as"),
        ("description_max = 0", "description_max"),
        ('unknown = "x"', "unknown"),
        ('launchers.JAR = { command = ["java"] }', "a suffix in lower case"),
        ('launchers.json = { command = ["java"] }', "json is a descriptor's"),
        ("launchers.jar = { command = [] }", "names nothing"),
        ("launchers.jar = {}", "command"),
        ('[dialects.genius2.contexts.other]\nfolder = "b"\npaths = ["/parties"]', "is another context's already"),
        ('[dialects.genius2.contexts.Other]\nfolder = "b"', "a name is needed"),
        ("[dialects.genius2.contexts.other]", "folder"),
    ],
)
def test_faults(more: str, fault: str) -> None:
    """What is wrong is named."""
    with pytest.raises(ConfigError, match=r"(?s)dialects\.genius2") as refused:
        read(WHOLE + more)
    assert fault in str(refused.value)


def test_needs_both() -> None:
    """A listener and the dialect want each other."""
    with pytest.raises(ConfigError, match="no listener serves genius2"):
        read(WHOLE.replace('"genius2"', '"health"'))
    with pytest.raises(ConfigError, match=r"there is no \[dialects.genius2\]"):
        read(WHOLE.partition("[dialects")[0])
