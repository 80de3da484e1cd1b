"""A real site of HOOPS viewers: the sample configuration, with the stand-in in the place of the vendor's program."""

import json
import socket
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from sessiond.entropy import digest
from sessiond.launchers.procfs import ZOMBIE, stat_of
from tests.daemon import ROOT, Answer, Daemon, end_all, free_port, started
from tests.dialects.hoops.children import COMMAND, Event, happened, read_journal
from tests.dialects.hoops.viewers import Viewer, connect
from tests.e2e.places import Place

SAMPLE = ROOT / "etc" / "hoops.toml"
TOKEN = "an-operator-of-the-tests-has-this"
LOOK_S = 0.02
LIMITS = {"launch": "30s", "connect": "30s", "linger": "0s", "suspect": "4s", "liveliness": "5s"}
"""The sample's, scaled to an interval of one second."""
STOP = ("drain 20s", "term 20s", "kill 5s")
"""Long enough for a program that obeys, on a machine that is busy."""


def toml(value: object) -> str:
    """Write a value of TOML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml(one)}" for name, one in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


@pytest.fixture
def site_ends(place: Place) -> Iterator[None]:
    """End the daemon that a test has started, in order, before one looks what is left."""
    yield
    end_all("TERM")


def is_gone(pid: int) -> bool:
    """Say whether no such process runs; who is to reap it may be somebody else's matter."""
    stat = stat_of(pid)
    return stat is None or stat.state == ZOMBIE


def binds(port: int) -> bool:
    """Say whether a port is free for whoever takes it strictly: no listener, no connection, no TIME_WAIT."""
    with socket.socket() as tried:
        try:
            tried.bind(("", port))
        except OSError:
            return False
    return True


