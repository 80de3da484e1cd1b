"""A whole daemon as a parties server: real parties, and a client that knows this protocol and nothing else."""

import hashlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from sessiond.launchers.procfs import children_of, stat_of
from tests.daemon import ROOT, Daemon, free_port, started
from tests.dialects.genius2.referee import JAVA_ACCEPT, Referee, Refused, Socket, connect, get, sleep
from tests.docs.documents import blocks
from tests.docs.documents import page as document
from tests.e2e.places import Place
from tests.reactor import within

pytestmark = pytest.mark.usefixtures("site_ends")

STANDIN = ROOT / "tests" / "dialects" / "genius2" / "programs" / "standin.py"


def descriptor(**env: str) -> str:
    """Write what makes the stand-in a party; what it says of itself it is asked."""
    framing = "line" if env.get("STANDIN_LINES") else "length"
    command = [sys.executable, "-S", str(STANDIN)]
    return json.dumps({"command": command, "framing": framing, "env": {"STANDIN_ROOT": str(ROOT), **env}})


@define
class Server:
    """A running parties server."""

    daemon: Daemon
    folder: Path
    base: str

    @classmethod
    async def start(
        cls,
        place: Place,
        slots: int = 2,
        more: str = "",
        parties: tuple[str, ...] = ("standin",),
        store: str = "memory",
    ) -> "Server":
        """Start it, and wait until it has its parties."""
        folder = place.folder / "parties"
        folder.mkdir()
        for name in parties:
            (folder / f"{name}.json").write_text(descriptor(), "utf-8")
        port = free_port()
        config = place.folder / "sessiond.toml"
        config.write_text(
            f"""
state_dir = "state"
runtime_dir = "{place.run}"
store.kind = "{store}"
[listeners.web]
endpoint = "tcp:{port}:interface=127.0.0.1"
serves = ["genius2"]
[dialects.genius2.contexts.main]
paths = ["/partiesserver", "/partiesserver-2.0.0"]
folder = "parties"
slots = {slots}
{more}
""",
            "utf-8",
        )
        daemon = await started(config)
        server = cls(daemon, folder, f"http://127.0.0.1:{port}/partiesserver")
        await server.until(lambda found: {one["uri"].rpartition("/")[2] for one in found} == set(parties))
        return server

    async def until(self, holds: Callable[[list[dict[str, Any]]], bool], path: str = "/available") -> Any:
        """Wait for a list of which something holds."""
        socket = await connect(self.base.replace("http", "ws") + path)
        while not holds(found := json.loads(await socket.next())):
            pass
        socket.sendClose(1000)
        await socket.closed
        return found

    async def run(self, name: str = "standin") -> Socket:
        """Start a party, and connect to it."""
        status, text, _ = await get(f"{self.base}/run/{name}")
        assert status == 200, text
        return await connect(text)

    async def free(self, count: int) -> None:
        """Wait until so many slots are free."""
        while (await get(f"{self.base}/free"))[1] != str(count):
            await sleep(0.02)


async def raised(waiting: Awaitable[object]) -> str:
    """Give what a connection was refused with."""
    try:
        await waiting
    except ConnectionRefusedError as error:
        return str(error)
    raise AssertionError("it was let in")


@pytest.mark.parametrize(("java", "rounds"), [(False, None), (False, 200), (True, None), (True, 200)])
@within(60)
async def test_plays_a_whole_negotiation(place: Place, java: bool, rounds: int | None) -> None:
    """Two parties make a hundred actions and more, and agree; both sockets close well, both slots are free."""
    server = await Server.start(place)
    referee = Referee([f"{server.base}/run/standin"] * 2, java, rounds, parameters={"min_offers": 55})
    closes = await referee.play()
    assert [code for code, _ in closes] == [1000, 1000]
    assert referee.actions >= 100
    await server.free(2)
    assert "crashed" not in server.daemon.text


@within(60)
async def test_one_slot_and_two_parties(place: Place) -> None:
    """A client that wants more than there is asks again and again as it is told; the server says so, and stays sane."""
    server = await Server.start(place, slots=1)
    referee = Referee([f"{server.base}/run/standin"] * 2)
    with pytest.raises(Refused):
        await referee.claim(most=3)
    assert referee.tries == 3
    assert all(1.0 <= pause <= 60.0 for pause in referee.pauses)
    await server.daemon.line("it may want more parties than main has slots")
    await server.free(1)
    socket = await server.run()
    socket.say(referee.settings(0))
    socket.say({"YourTurn": {}})
    assert b"Offer" in await socket.next()


