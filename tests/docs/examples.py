"""The examples of a document, run as a reader would run them: the TOML as it stands, the curl lines one by one."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from attrs import define, evolve, field, frozen

from sessiond.entropy import SystemEntropy
from sessiond.launchers.procfs import variable_of
from tests.daemon import free_port
from tests.docs.documents import Block, blocks
from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, Answer, Running, launched_below, running

SAME = (
    *("service", "kind", "state", "step", "slot", "reason", "waiting_for", "name"),
    *("code", "title", "status", "detail"),
)
"""Members of answers that are as the document shows them, to the letter."""


PROGRAMS = ("SESSIOND_SECRET", "SESSIOND_SESSION", "REPORT_URL")
"""What only the session's program knows, from its environment."""


@frozen
class Call:
    """What a curl line asks for."""

    method: str
    url: str
    headers: dict[str, str]
    body: Any


def call_of(line: str) -> Call:
    """Read a curl line; every option that we use takes a value.

    :raises AssertionError: it is none, or uses an option that we don't know.
    """
    program, *rest = shlex.split(line.replace("\\\n", " "))
    assert program == "curl"
    found: dict[str, list[str]] = {"-H": [], "-d": [], "-X": []}
    urls = []
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            found[word].append(rest.pop(0))
        else:
            urls.append(word)
    [url] = urls
    body = json.loads(found["-d"][0]) if found["-d"] else None
    method = (found["-X"] or ["GET" if body is None else "POST"])[0]
    headers = dict(header.split(": ", 1) for header in found["-H"])
    assert (headers.pop("Content-Type", None) == "application/json") == (body is not None)
    return Call(method, url, headers, body)


def alike(shown: Any, given: Any, place: str = "", *, whole: bool = True) -> list[str]:
    """Compare an answer in a document with a real one; give what differs.

    :param whole: whether the document shows every member.
    """
    if isinstance(shown, dict) and isinstance(given, dict):
        extra = set(given) - set(shown) if whole else set()
        found = [f"{place}: {sorted(set(shown) - set(given))} is not there, {sorted(extra)} is not shown"] * bool(
            extra or set(shown) - set(given)
        )
        for name in set(shown) & set(given):
            found += alike(shown[name], given[name], f"{place}.{name}")
        return found
    if isinstance(shown, list) and isinstance(given, list):
        found = [f"{place}: {len(shown)} shown, {len(given)} given"] * (len(shown) != len(given))
        return found + [text for pair in zip(shown, given, strict=False) for text in alike(*pair, f"{place}[]")]
    exact = place.rpartition(".")[2] in SAME
    differs = shown != given if exact else _kind(shown) is not _kind(given)
    return [f"{place}: {shown!r} is shown, {given!r} given"] * differs


def _kind(value: Any) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


@define
class Reader:
    """Somebody who tries a document's examples.

    :ivar names: what the shell's variables stand for.
    """

    daemon: Running
    names: dict[str, str] = field(factory=dict)

    def run(self, line: str) -> Answer:
        """Do what a curl line says."""
        filled = re.sub(r"\$([A-Z_]+)", lambda found: self.names[found[1]], line)
        call = call_of(filled.replace("http://127.0.0.1:9000", self.daemon.url.rstrip("/")))
        parts = urlsplit(call.url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        asked = evolve(self.daemon, url=f"{parts.scheme}://{parts.netloc}/")
        answer = asked.call(call.method, path, call.body, LIMIT_S, **call.headers)
        if isinstance(answer.json, dict) and "token" in answer.json:
            self.names.setdefault("ID", answer.json["id"])
        return answer

    def look_into_program(self, place: Place) -> None:
        """Learn what the session's program has in its environment."""
        [program] = launched_below(place.folder)
        for name in PROGRAMS:
            self.names[name] = variable_of(program.pid, name) or ""


@contextmanager
def daemon_of(toml: str, place: Place) -> Iterator[Reader]:
    """Start a daemon with a document's configuration, on a free port and with folders and a token of the test's."""
    token = SystemEntropy().token()
    digest = hashlib.sha256(token.encode()).hexdigest()
    if "[tokens." not in toml:  # the document has the reader append what "token new" prints
        toml += f'\n[tokens.portal]\ndigest = "sha256:{"0" * 64}"\nscopes = ["launch"]\n'
    toml = re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{digest}", toml).replace("tcp:9000:", "tcp:0:")
    toml = toml.replace("tcp:9001:", f"tcp:{free_port()}:")
    # The program is a module of the package, which may be in the checkout only.
    toml = re.sub(r"^command = .*$", r'\g<0>\npass_env = ["PATH", "PYTHONPATH"]', toml, flags=re.MULTILINE)
    place.config.write_text(f"state_dir = 'state'\nruntime_dir = '{place.run}'\n{toml}")
    with running(place.config) as daemon:
        yield Reader(daemon.ready(), {"TOKEN": token})


def curls(text: str) -> list[tuple[str, str | None]]:
    """Give a document's curl lines, each with the answer that it shows right behind it."""
    found: list[tuple[str, str | None]] = []
    before: Block | None = None
    for block in blocks(text, "sh", "json", "toml"):
        if block.language == "sh" and block.text.startswith("curl"):
            found.append((block.text, None))
        elif block.language == "json" and before is not None and before.text.startswith("curl"):
            found[-1] = (before.text, block.text)
        before = block
    return found
