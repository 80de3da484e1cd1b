"""The native API, as a portal uses it: over real HTTP bytes, with the whole broker behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from sessiond.core.errors import LATER_S, Code
from sessiond.core.services import Caps, Limits, Pattern, Plan, Stop
from sessiond.core.services import Integer as Whole
from sessiond.core.values import End, Kind, LaunchWhen, State, StopStep
from sessiond.web.access import Face
from sessiond.web.orders import WAIT_S
from tests.broker.world import SERVICES, SIZES, WARM, service
from tests.fakes.launchers import ByHand, DiesAtOnce, FailsToStart, IgnoresKill, NeverReady
from tests.web.http import ANYONE, TOKENS_ONLY, Api, bearer, token

ADA, BOB, ROOT, EYE = token("ada", "launch"), token("bob", "launch"), token("root", "operate"), token("eye", "read")
CALLERS = (ADA, BOB, ROOT, EYE)


def guarded(**more: Any) -> Api:
    """Give a daemon that asks for tokens."""
    return Api(*CALLERS, face=TOKENS_ONLY, **more)


def test_services() -> None:
    """Services are listed with their pools and options, in the configuration's own words."""
    options = {**SIZES, "depth": Whole(8, 32, 24), "name": Pattern("[a-z]+", "x", 16)}
    api = Api(services=(service("plain", Plan(), options=options, title="Plain"), service("shared", Plan())))
    api.create("plain")
    assert api.get("/services").json == {
        "services": [
            {
                "name": "plain",
                "title": "Plain",
                "kind": "tcp",
                "count": 2,
                "used": 1,
                "queued": 0,
                "cause": None,
                "any_options": False,
                "options": {
                    "size": {"type": "choice", "of": ["small", "large"], "default": "small"},
                    "depth": {"type": "integer", "minimum": 8, "maximum": 32, "default": 24},
                    "name": {
                        "type": "pattern",
                        "pattern": "[a-z]+",
                        "max_length": 16,
                        "optional": False,
                        "default": "x",
                    },
                },
            },
            {
                "name": "shared",
                "title": None,
                "kind": "tcp",
                "count": 2,
                "used": 0,
                "queued": 0,
                "cause": None,
                "any_options": False,
                "options": {},
            },
        ]
    }


def test_services_of_groups() -> None:
    """A service with a group is neither seen nor started by others, and they cannot tell that it exists."""
    services = (SERVICES[0], evolve(SERVICES[1], group="designers"))
    api = Api(token("ada", "launch", groups=["designers"]), BOB, ROOT, face=TOKENS_ONLY, services=services)
    for name, count in (("ada", 2), ("root", 2), ("bob", 1)):
        assert len(api.get("/services", headers=bearer(name)).json["services"]) == count
    hidden = api.post("/sessions", {"service": "leased"}, headers=bearer("bob"))
    missing = api.post("/sessions", {"service": "nothing"}, headers=bearer("bob"))
    assert hidden.refused("unknown-service", 404) == missing.refused("unknown-service", 404)
    assert api.post("/sessions", {"service": "leased"}, headers=bearer("ada")).status == 201


def test_create() -> None:
    """A session is made, and its maker alone is told the token, once."""
    api = Api()
    received = api.post("/sessions", {"service": "plain", "options": {"size": "large"}, "owner": "ada"})
    told = received.json
    assert received.status == 201
    assert received.headers["location"] == f"sessions/{told['id']}"
    assert (told["state"], told["owner"], told["slot"], told["waiting_for"]) == ("launching", "ada", 0, "start")
    assert told["tunnel_url"] == f"ws://127.0.0.1:9000/tunnel?token={told['token']}"
    assert api.broker.by_token(told["token"]).id == told["id"]
    again = api.get(f"/sessions/{told['id']}").json
    assert not {"token", "tunnel_url"} & again.keys()


def test_session_shape() -> None:
    """This is all that is ever told of a session; what is new here was reviewed for secrets."""
    api = Api()
    session_id = api.create("plain", owner="ada")["id"]
    api.world.advance(20.0)
    assert api.get(f"/sessions/{session_id}").json == {
        "id": session_id,
        "service": "plain",
        "kind": "tcp",
        "slot": 0,
        "owner": "ada",
        "state": "ready",
        "step": None,
        "since": "1970-01-12T13:46:40Z",
        "created_at": "1970-01-12T13:46:40Z",
        "position": None,
        "eta_s": None,
        "waiting_for": None,
        "deadlines": [
            {"name": "connect", "at": "1970-01-12T13:47:40Z", "in_s": 40.0},
            {"name": "lifetime", "at": "1970-01-13T13:46:40Z", "in_s": 86380.0},
        ],
        "reported_at": None,
        "suspect": False,
        "reason": None,
        "cause": None,
        "exit": None,
    }


