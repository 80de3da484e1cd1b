"""HOOPS viewers with real programs (the stand-ins) that fall silent, stay, or are asked for by somebody hostile."""

import signal
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.web.client import ResponseNeverReceived

from tests.e2e.places import Place
from tests.e2e.viewing import TOKEN, ViewerSite, is_gone, pause
from tests.reactor import within

pytestmark = pytest.mark.usefixtures("site_ends")


# -- F: what fails before it is ready --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("exit=6", "launch failed: invalid licence, exit-code=6"),
        ("exit=0", "launch failed: it ended before it was ready, exit-code=0"),
        ("segv", "launch failed: ended by signal SIGSEGV"),
        ("exit=77", "launch failed: unexpected exit, exit-code=77"),
    ],
)
@within(60)
async def test_failed_spawn(place: Place, mode: str, reason: str) -> None:
    """A program that ends before it is ready is told at once, with its cause; its output can be read by operators."""
    site = await ViewerSite.start(place, mode=mode)
    answer = await site.spawn()
    assert (answer.status, answer.json["reason"]) == (500, reason)
    log = await site.daemon.call("GET", answer.json["log"], Authorization=f"Bearer {TOKEN}")
    assert "sc_server stand-in" in str(log.json)
    await site.all_free()
    ended = await site.daemon.line("session.ended")
    assert ("'signal': 11" if mode == "segv" else f"'exit_code': {mode.rpartition('=')[2]}") in ended


@within(60)
async def test_caller_that_goes(place: Place) -> None:
    """A caller that hangs up before its program is ready has it taken back at once."""
    site = await ViewerSite.start(place, mode="never-ready", stop=("term 30s", "kill 5s"))
    asked = site.spawn()
    started = await site.event("start")
    await site.event("listening")
    asked.cancel()
    with pytest.raises(ResponseNeverReceived):
        await asked
    assert (await site.event("exit", id=started["id"]))["reason"] == "TERM"
    await site.all_free()
    await site.daemon.line("caller-gone")


@within(60)
async def test_held_viewer_that_goes(place: Place) -> None:
    """A viewer that spawns by its connection, and goes before that is taken up, has its program taken back at once."""
    site = await ViewerSite.start(place, mode="never-ready", stop=("term 30s", "kill 5s"))
    asked = site.view(f"{site.base.replace('http', 'ws')}/?renderingLocation=csr")
    await site.event("listening")
    asked.cancel()
    with pytest.raises(CancelledError):
        await asked
    await site.event("exit", reason="TERM")
    await site.all_free()


# -- G: silence, and what does not end -------------------------------------------------------------------------------


@within(60)
async def test_silence(place: Place) -> None:
    """A program that falls silent is suspect, then ended; one that is not silent for too long is left alone."""
    site = await ViewerSite.start(place, limits={"suspect": "2s", "liveliness": "4s"})
    back, _ = await site.spawned("revive=2.5")
    mute, _ = await site.spawned("mute-after=0")
    assert [await site.until(one, "suspect") for one in (back, mute)] == ["suspect"] * 2
    assert await site.until(back, "ready", "dead") == "ready"
    assert (await site.event("exit", id=mute))["reason"] == "TERM"
    assert await site.until(mute, "dead", "forgotten")
    await site.daemon.line("heartbeat-lost")
    await site.event("report", count=3, id=back, what="ping")
    assert await site.state(back) == "ready"


@within(60)
async def test_deaf(place: Place) -> None:
    """A program that hears nothing is killed, after it was asked."""
    site = await ViewerSite.start(
        place, limits={"suspect": "1500ms", "liveliness": "2s"}, stop=("drain 5s", "term 1s", "kill 5s")
    )
    deaf, _ = await site.spawned("mute-after=0,deaf")
    pid = await site.pid(deaf)
    assert await site.until(deaf, "nice-killed", "dead") == "nice-killed"
    assert (await site.event("term", id=deaf))["heeded"] is False
    await site.all_free()
    assert is_gone(pid)
    assert f"'signal': {int(signal.SIGKILL)}" in await site.daemon.line("session.ended")


