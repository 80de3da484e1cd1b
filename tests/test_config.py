"""The configuration: what it says is built, and what can't be is refused by name and place."""

import hashlib
import os
import string
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import _parse

from sessiond.config import Callers, Config, Face, Patience, StaticFolder, StoreKind, load, parse
from sessiond.config.endpoints import described
from sessiond.config.listeners import host, origin, public_url
from sessiond.config.units import Unfit, number_range, seconds, size_bytes
from sessiond.core.errors import ConfigError
from sessiond.core.services import (
    Caps,
    Choice,
    File,
    FixedTarget,
    Folders,
    Frames,
    Framing,
    Integer,
    Pattern,
    Plan,
    Pool,
    Readiness,
    ReadyWhen,
    Rlimits,
    Script,
    Service,
    Stop,
)
from sessiond.core.values import Clients, Kind, LaunchWhen, LeaseKind, StopStep, Watch
from sessiond.ports import RelayLimits

ETC = Path(__file__).parents[1] / "etc"
HOME = {"HOME": "/home/ada"}
DIGEST = "sha256:" + hashlib.sha256(b"a secret that nobody knows").hexdigest()
BASE = """
[listeners.web]
endpoint = "tcp:8080:interface=127.0.0.1"
serves = ["api", "tunnel"]
callers = "anyone"
"""
CLOCK = (
    BASE
    + """
[services.clock]
kind = "rfb"
launcher = "process"
command = ["clock", "--socket", "${socket}"]
count = 1
"""
)
FIXED = (
    BASE
    + """
[services.old]
kind = "tcp"
launcher = "fixed"
count = 1
"""
)

MESSAGES = CLOCK.replace('"rfb"', '"messages"').replace(', "--socket", "${socket}"', "")


def read(text: str) -> Config:
    """Read a configuration that stands in ``/etc/sessiond``."""
    return parse(text.encode(), Path("/etc/sessiond"), HOME)


def service(text: str) -> Service:
    """Read a configuration and give its one service."""
    (only,) = read(text).catalogue.services.values()
    return only


def faults(text: str) -> list[str]:
    """Read a configuration that is refused, and give its faults."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    return str(caught.value).splitlines()


def test_smallest() -> None:
    """What is not said has the documented default."""
    config = read(CLOCK)
    assert config.state_dir == Path("/home/ada/.local/state/sessiond")
    assert config.runtime_dir == Path("/home/ada/.local/state/sessiond/run")
    assert (config.store, config.tokens, config.static, config.tunnel) == (StoreKind.SQLITE, (), (), RelayLimits())
    (web,) = config.listeners
    assert web.endpoint == "tcp:port=8080:interface=127.0.0.1:backlog=1024"
    assert web.serves == {Face.API, Face.TUNNEL}
    assert web.callers is Callers.ANYONE
    assert service(CLOCK) == Service(
        "clock", Kind.RFB, "process", pool="clock", command=("clock", "--socket", "${socket}"), endpoint="socket"
    )


def test_full_service() -> None:
    """Every key of a service arrives where it belongs."""
    text = (
        BASE
        + """
[pools.seats]
count = 4
[services.viewer]
title = "A viewer"
kind = "http"
launcher = "process"
command = ["/usr/bin/viewer", "${port}", ":${display}", "${options.size}", "${options.depth}", "${options.name}",
           "${options.file}"]
