"""The two lists, as those who listen get them: whole, the newest, in their own addresses."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from sessiond.config import PartyContext
from sessiond.dialects.genius2.lists import CLIENT_BYTES
from tests.dialects.genius2.house import DESCRIPTOR, Hall
from tests.fakes.frames import TEXT, frame, request
from tests.ws.indoors import Visitor

HOST = "parties.example"


def listening(hall: Hall, path: str = "/partiesserver/available", *lines: str) -> Visitor:
    """Listen to a list."""
    return hall.visit(request(path, *lines, host=HOST))


def heard(listener: Visitor) -> list[Any]:
    """Give the lists that came."""
    return [json.loads(one.payload) for one in listener.look().read if one.opcode == TEXT]


def drop(folder: Path, name: str, **more: Any) -> None:
    """Put a party into the folder."""
    (folder / f"{name}.json").write_text(json.dumps({**DESCRIPTOR, **more}), "utf-8")


@pytest.mark.parametrize("path", ["/available", "/websocket/available", "/available/"])
def test_available(tmp_path: Path, path: str) -> None:
    """The whole list on connecting and at every change, in order, in the alias's own addresses."""
    hall = Hall(tmp_path, "b", "a")
    listener = listening(hall, f"/partiesserver-2.0.0{path}")
    party = {"capabilities": {"behaviours": ["SAOP"], "profiles": ["a", "b"]}, "description": "plays"}
    base = f"http://{HOST}/partiesserver-2.0.0/run/"
    assert heard(listener) == [[{"uri": f"{base}a", **party}, {"uri": f"{base}b", **party}]]
    drop(tmp_path, "c")
    hall.advance(3)
    (tmp_path / "a.json").rename(tmp_path / "d.json")
    hall.advance(3)
    names = [[one["uri"].removeprefix(base) for one in found] for found in heard(listener)]
    assert names[:2] == [["a", "b"], ["a", "b", "c"]]
    assert names[-1] == ["b", "c", "d"]


def test_nothing_is_there(tmp_path: Path) -> None:
    """A list of nothing is a list."""
    assert heard(listening(Hall(tmp_path))) == [[]]


def test_half_copied_files(tmp_path: Path) -> None:
    """A file that still grows is in no list."""
    hall = Hall(tmp_path)
    listener = listening(hall)
    whole = json.dumps(DESCRIPTOR)
    for end in range(0, len(whole), 10):
        (tmp_path / "p.json").write_text(whole[:end], "utf-8")
        hall.advance(0.5)
    assert heard(listener) == [[]]
    assert hall.front.folder.parties == {}
    (tmp_path / "p.json").write_text(whole, "utf-8")
    hall.advance(2.5)
    assert [len(found) for found in heard(listener)] == [0, 1]


def test_slow_listener(tmp_path: Path) -> None:
    """Who takes no bytes gets the newest list once he does, and none of those between."""
    hall = Hall(tmp_path, "a")
    listener = listening(hall)
    listener.wire.refuse()
    for name in ("b", "c", "d"):
        drop(tmp_path, name)
        hall.advance(2.5)
    assert len(heard(listener)) == 1
    listener.wire.take()
    hall.advance(0)
    assert [len(found) for found in heard(listener)] == [1, 4]


def test_talkative_listener(tmp_path: Path) -> None:
    """What a listener says is passed over, up to a size; bytes that are no text end it."""
    hall = Hall(tmp_path, "a")
    listener = listening(hall)
    for size in (1, 4096):
        listener.send(frame(TEXT, b"x" * size))
    hall.advance(0)
    assert listener.closed is None
    listener.send(frame(TEXT, b"x" * 4097))
    hall.advance(0)
    assert listener.closed is not None
    assert listener.closed[0] == 1009


def test_long_descriptions(tmp_path: Path) -> None:
    """A description is cut; a list that usual clients can't take is warned of once."""
    seen: list[LogEvent] = []
    observer: ILogObserver = seen.append  # type: ignore[assignment]
    globalLogPublisher.addObserver(observer)
    try:
        hall = Hall(tmp_path)
        drop(tmp_path, "long", description="ü" * 5000)
        hall.advance(3)
        [[party]] = heard(listening(hall))
        assert party["description"] == "ü" * 400
        for number in range(30):
            drop(tmp_path, f"p{number}", description="x" * 400)
        hall.advance(5)
        listener = listening(hall)
        listening(hall)
    finally:
        globalLogPublisher.removeObserver(observer)
    [found] = heard(listener)
    assert len(found) == 31
    warned = [event for event in seen if event.get("most") == CLIENT_BYTES]
    assert len(warned) == 1
    assert warned[0]["size"] > CLIENT_BYTES


