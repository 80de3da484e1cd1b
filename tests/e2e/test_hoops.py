"""HOOPS viewers with real programs (the stand-ins), over real connections: the specification's acceptance checks."""

from typing import Any

import pytest

from tests.dialects.hoops.rewriters import PREFIXES, colon_splitting, path_keeping, plain_only, shipped
from tests.dialects.hoops.viewers import Refused, Viewer
from tests.e2e.places import Place
from tests.e2e.viewing import LIMITS, ViewerSite, binds, is_gone, pause
from tests.reactor import within

SHIPPED = {"Access_Control_Allow_Origin": "*"}
"""What the shipped client puts on its request, for no good reason."""


UNWATCHED = {name: value for name, value in LIMITS.items() if name not in ("connect", "linger")}
"""The limits of programs whose viewers nobody sees."""


pytestmark = pytest.mark.usefixtures("site_ends")


async def talk(viewer: Viewer) -> None:
    """Say what a viewer says first, and messages of every kind; each comes back as the program has read it."""
    first = await viewer.open_model()
    assert first["kind"] == ("text" if viewer.kind == "ssr" else "binary")
    for payload in (b"", b"x", bytes(range(256)) * 2000, "", "text \u00e9"):
        said = await viewer.exchange(payload, fragment=4096 if len(payload) > 4096 else None)
        length = len(payload.encode()) if isinstance(payload, str) else len(payload)
        assert (said["kind"], said["length"]) == ("text" if isinstance(payload, str) else "binary", length)


# -- A, B: the broker's client ---------------------------------------------------------------------------------------


@within(60)
async def test_broker_client(place: Place) -> None:
    """From its preflight to its two viewers; when all are taken it hears why, and others when to come again."""
    site = await ViewerSite.start(place, count=2)
    asked = {"Origin": site.base, "Access_Control_Request_Method": "POST"}
    preflight = await site.daemon.call("OPTIONS", "/service", **asked)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == site.base
    assert "Access-Control-Allow-Methods" in preflight.headers["access-control-allow-headers"]
    for kind in ("csr", "ssr"):
        answer = await site.spawn(kind=kind, **SHIPPED)
        assert (answer.status, answer.json["result"]) == (200, "ok")
        viewer = await site.view(answer.json["endpoints"]["ws"], kind)
        assert viewer.subprotocol == ("binary" if kind == "ssr" else None)
        await talk(viewer)
    full = await site.spawn(**SHIPPED)
    assert (full.status, full.json["reason"]) == (200, "No ports available")
    assert full.json["result"] != "ok"
    other = await site.spawn()
    assert (other.status, other.json["reason"]) == (503, "No ports available")
    assert int(other.headers["retry-after"]) >= 1


@within(60)
async def test_any_type_of_body(place: Place) -> None:
    """Server-side rendering stays that whatever the body is called, and a broken body becomes nothing else."""
    site = await ViewerSite.start(place)
    for named in ("text/plain", "application/x-www-form-urlencoded"):
        answer = await site.spawn(kind="ssr", Content_Type=named)
        assert "--ssr" in (await site.event("start", id=answer.json["serviceId"]))["argv"]
    broken = await site.spawn(body=["not", "an", "object"])
    assert broken.status == 400
    assert len(site.events(event="start")) == 2


# -- C, D: nothing before ready --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/service", "/api/spawn", "/spawn"])
@within(60)
async def test_answers_at_ready(place: Place, path: str) -> None:
    """Nothing is answered before the program has reported that it is ready; a sign of life is no such report."""
    site = await ViewerSite.start(place, mode="slow-ready=0.5,ping-first")
    answer = await site.spawn(path=path, body={})
    assert answer.status == (201 if path == "/spawn" else 200)
    session_id = answer.json["id" if path == "/spawn" else "serviceId"]
    ready = await site.event("report", id=session_id, what="ready")
    assert ready["status"] == 200
    assert not site.events(event="ready_unanswered")
    assert site.order(session_id)[2:4] == ["ping", "ready"]
    assert "session.ready" in await site.daemon.line("session.ready")


@within(60)
async def test_never_ready(place: Place) -> None:
    """A program that never says so is taken back, and its caller told, while the program still pings."""
    site = await ViewerSite.start(place, mode="never-ready", limits={"launch": "1500ms"})
    answers = [await site.spawn(path=path) for path in ("/service", "/api/spawn")]
    for answer in answers:
        assert answer.status == 504, answer
        assert answer.json["status"] == "failed"
        assert answer.json["reason"] == "launch failed: the program was not ready in time"
        await site.event("exit", id=answer.json["session"], reason="TERM")
    await site.all_free()