def test_no_secret_is_told() -> None:
    """No answer but the first holds the token, and none holds what the program alone may know."""
    api = Api()
    told = api.create("leased", {"Idempotency-Key": "canary-key"})
    session = api.broker.session(told["id"])
    secrets = (told["token"], session.child_secret, session.nonce, session.key or "", session.token_digest.hex())
    assert all(secrets)
    paths = ("/sessions", f"/sessions/{session.id}", f"/sessions/{session.id}/log", "/services", "/sessions/nothing")
    for path in paths:
        text = api.get(path).body.decode()
        assert not [secret for secret in secrets if secret in text]
    assert not [secret for secret in secrets[1:] if secret in str(told)]


def test_wait_until_ready() -> None:
    """A caller who waits is answered when the program is ready."""
    api = Api()
    api.world.launcher.script = ByHand()
    connection = api.connect()
    connection.send("POST", "/api/v1/sessions", {"service": "lazy", "wait": "ready"})
    assert not connection.answered
    (session,) = api.broker.sessions()
    api.world.launcher.children[session.id].become_ready()
    received = connection.received()
    assert (received.status, received.json["state"]) == (201, "ready")


def test_wait_too_long() -> None:
    """A caller is held for 55 seconds and then told that it will be later, with the token; the session goes on."""
    api = Api()
    api.world.launcher.script = NeverReady()
    connection = api.connect()
    connection.send("POST", "/api/v1/sessions", {"service": "plain", "wait": "ready"})
    api.world.advance(WAIT_S - 0.1)
    assert not connection.answered
    api.world.advance(0.2)
    received = connection.received()
    assert (received.status, received.json["state"], received.json["waiting_for"]) == (202, "launching", "listens")
    assert received.json["token"]


def test_hang_up_while_waiting() -> None:
    """A caller who hangs up takes the session along, at once."""
    api = Api()
    api.world.launcher.script = ByHand()
    connection = api.connect()
    connection.send("POST", "/api/v1/sessions", {"service": "plain", "wait": "ready"})
    connection.hang_up()
    told = api.get("/sessions").json["sessions"][0]
    assert (told["state"], told["reason"]) == ("stopping", "caller-gone")


def test_hang_up_with_key() -> None:
    """A caller with an Idempotency-Key can come back, so its session stays."""
    api = Api()
    api.world.launcher.script = ByHand()
    connection = api.connect()
    connection.send("POST", "/api/v1/sessions", {"service": "plain", "wait": "ready"}, {"Idempotency-Key": "k"})
    connection.hang_up()
    assert api.get("/sessions").json["sessions"][0]["state"] == "launching"


def test_hang_up_while_saving() -> None:
    """A caller who hangs up while the session is being saved is taken for gone the moment it is."""
    api = Api()
    api.world.launcher.script, api.world.store.slow = ByHand(), True
    connection = api.connect()
    connection.send("POST", "/api/v1/sessions", {"service": "plain", "wait": "ready"})
    connection.hang_up()
    api.world.store.slow = False
    api.world.store.flush()
    assert api.get("/sessions").json["sessions"][0]["reason"] == "caller-gone"


def test_nothing_is_told_before_it_is_saved() -> None:
    """The answer waits for the store."""
    api = Api()
    api.world.store.slow = True
    connection = api.connect()
    connection.send("POST", "/api/v1/sessions", {"service": "plain"})
    assert not connection.answered
    assert api.get("/sessions").json == {"sessions": []}
    api.world.store.flush()
    assert connection.received().status == 201


def test_queue() -> None:
    """Where there is no slot, a caller is told its place, and how long at most where that is certain."""
    plan = Plan(queueing=True, limits=Limits(lifetime_s=20.0), stop=(Stop(StopStep.KILL, 5.0),))
    api = Api(services=(service("plain", plan),), pools={"plain": 1})
    api.create()
    first, second = (api.post("/sessions", {"service": "plain"}) for _ in range(2))
    assert (first.status, second.status) == (202, 202)
    assert first.json["token"]
    assert (first.json["state"], first.json["position"], first.json["waiting_for"]) == ("queued", 1, "slot")
    assert first.json["eta_s"] == 25.0  # the first session's lifetime and its stop
    assert (second.json["position"], second.json["eta_s"]) == (2, None)
    listed = api.get("/sessions").json["sessions"]
    assert [session["position"] for session in listed] == [None, 1, 2]


def test_queue_while_stopping() -> None:
    """A session that is being ended leaves its slot once its steps are over."""
    plan = Plan(queueing=True, stop=(Stop(StopStep.TERM, 4.0), Stop(StopStep.KILL, 3.0)))
    api = Api(services=(service("plain", plan),), pools={"plain": 1})
    api.world.launcher.script = IgnoresKill()
    api.fetch("DELETE", f"/sessions/{api.create()['id']}")
    api.world.advance(1.0)
    assert api.post("/sessions", {"service": "plain"}).json["eta_s"] == 6.0
    api.world.advance(7.0)
    assert api.get("/sessions").json["sessions"][0]["step"] == "stuck"
    assert api.post("/sessions", {"service": "plain"}).json["eta_s"] is None