pool = "seats"
launch = "warm"
warm = 2
ready = "http:/alive"
clients = "takeover"
watch = "tunnel"
queueing = true
group = "designers"
ports = "12000-12063"
displays = "50-90"
env = { DATA = "/data/${index}" }
pass_env = ["PATH"]
directory = "work"
user = "nobody"
user_group = "nogroup"
rlimits = { nofile = 1024, as = "2GiB", cpu = "1h" }
output = "64KiB"
needs = ["viewer"]
stop = ["drain 1m", "ask 10s", "term 500ms"]
options.size = { type = "choice", of = ["small", "large"], default = "large" }
options.depth = { type = "integer", minimum = 8, maximum = 32, default = 24 }
options.name = { type = "pattern", pattern = "[a-z]+", default = "cube", max_length = 20 }
options.file = { type = "file", root = "models/../parts", default = "cube.stl", suffixes = [".stl"] }
limits = { idle = "30m", lifetime = "8h", lifetime_cap = "1d", liveliness = "60s", suspect = "30s", warning = "off" }
"""
    )
    built = service(text)
    assert built.plan.limits.idle_s == 1800
    assert built.plan.limits.lifetime_cap_s == 86400
    assert (built.plan.limits.liveliness_s, built.plan.limits.suspect_s) == (60, 30)
    assert built == Service(
        name="viewer",
        title="A viewer",
        kind=Kind.HTTP,
        launcher="process",
        command=(
            *("/usr/bin/viewer", "${port}", ":${display}", "${options.size}", "${options.depth}", "${options.name}"),
            "${options.file}",
        ),
        pool="seats",
        group="designers",
        ready=Readiness(ReadyWhen.HTTP, "/alive"),
        endpoint="port",
        ports=(12000, 12063),
        displays=(50, 90),
        env={"DATA": "/data/${index}"},
        pass_env=("PATH",),
        directory="/etc/sessiond/work",
        user="nobody",
        user_group="nogroup",
        rlimits=Rlimits((("nofile", 1024), ("as", 2 << 30), ("cpu", 3600))),
        warm=2,
        output_bytes=65536,
        options={
            "size": Choice(("small", "large"), "large"),
            "depth": Integer(8, 32, 24),
            "name": Pattern("[a-z]+", "cube", 20),
            "file": File("/etc/sessiond/parts", "cube.stl", (".stl",)),
        },
        plan=Plan(
            limits=built.plan.limits,
            stop=(
                Stop(StopStep.DRAIN, 60),
                Stop(StopStep.ASK, 10),
                Stop(StopStep.TERM, 0.5),
                Stop(StopStep.KILL, 5),
            ),
            launch=LaunchWhen.WARM,
            clients=Clients.TAKEOVER,
            leases=(LeaseKind.PORT, LeaseKind.DISPLAY),
            queueing=True,
        ),
    )
    assert read(text).needs == {"viewer": ("viewer",)}
    assert read(text).catalogue.pools == {"seats": Pool("seats", 4)}


def test_optional() -> None:
    """What may be empty needs no default, and a list in the command is kept as one."""
    built = service(
        CLOCK.replace('"--socket",', '["--model", "${options.model}", "${options.key}"], "--socket",')
        + """
options.model = { type = "file", root = "models", optional = true }
options.key = { type = "pattern", pattern = "[a-z]+", optional = true, default = "x" }
options.where = { type = "folders", roots = ["models", "/data"] }
options.here = { type = "folders", roots = ["models", "/data"], default = ["/data/x"] }"""
    )
    assert ("--model", "${options.model}", "${options.key}") in built.command
    assert built.options == {
        "model": File("/etc/sessiond/models", "", optional=True),
        "key": Pattern("[a-z]+", "x", optional=True),
        "where": Folders(("/etc/sessiond/models", "/data"), "/etc/sessiond/models;/data"),
        "here": Folders(("/etc/sessiond/models", "/data"), "/data/x"),
    }


def test_fixed() -> None:
    """A fixed service is a target and nothing to launch."""
    assert service(FIXED + "target = { port = 5900 }").target == FixedTarget("127.0.0.1", 5900)
    by_socket = service(FIXED + 'target = { socket = "/run/old.sock" }')
    assert (by_socket.target, by_socket.endpoint) == (FixedTarget(socket="/run/old.sock"), "socket")


def test_report_and_child() -> None:
    """Readiness by report and a session that follows its child are part of the plan."""
    plan = service(CLOCK + 'ready = "report"\nwatch = "child"\nclients = "once"').plan
    assert plan.ready_by_report
    assert (plan.watch, plan.clients) == (Watch.CHILD, Clients.ONCE)


def test_stdio() -> None:
    """Messages go over the program's own input and output, and it is ready once it is started."""
    built = service(CLOCK.replace("rfb", "messages").replace('"--socket", "${socket}"', '"-"'))
    assert (built.endpoint, built.ready.when, built.plan.leases) == ("stdio", ReadyWhen.STARTED, ())


def test_messages() -> None:
    """How messages are framed can be said, and what they are to a browser; usually they are bytes in lines."""
    usual, said = service(MESSAGES), service(MESSAGES + 'framing = "length"\nframes = "text"\nclients = "takeover"')
    assert (usual.endpoint, usual.framing, usual.frames) == ("stdio", Framing.LINES, Frames.BINARY)
    assert (said.framing, said.frames) == (Framing.LENGTH, Frames.TEXT)


def test_both_endpoints_with_a_choice() -> None:
    """A command may ask for a port and a socket where the operator says which of them clients get."""
    text = CLOCK.replace('"${socket}"', '"${socket}", "${port}"') + 'endpoint = "socket"'
    assert (service(text).endpoint, service(text).plan.leases) == ("socket", (LeaseKind.PORT,))


def test_folders() -> None:
    """Relative folders begin at the file's own; systemd's folders are taken where it provides them."""
    config = read(
        'state_dir = "state"\n[static]\n"/a" = "pages"\n"/b" = { folder = "../b", listing = true }\n'
        + CLOCK.replace('"api"', '"api", "static"')
    )
    assert config.state_dir == Path("/etc/sessiond/state")
    assert config.static == (
        StaticFolder("/a", Path("/etc/sessiond/pages")),
        StaticFolder("/b", Path("/etc/b"), listing=True),
    )
    systemd = {"STATE_DIRECTORY": "/var/lib/sessiond", "RUNTIME_DIRECTORY": "/run/sessiond"}
    config = parse(CLOCK.encode(), Path("/"), systemd)
    assert (config.state_dir, config.runtime_dir) == (Path("/var/lib/sessiond"), Path("/run/sessiond"))


