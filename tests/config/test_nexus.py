"""The Nexus dialect's part of the configuration, and a site's services file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sessiond.config import Config, parse
from sessiond.config.nexus import Terms, read_services_file
from sessiond.core.errors import ConfigError
from sessiond.core.services import Script
from sessiond.core.values import LaunchWhen, StopStep

SERVICES: dict[str, Any] = {
    "Linux desktop": {
        "script": "desktop.py",
        "count": 2,
        "options": {"sizes": ["1600x1200"], "group": "Designers:viewer"},
    },
    "Model viewer": {"script": "/opt/viewer.py", "count": 4},
}
BASE = """
[listeners.web]
endpoint = "tcp:9000:interface=127.0.0.1"
serves = ["nexus"]
callers = "anyone"

[listeners.viewers]
endpoint = "tcp:9001:interface=127.0.0.1"
serves = ["nexus-tunnel"]
callers = "anyone"

[services.target]
kind = "rfb"
launcher = "fixed"
target = { port = 5900 }
count = 5
watch = "child"

[services.waits]
kind = "rfb"
launcher = "process"
command = ["x", "${port}"]
count = 5
queueing = true
watch = "child"

[dialects.nexus]
"""


def written(folder: Path, content: Any) -> Path:
    """Write a services file."""
    path = folder / "external_services.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def config(folder: Path, lines: str = "", **environment: str) -> Config:
    """Read a configuration with these lines in the dialect's table."""
    return parse((BASE + lines).encode(), folder, {"HOME": "/home/x", **environment})


def test_services_file(tmp_path: Path) -> None:
    """A file as it stands at a site becomes services that a script starts with the first connection."""
    found = read_services_file(written(tmp_path, SERVICES), Terms(timeout_s=60.0, grace_s=5.0))
    desktop, viewer = found["Linux desktop"], found["Model viewer"]
    service, options = desktop.service, SERVICES["Linux desktop"]["options"]
    assert service.script == Script(str(tmp_path / "desktop.py"), options)
    assert (desktop.count, desktop.reports) == (2, options)
    assert (service.group, service.any_options, service.launcher) == ("Designers", True, "script")
    assert (viewer.reports, viewer.service.group) == ({}, None)
    plan = service.plan
    assert (plan.launch, plan.retry_dial, plan.clients) == (LaunchWhen.ON_CONNECT, True, 1)
    limits = plan.limits
    assert (limits.reservation_s, limits.linger_s, limits.launch_s) == (60.0, 5.0, 60.0)
    assert limits.lifetime_s == 30 * 86400.0
    assert (plan.stop[0].step, plan.stop[0].seconds) == (StopStep.ASK, 30.0)