def test_eta_by_experience() -> None:
    """Where sessions have ended already, a caller is told how long theirs lasted, and what that leaves."""
    plan = Plan(queueing=True, limits=Limits(queue_s=600.0, linger_s=600.0, connect_s=600.0))
    api = Api(services=(service("plain", plan),), pools={"plain": 1})
    for _ in range(9):
        session_id = api.create()["id"]
        api.world.advance(100.0)
        api.fetch("DELETE", f"/sessions/{session_id}")
        api.world.advance(0.0)
    api.create()
    api.world.advance(30.0)
    first, second = (api.post("/sessions", {"service": "plain"}).json for _ in range(2))
    assert first["eta_s"] == 70.0
    assert second["eta_s"] == pytest.approx(170.0, rel=0.1)
    assert [session["eta_s"] for session in api.get("/sessions").json["sessions"][-2:]] == [None, None]
    patience = Plan(queueing=True, limits=Limits(queue_s=30.0))
    hurried = Api(services=(service("plain", patience),), pools={"plain": 1})
    hurried.create()
    assert hurried.post("/sessions", {"service": "plain"}).json["eta_s"] is None


@pytest.mark.parametrize(
    ("prefer", "refused"),
    [
        ("wait=0", True),
        ("respond-async, wait=0", True),
        ('Wait = "0"; x=y', True),
        ("wait=00", False),
        ("wait=10", False),
        ("wait", False),
        ("waits=0", False),
        ("wait=10, wait=0", False),
        ("return=minimal", False),
        ("", False),
    ],
)
def test_prefer_not_to_queue(prefer: str, refused: bool) -> None:
    """A caller may rather be refused than queue; the first word on that counts, and others are passed over."""
    api = Api(services=(service("plain", Plan(queueing=True)),), pools={"plain": 1})
    assert api.post("/sessions", {"service": "plain"}, headers={"Prefer": "wait=0"}).status == 201
    received = api.post("/sessions", {"service": "plain"}, headers={"Prefer": prefer})
    if refused:
        received.refused("full", 503)
    else:
        assert received.status == 202


def test_cancelled_in_the_queue() -> None:
    """Who does not wait for the answer ends its place in the queue, and the next moves up."""
    api = Api(services=(service("plain", Plan(queueing=True)),), pools={"plain": 1})
    api.create()
    first, second = (api.post("/sessions", {"service": "plain"}).json for _ in range(2))
    told = api.fetch("DELETE", f"/sessions/{first['id']}").json
    assert (told["state"], told["reason"], told["position"]) == ("ended", "released", None)
    assert api.get(f"/sessions/{second['id']}").json["position"] == 1


def test_hang_up_in_the_queue() -> None:
    """Who hangs up while it waits in the queue leaves its place to the next, at once."""
    api = Api(services=(service("plain", Plan(queueing=True)),), pools={"plain": 1})
    api.create()
    connection = api.connect()
    connection.send("POST", "/api/v1/sessions", {"service": "plain", "wait": "ready"})
    second = api.post("/sessions", {"service": "plain"}).json
    assert second["position"] == 2
    connection.hang_up()
    assert api.get(f"/sessions/{second['id']}").json["position"] == 1
    assert [s["reason"] for s in api.get("/sessions").json["sessions"]] == [None, "caller-gone", None]


def test_quota() -> None:
    """An owner that has as many sessions as it may is told so, and when to come again; an end makes room."""
    api = guarded(caps=Caps(per_owner=2))
    first, _ = (api.create(name, bearer("ada"))["id"] for name in ("plain", "shared"))
    received = api.post("/sessions", {"service": "leased"}, headers=bearer("ada"))
    assert received.refused("quota", 429)["detail"] == "an owner may have 2 sessions at once"
    assert 2 <= int(received.headers["retry-after"]) <= 10
    assert api.post("/sessions", {"service": "leased"}, headers=bearer("bob")).status == 201
    api.fetch("DELETE", f"/sessions/{first}", headers=bearer("ada"))
    api.world.advance(0.0)
    assert api.post("/sessions", {"service": "leased"}, headers=bearer("ada")).status == 201


def test_quota_is_the_owners() -> None:
    """What an operator makes in another's name counts for the other; a repeat of a request counts once."""
    api = guarded(caps=Caps(per_owner=1))
    for name in ("ada", "bob", "root"):
        api.create("plain" if name != "root" else "leased", bearer("root"), owner=name)
    api.post("/sessions", {"service": "shared", "owner": "ada"}, headers=bearer("root")).refused("quota", 429)
    api.post("/sessions", {"service": "shared"}, headers=bearer("ada")).refused("quota", 429)
    keyed = {**bearer("root"), "Idempotency-Key": "k"}
    assert [api.create("leased", keyed, owner="eve")["owner"] for _ in range(2)] == ["eve", "eve"]