@define
class ViewerSite:
    """A running site.

    :ivar journal: what all stand-ins write.
    """

    daemon: Daemon
    journal: Path
    base: str
    config: Path
    ports: range

    @classmethod
    async def start(
        cls,
        place: Place,
        *,
        mode: str | None = None,
        own: Sequence[str] = (),
        count: int = 4,
        ports: int = 8,
        store: str = "memory",
        base: str = "/api/spawns/",
        limits: Mapping[str, str] | None = None,
        stop: Sequence[str] = STOP,
        listener: Mapping[str, Any] | None = None,
        more: Mapping[str, Any] | None = None,
        **settings: object,
    ) -> "ViewerSite":
        """Start it, and wait until it is ready.

        :param mode: of all stand-ins; ``None``: each has the one that its spawn names as its model.
        :param own: more of the stand-in's own switches.
        :param base: of the reports.
        :param limits: other than the usual.
        :param listener: more of the listener's keys; ``more`` of each service's; ``settings`` of the dialect's.
        """
        first, _ = place.ports
        wanted = tomllib.loads(SAMPLE.read_text("utf-8"))
        port, reports, journal = free_port(), free_port(), place.folder / "journal"
        for name, text in {"licence": "a key", "models/keep": ""}.items():
            (place.folder / name).parent.mkdir(exist_ok=True)
            (place.folder / name).write_text(text, "utf-8")
        web = {"endpoint": f"tcp:{port}:interface=127.0.0.1", "serves": ["hoops", "tunnel", "api"], "callers": "anyone"}
        wanted["listeners"]["web"] = {**web, **(listener or {})}
        wanted["listeners"]["reports"]["endpoint"] = f"tcp:{reports}:interface=127.0.0.1"
        wanted["pools"]["viewers"]["count"] = count
        wanted["dialects"]["hoops"] |= settings
        for service in wanted["services"].values():
            words = service["command"][1:]
            words[words.index("--license-file") + 1] = str(place.folder / "licence")
            words[words.index("--liveliness-endpoint") + 1] = "${liveliness}" + base
            words[words.index("--liveliness-update-frequency") + 1] = "1"
            words[words.index("--initial-use-duration") + 1] = "60"
            if mode is None:
                words.remove(["--model-file", "${options.model}"])
                service["options"]["model"] |= {"optional": False, "pattern": "[a-z0-9,.=-]+", "default": "ok"}
            modes = "${options.model}" if mode is None else mode
            service["command"] = [*COMMAND, "--journal", str(journal), "--mode", modes, *own, *words]
            service["options"]["directories"]["roots"] = [str(place.folder / "models")]
            service["directory"] = str(place.folder)
            service["ports"] = f"{first}-{first + ports - 1}"
            service |= {"limits": {**LIMITS, **(limits or {})}, "stop": list(stop), **(more or {})}
        wanted["tokens"] = {"operator": {"digest": f"sha256:{digest(TOKEN).hex()}", "scopes": ["operate"]}}
        wanted |= {"state_dir": "state", "runtime_dir": str(place.run), "store": {"kind": store}}
        place.config.write_text("\n".join(f"{name} = {toml(value)}" for name, value in wanted.items()), "utf-8")
        daemon = await started(place.config)
        base_url = f"http://127.0.0.1:{port}"
        daemon.url = base_url
        return cls(daemon, journal, base_url, place.config, range(first, first + ports))

    async def again(self) -> None:
        """Start the daemon again."""
        self.daemon = await started(self.config)
        self.daemon.url = self.base

    # -- what clients do

    def spawn(
        self, mode: str = "ok", kind: str = "csr", path: str = "/service", body: Any = None, **headers: str
    ) -> Deferred[Answer]:
        """Ask for a viewer, as a page of this origin."""
        params = {} if mode == "ok" else {"model": mode}
        asked = {"class": f"{kind}_session", "params": params} if body is None else body
        return Deferred.fromCoroutine(self.daemon.call("POST", path, asked, **{"Origin": self.base, **headers}))

    async def spawned(self, mode: str = "ok", kind: str = "csr") -> tuple[str, str]:
        """Ask for a viewer, and give its session's id and its endpoint."""
        answer = await self.spawn(mode, kind)
        assert answer.status == 200, answer
        assert answer.json["result"] == "ok", answer
        return str(answer.json["serviceId"]), str(answer.json["endpoints"]["ws"])

    def view(self, url: str, kind: str = "csr", **more: Any) -> Deferred[Viewer]:
        """Connect as a viewer on a page of this origin."""
        return Deferred.fromCoroutine(connect(url, kind, origin=self.base, **more))

    # -- what operators see

    async def control(self, verb: str, name: str) -> Answer:
        """Call one of the operator's routes."""
        return await self.daemon.call(verb, f"/api/{name}", Authorization=f"Bearer {TOKEN}")

    async def state(self, session_id: str) -> str:
        """Say how a session stands, in the words of this wire."""
        spawns = (await self.control("GET", "spawns")).json["spawns"]
        return next((str(one["state"]) for one in spawns if one["id"] == session_id), "forgotten")

    async def until(self, session_id: str, *states: str) -> str:
        """Wait until a session stands so."""
        while (found := await self.state(session_id)) not in states:
            await pause()
        return found

    async def all_free(self) -> None:
        """Wait until no session is live, no port is used, and every one binds."""
        while True:
            status = (await self.control("GET", "status")).json
            live = [name for name in ("launching", "ready", "suspect", "disconnected") if status[name]]
            if not live and status["usedSpawnPorts"] == 0 and all(map(binds, self.ports)):
                return
            await pause()

    async def pid(self, session_id: str) -> int:
        """Give the process of a session."""
        return int((await self.event("start", id=session_id))["pid"])

    # -- what the programs wrote

    async def event(self, event: str, count: int = 1, **wanted: Any) -> Event:
        """Wait for so many such events, and give the last of them."""
        found = await happened(self.journal, lambda events: len(events) >= count, event=event, **wanted)
        return found[count - 1]

    def events(self, **wanted: Any) -> list[Event]:
        """Give such events so far."""
        return read_journal(self.journal, **wanted)

    def order(self, session_id: str) -> list[str]:
        """Give what a program has done, in its order, reports by what they said."""
        return [str(one.get("what") or one["event"]) for one in self.events(id=session_id)]


async def pause() -> None:
    """Let some time pass before looking again."""
    from twisted.internet import reactor

    await deferLater(reactor, LOOK_S)