def test_time_outs(tmp_path: Path) -> None:
    """Two keys beside the documented ones say how long starting and stopping may take."""
    content = {"a": {"script": "a.py", "count": 1, "start_timeout": 5, "stop_timeout": 2.5}}
    plan = read_services_file(written(tmp_path, content), Terms())["a"].service.plan
    assert (plan.limits.launch_s, plan.stop[0].seconds) == (5.0, 2.5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[]", "an object is needed"),
        ('{"a": 1}', "'a': a table is needed"),
        ('{"a": {"count": 1}}', "'a': script is needed"),
        ('{"a": {"script": "a.py"}}', "'a': count is needed"),
        ('{"a": {"script": "", "count": 1}}', "'a': script: a text is needed"),
        ('{"a": {"script": "a.py", "count": 0}}', "'a': count: a whole number"),
        ('{"a": {"script": "a.py", "count": true}}', "'a': count: a whole number"),
        ('{"a": {"script": "a.py", "count": 1, "options": []}}', "'a': options: a table is needed"),
        ('{"a": {"script": "a.py", "count": 1, "options": {"group": 1}}}', "'a': options.group: a text"),
        ('{"a": {"script": "a.py", "count": 1, "start_timeout": 0}}', "'a': start_timeout: a number of seconds"),
        ('{"a": {"script": "a.py", "count": 1, "other": 1}}', "'a': unknown key 'other'"),
        ('{"a": {"script": "a.py", "count": 1}, "a": {}}', "a name stands twice"),
        ('{"a": {"script": "a.py", "count": 1, "options": {"x": NaN}}}', "NaN is no number"),
        ('{"": {"script": "a.py", "count": 1}}', "a printable name is needed"),
        ('{"a\\n": {"script": "a.py", "count": 1}}', "a printable name is needed"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: str, words: str) -> None:
    """A file that says what can't be is refused with its path, the service and the cause."""
    path = written(tmp_path, content)
    with pytest.raises(ConfigError) as refused:
        read_services_file(path, Terms())
    assert str(refused.value).startswith(f"{path}: ")
    assert words in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(ConfigError, match=r"none\.json: No such file"):
        read_services_file(tmp_path / "none.json", Terms())


def test_table(tmp_path: Path) -> None:
    """The table sets the same as the command line."""
    written(tmp_path, SERVICES)
    (tmp_path / "token").write_text("secret\n")
    lines = """
services_file = "external_services.json"
security_token_file = "token"
target = "target"
ansys = "viewer"
novnc = "novnc"
ensight = true
allow_stop = true
timeout = "1m"
reconnect_grace = "10s"
lifetime = "2d"
services.target = { file_ext = ["evsn"] }
applications.envision = { count = 3, command = ["/opt/envision", "${vnc}"] }
applications.ensight = { count = 1 }
"""
    found = config(tmp_path, lines)
    nexus = found.nexus
    assert nexus is not None
    assert "secret" not in repr(found)
    assert (nexus.security_token, nexus.target, nexus.ansys) == ("secret", "target", tmp_path / "viewer")
    assert nexus.novnc == tmp_path / "novnc"
    assert (nexus.ensight, nexus.allow_stop) == (True, True)
    assert nexus.services == {
        "Linux desktop": SERVICES["Linux desktop"]["options"],
        "Model viewer": {},
        "local_envision": {"file_ext": ["evsn", "csf", "ply", "stl"]},
        "local_ensight": {},
        "target": {"file_ext": ["evsn"]},
    }
    envision = found.catalogue.services["local_envision"]
    assert envision.script is not None
    assert envision.script.common_options == {"command": ["/opt/envision", "${vnc}"]}
    limits = envision.plan.limits
    assert (limits.reservation_s, limits.linger_s, limits.lifetime_s) == (60.0, 10.0, 172800.0)
    assert found.catalogue.pools["local_envision"].count == 3


def test_least(tmp_path: Path) -> None:
    """An empty table offers nothing, and nothing may be stopped by it."""
    nexus = config(tmp_path).nexus
    assert nexus is not None
    assert (nexus.services, nexus.security_token, nexus.allow_stop) == ({}, None, False)


def test_token_from_a_variable(tmp_path: Path) -> None:
    """It may stand in the daemon's environment."""
    nexus = config(tmp_path, 'security_token_env = "TOKEN"', TOKEN="secret").nexus
    assert nexus is not None
    assert nexus.security_token == "secret"


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("other = 1", "dialects.nexus.other: unknown key"),
        ('security_token = "x"', "dialects.nexus.security_token: unknown key"),
        ('security_token_file = "none"', "dialects.nexus.security_token_file: No such file"),
        ('security_token_env = "NONE"', "dialects.nexus.security_token_env: NONE is not set"),
        ('security_token_env = "1"', "dialects.nexus.security_token_env: the name of a variable"),
        ('target = "waits"', "dialects.nexus.target: the name of a service with launcher"),
        ('target = "none"', "dialects.nexus.target: the name of a service with launcher"),
        ('services_file = "none.json"', "none.json: No such file"),
        ("ensight = true", "dialects.nexus.ensight: needs a security token"),
        ("services.none = {}", "dialects.nexus.services.none: there is no such service"),
        ("services.waits = {}", "dialects.nexus.services.waits: has queueing"),
        ("services.target = { a = 2020-01-01 }", "dialects.nexus.services.target: what JSON can say"),
        ("applications.other = { count = 1 }", "dialects.nexus.applications.other: one of ensight, envision"),
        ("applications.ensight = {}", "dialects.nexus.applications.ensight.count: is needed"),
        ('timeout = "0s"', "dialects.nexus.timeout: a duration above zero"),
        ("[dialects.other]\na = 1", "dialects.other: unknown key"),
    ],
)
def test_faults(tmp_path: Path, lines: str, fault: str) -> None:
    """Each fault is told by name."""
    with pytest.raises(ConfigError) as refused:
        config(tmp_path, lines)
    assert fault in str(refused.value)


def test_names_that_are_taken(tmp_path: Path) -> None:
    """A service of the file must not have the name of a built-in, or of one of the configuration's own."""
    for name, lines in (("local_envision", "applications.envision = { count = 1 }\n"), ("target", "")):
        written(tmp_path, {name: {"script": "a.py", "count": 1}})
        with pytest.raises(ConfigError, match=name):
            config(tmp_path, lines + 'services_file = "external_services.json"')


def test_listeners_and_the_table(tmp_path: Path) -> None:
    """One without the other is refused, and so is a tunnel beside other faces."""
    without = BASE.replace("[dialects.nexus]", "")
    with pytest.raises(ConfigError, match=r"there is no \[dialects\.nexus\]"):
        parse(without.encode(), tmp_path, {"HOME": "/"})
    unserved = BASE.replace('"nexus"', '"health"').replace('"nexus-tunnel"', '"health"')
    with pytest.raises(ConfigError, match="no listener serves nexus"):
        parse(unserved.encode(), tmp_path, {"HOME": "/"})
    beside = BASE.replace('["nexus-tunnel"]', '["nexus-tunnel", "health"]')
    with pytest.raises(ConfigError, match="stands alone"):
        parse(beside.encode(), tmp_path, {"HOME": "/"})


@pytest.mark.parametrize(
    ("header", "ok"),
    [
        ("instance_name = 'N'", True),
        ("Content-Encoding = 'gzip'", False),
        ("connection = 'close'", False),
        ("'a b' = 'x'", False),
        ("a = 'é'", False),
        ('a = "b\\n"', False),
        ("a = 1", False),
    ],
)
def test_added_headers(tmp_path: Path, header: str, ok: bool) -> None:
    """Headers that say how an answer is to be read are nobody else's, and no line is forged by one."""
    content = BASE.replace('serves = ["nexus"]', f'serves = ["nexus"]\nheaders = {{ {header} }}')
    if ok:
        assert parse(content.encode(), tmp_path, {"HOME": "/"}).listeners[0].headers == (("instance_name", "N"),)
        return
    with pytest.raises(ConfigError, match=r"listeners\.web\.headers"):
        parse(content.encode(), tmp_path, {"HOME": "/"})