def test_quota_of_nobody() -> None:
    """Callers without a name are one owner together."""
    api = Api(*CALLERS, caps=Caps(per_owner=2))
    for _ in range(2):
        api.create("leased")
    api.post("/sessions", {"service": "leased"}).refused("quota", 429)
    assert api.post("/sessions", {"service": "leased"}, headers=bearer("ada")).status == 201


def test_quota_of_a_warm_session() -> None:
    """A warm session is nobody's, but who has as many as it may claims none."""
    api = guarded(services=(*SERVICES, WARM), caps=Caps(per_owner=1))
    api.world.advance(0.0)
    api.create("plain", bearer("ada"))
    api.post("/sessions", {"service": "warm"}, headers=bearer("ada")).refused("quota", 429)
    assert api.create("warm", bearer("bob"))["state"] == "ready"


def test_as_many_sessions_as_may_be() -> None:
    """Beyond the number of all sessions callers queue where they may, and get the first place that comes free."""
    services = (service("plain", Plan()), service("shared", Plan(queueing=True)))
    api = Api(services=services, pools={"plain": 2, "shared": 2}, caps=Caps(sessions=1))
    session_id = api.create("plain")["id"]
    api.post("/sessions", {"service": "plain"}).refused("full", 503)
    waiting = api.post("/sessions", {"service": "shared"}).json
    assert (waiting["state"], waiting["position"], waiting["eta_s"]) == ("queued", 1, None)
    api.fetch("DELETE", f"/sessions/{session_id}")
    api.world.advance(0.0)
    assert api.get(f"/sessions/{waiting['id']}").json["state"] == "ready"


BRING_ABOUT: dict[str, Callable[[Api], object]] = {
    "quota": lambda api: [api.create("leased") for _ in range(3)],
    "full": lambda api: [api.create("plain") for _ in range(2)],
    "suspended": lambda api: fail_to_start(api, 5),
    "store-unavailable": lambda api: setattr(api.world.store, "broken", True),
    "shutting-down": lambda api: setattr(api.broker, "accepting", False),
}


def fail_to_start(api: Api, times: int) -> None:
    """Have the programs of some sessions fail."""
    api.world.launcher.script = FailsToStart()
    for _ in range(times):
        api.create("plain")


@pytest.mark.parametrize("code", [code.value for code in LATER_S])
def test_retry_after(code: str) -> None:
    """Whatever time mends, each caller is told another time to come again, with a code that says what is the matter."""
    api = Api(caps=Caps(per_owner=3))
    BRING_ABOUT[code](api)
    waits = set()
    for fraction in (0.0, 0.3, 0.6, 1.0):
        api.world.entropy.fraction = lambda fraction=fraction: fraction  # type: ignore[misc, method-assign]
        received = api.post("/sessions", {"service": "plain"})
        document = received.refused(code, 429 if code == "quota" else 503)
        waits.add(document["retry_after_s"])
        assert int(received.headers["retry-after"]) >= document["retry_after_s"]
    assert len(waits) == 4
    assert api.world.turned_away[-4:] == [("plain", Code(code))] * 4


def test_queue_timeout() -> None:
    """A caller who waits in the queue in vain is told so when its time there is over."""
    api = Api(services=(service("plain", Plan(queueing=True)),), pools={"plain": 1})
    api.create()
    connection = api.connect()
    connection.send("POST", "/api/v1/sessions", {"service": "plain", "wait": "ready"})
    api.world.advance(30.0)
    received = connection.received()
    document = received.refused("full", 503)
    assert document["reason"] == "queue-timeout"
    assert 1 <= int(received.headers["retry-after"]) <= 5


def test_full() -> None:
    """Where nobody may wait, a caller is told when to come again."""
    api = Api(pools={"plain": 1, **{s.name: 1 for s in SERVICES[1:]}})
    api.create()
    received = api.post("/sessions", {"service": "plain"})
    assert received.refused("full", 503)["retry_after_s"] == 3.0
    assert received.headers["retry-after"] == "3"


@pytest.mark.parametrize(
    ("script", "status", "code", "cause"),
    [
        (FailsToStart(), 502, "launch-failed", "command not found: nowhere"),
        (
            DiesAtOnce(output=("cannot open display",)),
            502,
            "launch-failed",
            "the program ended with status 1 before it was ready",
        ),
    ],
)
def test_launch_failed(script: Any, status: int, code: str, cause: str) -> None:
    """A launch that fails is told with its cause and the program's last lines."""
    api = guarded()
    api.world.launcher.script = script
    connection = api.connect()
    connection.send("POST", "/api/v1/sessions", {"service": "plain", "wait": "ready"}, bearer("ada"))
    api.world.advance(0.0)
    document = connection.received().refused(code, status)
    assert (document["cause"], document["detail"], document["reason"]) == (cause, cause, "launch-failed")
    assert document["log"] == list(script.output)
    assert api.get(f"/sessions/{document['session']}", headers=bearer("ada")).json["reason"] == "launch-failed"


