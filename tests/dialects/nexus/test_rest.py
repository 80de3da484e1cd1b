"""The control API: every route, every refusal, and what of each reaches a browser's user."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest

from sessiond.core.events import Release
from sessiond.core.values import Reason, State
from sessiond.web.farewell import FLUSH_S
from tests.dialects.nexus.house import KEY, House, logged
from tests.fakes.launchers import FailsToStart
from tests.reactor import LoggedFailures

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ASK = f"security_token={quote(KEY, safe='')}"


def test_reserve() -> None:
    """A reservation gives a short random token, takes the lowest free slot, and launches nothing."""
    house = House()
    told = house.get("/v1/reserve/local_envision?target_pathname=model.evsn")
    assert (told.status, list(told.json)) == (200, ["token"])
    assert UUID.fullmatch(told.json["token"])
    assert told.headers["cache-control"] == "no-store"
    session = house.session(told.json["token"])
    assert (session.state, session.slot, dict(session.options)) == (
        State.RESERVED,
        0,
        {"target_pathname": "model.evsn"},
    )
    assert house.launcher.children == {}


def test_the_lowest_free_slot() -> None:
    """A slot that came free is taken before one that was never used."""
    house = House()
    first, second = house.token("Linux desktop"), house.token("Linux desktop")
    house.get(f"/v1/release/{first}")
    house.advance(0)
    assert house.session(house.token("Linux desktop")).slot == 0
    assert house.session(second).slot == 1


@pytest.mark.parametrize("path", ["/v1/reserve/{}", "/v1/reserve/{}/", "//v1//reserve/{}"])
def test_names_with_spaces(path: str) -> None:
    """A name is decoded, and slashes too many do no harm."""
    assert House().get(path.format("Linux%20desktop")).status == 200


def test_an_unused_reservation_is_reclaimed() -> None:
    """It is gone when its time is over, and its token opens nothing."""
    house = House()
    token = house.token()
    session_id = house.session(token).id
    house.advance(299)
    assert house.session(token).state is State.RESERVED
    house.advance(2)
    assert house.broker.session(session_id).reason is Reason.RESERVATION_EXPIRED
    assert house.view(f"?token={token}").closed == (4404, "token unknown, expired or released")


REFUSALS: dict[str, tuple[str, int, str, str]] = {
    "an unknown service": ("/v1/reserve/other", 404, "Unknown service: other", "unknown_service"),
    "case counts": ("/v1/reserve/Local_envision", 404, "Unknown service: Local_envision", "unknown_service"),
    "a name that breaks lines": ("/v1/reserve/a%0d%0ab", 404, "Unknown service: a b", "unknown_service"),
    "a name beyond ASCII": ("/v1/reserve/%C3%A9", 404, "Unknown service: ?", "unknown_service"),
    "no name": ("/v1/reserve", 404, "No such API call", "unknown_call"),
    "too many parts": ("/v1/reserve/a/b", 404, "No such API call", "unknown_call"),
    "no call": ("/v1", 404, "No such API call", "unknown_call"),
    "no call, with a slash": ("/v1/", 404, "No such API call", "unknown_call"),
    "an unknown call": ("/v1/sessions", 404, "No such API call", "unknown_call"),
    "a later version": ("/v2/status", 404, "No such API call", "unknown_call"),
    "a name that is no text": ("/v1/reserve/%ff", 400, "The name of the service is no UTF-8", "bad_request"),
    "the basic target": ("/v1/reserve/viewer", 404, "Unknown service: viewer", "unknown_service"),
    "a query too long": (
        "/v1/status?" + "a" * 8193,
        400,
        "The query is longer than 8192 bytes",
        "bad_request",
    ),
    "a target like a switch": (
        "/v1/reserve/local_envision?target_pathname=-x",
        400,
        "target_pathname must not begin with - nor hold NUL or a line break",
        "bad_request",
    ),
    "a target with a line break": (
        "/v1/reserve/local_envision?target_pathname=a%0Ab",
        400,
        "target_pathname must not begin with - nor hold NUL or a line break",
        "bad_request",
    ),
    "a target with NUL": (
        "/v1/reserve/local_envision?target_pathname=a%00b",
        400,
        "target_pathname must not begin with - nor hold NUL or a line break",
        "bad_request",
    ),
    "stop where it is not allowed": ("/v1/stop", 403, "This server is not stopped from here", "forbidden"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name: str) -> None:
    """Each refusal has its status, its reason phrase, and the same in its body."""
    path, status, phrase, error = REFUSALS[name]
    house = House(target=True)
    told = house.get(path)
    assert (told.status, told.phrase) == (status, phrase)
    assert told.json == {"error": error, "message": phrase}
    assert told.headers["cache-control"] == "no-store"
    assert house.broker.sessions() == []


def test_a_phrase_is_not_too_long() -> None:
    """A name of any length makes a phrase of 120 characters."""
    told = House().get("/v1/reserve/" + "x" * 500)
    assert (told.status, len(told.phrase)) == (404, 120)


def test_all_slots_are_busy() -> None:
    """The refusal counts the sessions, and says when the earliest reservation runs out."""
    house = House()
    house.token()
    house.advance(100)
    house.token()
    told = house.get("/v1/reserve/local_envision")
    assert (told.status, told.phrase) == (503, "All 2 local_envision sessions are in use")
    assert told.json == {"error": "no_free_slot", "message": told.phrase}
    assert told.headers["retry-after"] == "200"


def test_all_slots_are_busy_with_running_sessions() -> None:
    """Nobody knows when a running session ends: half a minute is said."""
    house = House()
    for _ in range(2):
        house.view(f"?token={house.token()}")
    assert house.get("/v1/reserve/local_envision").headers["retry-after"] == "30"


def test_nothing_can_be_recorded() -> None:
    """A disk that takes nothing is no fault of the caller, and nothing is left of the reservation."""
    house = House()
    house.store.broken = True
    told = house.get("/v1/reserve/local_envision")
    assert (told.status, told.phrase) == (503, "Nothing can be recorded at the moment")
    assert "retry-after" in told.headers
    assert house.status()["local_envision"][0]["token"] == ""


def test_a_service_that_cannot_start() -> None:
    """One that fails again and again is suspended; the refusal names it."""
    house = House()
    house.launcher.script = FailsToStart()
    for _ in range(5):
        house.view(f"?token={house.token()}")
        house.advance(1)
    told = house.get("/v1/reserve/local_envision")
    assert (told.status, told.json["error"]) == (503, "cannot_start")
    assert told.phrase.startswith("local_envision cannot start: ")
    assert int(told.headers["retry-after"]) >= 1


def test_our_own_fault(logged_failures: LoggedFailures) -> None:
    """A defect of ours is told as one, without a traceback."""
    house = House()
    house.broker.reserve = None  # type: ignore[assignment, method-assign]
    told = house.get("/v1/reserve/local_envision")
    assert (told.status, told.phrase) == (500, "Internal error, see server log")
    assert told.json == {"error": "internal_error", "message": told.phrase}
    assert len(logged_failures.take(TypeError)) == 1


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
@pytest.mark.parametrize("path", ["/v1/reserve/local_envision", "/v1/stop", "/v1/status"])
def test_only_get(method: str, path: str) -> None:
    """No other method does anything, HEAD least of all: Twisted would make a GET of it."""
    house = House(allow_stop=True)
    told = house.call(method, path)
    assert (told.status, told.headers["allow"]) == (405, "GET")
    assert house.broker.sessions() == []
    house.advance(10)
    assert house.shutdowns == 0


@pytest.mark.parametrize("query", ["", "?security_token=", "?security_token=other", "?security_token=k-e_y", "?x=1"])
@pytest.mark.parametrize("call", ["status", "status_view", "reserve/local_envision", "reserve/other", "stop", "x"])
def test_the_security_token_is_needed(call: str, query: str) -> None:
    """Without it nobody learns anything, not even which services there are."""
    house = House(security_token=KEY, allow_stop=True)
    told = house.get(f"/v1/{call}{query}")
    assert (told.status, told.phrase) == (401, "Security token missing or wrong")
    assert told.json["error"] == "security_token"
    assert KEY not in told.body.decode()
    assert house.broker.sessions() == []
    assert house.shutdowns == 0


@pytest.mark.parametrize("query", [f"?{ASK}", f"?security_token={KEY}", f"?a=b?{ASK}", f"?target_pathname=m&{ASK}"])
def test_the_security_token(query: str) -> None:
    """It is known by each form that clients write, and becomes no option."""
    house = House(security_token=KEY)
    told = house.get(f"/v1/reserve/local_envision{query}")
    assert told.status == 200
    assert "security_token" not in house.session(told.json["token"]).options
    assert KEY not in json.dumps(house.status(f"?{ASK}"))


def test_status() -> None:
    """Each service has one entry for each slot, a free one with an empty token, and no key more than clients know."""
    house = House()
    token = house.token(query="?sizes=1x1&target_pathname=model.evsn")
    told = house.get("/v1/status")
    assert told.json == [
        {
            "name": "local_envision",
            "common_options": {"file_ext": ["evsn"], "sizes": ["1600x1200"]},
            "instances": [
                {
                    "index": 0,
                    "token": token,
                    "timestamp": 1_000_000.0,
                    "options": {"sizes": "1x1", "target_pathname": "model.evsn"},
                },
                {"index": 1, "token": "", "timestamp": 0.0, "options": {}},
            ],
        },
        {
            "name": "Linux desktop",
            "common_options": {},
            "instances": [{"index": i, "token": "", "timestamp": 0.0, "options": {}} for i in range(3)],
        },
    ]
    assert (told.headers["content-type"], told.headers["cache-control"]) == ("application/json", "no-store")


def test_status_follows_what_happens() -> None:
    """What is kept between two calls is never older than the last change."""
    house = House()
    assert house.status()["local_envision"][0]["token"] == ""
    token = house.token()
    assert house.status()["local_envision"][0]["token"] == token
    viewer = house.view(f"?token={token}")
    assert house.status()["local_envision"][0]["token"] == token
    viewer.wire.vanish()
    house.advance(20)
    assert house.status()["local_envision"][0]["token"] == ""
    other = house.token()
    house.broker.dispatch(house.session(other).id, Release())
    house.advance(0)
    assert house.status()["local_envision"][0]["token"] == ""


def test_status_is_cheap() -> None:
    """A service is written down anew only when one of its own slots has changed."""
    house = House()
    for _ in range(10):
        house.status()
    assert house.faces._status.told == 2
    house.token()
    for _ in range(10):
        house.status()
    assert house.faces._status.told == 3


def test_a_session_of_which_only_the_digest_is_known() -> None:
    """One that another wire made, or another run of the daemon, shows its slot as taken, by its id."""
    house = House()
    made = house.reserve("local_envision")
    assert house.status()["local_envision"][0]["token"] == made.session.id


def test_status_view() -> None:
    """The page for people shows every slot, escapes what callers gave, and shows no whole token."""
    house = House()
    token = house.token(query="?target_pathname=%3Cscript%3Ealert(1)%3C/script%3E")
    told = house.get("/v1/status_view")
    page = told.body.decode()
    assert told.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in told.headers["content-security-policy"]
    assert page.count("<tr") == 6
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert token[:8] in page
    assert token[:9] not in page


def test_release() -> None:
    """Knowing a session's token is enough to end it, and to end it again does no harm."""
    house = House(security_token=KEY)
    token = house.get(f"/v1/reserve/local_envision?{ASK}").json["token"]
    session_id = house.session(token).id
    assert house.get(f"/v1/release/{token}").json == {"released": True}
    assert house.broker.session(session_id).reason is Reason.RELEASED
    for given in (token, "unknown", "%ff", "a%2Fb"):
        told = house.get(f"/v1/release/{given}")
        assert (told.status, told.json) == (200, {"released": False})