@within(60)
async def test_port_rests_while_its_program_lingers(place: Place) -> None:
    """A port is given again once the program is gone, not when it has said good-bye."""
    site = await ViewerSite.start(place, count=1, ports=1)
    first, endpoint = await site.spawned("linger=1.5")
    viewer = await site.view(endpoint)
    await viewer.open_model()
    await viewer.close()
    assert await site.until(first, "disconnected", "dead") == "disconnected"
    while (answer := await site.spawn()).status != 200:
        assert answer.status == 503, answer
        await pause()
    (exited,) = site.events(event="exit", id=first)
    (began,) = site.events(event="start", id=answer.json["serviceId"])
    assert exited["at"] <= began["at"]
    assert len({one["port"] for one in site.events(event="listening")}) == 1


@within(60)
async def test_no_good_bye(place: Place) -> None:
    """Its exit is enough where a program does not say good-bye."""
    site = await ViewerSite.start(place, mode="no-disconnect")
    session_id, endpoint = await site.spawned()
    viewer = await site.view(endpoint)
    await viewer.open_model()
    viewer.drop()
    await site.event("exit", id=session_id, code=0)
    await site.all_free()
    assert "disconnect" not in site.order(session_id)


# -- H: the daemon ends, in order or not -----------------------------------------------------------------------------


@within(60)
async def test_stop(place: Place) -> None:
    """A daemon that stops leaves no program behind, and no caller without an answer."""
    site = await ViewerSite.start(place, stop=("drain 5s", "term 1s", "kill 5s"))
    ready, _ = await site.spawned()
    deaf, _ = await site.spawned("deaf")
    asked = site.spawn("never-ready")
    await site.event("start", count=3)
    pids = {one["pid"] for one in site.events(event="start")}
    assert await site.daemon.stop() == 0
    assert all(map(is_gone, pids))
    assert (await asked).status in (500, 503)
    assert site.events(event="exit", id=ready)[0]["reason"] == "TERM"
    assert not site.events(event="exit", id=deaf)


@within(60)
async def test_crash(place: Place) -> None:
    """After a crash of the daemon none of its programs is forgotten: all are ended, and every port is given anew."""
    site = await ViewerSite.start(place, store="sqlite", count=4, ports=4)
    idle, _ = await site.spawned()
    seen, endpoint = await site.spawned()
    viewer = await site.view(endpoint)
    await viewer.open_model()
    asked = site.spawn("never-ready")
    await site.event("start", count=3)
    pids = {one["pid"] for one in site.events(event="start")}
    await site.daemon.stop("KILL")
    with pytest.raises(ResponseNeverReceived):
        await asked
    await viewer.closed
    await site.event("exit", id=seen)
    await site.again()
    assert await site.until(idle, "dead")
    await site.all_free()
    assert all(map(is_gone, pids))
    again = [await site.spawned() for _ in range(4)]
    taken = {one["port"] for session_id, _ in again for one in site.events(event="listening", id=session_id)}
    assert taken == set(site.ports)


# -- I: odd reports --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("base", "wordless"), [("/liveliness", 400), ("/api/spawns/", 200)])
@within(60)
async def test_odd_reports(place: Place, base: str, wordless: int) -> None:
    """Doubled reports change nothing, nonsense and late ones neither: each is answered, and the session goes on."""
    site = await ViewerSite.start(place, mode="twice,bad-value,late", base=base)
    session_id, endpoint = await site.spawned()
    viewer = await site.view(endpoint)
    await viewer.open_model()
    await site.event("report", count=2, id=session_id, what="ping")
    assert await site.state(session_id) == "ready"
    await viewer.close()
    await site.all_free()
    assert site.events(event="report", late=True)
    answered = {(one["what"], one["status"]) for one in site.events(event="report")}
    assert answered == {("ready", 200), ("ping", 200), ("disconnect", 200), ("nonsense", 400), (None, wordless)}
    assert site.order(session_id).count("exit") == 1


# -- J: what clients must not get ------------------------------------------------------------------------------------