@within(60)
async def test_a_client_that_abandons_its_parties(place: Place) -> None:
    """A party that nobody speaks to goes after three seconds, whether its socket was opened or not."""
    server = await Server.start(place)
    began = time.monotonic()
    await get(f"{server.base}/run/standin")
    socket = await server.run()
    assert await socket.closed == (1008, "no Settings within 3 s")
    await server.free(2)
    assert 2.5 < time.monotonic() - began < 6


@within(60)
async def test_a_late_finished(place: Place) -> None:
    """``Finished`` reaches the party 20 ms after the deadline, and its end is a normal one."""
    server = await Server.start(place, more="transcript = true")
    socket = await server.run()
    referee = Referee([], duration_ms=500)
    settings = referee.settings(0)
    socket.say(settings)
    terms = settings["Settings"]["progress"]["ProgressTime"]
    await sleep((terms["start"] + terms["duration"] + 20) / 1000 - time.time())
    socket.say({"Finished": {"agreements": {}}})
    assert await socket.closed == (1000, "finished")
    await server.free(2)
    [line] = [line for line in server.daemon.output.lines if "its messages are kept in " in line]
    name = line.rpartition("/")[2]
    assert f"transcripts/{name}" in (await get(f"{server.base}/"))[1]
    kept = [json.loads(one) for one in (await get(f"{server.base}/transcripts/{name}"))[1].splitlines()]
    assert [(arrow, next(iter(json.loads(text)))) for _, arrow, text in kept] == [(">", "Settings"), (">", "Finished")]


@within(60)
async def test_a_deadline_that_nobody_ends_at(place: Place) -> None:
    """Without ``Finished`` a run ends a second after its deadline, and not before."""
    server = await Server.start(place)
    socket = await server.run()
    settings = Referee([], duration_ms=500).settings(0)
    socket.say(settings)
    assert await socket.closed == (1000, "deadline passed")
    late_s = time.time() - (settings["Settings"]["progress"]["ProgressTime"]["start"] + 500) / 1000
    assert 0.95 < late_s < 3


@within(60)
async def test_a_clock_that_is_off(place: Place) -> None:
    """A client whose time was over when it told it hears by how much its clock may be off."""
    server = await Server.start(place)
    socket = await server.run()
    settings = Referee([]).settings(0)
    settings["Settings"]["progress"]["ProgressTime"]["start"] -= 100_000
    socket.say(settings)
    assert await socket.closed == (1000, "deadline passed on arrival: client clock 90 s off?")