def test_release_while_connected() -> None:
    """The answer comes at once; the viewer hears why it is closed, and the program is ended behind that."""
    house = House()
    token = house.token()
    viewer = house.view(f"?token={token}")
    house.answer_dial()
    assert house.get(f"/v1/release/{token}").json == {"released": True}
    house.advance(0)
    assert viewer.closed == (4410, "released")
    assert house.get(f"/v1/release/{token}").json == {"released": False}


def test_release_of_what_is_not_offered() -> None:
    """A session of a service that this wire does not offer is none of its business."""
    house = House()
    made = house.reserve("viewer")
    assert house.get(f"/v1/release/{made.token}").json == {"released": False}


def test_a_caller_who_goes() -> None:
    """A reservation that nobody hears of any more is given back."""
    house = House()
    house.store.slow = True
    wire = house.begin("GET", "/v1/reserve/local_envision")
    wire.vanish()
    house.store.flush()
    house.advance(0)
    assert [session.reason for session in house.broker.sessions()] == [Reason.RELEASED]


def test_stop() -> None:
    """The answer is there, whole, and its connection closed, before the daemon ends; a second one hears the same."""
    house = House(security_token=KEY, allow_stop=True)
    house.begin_stop(f"?{ASK}")
    assert house.shutdowns == 0
    second = house.get(f"/v1/stop?{ASK}")
    assert (second.status, second.json) == (200, {"stopping": True})
    told = house.get(f"/v1/reserve/local_envision?{ASK}")
    assert (told.status, told.phrase, told.headers["retry-after"]) == (503, "Server is stopping", "5")
    assert told.json["error"] == "stopping"
    house.advance(FLUSH_S)
    assert house.shutdowns == 1