def test_listener() -> None:
    """A listener says how it is reached, and its paths become absolute."""
    config = read(
        f"""
[tokens.portal]
digest = "{DIGEST}"
scopes = ["launch"]
groups = ["designers"]
[listeners.tls]
endpoint = "ssl:8443:privateKey=tls/key.pem:certKey=/etc/cert.pem:interface=\\\\:\\\\:1"
serves = ["api", "metrics"]
public_url = "https://sessions.example.org/"
origins = ["https://portal.example.org"]
hosts = ["127.0.0.1:8443"]
max_connections = 100
limits.headers = "2s"
limits.stall = "500ms"
[listeners.local]
endpoint = "unix:run/web.sock"
serves = ["health"]
callers = "anyone"
[listeners.handed]
endpoint = "systemd:domain=INET:name=http"
public_url = "http://tunnels.example.org:8080"
serves = ["tunnel"]
""".replace("\\\\", "\\\\\\\\"[:2])
    )
    tls, local, handed = config.listeners
    assert tls.endpoint == (
        r"ssl:port=8443:privateKey=/etc/sessiond/tls/key.pem:certKey=/etc/cert.pem:interface=\:\:1:backlog=1024"
    )
    assert tls.secure
    assert tls.public_url == "https://sessions.example.org"
    assert (tls.max_connections, tls.max_per_address) == (100, 100)
    assert tls.patience == Patience(headers_s=2.0, stall_s=0.5)
    assert (local.max_connections, local.max_per_address) == (4096, 4096)
    assert (handed.max_connections, handed.max_per_address) == (4096, 512)
    assert local.endpoint == "unix:address=/etc/sessiond/run/web.sock:mode=600:backlog=1024"
    assert handed.endpoint == "systemd:domain=INET:name=http"
    (portal,) = config.tokens
    assert portal.scopes == {"launch"}
    assert portal.groups == {"designers"}
    assert portal.digest == hashlib.sha256(b"a secret that nobody knows").digest()
    assert portal.digest.hex() not in repr(config)


