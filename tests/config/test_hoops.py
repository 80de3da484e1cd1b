"""The HOOPS dialect's part of the configuration, and what it wants of the services that it spawns."""

from pathlib import Path

import pytest

from sessiond.config import Config, EndpointForm, Rendering, parse
from sessiond.core.errors import ConfigError
from tests.daemon import ROOT

SAMPLE = (ROOT / "etc" / "hoops.toml").read_text(encoding="utf-8")
WHOLE = """
[listeners.web]
endpoint = "tcp:11182:interface=127.0.0.1"
serves = ["hoops", "tunnel"]
[listeners.reports]
endpoint = "tcp:11183:interface=127.0.0.1"
serves = ["child"]
[pools.viewers]
count = 2
[dialects.hoops]
csr = "viewer"
[services.viewer]
kind = "websocket"
launcher = "process"
pool = "viewers"
clients = "once"
launch = "on-reserve"
ready = "report"
ports = "11000-11063"
command = ["viewer", "${port}", "${liveliness}"]
limits = { launch = "55s", connect = "60s", linger = "0s" }
stop = ["term 5s", "kill 5s"]
"""


def read(text: str) -> Config:
    """Read one."""
    return parse(text.encode(), Path("/"), {})


def test_usual() -> None:
    """A service is enough; the rest has defaults that are safe."""
    found = read(WHOLE).hoops
    assert found is not None
    assert dict(found.services) == {Rendering.CSR: "viewer"}
    assert found.endpoint is EndpointForm.SESSION_PATH
    assert found.child_auth
    assert not found.allow_shutdown


def test_sample() -> None:
    """The sample file is a whole configuration."""
    found = read(SAMPLE).hoops
    assert found is not None
    assert set(found.services) == set(Rendering)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('csr = "viewer"', "", "csr or ssr is needed"),
        ('csr = "viewer"', 'csr = "other"', "there is no such service"),
        ('csr = "viewer"', 'csr = "viewer"\nendpoint = "elsewhere"', "dialects.hoops.endpoint"),
        ('csr = "viewer"', 'csr = "viewer"\ndirect_paths = ["viewer/"]', "direct_paths"),
        ('csr = "viewer"', 'csr = "viewer"\nproxy_prefixes = ["a/b"]', "proxy_prefixes"),
        ('csr = "viewer"', 'csr = "viewer"\nendpoint = "direct-port"', 'watch = "child"'),
        ('csr = "viewer"', 'csr = "viewer"\nmore = 1', "dialects.hoops.more"),
        ('"hoops", "tunnel"', '"tunnel"', "no listener serves hoops"),
        ('"hoops", "tunnel"', '"hoops"', "needs a listener that serves tunnel"),
        ('[dialects.hoops]\ncsr = "viewer"', "", "there is no [dialects.hoops]"),
        ('kind = "websocket"', 'kind = "tcp"', 'kind = "websocket"'),
        ('ready = "report"', 'ready = "listens"', 'ready = "report"'),
        ('clients = "once"', "clients = 1", 'clients = "once"'),
        ('"${port}", ', "", "${port} in its command"),
    ],
)
def test_faults(old: str, new: str, said: str) -> None:
    """What can't be done is said before the daemon starts."""
    assert old in WHOLE
    with pytest.raises(ConfigError) as raised:
        read(WHOLE.replace(old, new))
    assert said in str(raised.value)
