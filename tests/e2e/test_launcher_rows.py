"""What stands in for wslink's launcher: each row of its answers, and each defect of the original that it lacks."""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from sessiond.core.values import State
from sessiond.launchers.procfs import all_pids, variable_of
from tests.chaos.test_kills import read_store
from tests.e2e.launching import LauncherSite, python, ready, site_ends  # noqa: F401 - a fixture
from tests.e2e.places import Place
from tests.e2e.test_launcher import store_of
from tests.reactor import within

pytestmark = pytest.mark.usefixtures("site_ends")

LISTEN = """
import os, socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
os.write(1, " ".join(["up", *sys.argv[2:]]).encode())
time.sleep(600)
"""
STUBBORN = """
import os, signal, socket, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if all(os.fork() for _ in range(3)):
    server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    os.write(1, b"up")
time.sleep(600)
"""
APPS = {
    "works": ready(python("-S", "-c", LISTEN, "$port"), "up"),
    "listens": ready(python("-S", "-c", LISTEN, "$port"), None),
    "told": ready(python("-S", "-c", LISTEN, "$port", "key=$secret;", "$kind", "$free", "$tool", "$nobody"), "up"),
    "dies": ready(["sh", "-c", "echo cannot open display; exit 3"], "up"),
    "missing": ready(["/nonexistent/program", "$port"], "up"),
    "silent": ready(["sleep", "600"], "up"),
    "stubborn": ready(python("-S", "-c", STUBBORN, "$port"), "up"),
}
SANITIZE = {
    "kind": {"type": "inList", "list": ["cone", "sphere"], "default": "cone"},
    "file": {"type": "regexp", "regexp": "^[a-z]+$", "default": "none"},
    "cmd": {"type": "inList", "list": ["x"], "default": "x"},
}
NOT_READY = "Session did not start before timeout expired. Check session logs."
TAKEN = "All the resources are currently taken"


@within(60)
async def test_rows(place: Place) -> None:
    """Each request has the status and body that clients know."""
    apps = {**APPS, "filed": ready(["true", "$file"])}
    site = await LauncherSite.start(place, apps, ports=2, configuration={"sanitize": SANITIZE})
    call = site.daemon.call

    async def refused(status: int, answer: Any) -> str:
        assert answer.status == status, answer
        assert answer.headers["content-type"] == "application/json"
        return str(answer.json["error"])

    assert await refused(400, await site.post(None)) == "The request is not complete"
    assert "no such" in await refused(400, await site.post("no such"))
    assert "file" in await refused(400, await site.post("filed", file=7))
    assert "free" in await refused(400, await site.post("told", free=["a", "list"]))
    assert "free" in await refused(400, await site.post("told", free="a line\nand another"))
    assert "JSON" in await refused(400, await call("POST", "/paraview/"))
    assert await refused(503, await site.post("missing")) == "The process did not properly start."
    assert await refused(503, await site.post("dies")) == NOT_READY
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        await refused(405, await call(method, "/paraview/"))
    for method in ("GET", "DELETE"):
        assert await refused(404, await call(method, "/paraview/unknown")) == "No session with id: unknown"
    # However it is written, and whatever the body is said to be.
    one = await call("POST", "//paraview//", {"application": "works"}, Content_Type="text/plain;charset=UTF-8")
    two = await call("POST", "/paraview", {"application": "listens", "sessionManagerURL": "http://a/b"})
    assert (one.status, two.status) == (200, 200)
    assert set(one.json) == {"id", "host", "port", "sessionURL"}
    assert two.json["sessionManagerURL"] == "http://a/b"
    assert await refused(503, await site.post("works")) == TAKEN
    assert (await call("GET", f"/paraview//{one.json['id']}")).json == one.json
    assert (await call("DELETE", f"/paraview/{one.json['id']}")).json == one.json
    # Unknown at once, though its program may take a while to end.
    await refused(404, await call("GET", f"/paraview/{one.json['id']}"))
    for address in (f"/proxy?sessionId={one.json['id']}&path=ws", "/proxy?path=ws&sessionId=" + "0" * 32):
        assert (await upgraded(site, address)).status == 404
    for path in ("../ws", "//other/ws", "ws://other/ws", ".hidden", "a/../b"):
        assert (await upgraded(site, f"/proxy?sessionId={two.json['id']}&path={path}")).status == 400
    assert (await call("GET", f"/api/{'0' * 32}/any")).status == 404