FAULTS: dict[str, tuple[dict[str, Any], int, str]] = {
    "throws": ({"crash_on": "Settings"}, 1011, "party failed: RuntimeError: the party has had enough"),
    "leaves": ({"exit0_on": "Settings"}, 1000, "party left"),
    "prints": ({"print_on": "Settings"}, 1011, "party failed: the program sent too long a message"),
    "nothing": ({"raw_on": "Settings", "raw": "00000000"}, 1011, "party failed: the program sent an empty message"),
    "negative": ({"raw_on": "Settings", "raw": "ffffffff"}, 1011, "party failed: the program sent too long a message"),
    "no UTF-8": (
        {"raw_on": "Settings", "raw": "02000000fffe"},
        1011,
        "party failed: the program sent text that is not UTF-8",
    ),
    "too big": (
        {"big_on": "Settings", "size": 20_000_001},
        1011,
        "party failed: the program sent too long a message",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@within(60)
async def test_a_party_that_fails(place: Place, fault: str) -> None:
    """A client hears in a few words how its party failed, also one that comes after it; the slot is free again."""
    parameters, code, text = FAULTS[fault]
    server = await Server.start(place)
    status, url, _ = await get(f"{server.base}/run/standin")
    assert status == 200
    socket = await connect(url)
    socket.say(Referee([]).settings(0, **parameters))
    assert await socket.closed == (code, text)
    await server.free(2)
    late = await connect(url)
    assert await late.closed == (code, text)


@within(60)
async def test_a_long_error(place: Place) -> None:
    """A reason is at most 123 bytes of whole characters; the trace is in the log, and nowhere else."""
    server = await Server.start(place)
    socket = await server.run()
    socket.say(Referee([]).settings(0, crash_on="Settings", long_error=True))
    code, reason = await socket.closed
    assert code == 1011
    assert reason is not None
    assert reason.startswith("party failed: RuntimeError: é")
    assert 121 <= len(reason.encode()) <= 123
    assert not socket.messages
    await server.daemon.line('raise RuntimeError("é" * 300')
    await server.daemon.line("Traceback (most recent call last)")


@within(60)
async def test_twenty_megabytes(place: Place) -> None:
    """The largest message passes each way; one byte more is refused with the limit's own code."""
    server = await Server.start(place)
    socket = await server.run()
    socket.say(Referee([]).settings(0, big_on="YourTurn", size=20_000_000))
    socket.say({"YourTurn": {}})
    sizes = [len(await socket.next()) for _ in range(2)]
    assert max(sizes) == 20_000_000
    socket.say(Referee([]).settings(0, echo_bytes=True))
    message = b'{"YourTurn":{}' + b" " * (20_000_000 - 15) + b"}"
    socket.say(message)
    assert json.loads(await socket.next()) == {"digest": hashlib.sha256(message).hexdigest(), "size": 20_000_000}
    socket.say(message + b" ")
    assert await socket.closed == (1009, "message over 20000000 bytes")


@pytest.mark.parametrize("framing", ["length", "line"])
@within(60)
async def test_bytes_arrive_as_they_were_sent(place: Place, framing: str) -> None:
    """Spacing, numbers and escapes stay as they are; only where lines are frames does a line end become a space."""
    server = await Server.start(place)
    lines = {"STANDIN_LINES": "1"} if framing == "line" else {}
    (server.folder / "plain.json").write_text(descriptor(**lines), "utf-8")
    await server.until(lambda found: len(found) == 2)
    socket = await server.run("plain")
    socket.say(Referee([]).settings(0, echo_bytes=True))
    odd = '{ "b" : 12.50,\n "a":\t1E3, "é":"\\u00e9\\/" }'.encode()
    socket.say(b"")
    socket.say(odd)
    reached = odd.replace(b"\n", b" ") if framing == "line" else odd
    assert json.loads(await socket.next()) == {"digest": hashlib.sha256(reached).hexdigest(), "size": len(odd)}
    socket.sendMessage(b"\x00", isBinary=True)
    assert await socket.closed == (1003, "text frames only")


@within(60)
async def test_a_party_that_ignores_everything(place: Place) -> None:
    """A party that hears neither the end of its input nor SIGTERM is killed, with what it has started."""
    server = await Server.start(place, more='exit_wait = "100ms"\nterm_wait = "100ms"')
    stubborn = descriptor(STANDIN_IGNORES_EOF="1", STANDIN_IGNORES_TERM="1")
    (server.folder / "stubborn.json").write_text(stubborn, "utf-8")
    await server.until(lambda found: len(found) == 2)
    socket = await server.run("stubborn")
    socket.say(Referee([]).settings(0, child_on="Settings"))
    await server.until(lambda found: any(one["end"] - one["start"] > 3000 for one in found), "/running")
    socket.drop()
    await server.free(2)
    assert not [pid for pid in children_of(server.daemon.pid) if (stat := stat_of(pid)) and stat.state != "Z"]


@within(60)
async def test_a_run_while_another_ends(place: Place) -> None:
    """A caller who comes while a run is ending gets its slot, without being told to come again."""
    server = await Server.start(place, slots=1)
    socket = await server.run()
    socket.say(Referee([]).settings(0))
    socket.say({"Finished": None})
    await server.daemon.line("runs until")
    await socket.closed
    assert (await get(f"{server.base}/run/standin"))[0] == 200


@within(60)
async def test_what_starts_nothing(place: Place) -> None:
    """Only a GET of a party that is there starts one; an address for sockets says so."""
    server = await Server.start(place)
    for method in ("HEAD", "POST", "PUT"):
        assert (await get(f"{server.base}/run/standin", method))[0] == 405
    assert (await get(f"{server.base}/run/nobody"))[:2] == (404, "no such party: nobody")
    assert (await get(f"{server.base}/available"))[0] == 426
    assert (await get(server.base.replace("partiesserver", "elsewhere")))[1].endswith(
        "/partiesserver /partiesserver-2.0.0"
    )
    assert (await get(f"{server.base}/free/"))[1] == "2"
    ws = server.base.replace("http", "ws")
    assert "404" in await raised(connect(f"{ws}/party/nobody_1"))
    url = ""
    for accept in (JAVA_ACCEPT, "application/json"):
        status, url, headers = await get(f"{server.base}/run/standin", Accept=accept)
        assert (status, headers["content-type"], headers["cache-control"]) == (
            200,
            "text/plain; charset=utf-8",
            "no-store",
        )
    first = await connect(url.replace("/party/", "/websocket/party/"))
    assert "409" in await raised(connect(url))
    first.say(Referee([]).settings(0))
    first.say({"YourTurn": {}})
    assert b"Offer" in await first.next()


@within(60)
async def test_parties_that_come_and_go(place: Place) -> None:
    """A file dropped in is in the list within three seconds, one that is removed is not; its run goes on."""
    server = await Server.start(place)
    ws = server.base.replace("http", "ws").replace("/partiesserver", "/partiesserver-2.0.0")
    lists = [await connect(f"{ws}{path}") for path in ("/available", "/websocket/available")]
    for socket in lists:
        [party] = json.loads(await socket.next())
        assert party["uri"].endswith("/partiesserver-2.0.0/run/standin")
    running = await server.run()
    (server.folder / "another.json").write_text(descriptor(), "utf-8")
    began = time.monotonic()
    for socket in lists:
        assert len(json.loads(await socket.next())) == 2
    took_s = time.monotonic() - began
    assert took_s < 3
    (server.folder / "another.json").unlink()
    (server.folder / "standin.json").unlink()
    while json.loads(await lists[0].next()):
        pass
    running.say(Referee([]).settings(0))
    running.say({"YourTurn": {}})
    assert b"Offer" in await running.next()


@within(60)
async def test_files_that_are_no_parties(place: Place) -> None:
    """What can't be a party is in no list; its reason is on the pages and in the answer to who wants to run it."""
    server = await Server.start(place)
    (server.folder / "broken.json").write_text('{"command": 1}', "utf-8")
    (server.folder / "mute.json").write_text(descriptor(STANDIN_BAD="capabilities"), "utf-8")
    (server.folder / "gone.json").write_text('{"command": ["/no/such/program"]}', "utf-8")
    (server.folder / "notes.txt").write_text("no party", "utf-8")
    reasons = {
        "broken": "command: a list of texts is needed",
        "mute": "capabilities: not JSON",
        "gone": "command not found: /no/such/program",
    }
    for name, why in reasons.items():
        await server.daemon.line(f"{name}.json is no party: {why}")
        status, text, _ = await get(f"{server.base}/run/{name}")
        assert (status, text) == (500, f"cannot start {name}: {why}")
        for page in ("/", "/partiesrepo/"):
            assert why in (await get(server.base + page))[1]
    assert "notes.txt" in (await get(f"{server.base}/partiesrepo"))[1]
    assert len(await server.until(bool)) == 1


@within(60)
async def test_numbers_after_a_kill(place: Place) -> None:
    """After a kill of the daemon, and of its parties with it, runs have other ids than before."""
    server = await Server.start(place, store="sqlite")
    first = [(await get(f"{server.base}/run/standin"))[1].rpartition("/")[2] for _ in range(2)]
    await server.daemon.stop("KILL")
    server.daemon = await started(place.folder / "sessiond.toml")
    await server.until(bool)
    await server.free(2)
    second = [(await get(f"{server.base}/run/standin"))[1].rpartition("/")[2] for _ in range(2)]
    numbers = [int(one.rpartition("_")[2]) for one in (*first, *second)]
    assert numbers == sorted(set(numbers))


@within(60)
async def test_the_party_of_the_documents(place: Place) -> None:
    """The party that the documents write in twenty lines is in the list within three seconds, and plays."""
    server = await Server.start(place, parties=())
    text = document("genius2")
    (program, *_), (descriptor, *_) = blocks(text, "python"), blocks(text, "json")
    assert len(program.text.strip().splitlines()) <= 20
    began = time.monotonic()
    (server.folder / "easy.py").write_text(program.text, "utf-8")
    (server.folder / "easy.json").write_text(descriptor.text, "utf-8")
    [party] = await server.until(bool)
    listed_s = time.monotonic() - began
    assert (party["uri"], party["capabilities"]["behaviours"]) == (f"{server.base}/run/easy", ["SAOP"])
    assert party["description"] == "Takes the first offer that it gets."
    socket = await server.run("easy")
    socket.say(Referee([]).settings(0))
    socket.say({"YourTurn": {}})
    assert json.loads(await socket.next()) == {"Offer": {"actor": "partya_0", "bid": {"issuevalues": {"price": "1"}}}}
    bid = {"issuevalues": {"price": "7"}}
    socket.say({"ActionDone": {"action": {"Offer": {"actor": "partyb_1", "bid": bid}}}})
    socket.say({"YourTurn": {}})
    assert json.loads(await socket.next()) == {"Accept": {"actor": "partya_0", "bid": bid}}
    socket.say({"Finished": {"agreements": {}}})
    socket.sendClose(1000)
    assert await socket.closed == (1000, None)
    await server.free(2)
    print(f"in the list after {listed_s:.1f} s")  # noqa: T201
