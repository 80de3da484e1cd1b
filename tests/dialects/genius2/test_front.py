"""Runs, and what callers are told who find no slot."""

import random
from pathlib import Path
from typing import Any

import pytest

from sessiond.core.values import State, StopStep
from tests.dialects.genius2.house import Hall, told
from tests.fakes.launchers import DiesAtOnce, FailsToStart, Script

OBEDIENT = Script(obeys=(StopStep.ASK, StopStep.TERM, StopStep.KILL))


def later(text: str) -> int:
    """Read when to come again."""
    assert text.startswith("retry later at ")
    return int(text.rsplit(" ", maxsplit=1)[-1])


def test_tells_an_address_and_nothing_else(tmp_path: Path) -> None:
    """The body is a URL by the alias and the Host of the request; ids count up behind the party's plain name."""
    hall = Hall(tmp_path, "boulware-1.6.0")
    first = hall.get("/run/boulware-1.6.0?ignored=1")
    assert (first.status, first.text) == (200, "ws://parties.example:8080/partiesserver/party/boulware160_1")
    second = hall.get("-2.0.0/run/boulware-1.6.0")
    assert second.text == "ws://parties.example:8080/partiesserver-2.0.0/party/boulware160_2"
    assert first.headers["content-type"] == "text/plain; charset=utf-8"
    assert first.headers["cache-control"] == "no-store"


def test_refuses_until_the_earliest_end(tmp_path: Path) -> None:
    """Each refused caller since the last change waits for the next end; a change begins anew; never less than 1 s."""
    hall = Hall(tmp_path, "p", slots=3)
    ends = []
    for _ in range(3):
        ends.append(hall.front.now_ms() + 3000)
        hall.get("/run/p")
        hall.advance(0.5)
    refused = [hall.get("/run/p") for _ in range(3)]
    assert [later(one.text) for one in refused] == ends
    assert {one.status for one in refused} == {503}
    assert [one.headers["retry-after"] for one in refused] == ["2", "2", "3"]
    hall.advance(0.7)
    assert later(hall.get("/run/p").text) == ends[0] + 3000  # the fourth: who has the first slot next has it for 3 s
    hall.front._set_end(hall.runs()[0], b'{"Settings":{"progress":{"ProgressRounds":{"endtime":1000009000}}}}')
    assert later(hall.get("/run/p").text) == max(ends[1], hall.front.now_ms() + 1000)
    hall.advance(0.4)
    assert later(hall.get("/run/p").text) == max(ends[2], hall.front.now_ms() + 1000)


def test_waits_a_moment_for_a_slot_that_is_about_to_come(tmp_path: Path) -> None:
    """Who comes while a run ends gets its slot; where it does not come in time, the answer is a second away."""
    hall = Hall(tmp_path, "p", slots=1)
    hall.get("/run/p")
    hall.advance(3)
    [run] = hall.runs()
    assert hall.broker.session(run).state is State.STOPPING
    waiting = hall.begin("/run/p")
    hall.advance(0.3)
    assert not waiting.sent()
    hall.launcher.children[run].vanish()
    hall.advance(0)
    assert told(waiting).status == 200
    hall.advance(3.1)
    waiting = hall.begin("/run/p")
    hall.advance(0.5)
    assert later(told(waiting).text) == hall.front.now_ms() + 1000


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (FailsToStart(fails="retry later: command not found"), "cannot start p: retry-later: command not found"),
        (DiesAtOnce(), "cannot start p: the program ended with status 1 before it was ready"),
    ],
)
def test_says_why_a_party_can_not_be_started(tmp_path: Path, script: Script, text: str) -> None:
    """What time does not mend is no "retry later", whatever the cause says."""
    hall = Hall(tmp_path, "p")
    hall.launcher.script = script
    answer = hall.get("/run/p")
    assert (answer.status, answer.text) == (500, text)
    assert hall.get("/free").text == "2"