async def upgraded(site: LauncherSite, address: str) -> Any:
    """Ask for a WebSocket that is not given."""
    asks = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    return await site.daemon.call("GET", address, None, Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==", **asks)


@within(60)
async def test_what_clients_may_say(place: Place) -> None:
    """A client's field takes no name's place that is not its own, and what may not stand in it becomes the default."""
    properties = {"python": sys.executable, "tool": "the operator's"}
    told = {"title": "$kind at $port", "tool": "never"}
    configuration = {"fields": ["host", "port", "kind", "free", "title", "secret", "cmd"], "sanitize": SANITIZE}
    site = await LauncherSite.start(place, APPS, configuration=configuration, properties=properties, sessionData=told)
    chosen = {"kind": "$port;", "free": "a $secret; b", "tool": "/bin/sh", "python": "/bin/sh", "secret": "chosen"}
    mine = {"id": "mine", "host": "elsewhere", "port": 22, "cmd": ["sh"], "sessionURL": "ws://elsewhere"}
    made = (await site.post("told", **chosen, **mine)).json
    assert made["kind"] == "cone"
    assert made["free"] == chosen["free"]
    assert made["title"] == f"cone at {made['port']}"
    assert (made["host"], made["port"] in site.ports) == ("localhost", True)
    assert "cmd" not in made
    assert re.fullmatch("[0-9a-f]{32}", made["secret"])
    assert site.logs[made["id"]] == f"up key={made['secret']}; cone a $secret; b the operator's $nobody"
    for method in ("GET", "DELETE"):
        assert "secret" not in (await site.daemon.call(method, f"/paraview/{made['id']}")).json
    assert "has its default" in site.daemon.text
    assert made["secret"] not in site.daemon.text


@within(60)
async def test_ports_come_back(place: Place) -> None:
    """One port is enough for any number of starts that fail, and for what ends, however it ends."""
    site = await LauncherSite.start(place, APPS, ports=1, configuration={"timeout": 1})
    for name in ("missing", "dies", "silent", "no such", "missing"):
        assert (await site.post(name)).status in (400, 503)
        await site.until(lambda: port_is_back(place), f"{name} has given its port back")
    site = await _restarted(site, place)
    made = (await site.post("works")).json
    [pid] = [pid for pid in all_pids() if variable_of(pid, "SESSIOND_SESSION") == made["id"]]
    os.kill(pid, 9)
    await site.until(lambda: not site.mapping, "it is seen to have ended")
    await site.until(lambda: port_is_back(place), "a killed program has given its port back")
    assert (await site.post("works")).json["port"] == made["port"]


def port_is_back(place: Place) -> bool:
    """Say whether no session holds a port."""
    return not any(one.leases for one in read_store(store_of(place)))


async def _restarted(site: LauncherSite, place: Place) -> LauncherSite:
    await site.daemon.stop()
    await site.again(place)
    return site


@within(60)
async def test_early_death_is_told_at_once(place: Place) -> None:
    """Who waits for a program that has ended is told so, and the operator is told what it printed."""
    site = await LauncherSite.start(place, APPS, configuration={"timeout": 3600})
    assert (await site.post("dies")).json == {"error": NOT_READY}
    assert "cannot open display" in site.daemon.text
    assert list(site.logs.values()) == ["cannot open display\n"]
    waiting = Deferred.fromCoroutine(site.post("silent"))
    await site.daemon.line("session.launching")
    await site.until(lambda: len(read_store(store_of(place))) == 2, "the other is being started")
    waiting.addErrback(lambda failure: None)  # it never has its answer
    waiting.cancel()
    await site.until(lambda: all(one.state is State.ENDED for one in read_store(store_of(place))), "it was taken back")


@within(60)
async def test_the_whole_tree_ends(place: Place) -> None:
    """A program that passes over TERM, and what it has started, is killed; nothing of it is left."""
    site = await LauncherSite.start(place, APPS)
    made = (await site.post("stubborn")).json
    assert len([pid for pid in all_pids() if variable_of(pid, "SESSIOND_SESSION") == made["id"]]) == 4
    assert (await site.daemon.call("DELETE", f"/paraview/{made['id']}")).status == 200
    await site.until(lambda: port_is_back(place), "the program is gone")
    assert [pid for pid in all_pids() if variable_of(pid, "SESSIOND_SESSION") == made["id"]] == []


@within(120)
async def test_mapping_is_never_half_written(place: Place) -> None:
    """While fifty sessions come and go, readers of the file find whole lines, each session's before its answer."""
    site = await LauncherSite.start(place, APPS, ports=20)
    with reading(str(site.folder / "proxy.txt")) as seen:
        for _ in range(5):
            made = [Deferred.fromCoroutine(site.post("works")) for _ in range(10)]
            for one in [await answer for answer in made]:
                assert one.status == 200, one
                assert site.mapping[one.json["id"]] == f"localhost:{one.json['port']}"
                assert (await site.daemon.call("DELETE", f"/paraview/{one.json['id']}")).status == 200
            await site.until(lambda: not site.mapping, "all are gone")
    assert len(seen["ids"]) == 50
    assert seen["bad"] == []
    assert os.stat(site.folder / "proxy.txt").st_mode & 0o777 == 0o644
    assert [path.name for path in site.folder.iterdir() if path.name.endswith(".new")] == []


@contextmanager
def reading(path: str) -> Iterator[dict[str, Any]]:
    """Read a file again and again, and keep what stood in it."""
    seen: dict[str, Any] = {"ids": set(), "bad": []}
    over = Event()

    def read() -> None:
        while not over.is_set():
            with open(path) as file:
                text = file.read()
            if not re.fullmatch(r"(?:[0-9a-f]{32} localhost:\d+\n)*", text):
                seen["bad"].append(text)
            seen["ids"] |= {line.split()[0] for line in text.splitlines()}
            over.wait(0.0005)

    reader = Thread(target=read, daemon=True)
    reader.start()
    try:
        yield seen
    finally:
        over.set()
        reader.join(30)


@within(60)
async def test_after_a_crash(place: Place) -> None:
    """A daemon that is killed leaves programs and lines; the next start makes an end of both, and frees the ports."""
    site = await LauncherSite.start(place, APPS, ports=2)
    made = [(await site.post("works")).json for _ in range(2)]
    assert set(site.mapping) == {one["id"] for one in made}
    await site.daemon.stop("KILL")
    site = await _restarted(site, place)
    assert site.mapping == {}
    await site.until(lambda: port_is_back(place), "the ports are free")
    again = [await site.post("works") for _ in range(2)]
    assert [one.status for one in again] == [200, 200]
    assert not {one["id"] for one in made} & {one.json["id"] for one in again}


@within(60)
async def test_pages_of_a_program(place: Place) -> None:
    """Requests below ``/api/ID`` reach the program, at any depth and by any method, with their bodies."""
    pages = os.path.join(os.path.dirname(__file__), "programs", "pages.py")
    site = await LauncherSite.start(place, {"pages": ready(python("-S", pages, "$port"), None)})
    made = (await site.post("pages")).json
    answer = await site.daemon.call("GET", f"/api/{made['id']}/deep/down?a=b")
    told = json.loads(answer.json)
    assert told["path"] == "/deep/down?a=b"
    assert ["X-Forwarded-Prefix", f"/api/{made['id']}"] in told["lines"]
    sent = {"much": "x" * 1_000_000}
    answer = await site.daemon.call("PUT", f"/api//{made['id']}/deep", sent)
    assert json.loads(answer.json)["size"] == len(json.dumps(sent))


@within(60)
async def test_listed_origins(place: Place) -> None:
    """Where the operator names pages, only those call, and browsers let them read the answers."""
    site = await LauncherSite.start(place, APPS, options=("--origin", "https://vis.example.org"))
    answer = await site.daemon.call("POST", "/paraview/", {"application": "works"}, Origin="https://vis.example.org")
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "https://vis.example.org"
    for origin in ("https://other.example.org", "null"):
        answer = await site.daemon.call("POST", "/paraview/", {"application": "works"}, Origin=origin)
        assert answer.status == 403
        assert "access-control-allow-origin" not in answer.headers
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "x-own"}
    answer = await site.daemon.call("OPTIONS", "/paraview/", None, Origin="https://vis.example.org", **asked)
    assert answer.status == 204
    assert "x-own" in answer.headers["access-control-allow-headers"].lower()