SCRIPT = CLOCK.replace('launcher = "process"', 'launcher = "script"').replace(
    'command = ["clock", "--socket", "${socket}"]', 'script = "x.py"'
)
WRONG = [
    (SCRIPT.replace('script = "x.py"', ""), "services.clock.script: is needed"),
    (SCRIPT + 'command = ["x"]', 'services.clock.command: has no meaning with launcher = "script"'),
    (SCRIPT.replace('"rfb"', '"messages"'), "services.clock.kind: messages need *"),
    (SCRIPT + 'options = "all"', "services.clock.options: a table is needed"),
    (SCRIPT + 'python = "bin/python"', "services.clock.python: the program is a name to be found on PATH, *"),
    (SCRIPT + "common_options = { when = 2026-01-01 }", "services.clock.common_options: when must be a text, *"),
    (SCRIPT + "common_options = { a = { b = [nan] } }", "services.clock.common_options: a.b must be a text, *"),
    (SCRIPT + 'env = { PORT = "${port}" }', "services.clock.env: ${port} is nothing that a script gets*"),
    (SCRIPT + 'env = { A = "${options.b}" }', "services.clock.env: unknown placeholder ${options.b}"),
    (CLOCK + 'script = "x.py"', "services.clock.script: unknown key"),
    (CLOCK + "cuont = 1", "services.clock.cuont: unknown key, did you mean 'count'?"),
    ("colour = 1\n" + CLOCK, "colour: unknown key"),
    (CLOCK.replace("count = 1", ""), "services.clock.count: is needed, or pool"),
    (CLOCK.replace("count = 1", "count = 0"), "services.clock.count: a whole number from 1 to 10000 is needed"),
    (CLOCK.replace("count = 1", "count = true"), "services.clock.count: a whole number from 1 to 10000 is needed"),
    (CLOCK + 'pool = "seats"', "services.clock.count: contradicts pool: *"),
    (CLOCK.replace("count = 1", 'pool = "seats"'), "services.clock.pool: there is no pool 'seats'"),
    (CLOCK.replace('kind = "rfb"', 'kind = "vnc"'), "services.clock.kind: one of rfb, tcp, *"),
    (CLOCK.replace('"process"', '"proces"'), "services.clock.launcher: one of process, script, fixed is needed"),
    (CLOCK.replace("services.clock", "services.Clock"), "services.Clock: a name is needed: *"),
    (CLOCK + "limits = { launch = 20 }", "services.clock.limits.launch: a duration with its unit is needed, *"),
    (CLOCK + 'limits = { launch = "20" }', "services.clock.limits.launch: a duration with its unit is needed, *"),
    (CLOCK + 'limits = { launch = "0s" }', "services.clock.limits.launch: a duration above zero is needed"),
    (CLOCK + 'limits = { lifetime = "0s" }', "services.clock.limits.lifetime: a duration above zero is needed"),
    (CLOCK + 'limits = { lifetime = "off" }', "services.clock.limits.lifetime: a duration with its unit *"),
    (CLOCK + 'limits = { lifetime = "2h", lifetime_cap = "1h" }', "*.lifetime_cap: is shorter than lifetime"),
    (CLOCK + 'limits = { suspect = "5s" }', "services.clock.limits.suspect: does nothing without liveliness"),
    (CLOCK + 'limits = { suspect = "5s", liveliness = "5s" }', "*.suspect: must be shorter than liveliness"),
    (CLOCK + 'limits = { warning = "1d" }', "services.clock.limits.warning: must be shorter than lifetime"),
    (CLOCK + 'limits = { idle = "99999d" }', "services.clock.limits.idle: that is longer than ten years"),
    (CLOCK + 'watch = "child"\nlimits = { linger = "1s" }', '*.limits.linger: is off with watch = "child"'),
    (CLOCK + 'stop = ["kill 5s", "term 5s"]', "services.clock.stop: each step stands once, *"),
    (CLOCK + 'stop = ["stuck 5s"]', "services.clock.stop: a step and its time are needed, *"),
    (CLOCK + 'stop = ["term"]', "services.clock.stop: a duration with its unit is needed, *"),
    (CLOCK + 'stop = "term 5s"', "services.clock.stop: a list is needed"),
    (CLOCK + 'launch = "on-connect"\nwarm = 1', 'services.clock.warm: contradicts launch = "on-connect"'),
    (CLOCK + 'launch = "warm"', 'services.clock.warm: is needed with launch = "warm": *'),
    (CLOCK + 'launch = "warm"\nwarm = 2', "services.clock.warm: is more than the pool has slots (1)"),
    (CLOCK + 'ready = "soon"', "services.clock.ready: one of listens, line:TEXT, *"),
    (CLOCK + 'ready = "line:"', "services.clock.ready: one of listens, line:TEXT, *"),
    (CLOCK + 'ready = "http:alive"', "services.clock.ready: one of listens, line:TEXT, *"),
    (CLOCK + 'ready = "listens:x"', "services.clock.ready: one of listens, line:TEXT, *"),
    (CLOCK.replace("${socket}", "${socket}${port}"), "services.clock.endpoint: is needed: *"),
    (CLOCK.replace("${socket}", "x"), "services.clock.endpoint: the command asks for neither *"),
    (CLOCK + 'endpoint = "port"', "services.clock.endpoint: nothing asks for ${port}"),
    (CLOCK + 'endpoint = "stdio"', "services.clock.endpoint: kind rfb can't be spoken over stdio"),
    (CLOCK.replace('"rfb"', '"messages"'), "services.clock.endpoint: kind messages needs stdio"),
    (
        CLOCK.replace('"rfb"', '"text"').replace("${socket}", "x") + 'ready = "listens"',
        "services.clock.ready: listens contradicts endpoint stdio, *",
    ),
    (CLOCK + 'framing = "lines"', 'services.clock.framing: has no meaning with kind = "rfb"'),
    (CLOCK.replace('"rfb"', '"text"') + 'frames = "text"', 'services.clock.frames: has no meaning with kind = "text"'),
    (MESSAGES + 'framing = "frames"', "services.clock.framing: one of lines, length is needed"),
    (MESSAGES + 'frames = "bytes"', "services.clock.frames: one of text, binary, json is needed"),
    (MESSAGES + "clients = 2", "services.clock.clients: contradicts endpoint stdio: *"),
    (FIXED + 'target = { port = 1 }\nframes = "text"', 'services.old.frames: has no meaning with launcher = "fixed"'),
    (CLOCK.replace("${socket}", "${sokcet}"), "services.clock.command: unknown placeholder ${sokcet}"),
    (CLOCK.replace("${socket}", "${socket}${options.x}"), "services.clock.command: unknown placeholder ${options.x}"),
    (CLOCK.replace("${socket}", "${socket"), "services.clock.command: unfinished placeholder *"),
    (CLOCK.replace('["clock"', '["bin/clock"'), "services.clock.command: the program is a name *"),
    (CLOCK.replace('["clock"', '["${id}"'), "services.clock.command: the program itself may hold no placeholder *"),
    (CLOCK.replace('["clock", "--socket", "${socket}"]', "[]"), "services.clock.command: a program is needed"),
    (CLOCK + 'ports = "12000-12063"', "services.clock.ports: nothing asks for ${port}"),
    (CLOCK.replace("${socket}", "${port}") + 'ports = "2-1"', "services.clock.ports: a range within 1 and 65535 *"),
    (
        CLOCK.replace("${socket}", "${port}").replace("count = 1", "count = 3") + 'ports = "12000-12001"',
        "services.clock.ports: holds fewer numbers than the pool has slots (3)",
    ),
    (
        CLOCK.replace("${socket}", "${port}") + 'ports = "8000-9000"',
        "listeners: web's port 8080 lies within the ports of services.clock",
    ),
    (CLOCK + 'env = { SESSIOND_NONCE = "1" }', "services.clock.env.SESSIOND_NONCE: is set by sessiond itself"),
    (CLOCK + 'env = { "a b" = "1" }', 'services.clock.env."a b": is no name of a variable'),
    (CLOCK + 'pass_env = ["A=B"]', "services.clock.pass_env: the name of a variable is needed"),
    (CLOCK + "rlimits = { open = 3 }", "services.clock.rlimits.open: unknown key*"),
    (CLOCK + "rlimits = { as = 1024 }", "services.clock.rlimits.as: a size with its unit is needed, *"),
    (CLOCK + 'rlimits = { cpu = "250ms" }', "services.clock.rlimits.cpu: whole seconds are needed"),
    (CLOCK + "output = 1048576", "services.clock.output: a size with its unit is needed, *"),
    (CLOCK + 'needs = ["bin/x"]', "services.clock.needs: the name of a program or its absolute path is needed"),
    (CLOCK + "clients = 0", 'services.clock.clients: a whole number from 1, "once" or "takeover" is needed'),
    (CLOCK + "target = { port = 1 }", 'services.clock.target: has no meaning with launcher = "process"'),
    (CLOCK + 'options.x = { type = "choice", of = ["a"], default = "b" }', "*.options.x.default: is not a value *"),
    (CLOCK + 'options.x = { type = "choice", of = ["-a"], default = "-a" }', "*.options.x.default: is not a value *"),
    (CLOCK + 'options.x = { type = "choice", of = ["a"] }', "services.clock.options.x.default: is needed"),
    (CLOCK + 'options.x = { type = "choice", of = [], default = "a" }', "services.clock.options.x.of: a list of *"),
    (CLOCK + 'options.x = { type = "float", default = 1 }', "services.clock.options.x.type: one of choice, *"),
    (CLOCK + 'options.X = { type = "choice", of = ["a"], default = "a" }', "services.clock.options.X: an option's *"),
    (
        CLOCK + 'options.x = { type = "integer", minimum = 3, maximum = 2, default = 3 }',
        "services.clock.options.x.minimum: is greater than maximum",
    ),
    (
        CLOCK + 'options.x = { type = "pattern", pattern = "(", default = "" }',
        "services.clock.options.x.pattern: not a regular expression: *",
    ),
    (
        CLOCK + 'options.x = { type = "pattern", pattern = "(a+)+", default = "a" }',
        "services.clock.options.x.pattern: some text of 256 characters would hold up the daemon: *",
    ),
    (CLOCK + 'options.x = { type = "file", default = "a" }', "services.clock.options.x.root: is needed"),
    (
        CLOCK + 'options.x = { type = "file", root = "/srv", default = "../a" }',
        "services.clock.options.x.default: is not a value that the option allows",
    ),
    (
        CLOCK + 'options.x = { type = "file", root = "/srv", default = "a", suffixes = ["stl"] }',
        "services.clock.options.x.suffixes: a name's end with its dot is needed",
    ),
    (CLOCK + 'options.x = { type = "file", root = "/m", optional = 1 }', "*.options.x.optional: true or false *"),
    (CLOCK + 'options.x = { type = "folders" }', "services.clock.options.x.roots: is needed"),
    (CLOCK + 'options.x = { type = "folders", roots = [] }', "services.clock.options.x.roots: a list of folders *"),
    (CLOCK + 'options.x = { type = "folders", roots = ["/a;b"] }', "*.options.x.roots: a list of folders *"),
    (
        CLOCK + 'options.x = { type = "folders", roots = ["/a"], default = ["/b"] }',
        "services.clock.options.x.default: is not a value that the option allows",
    ),
    (
        BASE + '[listeners.child]\nendpoint = "tcp:1:interface=127.0.0.1"\nserves = ["child", "api"]',
        "listeners.child.serves: child stands alone: *",
    ),
    *(
        (BASE + f'[listeners.child]\nendpoint = "{end}"\nserves = ["child"]', "listeners.child.endpoint: programs *")
        for end in ("tcp:1", "tcp:0:interface=127.0.0.1", "unix:/x", "tcp:1:interface=192.0.2.1")
    ),
    (CLOCK + 'env = { A = "${liveliness}" }', "services.clock: asks for ${liveliness}, but no listener serves child"),
    (CLOCK.replace('"${socket}"', '"${socket}", "${liveliness}/"'), "services.clock: asks for ${liveliness}, but *"),
    (CLOCK.replace('"--socket", "${socket}"', '["${socket}"]'), "services.clock.command: a list within it names an *"),
    (CLOCK + 'options = "any"', "services.clock.options: a table is needed"),
    (FIXED, "services.old.target: either host and port, or socket is needed"),
    (FIXED + 'target = { port = 1, socket = "/x" }', "services.old.target: either host and port, or socket *"),
    (FIXED + 'target = { host = "h", socket = "/x" }', "services.old.target.host: contradicts socket"),
    (FIXED + 'target = { socket = "x" }', "services.old.target.socket: an absolute path is needed"),
    (FIXED + 'target = { port = 1 }\nstop = ["kill 5s"]', 'services.old.stop: has no meaning with launcher = "fixed"'),
    ("[listeners.web]\nserves = []\nendpoint = 'tcp:1'", "listeners.web.serves: names nothing"),
    ("", "listeners: at least one is needed"),
    (BASE.replace(":interface=127.0.0.1", ""), 'listeners.web.callers: "anyone" beyond this machine *'),
    (BASE.replace("127.0.0.1", "192.0.2.1"), 'listeners.web.callers: "anyone" beyond this machine *'),
    (BASE.replace('callers = "anyone"', ""), 'listeners.web.callers: is "token", but there are no [[]tokens]'),
    (BASE + "limits = { header = '1s' }", "listeners.web.limits.header: unknown key, did you mean 'headers'?"),
    (BASE + "limits = { headers = 10 }", "listeners.web.limits.headers: a duration with its unit is needed, *"),
    (BASE + "limits = { idle = '0s' }", "listeners.web.limits.idle: a duration above zero and of at most *"),
    (BASE + "limits = { stall = '2h' }", "listeners.web.limits.stall: a duration above zero and of at most *"),
    (BASE + "max_per_address = 0", "listeners.web.max_per_address: a whole number from 1 to 1000000 is needed"),
    (BASE.replace("tcp:8080", "tcp:http"), "listeners.web.endpoint: the endpoint needs a port *"),
    (BASE.replace("tcp:8080", "tcp:70000"), "listeners.web.endpoint: the endpoint needs a port *"),
    (BASE.replace("tcp:", "tor:"), "listeners.web.endpoint: an endpoint of kind tcp, *"),
    (BASE.replace("tcp:", "ssl:"), "listeners.web.endpoint: the endpoint needs privateKey=FILE and *"),
    (BASE.replace("interface", "interfaec"), "listeners.web.endpoint: the endpoint has no place for *"),
    (BASE.replace("127.0.0.1", "localhost"), "listeners.web.endpoint: the endpoint's interface must be an address*"),
    (BASE + 'public_url = "sessions.example.org"', "listeners.web.public_url: a URL is needed, *"),
    (BASE + 'public_url = "https://["', "listeners.web.public_url: no URL: *"),
    (BASE + 'origins = ["https://[x"]', "listeners.web.origins: no URL: *"),
    (BASE + 'public_url = "https://u:p@h"', "listeners.web.public_url: a URL is needed, *"),
    (BASE + 'origins = ["*"]', "listeners.web.origins: an exact origin is needed, *"),
    (BASE + 'origins = ["null"]', "listeners.web.origins: an exact origin is needed, *"),
    (BASE + 'origins = ["https://h/"]', "listeners.web.origins: an exact origin is needed, *"),
    (BASE + 'hosts = ["https://h"]', "listeners.web.hosts: a host in lower case is needed, *"),
    (BASE + BASE.replace("web", "two"), "listeners.two.endpoint: port 8080 is another listener's already"),
    (BASE + '[tokens.a]\ndigest = "sha256:abcd"', 'tokens.a.digest: "sha256:" and 64 hexadecimal digits are needed, *'),
    (BASE + '[tokens.a]\ndigest = "md5:abcd"', 'tokens.a.digest: "sha256:" and 64 *'),
    (
        BASE + f'[tokens.a]\ndigest = "sha256:{hashlib.sha256(b"changeme").hexdigest()}"',
        "tokens.a.digest: is the digest of a secret that everybody knows",
    ),
    (BASE + f'[tokens.a]\ndigest = "sha256:{"0" * 64}"', "tokens.a.digest: is the digest of a secret *"),
    (
        BASE + f'[tokens.a]\ndigest = "{DIGEST}"\n[tokens.b]\ndigest = "{DIGEST}"',
        "tokens.b.digest: is another token's already",
    ),
    (BASE + f'[tokens.a]\ndigest = "{DIGEST}"\nscopes = ["all"]', "tokens.a.scopes: one of read, *"),
    (BASE + '[store]\nkind = "files"', "store.kind: one of sqlite, memory is needed"),
    (BASE + '[tunnel]\nping = "0s"', "tunnel.ping: must be above zero"),
    (BASE + '[tunnel]\nheld = "20s"', "tunnel.held: a size with its unit is needed, *"),
    (CLOCK.replace(', "tunnel"', ""), "listeners.web.serves: has the api, but no listener has tunnel"),
    (
        CLOCK.replace(', "tunnel"', "")
        + '[listeners.t]\nendpoint = "systemd:domain=UNIX:name=t"\nserves = ["tunnel"]\ncallers = "anyone"',
        "listeners.t.public_url: is needed: *",
    ),
    (CLOCK.replace('"api", ', "") + 'ready = "report"', "*services.clock.ready*: no listener serves child or *"),
    (BASE + '[static]\n"/x" = "x"', "static: is configured, but no listener serves it"),
    (BASE + '[static]\n"/api/x" = "x"', 'static."/api/x": is the daemon\'s own'),
    (BASE + '[static]\n"/../x" = "x"', 'static."/../x": a path is needed, *'),
    (BASE + '[static]\n"x" = "x"', "static.x: a path is needed, *"),
    (BASE + '[static]\n"/x" = { listing = true }', 'static."/x".folder: is needed'),
    (BASE + '[static]\n"/x" = 3', 'static."/x": a table is needed'),
    (f'state_dir = "/{"x" * 90}"\n' + BASE, "runtime_dir: is too long for sockets below it: *"),
    ('state_dir = ""\n' + BASE, "state_dir: a text is needed, *"),
    ("listeners = 3", "listeners: a table is needed"),
    ("state_dir = ", "not TOML: *"),
]