def test_launch_timeout() -> None:
    """A program that is not ready in time is told as such."""
    api = Api(services=(service("plain", Plan(limits=Limits(launch_s=10.0))),), pools={"plain": 1})
    api.world.launcher.script = NeverReady(output=("still loading",))
    connection = api.connect()
    connection.send("POST", "/api/v1/sessions", {"service": "plain", "wait": "ready"})
    api.world.advance(10.0)
    document = connection.received().refused("launch-timeout", 504)
    assert (document["reason"], document["log"]) == ("launch-timeout", ["still loading"])


def test_no_port() -> None:
    """Where no port is free the service is as good as full."""
    api = Api()
    api.world.leases.squatted = set(range(11000, 11004))
    received = api.post("/sessions", {"service": "leased", "wait": "ready"})
    assert received.refused("full", 503)["reason"] == "no-port"
    assert "retry-after" in received.headers


def test_ended_by_another() -> None:
    """Who waits for a session that somebody ends is told that."""
    api = Api()
    api.world.launcher.script = ByHand()
    connection = api.connect()
    connection.send("POST", "/api/v1/sessions", {"service": "plain", "wait": "ready"})
    api.fetch("DELETE", f"/sessions/{api.broker.sessions()[0].id}")
    document = connection.received().refused("not-accepting", 409)
    assert (document["reason"], document["detail"]) == ("released", "the session has ended: released")


def test_suspended() -> None:
    """A service that fails again and again says when it may be tried again."""
    api = Api()
    api.world.launcher.script = FailsToStart()
    for _ in range(5):
        api.post("/sessions", {"service": "plain"})
        api.world.advance(0.0)
    received = api.post("/sessions", {"service": "plain"})
    received.refused("suspended", 503)
    assert int(received.headers["retry-after"]) > 0


def test_store_broken() -> None:
    """Nothing is begun that can't be recorded."""
    api = Api()
    api.world.store.broken = True
    api.post("/sessions", {"service": "plain"}).refused("store-unavailable", 503)
    assert api.get("/sessions").json == {"sessions": []}


def test_stopping_daemon() -> None:
    """A daemon that stops makes no sessions."""
    api = Api()
    api.broker.accepting = False
    api.post("/sessions", {"service": "plain"}).refused("shutting-down", 503)


def test_idempotency_key() -> None:
    """A repeat gives the same session, with a new token; the old one is void."""
    api = guarded()
    headers = {"Idempotency-Key": "order 66", **bearer("ada")}
    first, second = (api.create("plain", headers) for _ in range(2))
    assert first["id"] == second["id"]
    assert first["token"] != second["token"]
    assert api.broker.by_token(second["token"]).id == first["id"]
    with pytest.raises(Exception, match="unauthenticated"):
        api.broker.by_token(first["token"])
    other = api.create("plain", {"Idempotency-Key": "order 66", **bearer("bob")})
    assert other["id"] != first["id"]


def test_idempotency_key_of_ended() -> None:
    """A repeat for a session that has ended tells how it ended, and opens nothing."""
    api = Api()
    headers = {"Idempotency-Key": "k"}
    session_id = api.create("plain", headers)["id"]
    api.fetch("DELETE", f"/sessions/{session_id}")
    api.world.advance(0.0)
    repeated = api.post("/sessions", {"service": "plain"}, headers=headers)
    assert (repeated.status, repeated.json["state"]) == (200, "ended")
    assert not {"token", "tunnel_url"} & repeated.json.keys()
    waiting = api.post("/sessions", {"service": "plain", "wait": "ready"}, headers=headers)
    assert waiting.refused("not-accepting", 409)["session"] == session_id


@pytest.mark.parametrize("key", ["", "x" * 129, "tab\there", "ümlaut"])
def test_bad_idempotency_key(key: str) -> None:
    """A key is printable ASCII, and not long."""
    Api().post("/sessions", {"service": "plain"}, headers={"Idempotency-Key": key}).refused("bad-request", 400)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"service": None},
        {"service": 7},
        {"service": ["plain"]},
        {"service": "plain", "option": {}},
        {"service": "plain", "options": []},
        {"service": "plain", "options": None},
        {"service": "plain", "wait": "later"},
        {"service": "plain", "wait": None},
        {"service": "plain", "wait": ["ready"]},
        {"service": "plain", "owner": 7},
        {"service": "plain", "owner": "x" * 129},
        {"service": "plain", "owner": "line\nbreak"},
        {"service": "plain", "token": "mine"},
    ],
)
def test_bad_order(body: dict[str, object]) -> None:
    """An order that is not understood as a whole makes no session."""
    api = Api()
    api.post("/sessions", body).refused("bad-request", 400)
    assert api.broker.sessions() == []