@pytest.mark.parametrize("base", ["/liveliness", "/api/spawns/"])
@pytest.mark.parametrize("join", ["plain", "double", "final"])
@within(60)
async def test_both_bases(place: Place, base: str, join: str) -> None:
    """All reports are answered, however the program puts base and id together."""
    site = await ViewerSite.start(place, mode="ok", own=("--join", join), base=base)
    answer = await site.spawn(path="/spawn", body={"rendererType": "csr"})
    assert answer.status == 201
    assert set(answer.json) == {"id", "endpoint", "rendererType"}
    viewer = await site.view(answer.json["endpoint"])
    await viewer.open_model()
    await site.event("report", id=answer.json["id"], what="ping")
    await viewer.close()
    await site.all_free()
    reports = site.events(event="report")
    assert [one["status"] for one in reports] == [200] * len(reports)
    assert {one["what"] for one in reports} == {"ready", "ping", "disconnect"}
    assert not site.events(event="ready_unanswered")
    assert not site.events(event="report_failed")


# -- E: the viewer's WebSocket ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("kind", ["csr", "ssr"])
@pytest.mark.parametrize("form", ["session-path", "proxy-port", "direct-port", "direct"])
@within(60)
async def test_every_way_in(place: Place, form: str, kind: str, deflate: bool) -> None:
    """Frames keep their kind, the subprotocol and the extension that both agreed on; then the port binds at once."""
    more = {"watch": "child", "limits": UNWATCHED} if form == "direct-port" else {}
    settings: dict[str, Any] = {} if form == "direct" else {"endpoint": form}
    own = ("--deflate",) if deflate else ()
    site = await ViewerSite.start(place, mode="ok", own=own, more=more, **settings)
    if form == "direct":
        endpoint = f"{site.base.replace('http', 'ws')}/?renderingLocation={kind}"
    else:
        _, endpoint = await site.spawned(kind=kind)
    viewer = await site.view(endpoint, kind)
    assert viewer.subprotocol == ("binary" if kind == "ssr" else None)
    assert viewer.extensions.split(";")[0] == ("permessage-deflate" if deflate else "")
    await talk(viewer)
    if form == "direct-port":
        viewer.drop()  # a close of its own would have the program's connection wait, and with it its port
    else:
        assert await viewer.close() == (1000, None)
    exited = await site.event("exit")
    assert (exited["code"], exited["reason"]) == (0, "viewer closed")
    (port,) = {one["port"] for one in site.events(event="listening")}
    while not is_gone(exited["pid"]):
        await pause()
    assert binds(port)
    await site.all_free()


@within(60)
async def test_rewritten_endpoints(place: Place) -> None:
    """What pages in the field make of an endpoint leads to the program all the same."""
    site = await ViewerSite.start(
        place, mode="ok", endpoint="proxy-port", proxy_prefixes=["wsproxy", "wssproxy", "streaming", "ws"], ports=16
    )
    host = site.base.removeprefix("http://")
    rewritten = [shipped, plain_only, path_keeping, *(_prefixed(prefix) for prefix in PREFIXES)]
    for rewrite in rewritten:
        session_id, _ = await site.spawned()
        port = (await site.event("listening", id=session_id))["port"]
        url = rewrite(f"ws://127.0.0.1:{port}", host).replace("wss://", "ws://")
        viewer = await site.view(url)
        await viewer.open_model()
        with pytest.raises(Refused) as second:
            await site.view(url)
        assert second.value.status == 409
        await viewer.close()
        await site.event("exit", id=session_id)
    await site.all_free()


def _prefixed(prefix: str) -> Any:
    return lambda endpoint, host: colon_splitting(endpoint, host, prefix)


@pytest.mark.parametrize(("mode", "status"), [("refuse-101", 502), ("ok", None)])
@within(60)
async def test_program_that_refuses(place: Place, mode: str, status: int | None) -> None:
    """An upgrade that the program refuses is refused; a token opens once, and any other nothing."""
    site = await ViewerSite.start(place, mode=mode)
    _, endpoint = await site.spawned()
    if status is None:
        viewer = await site.view(endpoint)
        for url in (endpoint, endpoint[:-1] + ("a" if endpoint[-1] != "a" else "b")):
            with pytest.raises(Refused) as other:
                await site.view(url)
            assert other.value.status in (403, 404, 409)
        await talk(viewer)
        await viewer.close()
    else:
        with pytest.raises(Refused) as refused:
            await site.view(endpoint)
        assert refused.value.status == status
    assert not site.events(event="second_client")


@within(60)
async def test_program_without_the_subprotocol(place: Place) -> None:
    """The program answers the handshake itself: where it selects nothing, a viewer that offered something goes."""
    site = await ViewerSite.start(place, mode="no-subprotocol")
    _, endpoint = await site.spawned(kind="ssr")
    with pytest.raises(ConnectionRefusedError, match="no subprotocol was selected"):
        await site.view(endpoint, "ssr")
    await site.all_free()