def test_stop_once_told() -> None:
    """The daemon ends as soon as its caller has the answer."""
    house = House(allow_stop=True)
    told = house.get("/v1/stop")
    assert (told.status, told.json, told.headers["connection"]) == (200, {"stopping": True}, "close")
    assert house.shutdowns == 1
    house.advance(FLUSH_S + 1)
    assert house.shutdowns == 1


def test_stop_of_a_caller_who_reads_nothing() -> None:
    """Nobody is waited for longer than two seconds."""
    house = House(allow_stop=True)
    house.begin_stop()
    house.advance(FLUSH_S - 0.1)
    assert house.shutdowns == 0
    house.advance(0.2)
    assert house.shutdowns == 1


def test_other_origins() -> None:
    """No page of another origin reads anything, unless the operator has named it."""
    closed, page = House(), "Origin: https://portal.example.org"
    assert "access-control-allow-origin" not in closed.get("/v1/status", page).headers
    assert closed.call("OPTIONS", "/v1/status", page).status == 405
    house = House(listener={"origins": ("https://portal.example.org",)}, ensight=True, security_token=KEY)
    for path in ("/v1/status", "/ensight/v1/session/exec"):
        told = house.get(path, page)
        assert told.headers["access-control-allow-origin"] == "https://portal.example.org"
        assert told.headers["vary"] == "Origin"
        assert "access-control-allow-origin" not in house.get(path, "Origin: https://evil.example").headers
        asked = house.call("OPTIONS", path, page, "Access-Control-Request-Method: PUT")
        assert (asked.status, asked.headers["access-control-allow-methods"]) == (204, "GET, PUT")
        assert "Authorization" in asked.headers["access-control-allow-headers"]
        assert house.call("OPTIONS", path, "Origin: https://evil.example").status in (401, 405)


def test_nothing_secret_is_logged() -> None:
    """Neither the security token nor a session's appears whole in any line of the log."""
    house = House(security_token=KEY, ensight=True)
    with logged() as lines:
        token = house.get(f"/v1/reserve/local_envision?{ASK}").json["token"]
        house.view(f"?token={token}")
        house.call("PUT", f"/ensight/v1/{KEY}/exec", body=b'""')
        house.call("PUT", f"/ensight/v1/{token}/exec", body=b'""')
        house.get(f"/v1/release/{token}")
        house.view(f"?token={token}")
        house.advance(20)
    assert any(token[:8] in line for line in lines)
    assert not any(token in line or KEY in line for line in lines)