@pytest.mark.parametrize(
    "options",
    [{"size": "huge"}, {"size": 7}, {"size": None}, {"size": ["small"]}, {"other": "x"}, {"size": "-small"}, {"": ""}],
)
def test_bad_options(options: dict[str, object]) -> None:
    """Options are what the service declares, and nothing else."""
    Api().post("/sessions", {"service": "plain", "options": options}).refused("bad-option", 400)


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"service": "plain", "service": "plain"}', b"\xff", b'{"service": NaN}'])
def test_bad_json(raw: bytes) -> None:
    """A body that is no JSON object is refused."""
    headers = {"Content-Type": "application/json"}
    Api().fetch("POST", "/sessions", raw, headers=headers).refused("bad-request", 400)


def test_owner() -> None:
    """A session stands in its caller's name; another's name takes an operator."""
    api = guarded()
    assert api.create("plain", bearer("ada"))["owner"] == "ada"
    assert api.create("shared", bearer("root"), owner="eve")["owner"] == "eve"
    api.post("/sessions", {"service": "plain", "owner": "ada"}, headers=bearer("bob")).refused("forbidden", 403)
    api.post("/sessions", {"service": "plain"}, headers=bearer("eye")).refused("forbidden", 403)


def test_long_list() -> None:
    """A list of many sessions is made in several turns, between which others have theirs."""
    api = Api(services=(service("plain", Plan()),), pools={"plain": 1000})
    ids = [api.post("/sessions", {"service": "plain"}).json["id"] for _ in range(450)]
    connection = api.connect()
    connection.send("GET", "/api/v1/sessions")
    assert not connection.answered
    api.world.advance(0.0)
    assert [session["id"] for session in connection.received().json["sessions"]] == ids
    connection.send("GET", "/api/v1/sessions")
    connection.hang_up()
    api.world.advance(0.0)
    assert not connection.answered


def test_strangers_sessions() -> None:
    """A caller sees and ends its own sessions; of others' it cannot tell that they exist. An operator may all."""
    api = guarded()
    session_id = api.create("plain", bearer("ada"))["id"]
    for method, path, body in (
        ("GET", "", None),
        ("DELETE", "", None),
        ("GET", "/log", None),
        ("POST", "/extend", {"deadline": "lifetime", "by_s": 1}),
    ):
        refusal = api.fetch(method, f"/sessions/{session_id}{path}", body, headers=bearer("bob"))
        nothing = api.fetch(method, f"/sessions/plain-zzzzzz{path}", body, headers=bearer("bob"))
        assert refusal.refused("unknown-session", 404) == nothing.refused("unknown-session", 404)
    assert api.get("/sessions", headers=bearer("bob")).json == {"sessions": []}
    assert len(api.get("/sessions", headers=bearer("ada")).json["sessions"]) == 1
    assert len(api.get("/sessions", headers=bearer("root")).json["sessions"]) == 1
    assert api.fetch("DELETE", f"/sessions/{session_id}", headers=bearer("root")).json["state"] == "stopping"


def test_nameless_sessions() -> None:
    """Where names count, who proves none sees the sessions without a name only, and takes nobody's name."""
    api = Api(*CALLERS, face=ANYONE)
    api.create("plain", bearer("ada"))
    mine = api.create("plain")
    assert [session["id"] for session in api.get("/sessions").json["sessions"]] == [mine["id"]]
    api.post("/sessions", {"service": "plain", "owner": "ada"}).refused("forbidden", 403)


def test_delete() -> None:
    """A session is ended, and to end it again does no harm."""
    api = Api()
    session_id = api.create()["id"]
    told = api.fetch("DELETE", f"/sessions/{session_id}").json
    assert (told["state"], told["step"], told["reason"]) == ("stopping", "term", "released")
    api.world.advance(0.0)
    told = api.fetch("DELETE", f"/sessions/{session_id}").json
    assert (told["state"], told["reason"], told["exit"]) == ("ended", "released", {"code": None, "signal": 15})
    assert told["slot"] == 0
    assert [deadline["name"] for deadline in told["deadlines"]] == ["retention"]
    api.world.advance(3600.0)
    api.fetch("DELETE", f"/sessions/{session_id}").refused("unknown-session", 404)


def test_delete_is_finished_when_its_client_has_gone() -> None:
    """A page that ends its session and goes away, as a closed tab does, has ended it."""
    api = Api()
    session_id = api.create()["id"]
    api.world.store.slow = True
    connection = api.connect()
    connection.send("DELETE", f"/api/v1/sessions/{session_id}")
    connection.hang_up()
    api.world.store.slow = False
    api.world.store.flush()
    api.world.advance(0.0)
    assert api.world.state(session_id) is State.ENDED


