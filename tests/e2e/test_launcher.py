"""What stands in for wslink's launcher, with real applications and real clients: alone, behind Apache, behind nginx."""

import json
from pathlib import Path
from typing import Any

import pytest

from sessiond.core.values import Reason, State
from tests.chaos.test_kills import read_store
from tests.e2e.launching import LauncherSite, apache, nginx, site_ends  # noqa: F401 - a fixture
from tests.e2e.places import Place
from tests.e2e.test_rpc import CLIENTS, PACKAGES, PROGRAMS, node, running
from tests.reactor import within

pytestmark = pytest.mark.usefixtures("site_ends")
WAYS = [*(("ours", package) for package in PACKAGES), ("original", "wslink-2")]
"""wslink's own server of the second generation speaks to clients of that alone."""


async def used(package: str, page: str, application: str) -> dict[str, Any]:
    """Have a client of wslink's start an application and use it, and give what each step came to."""
    config, call = json.dumps({"application": application}), json.dumps(["t.add", [1, 2, 3]])
    endpoint = f"{page}paraview/"
    argv = [str(PROGRAMS / "launch.cjs"), str(CLIENTS), package, page, endpoint, config, call]
    with running(node(), *argv) as run:
        assert await run.ended == 0, run.output.decode()
    steps = [json.loads(line) for line in run.output.splitlines()]
    return {step["step"]: step["result"] for step in steps}


def check(told: dict[str, Any]) -> None:
    """Hold what a client was told."""
    made = told["made"]
    assert "done" in told
    assert told["refused"] == "there is no application 'no such thing'"
    assert set(made) == {"id", "host", "port", "sessionURL", "sessionManagerURL", "secret"}
    assert (made["host"], len(made["id"]), len(made["secret"])) == ("localhost", 32, 32)
    assert made["sessionURL"] == f"ws://USE_HOST/proxy?sessionId={made['id']}&path=ws"
    assert told["called"] == told["again"] == 6
    assert told["fetched"]["status"] == 200
    assert told["fetched"]["body"] == {name: made[name] for name in ("id", "host", "port", "sessionURL")}
    assert told["stopped"]["status"] == 200
    assert set(told["stopped"]["body"]) == {"id", "host", "port", "sessionURL"}


async def check_over(site: LauncherSite, place: Place) -> None:
    """Hold that both sessions of a client end: the one by its program itself, the other by its launcher."""
    await site.until(lambda: not site.mapping, "the mapping file is empty")
    await site.until(lambda: all(one.state is State.ENDED for one in read_store(store_of(place))), "all have ended")
    reasons = {one.reason for one in read_store(store_of(place))}
    assert reasons == {Reason.EXITED, Reason.RELEASED}
    assert {one.exit.code for one in read_store(store_of(place)) if one.exit and one.reason is Reason.EXITED} == {0}


def store_of(place: Place) -> Path:
    """Give the folder of the daemon's store."""
    return place.folder / "state" / "instances" / "0"


@pytest.mark.parametrize(("application", "package"), WAYS)
@within(120)
async def test_clients(place: Place, application: str, package: str) -> None:
    """Each client in the field starts an application by the launcher and reaches it through the daemon."""
    site = await LauncherSite.start(place)
    check(await used(package, site.daemon.url, application))
    await check_over(site, place)


@within(120)
async def test_behind_apache(place: Place) -> None:
    """Apache carries clients by the mapping file, and the daemon takes none of their sessions for unused."""
    site = await LauncherSite.start(place)
    with apache(place.folder / "apache", site.port, place.folder / "proxy.txt") as port:
        check(await used("wslink-2", f"http://127.0.0.1:{port}/", "ours"))
        site.daemon.url = f"http://127.0.0.1:{port}/"
        made = (await site.post("ours")).json
        answer = await site.daemon.call("GET", f"/api/{made['id']}/nothing")
        assert answer.status == 404
        assert await ended(site, made)
    await check_over(site, place)


@within(120)
async def test_behind_nginx(place: Place) -> None:
    """Nginx needs no map: everything goes through the daemon."""
    site = await LauncherSite.start(place)
    with nginx(place.folder / "nginx", site.port) as port:
        check(await used("wslink-2", f"http://127.0.0.1:{port}/", "ours"))
    await check_over(site, place)


async def ended(site: LauncherSite, made: dict[str, Any]) -> bool:
    """End a session by the launcher."""
    return (await site.daemon.call("DELETE", f"/paraview/{made['id']}")).status == 200


@within(60)
async def test_idle_end(place: Place) -> None:
    """An application that nobody uses ends by itself, which is a proper end; its port is another's then."""
    site = await LauncherSite.start(place, ports=1, idle="1")
    first = (await site.post("ours")).json
    assert (await site.post("ours")).status == 503
    await site.until(lambda: not site.mapping, "the application has ended")
    [one] = read_store(store_of(place))
    assert (one.reason, one.exit and one.exit.code) == (Reason.EXITED, 0)
    second = (await site.post("ours")).json
    assert (second["port"], second["id"] != first["id"]) == (first["port"], True)
    assert set(site.logs) == {first["id"], second["id"]}
    assert all("Starting factory" in said for said in site.logs.values())