def test_two_contexts(tmp_path: Path) -> None:
    """Parties, slots and addresses of one context are nothing to another; what is in none is told where they are."""
    second = tmp_path / "second"
    second.mkdir()
    drop(second, "q")
    other = PartyContext("other", paths=("/pypartiesserver-2.0.0",), folder=second, slots=1)
    hall = Hall(tmp_path, "p", others=(other,))
    [[first]] = heard(listening(hall))
    [[found]] = heard(listening(hall, "/pypartiesserver-2.0.0/available"))
    assert first["uri"] == f"http://{HOST}/partiesserver/run/p"
    assert found["uri"] == f"http://{HOST}/pypartiesserver-2.0.0/run/q"
    assert hall.get("/run/q").status == 404
    assert hall.get("/run/p").text.endswith("/partiesserver/party/p_1")
    assert (hall.get("/free").text, hall.faces.fronts[1].free()) == ("1", 1)
    assert heard(listening(hall, "/pypartiesserver-2.0.0/running")) == [[]]
    elsewhere = hall.visit(b"GET /wrong/free HTTP/1.1\r\nHost: parties.example\r\n\r\n")
    assert elsewhere.status == 404
    assert b"/partiesserver /partiesserver-2.0.0 /pypartiesserver-2.0.0" in elsewhere.body


def test_trusted_proxy(tmp_path: Path) -> None:
    """What a proxy forwards counts where the operator trusts it, in lists as in answers."""
    hall = Hall(tmp_path, "p", trusted_proxies=(ip_network("0.0.0.0/0"), ip_network("::/0")))
    lines = ("X-Forwarded-Host: front.example", "X-Forwarded-Proto: https")
    [[party]] = heard(listening(hall, "/partiesserver/available", *lines))
    assert party["uri"] == "https://front.example/partiesserver/run/p"
    assert hall.get("/run/p", *lines).text == "wss://front.example/partiesserver/party/p_1"
    assert hall.get("/run/p", "X-Forwarded-Host: a b").status == 400


def test_folder_of_everybody(tmp_path: Path) -> None:
    """A folder that everybody can write to has no parties, and says so; runs go on."""
    hall = Hall(tmp_path, "p")
    listener = listening(hall)
    hall.get("/run/p")
    tmp_path.chmod(0o777)
    hall.advance(1)
    assert [len(found) for found in heard(listener)] == [1, 0]
    assert "can be written by everybody" in hall.get("/").text
    assert hall.get("/run/p").status == 404
    assert hall.runs() == ["p_1"]
    tmp_path.chmod(0o700)
    hall.advance(3)
    assert [len(found) for found in heard(listener)] == [1, 0, 1]


def test_names_that_occur_twice(tmp_path: Path) -> None:
    """A descriptor wins over a file that a launcher would start; the other is listed as such."""
    (tmp_path / "p.jar").write_bytes(b"no jar")
    (tmp_path / "data.bin").write_bytes(b"")
    hall = Hall(tmp_path, "p")
    assert list(hall.front.folder.parties) == ["p"]
    assert hall.front.folder.parties["p"].file == "p.json"
    assert hall.front.folder.payload == ["data.bin", "p.jar"]
    assert "p.jar" in hall.get("/partiesrepo/").text


@pytest.mark.parametrize("lines", [(), ("Origin: https://anywhere.example",)])
def test_one_client(tmp_path: Path, lines: tuple[str, ...]) -> None:
    """A party has one client, of whatever page; a second is refused, and so is one for a party that is not there."""
    hall = Hall(tmp_path, "p")
    hall.get("/run/p")
    assert hall.visit(request("/partiesserver/party/p_1", *lines, host=HOST)).status == 101
    second = hall.visit(request("/partiesserver/websocket/party/p_1", *lines, host=HOST))
    assert second.status == 409
    assert hall.visit(request("/partiesserver/party/p_2", *lines, host=HOST)).status == 404
    assert hall.get("/party/p_1").status == 426