def test_log() -> None:
    """The last lines of output are told, of a running program and of one that has ended."""
    api = Api()
    api.world.launcher.script = NeverReady(output=tuple(f"line {n}" for n in range(150)))
    session_id = api.create()["id"]
    path = f"/sessions/{session_id}/log"
    assert api.get(f"{path}?lines=2").json == {"lines": ["line 148", "line 149"]}
    assert len(api.get(path).json["lines"]) == 100
    api.fetch("DELETE", f"/sessions/{session_id}")
    api.world.advance(0.0)
    assert api.get(f"{path}?lines=1").json == {"lines": ["line 149"]}


@pytest.mark.parametrize(
    "lines", ["0", "-1", "1001", "99999999999", "x", "", "1.5", "%31%00", "%D9%A1", "1&lines=2", "%ff"]
)
def test_bad_lines(lines: str) -> None:
    """The number of lines is a number, once, within bounds."""
    api = Api()
    session_id = api.create()["id"]
    api.get(f"/sessions/{session_id}/log?lines={lines}").refused("bad-request", 400)


def test_extend() -> None:
    """A deadline is pushed on from where it stands, and no further than the service allows."""
    plan = Plan(limits=Limits(lifetime_s=100.0, lifetime_cap_s=150.0))
    api = Api(services=(service("plain", plan),), pools={"plain": 1})
    path = f"/sessions/{api.create()['id']}/extend"
    for by_s, in_s in ((20, 120.0), (0.5, 120.5), (1000, 150.0)):
        deadlines = api.post(path, {"deadline": "lifetime", "by_s": by_s}).json["deadlines"]
        assert {d["name"]: d["in_s"] for d in deadlines}["lifetime"] == in_s
    api.post(path, {"deadline": "idle", "by_s": 10}).refused("not-accepting", 409)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"deadline": "lifetime"},
        {"by_s": 1},
        {"deadline": "doomsday", "by_s": 1},
        {"deadline": None, "by_s": 1},
        {"deadline": "lifetime", "by_s": 0},
        {"deadline": "lifetime", "by_s": -5},
        {"deadline": "lifetime", "by_s": "5"},
        {"deadline": "lifetime", "by_s": True},
        {"deadline": "lifetime", "by_s": 10**400},
        {"deadline": "lifetime", "by_s": 1e300},
        {"deadline": "lifetime", "by_s": 1, "at": 5},
        {"deadline": ["lifetime"], "by_s": 1},
    ],
)
def test_bad_extension(body: dict[str, object]) -> None:
    """What is no extension changes nothing."""
    api = Api()
    session_id = api.create()["id"]
    before = api.broker.session(session_id)
    api.post(f"/sessions/{session_id}/extend", body).refused("bad-request", 400)
    assert api.broker.session(session_id) == before


def report(api: Api, session_id: str, query: str, secret: str | None) -> Any:
    """Report as a session's program."""
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    return api.fetch("POST", f"/sessions/{session_id}/liveliness{query}", b"whatever", headers=headers)


def test_liveliness() -> None:
    """A program reports by its own secret, whatever it puts into the body."""
    api = guarded()
    session_id = api.create("vital", bearer("ada"))["id"]
    secret = api.broker.session(session_id).child_secret
    for _ in range(3):
        api.world.advance(10.0)
        assert report(api, session_id, "?liveliness=ping", secret).status == 204
    assert api.world.state(session_id) is State.READY
    assert report(api, session_id, "?liveliness=disconnect", secret).status == 204
    assert api.get(f"/sessions/{session_id}", headers=bearer("ada")).json["reason"] == "finished"


def test_liveliness_of_others() -> None:
    """Nobody else reports: no other program, no caller, and nobody for a session that is over or never was."""
    api = guarded()
    mine, other = (api.create("vital", bearer("ada")) for _ in range(2))
    secret = api.broker.session(mine["id"]).child_secret
    for wrong in (None, "", "x", secret + "x", secret[:-1], other["token"], mine["token"], "root-token"):
        report(api, mine["id"], "?liveliness=ping", wrong).refused("unauthenticated", 401)
    report(api, other["id"], "?liveliness=ping", secret).refused("unauthenticated", 401)
    report(api, "vital-zzzzzz", "?liveliness=ping", secret).refused("unauthenticated", 401)
    api.fetch("DELETE", f"/sessions/{mine['id']}", headers=bearer("ada"))
    api.world.advance(0.0)
    for late in (secret, "", None):
        report(api, mine["id"], "?liveliness=ping", late).refused("unauthenticated", 401)


