"""The daemon, tried by a stranger who has only its OpenAPI document: Schemathesis, a program of its own.

It makes requests that the document allows and requests that it does not, follows what is made by what can be done with
it, and holds each answer against the document. The examples are the same in every run, as far as the daemon's answers
are. What it starts is one of two services, by names that no document tells.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from sessiond.launchers.procfs import variable_of
from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, Running, launched_below, running, until

RUN_S = 120.0
"""How long one run may take; some five seconds are usual."""

SECRETS = {name: sha256(f"{name}, for this test".encode()).hexdigest() for name in ("operator", "portal")}
"""Tokens of the test's daemon."""

SERVES = ("api", "tunnel", "health", "metrics")
SERVICES = """
[services.clock]
kind = "text"
launcher = "process"
command = ["sleep", "600"]
endpoint = "stdio"
ready = "started"
count = 4
queueing = true
options.size = { type = "choice", of = ["480x360", "800x600"], default = "480x360" }
limits = { queue = "1s", connect = "10s", lifetime = "1h", lifetime_cap = "8h", retention = "20s" }

[services.broken]
kind = "tcp"
launcher = "process"
command = ["false", "${port}"]
ports = "PORTS"
count = 2
"""

SETTINGS = """
color = false
request-timeout = 20

[generation]
max-examples = EXAMPLES
database = "none"
deterministic = true
# Whoever calls proves it in one way or in none; that without it nothing is given is tried anyhow.
with-security-parameters = false

[dictionaries]
services = { values = ["clock", "broken"] }
sessions = { values = [SESSION] }

[parameters]
"body.service" = { dictionary = "services", probability = 0.9 }
"path.id" = { dictionary = "sessions", probability = 0.3 }

[auth.openapi.child]
bearer = CHILD

[checks]
# A session that has ended is kept on record for a while: it can be looked at, and ended again.
use_after_free.enabled = false
# All that may come of an order that is understood; anything else with 5 is a defect.
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "502", "503", "504"]

[[operations]]
include-operation-id = "makeSession"
# Which options there are and which owner one may name is no matter of form, nor is what a key came with before.
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "5xx"]
"""


@frozen
class Role:
    """Somebody who calls.

    :ivar token: which token it has, if any; ``callers`` who is let in where it calls.
    :ivar sees: statuses that it must have seen, or the run was none.
    """

    name: str
    token: str | None
    callers: str
    sees: frozenset[int]


WORKS = frozenset({200, 201, 202, 204, 400, 401, 404, 405, 409, 415})
ROLES = (
    Role("operator", "operator", "token", WORKS),
    Role("portal", "portal", "token", WORKS | {403}),
    Role("nobody", None, "token", frozenset({200, 401, 405})),
    Role("anyone", None, "anyone", WORKS),
)


def configure(place: Place, role: Role) -> None:
    """Write the daemon's configuration."""
    first, last = place.ports
    tokens = "".join(
        f'[tokens.{name}]\ndigest = "sha256:{sha256(secret.encode()).hexdigest()}"\nscopes = ["{scope}"]\n'
        for (name, secret), scope in zip(SECRETS.items(), ("operate", "launch"), strict=True)
    )
    place.configure(SERVICES.replace("PORTS", f"{first}-{last}") + tokens, serves=SERVES)
    written = place.config.read_text().replace('callers = "anyone"', f'callers = "{role.callers}"')
    place.config.write_text(written)


def known_session(daemon: Running, place: Place) -> tuple[str, str]:
    """Make a session; give its id and what its program proves itself with."""
    headers = {"Authorization": f"Bearer {SECRETS['portal']}"}
    made = daemon.call("POST", "/api/v1/sessions", {"service": "clock", "wait": "ready"}, LIMIT_S, **headers)
    assert made.status == 201, made
    [program] = until(lambda: launched_below(place.folder), "its program runs")
    return made.json["id"], until(lambda: variable_of(program.pid, "SESSIOND_SECRET"), "it has its secret") or ""


def tried(document: str, settings: str, folder: Path, examples: int = 60) -> tuple[int, str, dict[str, Any]]:
    """Run Schemathesis; give its status, what it printed and what was said over HTTP (HAR 1.2).

    :param document: the URL of the document, or a file.
    """
    (folder / "st.toml").write_text(settings.replace("EXAMPLES", str(examples)))
    program = str(Path(sys.executable).with_name("st"))
    argv = [program, "--config-file", "st.toml", "run", document, "--report-har-path", "said.har"]
    own = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    done = subprocess.run(
        argv,
        cwd=folder,
        env={**own, "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    said = folder / "said.har"
    return done.returncode, done.stdout, json.loads(said.read_text()) if said.exists() else {}


def statuses(said: dict[str, Any]) -> Counter[int]:
    """Count the answers by status."""
    return Counter(entry["response"]["status"] for entry in said["log"]["entries"])


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_answers_are_described(role: Role, place: Place) -> None:
    """Whoever calls and whatever is sent, each answer is one that the document has, and none is a defect."""
    configure(place, role)
    with running(place.config) as daemon:
        session_id, secret = known_session(daemon.ready(), place)
        settings = SETTINGS.replace("SESSION", json.dumps(session_id)).replace("CHILD", json.dumps(secret))
        if role.token is not None:
            settings += f'[auth.openapi.caller]\nbearer = "{SECRETS[role.token]}"\n'
        status, printed, said = tried(f"{daemon.url}api/v1/openapi.json", settings, place.folder)
        assert status == 0, printed
        seen = statuses(said)
        assert role.sees <= seen.keys(), seen
        assert sum(seen.values()) > 300
        assert daemon.call("GET", "/readyz").json == {"ready": True, "accepting": True, "unsaved": 0}
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.text


def test_what_is_not_described_is_found(place: Place) -> None:
    """An answer that is missing in the document makes the run fail, and so does one of another form."""
    configure(place, ROLES[0])
    with running(place.config) as daemon:
        document = daemon.ready().call("GET", "/api/v1/openapi.json").json
        services = document["paths"]["/services"]
        del services["get"]["responses"]["401"]
        document["paths"] = {"/services": services}
        written = place.folder / "document.json"
        written.write_text(json.dumps(document))
        settings = SETTINGS.replace("SESSION", '"none"').replace("CHILD", '"none"')
        settings = f'base-url = "{daemon.url}api/v1"\n{settings}'
        status, printed, _ = tried("document.json", settings, place.folder, examples=1)
        assert (status, "Undocumented status code" in printed) == (1, True), printed
        document["components"]["schemas"]["Service"]["required"].append("colour")
        written.write_text(json.dumps(document))
        settings += f'[auth.openapi.caller]\nbearer = "{SECRETS["operator"]}"\n'
        status, printed, _ = tried("document.json", settings, place.folder, examples=1)
        assert (status, '"colour" is a required property' in printed) == (1, True), printed