def test_stops_in_order(tmp_path: Path) -> None:
    """A party without Settings is asked to end after three seconds, then signalled, then killed."""
    hall = Hall(tmp_path, "p")
    hall.get("/run/p")
    [run] = hall.runs()
    hall.advance(2.9)
    assert hall.launcher.children[run].steps == []
    hall.advance(0.2)
    assert hall.launcher.children[run].steps == [StopStep.ASK]
    hall.advance(2)
    assert hall.launcher.children[run].steps == [StopStep.ASK, StopStep.TERM]
    hall.advance(2)
    assert hall.launcher.children[run].steps == [StopStep.ASK, StopStep.TERM, StopStep.KILL]


def test_a_burst(tmp_path: Path) -> None:
    """Of 300 callers at once over 32 slots each is served or told when to come; all are served in the end."""
    hall = Hall(tmp_path, "p", slots=32)
    hall.launcher.script = OBEDIENT
    chance = random.Random(1)
    due = [(chance.uniform(0, 0.2), number, 0) for number in range(300)]
    first_retries = served_at_first_retry = served_at_once = most_tries = 0
    began = hall.front.now_ms()
    while due:
        due.sort()
        at, number, tries = due.pop(0)
        hall.advance(max(0.0, at - (hall.front.now_ms() - began) / 1000))
        wire = hall.begin("/run/p")
        hall.advance(0.001)
        while not (answer := wire.sent()):
            hall.advance(0.05)
        most_tries = max(most_tries, tries + 1)
        first_retries += tries == 1
        if b" 200 " in answer[:20]:
            served_at_once += tries == 0
            served_at_first_retry += tries == 1
            continue
        wait_s = max(1.0, (later(answer.rpartition(b"\r\n\r\n")[2].decode()) - hall.front.now_ms()) / 1000)
        due.append(((hall.front.now_ms() - began) / 1000 + min(60.0, wait_s), number, tries + 1))
    share = served_at_first_retry / first_retries
    print(f"{served_at_once} served at once, {share:.0%} of {first_retries} first retries, {most_tries} tries at most")  # noqa: T201
    assert served_at_once == 32
    assert share > 0.5
    hall.advance(10)
    assert hall.get("/free").text == "32"


@pytest.mark.parametrize(
    ("settings", "lines", "host", "base"),
    [
        ({}, (), "[::1]:8080", "ws://[::1]:8080"),
        ({}, (), "parties.example", "ws://parties.example"),
        ({"public_url": "https://p.example/"}, (), "x", "wss://p.example"),
        ({}, ("X-Forwarded-Host: f.example", "X-Forwarded-Proto: https"), "x", "ws://x"),
    ],
)
def test_addresses(tmp_path: Path, settings: dict[str, Any], lines: tuple[str, ...], host: str, base: str) -> None:
    """Addresses begin with the configured URL, else with the Host; what nobody vouches for does not count."""
    hall = Hall(tmp_path, "p", **settings)
    assert hall.get("/run/p", *lines, host=host).text == f"{base}/partiesserver/party/p_1"


def test_a_malformed_host(tmp_path: Path) -> None:
    """No address is made of what is no host, and nothing is started."""
    hall = Hall(tmp_path, "p")
    assert hall.get("/run/p", host="a b").status == 400
    assert hall.runs() == []


def test_origins(tmp_path: Path) -> None:
    """Every page may call unless the operator names those that may; then programs still may."""
    hall = Hall(tmp_path, "p")
    assert hall.get("/free", "Origin: https://anywhere.example").status == 200
    hall = Hall(tmp_path, "p", origins=("https://runs.example",))
    assert hall.get("/free", "Origin: https://anywhere.example").status == 403
    assert hall.get("/free", "Origin: https://runs.example").status == 200
    assert hall.get("/free").status == 200
    assert Hall(tmp_path, "p", require_origin=True).get("/free").status == 403


def test_networks(tmp_path: Path) -> None:
    """Who is in no network that may call starts nothing."""
    hall = Hall(tmp_path, "p", allow_from=())
    assert hall.get("/run/p").status == 403
    assert hall.runs() == []