@within(60)
async def test_what_programs_are_given(place: Place) -> None:
    """The configured words, what a client may add, a small environment, and no licence for everybody to read."""
    site = await ViewerSite.start(place, mode="ok")
    models = place.folder / "models"
    (models / "mine").mkdir()
    params = {"model": "engine/block v2", "sessionToken": "abc-1", "modelSearchDirectories": [str(models / "mine")]}
    answer = await site.spawn(body={"class": "csr_session", "params": params})
    assert answer.status == 200, answer
    began = await site.event("start", id=answer.json["serviceId"])
    given = dict(zip(began["argv"][::2], began["argv"][1::2], strict=True))
    assert given["--model-file"] == "engine/block v2"
    assert given["--session-token"] == "abc-1"
    assert given["--model-search-directories"] == f"{models / 'mine'};{models}"
    assert "--ssr" not in given
    own = {"LD_LIBRARY_PATH", "PATH", "LANG", "PYTHONUNBUFFERED", "XDG_RUNTIME_DIR"}
    assert {name for name in began["env"] if not name.startswith("SESSIOND_")} <= own
    assert "a key" not in " ".join(began["argv"]) + str(began["env"])
    with pytest.raises(ConnectionError):
        await (await site.view(answer.json["endpoints"]["ws"], token="another")).open_model()


@within(60)
async def test_hostile_values(place: Place) -> None:
    """What a client has no business with is refused before anything starts, and no address of a client's is called."""
    site = await ViewerSite.start(place, mode="ok")
    models = place.folder / "models"
    (models / "out").symlink_to("/")
    hostile: list[dict[str, Any]] = [
        {"modelSearchDirectories": ["/etc"]},
        {"modelSearchDirectories": [f"{models};/etc"]},
        {"modelSearchDirectories": [f"{models}/../.."]},
        {"model": "../../etc/passwd"},
        {"model": "-x"},
        {"model": "/etc/passwd"},
        {"sessionToken": "--license"},
        {"sessionToken": "a\nb"},
    ]
    for params in hostile:
        answer = await site.spawn(body={"class": "csr_session", "params": params})
        assert answer.status == 403, (params, answer)
    led_out = await site.spawn(body={"params": {"modelSearchDirectories": [str(models / "out")]}})
    assert led_out.status in (403, 500)
    assert not site.events()
    called: list[object] = []
    callback = _listen(called)
    url = f"http://127.0.0.1:{callback.getHost().port}/"
    names = ("readyEndpoint", "statusEndpoint", "disconnectEndpoint")
    answer = await site.spawn(body={"params": {**dict.fromkeys(names, url), "statusUpdateFrequency": "1"}})
    viewer = await site.view(answer.json["endpoints"]["ws"])
    await viewer.open_model()
    await site.event("report", what="ping")
    await viewer.close()
    await site.all_free()
    await callback.stopListening()
    assert called == []


def _listen(called: list[object]) -> Any:
    from twisted.internet import reactor
    from twisted.internet.protocol import Factory

    factory: Any = Factory()
    factory.buildProtocol = called.append
    return reactor.listenTCP(0, factory, interface="127.0.0.1")


@within(60)
async def test_operators_routes(place: Place) -> None:
    """They are for operators, and show no secret to them either."""
    site = await ViewerSite.start(place, allow_shutdown=True)
    _, endpoint = await site.spawned()
    for verb, name in (("GET", "status"), ("GET", "spawns"), ("POST", "gc"), ("POST", "shutdown")):
        assert (await site.daemon.call(verb, f"/api/{name}", Origin=site.base)).status == 401
        assert (await site.daemon.call(verb, f"/api/{name}", Authorization="Bearer wrong")).status == 401
    shown = str([await site.control("GET", name) for name in ("status", "spawns", "help")])
    began = await site.event("start")
    secret = began["argv"][began["argv"].index("--liveliness-endpoint") + 1].split("/")[3]
    token = endpoint.partition("token=")[2]
    for hidden in (secret, token, "a key", str(place.folder)):
        assert hidden not in shown
        assert hidden not in site.daemon.text.partition("sessiond is ready")[2]
    assert (await site.control("POST", "gc")).json == {"status": "ok"}
    ended = await site.control("POST", "shutdown")
    assert ended.json["status"] == "ok"
    await site.daemon.wait()
    assert site.daemon.output.status == 0
    assert is_gone(began["pid"])