@pytest.mark.parametrize(("text", "fault"), WRONG)
def test_refused_by_place(text: str, fault: str) -> None:
    """Each mistake is told with the place where it was made."""
    from fnmatch import fnmatchcase

    told = faults(text)
    assert any(fnmatchcase(line, fault) for line in told), told


def test_all_at_one_go() -> None:
    """Several mistakes are told together."""
    assert faults('x = 1\n[store]\nkind = "y"\n[pools.p]\ncount = "3"\n' + BASE) == [
        "pools.p.count: a whole number from 1 to 10000 is needed",
        "store.kind: one of sqlite, memory is needed",
        "x: unknown key",
    ]


def test_unreadable(tmp_path: Path) -> None:
    """A file that is not there, not text or far too large is refused."""
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.toml", {})
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (5 << 20))
    with pytest.raises(ConfigError, match="larger than"):
        load(large, {})
    with pytest.raises(ConfigError, match="not TOML"):
        parse(b"\xff", tmp_path, {})


def uncommented(text: str) -> str:
    """Give the sample with every commented default in force; prose keeps its ``# ``."""
    return "\n".join(
        line[1:] if line.startswith("#") and line[1:2] not in ("", " ", "#") else line for line in text.splitlines()
    )


def test_sample_stands() -> None:
    """The sample is a configuration as it stands."""
    assert load(ETC / "sessiond.toml", HOME).catalogue.services