@pytest.mark.parametrize(
    "query", ["", "?liveliness=", "?liveliness=dead", "?liveliness=ping&liveliness=ping", "?liveliness=%ff"]
)
def test_bad_report(query: str) -> None:
    """A report is one of three words."""
    api = Api()
    session_id = api.create("vital")["id"]
    report(api, session_id, query, api.broker.session(session_id).child_secret).refused("bad-request", 400)


def test_tunnel_url() -> None:
    """The tunnel's address comes from the configuration, else from the Host that was checked, and nothing else."""
    forwarded = {"X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.test"}
    for face, host, start in (
        (ANYONE, "localhost:9000", "ws://localhost:9000/tunnel?token="),
        (evolve(ANYONE, secure=True), "127.0.0.1:9000", "wss://127.0.0.1:9000/tunnel?token="),
        (evolve(ANYONE, public_url="https://x.example/base"), "127.0.0.1:9000", "wss://x.example/base/tunnel?token="),
        (evolve(ANYONE, public_url="http://x.example:81"), "x.example:81", "ws://x.example:81/tunnel?token="),
    ):
        told = Api(face=face).post("/sessions", {"service": "plain"}, headers=forwarded, host=host).json
        assert told["tunnel_url"] == start + told["token"]


def test_url() -> None:
    """What has pages, or a WebSocket of its program's, says where; tickets too, and on the tunnels' own listener."""
    kinds = (evolve(SERVICES[0], kind=Kind.HTTP), evolve(SERVICES[2], kind=Kind.WEBSOCKET), SERVICES[3])
    for face, web, ws in (
        (ANYONE, "http://127.0.0.1:9000", "ws://127.0.0.1:9000"),
        (
            evolve(ANYONE, tunnel=Face(public_url="https://x.example/base")),
            "https://x.example/base",
            "wss://x.example/base",
        ),
    ):
        api = Api(face=face, services=kinds)
        told = api.create("plain")
        assert told["url"] == f"{web}/session/{told['id']}/?token={told['token']}"
        ticket = api.post(f"/sessions/{told['id']}/tickets").json
        assert ticket["url"] == f"{web}/session/{told['id']}/?ticket={ticket['ticket']}"
        told = api.create("lazy")
        assert told["url"] == f"{ws}/session/{told['id']}/ws?token={told['token']}"
        assert api.create("shared")["url"] is None


def test_token_is_quoted() -> None:
    """Whatever a token is made of, it is one argument of the address."""
    api = Api()
    api.world.entropy.token = lambda: "a&b=/?#é"  # type: ignore[method-assign]
    url = api.post("/sessions", {"service": "plain"}).json["tunnel_url"]
    assert url == "ws://127.0.0.1:9000/tunnel?token=a%26b%3D%2F%3F%23%C3%A9"


@pytest.mark.parametrize(
    "path",
    ["", "/", "/nothing", "/sessions/", "/services/", "/services/plain", "/sessions/x/nothing", "/sessions/x/log/y"],
)
def test_nowhere(path: str) -> None:
    """Paths of the API are exact."""
    Api().get(path).refused("not-found", 404)


@pytest.mark.parametrize(
    "session_id",
    ["x", "%2e%2e", "%00", "a%2Fb", "%ff%fe", "plain-000001%0d%0aSet-Cookie:%20a=b", "<script>", "x" * 5000, "log"],
)
def test_hostile_ids(session_id: str) -> None:
    """An id is looked up and nothing else; it comes back in no header and no page."""
    received = Api().get(f"/sessions/{session_id}")
    received.refused("unknown-session", 404)
    assert "set-cookie" not in received.headers


@pytest.mark.parametrize("path", ["/services", "/sessions", "/sessions/x", "/sessions/x/log"])
def test_every_path_asks(path: str) -> None:
    """No path of the API is open on a listener that asks for tokens."""
    guarded().get(path).refused("unauthenticated", 401)


def test_life_over_http() -> None:
    """A portal's whole way: it reserves, a browser connects and goes, the session is taken back, the record tells."""
    api = Api()
    told = api.post("/sessions", {"service": "plain", "wait": "none"}).json
    api.world.advance(0.0)
    client = api.world.tunnel(told["id"])
    assert api.get(f"/sessions/{told['id']}").json["state"] == "connected"
    assert api.get("/services").json["services"][0]["used"] == 1
    client.close(End.CLIENT)
    api.world.advance(15.0)
    record = api.get(f"/sessions/{told['id']}").json
    assert (record["state"], record["reason"]) == ("ended", "lingered")
    assert api.get("/services").json["services"][0]["used"] == 0


def test_waiting_for() -> None:
    """A session that only its client starts says that it waits for that client."""
    assert Api().create("lazy")["waiting_for"] == "client"
    api = Api(services=(service("plain", Plan(launch=LaunchWhen.ON_RESERVE)),), pools={"plain": 1})
    api.world.launcher.script = ByHand()
    assert api.create()["waiting_for"] == "start"
