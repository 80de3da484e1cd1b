"""What ``make demo`` shows to a few curl lines: its own configuration, on other ports."""

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sessiond.config.commented import read_commented
from sessiond.demo.model import CUBE
from tests.components import needs
from tests.daemon import ROOT, Daemon, free_port, started
from tests.e2e.places import Place
from tests.e2e.running import running
from tests.e2e.viewing import toml
from tests.reactor import within
from tests.webclient import browse

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

pytestmark = pytest.mark.usefixtures("site_ends")

DEMO = ROOT / "etc" / "demo.toml"


async def demo(place: Place) -> Daemon:
    """Start what ``make demo`` starts."""
    wanted = tomllib.loads(DEMO.read_text("utf-8"))
    for listener in wanted["listeners"].values():
        listener["endpoint"] = f"tcp:{free_port()}:interface=127.0.0.1"
    first, last = place.ports
    wanted["services"]["model"]["ports"] = f"{first}-{last}"
    wanted["static"] = {path: _found(folder) for path, folder in wanted["static"].items()}
    wanted["dialects"]["nexus"]["novnc"] = _found(wanted["dialects"]["nexus"]["novnc"])
    party = wanted["dialects"]["genius2"]["contexts"]["partiesserver"]
    party["folder"] = _found(party["folder"])
    wanted["dialects"]["wslink"]["launchers"]["paraview"]["file"] = str(_launcher(place))
    wanted |= {"state_dir": "state", "runtime_dir": str(place.run)}
    place.config.write_text("\n".join(f"{name} = {toml(value)}" for name, value in wanted.items()), "utf-8")
    daemon = await started(place.config)
    port = wanted["listeners"]["web"]["endpoint"].split(":")[1]
    daemon.url = f"http://127.0.0.1:{port}"
    return daemon


def _launcher(place: Place) -> Path:
    """Write the launcher's file anew, with other ports."""
    found = read_commented((DEMO.parent / "launcher.json").read_text("utf-8"))
    _, last = place.ports
    found["resources"][0]["port_range"] = [last - 1, last]
    path = place.folder / "launcher.json"
    path.write_text(json.dumps(found), "utf-8")
    return path


def _found(folder: str) -> str:
    found = (DEMO.parent / folder).resolve()
    return str(found if found.is_dir() else ROOT)  # what npm installs is not what these tests are about


@within(60)
async def test_spawn(place: Place) -> None:
    """One POST spawns a program that shows one viewer its model, gives back what it is sent, and goes with it."""
    daemon = await demo(place)
    spawned = await daemon.call("POST", "/spawn")
    assert spawned.status == 201, spawned
    viewer = await browse(spawned.json["endpoint"])
    shown = json.dumps(CUBE).encode()
    assert await viewer.bytes(len(shown)) == shown
    viewer.sendMessage(b"turn it" * 100)
    assert await viewer.bytes(len(shown) + 700) == shown + b"turn it" * 100
    viewer.sendClose(1000)
    assert await viewer.closed == (1000, None)
    await daemon.line("session.ended {'reason': 'finished'")


@within(60)
async def test_launcher(place: Place) -> None:
    """One POST starts an application of wslink's kind and says where its WebSocket is, which opens."""
    daemon = await demo(place)
    made = await daemon.call("POST", "/paraview/", {"application": "demo", "kind": "no such"})
    assert made.status == 200, made
    assert made.json["title"] == "A demo of waves"
    client = await browse(made.json["sessionURL"].replace("USE_HOST", daemon.url.rpartition("/")[2]))
    hello = {"id": "system:c0:0", "method": "wslink.hello", "args": [{"secret": made.json["secret"]}]}
    client.sendMessage(json.dumps(hello).encode())
    assert b"clientID" in await client.bytes(20)


def test_rpc(place: Place, browsing: "BrowserContext") -> None:
    """The page of the RPC application adds, draws and shows the time, below the session's address."""
    needs("chromium")
    first, last = place.ports
    application = tomllib.loads(DEMO.read_text("utf-8"))["services"]["rpc"]
    application["ports"] = f"{first}-{last}"
    place.configure(
        "".join(["[services.rpc]\n", *(f"{name} = {toml(value)}\n" for name, value in application.items())])
    )
    with running(place.config) as daemon:
        made = daemon.ready().order("rpc").json
        page = browsing.new_page()
        page.goto(made["url"])
        page.wait_for_function("document.querySelector('#sum').textContent === '42'")
        page.wait_for_function("document.querySelector('#picture').naturalWidth === 256")
        page.wait_for_function("/^..:..:..$/.test(document.querySelector('#time').textContent)")
        assert page.inner_text("#state") == "connected"
        page.screenshot(path=str(place.folder / "rpc.png"))
        page.close()
        assert daemon.release(made["id"]).status == 200
        daemon.ended(made["id"])
        assert "Traceback" not in daemon.text