def test_sample_tells_defaults() -> None:
    """The sample is one with every commented default in force too, and that changes nothing."""
    text = (ETC / "sessiond.toml").read_text("utf-8")
    full = uncommented(text)
    assert tomllib.loads(full) != tomllib.loads(text)
    as_it_stands, in_full = (parse(t.encode(), ETC, HOME) for t in (text, full))
    assert in_full == as_it_stands


def test_demo_stands() -> None:
    """The demo's configuration is accepted."""
    assert "clock" in load(ETC / "demo.toml", dict(os.environ)).catalogue.services


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(string.printable, max_size=12),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(JUNK)
def test_units_take_or_refuse(value: object) -> None:
    """Whatever is written where a unit is needed is read or refused, never anything else."""
    for reader in (seconds, size_bytes, number_range):
        try:
            reader(value)
        except Unfit:
            pass


@given(st.integers(0, 10**6), st.sampled_from([("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]))
def test_durations(number: int, unit: tuple[str, float]) -> None:
    """A duration is its number times its unit."""
    assert seconds(f"{number}{unit[0]}") == number * unit[1]


@given(st.integers(0, 10**6), st.sampled_from([("B", 1), ("KiB", 1024), ("MiB", 1 << 20), ("GiB", 1 << 30)]))
def test_sizes(number: int, unit: tuple[str, int]) -> None:
    """A size is its number times its unit."""
    assert size_bytes(f"{number}{unit[0]}") == number * unit[1]


KEYS = st.sampled_from(
    ["kind", "launcher", "command", "count", "pool", "limits", "stop", "options", "env", "ready", "endpoint", "target"]
)
VALUES = st.sampled_from(
    ['"rfb"', '"fixed"', '"process"', "3", "true", '["a"]', '"x"', "{}", "{ a = 1 }", '["term 5s"]', '"${port}"', "[]"]
)


@given(st.dictionaries(KEYS, VALUES))
def test_any_service_is_built_or_refused(keys: dict[str, str]) -> None:
    """Whatever a service says, the configuration is built or refused with a place in every fault."""
    lines = "\n".join(f"{key} = {value}" for key, value in keys.items())
    told: list[str] = []
    try:
        read(f"{BASE}[services.any]\n{lines}")
    except ConfigError as error:
        told = str(error).splitlines()
    assert all(line.startswith(("services.any", "listeners: web")) for line in told)


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1).filter(lambda name: name[0] != "/"))
def test_endpoint_strings(name: str) -> None:
    """Whatever a path holds, Twisted finds the same path in the string as we did."""
    escaped = name.replace("\\", "\\\\").replace(":", "\\:")
    found = described(f"unix:address={escaped}", Path("/run"))
    _, words = _parse(found.text())
    assert words["address"] == found.words["address"] == str(Path("/run") / name)


@given(st.text(string.printable, max_size=40))
def test_any_endpoint_is_read_or_refused(text: str) -> None:
    """Whatever stands for an endpoint is read or refused; what is read, Twisted reads too."""
    for kind in ("", "tcp:", "ssl:", "unix:", "systemd:"):
        try:
            found = described(kind + text, Path("/run"))
        except Unfit:
            continue
        _parse(found.text())


@given(st.text(string.printable, max_size=30))
def test_any_url_is_read_or_refused(text: str) -> None:
    """Whatever stands for a URL, an origin or a host is read or refused."""
    for reader in (public_url, origin, host):
        for begin in ("", "https://", "http://["):
            try:
                reader(begin + text)
            except Unfit:
                pass


ADMISSION = (
    CLOCK
    + f"""
per_owner = 2
[tokens.ada]
digest = "{DIGEST}"
per_owner = 7
[admission]
sessions = 40
per_owner = 5
queue = 10
"""
)


def test_admission() -> None:
    """How many sessions there may be is told in all, per owner, per queue, and for a token's own name."""
    config = read(ADMISSION)
    assert config.catalogue.caps == Caps(sessions=40, per_owner=5, queue=10, owners={"ada": 7})
    assert config.catalogue.services["clock"].per_owner == 2
    assert read(CLOCK).catalogue.caps == Caps()


def test_admission_off() -> None:
    """What is off is not limited."""
    config = read(CLOCK + 'per_owner = "off"\n[admission]\nsessions = "off"\nper_owner = "off"\n')
    assert config.catalogue.caps == Caps()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("sessions = 0", "admission.sessions: a whole number from 1"),
        ('sessions = "none"', "admission.sessions: a whole number from 1"),
        ("per_owner = true", "admission.per_owner: a whole number from 1"),
        ("per_owner = 1.5", "admission.per_owner: a whole number from 1"),
        ('queue = "off"', "admission.queue: a whole number from 1 to 10000"),
        ("queue = 0", "admission.queue: a whole number from 1 to 10000"),
        ("quota = 1", "admission.quota: unknown key"),
    ],
)
def test_bad_admission(line: str, fault: str) -> None:
    """A limit that is none is refused by its place."""
    with pytest.raises(ConfigError, match=fault):
        read(f"{CLOCK}[admission]\n{line}\n")


def test_admission_below_what_is_kept_warm() -> None:
    """Warm sessions alone must not be more than there may be: no caller would ever get one of another service."""
    warm = CLOCK.replace("count = 1", 'count = 3\nlaunch = "warm"\nwarm = 3')
    assert read(f"{warm}[admission]\nsessions = 3\n").catalogue.caps.sessions == 3
    with pytest.raises(ConfigError, match=r"admission.sessions: is less than the services keep warm \(3\)"):
        read(f"{warm}[admission]\nsessions = 2\n")


def test_script() -> None:
    """A script's path begins at the file's folder, its own stop comes first, and its clients are dialled for."""
    config = read(SCRIPT + 'options = "any"\ncommon_options = { a = [1, "x", true] }')
    clock = config.catalogue.services["clock"]
    assert clock.script == Script("/etc/sessiond/x.py", {"a": [1, "x", True]}, "${python}")
    assert clock.any_options
    assert [(entry.step.value, entry.seconds) for entry in clock.plan.stop] == [("ask", 30), ("term", 5), ("kill", 5)]
    assert clock.plan.retry_dial
