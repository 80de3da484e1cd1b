"""Many viewers at once whose programs do what they like: every caller is answered, and everything comes back."""

import os
import random
import signal
import socket
import struct
import time
from collections import Counter

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList
from twisted.web.client import ResponseNeverReceived

from tests.e2e.places import Place
from tests.e2e.viewing import ViewerSite, is_gone, pause
from tests.reactor import within

SPAWNS = int(os.environ.get("SESSIOND_STRESS", "48"))
SEED = int(os.environ.get("SESSIOND_STRESS_SEED", "6"))
CALLERS, SLOTS, PORTS = 16, 12, 16
"""More callers than slots, and more ports than those, since some of them rest."""
LAUNCH_S, SUSPECT_S, SILENT_S, TERM_S = 3.0, 1.5, 2.5, 1.0
LIMIT_S = 30.0
"""How long a caller may wait, where its program has three seconds: this machine may be busy."""
RESET = struct.pack("ii", 1, 0)

pytestmark = pytest.mark.usefixtures("site_ends")

USED = "used"
"""What ended well, whoever was heard of first: the viewer, the program, or that program's exit."""
WELL = ("finished", "lingered", "exited")
REFUSALS = ("No ports available", "The service fails again and again and is suspended for a while")
NOT_IN_TIME = (504, "launch failed: the program was not ready in time")


@define
class Crowd:
    """The callers, one round each after the other, and what became of them.

    :ivar reasons: why their sessions must end.
    """

    site: ViewerSite
    chance: random.Random
    left: int
    reasons: Counter[str] = field(factory=Counter)
    done: Counter[str] = field(factory=Counter)
    refused: int = 0
    longest_s: float = 0.0

    async def play(self) -> None:
        """Have one spawn after the other."""
        deeds = [self.visit, self.never, self.too_late, self.late, self.silent, self.struck, self.early, self.dies]
        deeds += [self.leaves, self.deaf, self.holds]
        while self.left > 0:
            self.left -= 1
            deed = self.chance.choice(deeds)
            await deed()
            self.done[deed.__name__] += 1

    async def ask(self, mode: str) -> tuple[int, str, str, str]:
        """Ask until it is not full any more; give status, reason, id and endpoint."""
        while True:
            began = time.monotonic()
            answer = await self.site.spawn(mode)
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            if answer.status != 503:
                break
            assert answer.json["reason"] in REFUSALS
            assert int(answer.headers["retry-after"]) >= 1
            self.refused += 1
            await pause()
        found = answer.json
        session_id = found.get("serviceId") or found.get("session")
        return answer.status, found.get("reason", ""), session_id, found.get("endpoints", {}).get("ws", "")

    async def spawned(self, mode: str) -> tuple[str, str]:
        """Ask for a viewer that must come."""
        status, reason, session_id, endpoint = await self.ask(mode)
        assert (status, reason) == (200, "")
        return session_id, endpoint

    # -- what happens to one

    async def visit(self) -> None:
        """Use a viewer; its program may say no good-bye, or stay for a while."""
        mode = self.chance.choice(["ok", "no-disconnect", "linger=0.8", "twice", "bad-value"])
        session_id, endpoint = await self.spawned(mode)
        self.reasons[USED] += 1
        viewer = await self.site.view(endpoint)
        await viewer.open_model()
        if self.chance.random() < 0.5:
            await viewer.close()
        else:
            viewer.drop()
        await self.gone(session_id)

    async def never(self) -> None:
        """Wait for what never gets ready."""
        self.reasons["launch-timeout"] += 1
        assert (await self.ask("never-ready"))[:2] == NOT_IN_TIME

    async def too_late(self) -> None:
        """Wait for what gets ready too late, and hears nothing."""
        self.reasons["launch-timeout"] += 1
        assert (await self.ask("slow-ready=9,deaf"))[:2] == NOT_IN_TIME

    async def late(self) -> None:
        """Use what gets ready late."""
        session_id, endpoint = await self.spawned("slow-ready=0.7")
        self.reasons[USED] += 1
        viewer = await self.site.view(endpoint, "csr")
        await viewer.open_model()
        await viewer.close()
        await self.gone(session_id)

    async def silent(self) -> None:
        """Leave one alone that does not ping any more."""
        session_id, _ = await self.spawned("mute-after=0")
        self.reasons["heartbeat-lost"] += 1
        await self.gone(session_id)

    async def deaf(self) -> None:
        """Leave one alone that neither pings nor obeys."""
        session_id, _ = await self.spawned("mute-after=0,deaf")
        self.reasons["heartbeat-lost"] += 1
        await self.gone(session_id)

    async def struck(self) -> None:
        """Kill one while it is used."""
        session_id, endpoint = await self.spawned("ok")
        self.reasons["crashed"] += 1
        viewer = await self.site.view(endpoint)
        await viewer.open_model()
        os.kill(await self.site.pid(session_id), signal.SIGKILL)
        await viewer.closed
        await self.gone(session_id)

    async def early(self) -> None:
        """Wait for one that ends before it is ready."""
        code, why = self.chance.choice(
            [(0, "it ended before it was ready"), (6, "invalid licence"), (1, "unexpected exit")]
        )
        self.reasons["launch-failed"] += 1
        assert (await self.ask(f"exit={code}"))[:2] == (500, f"launch failed: {why}, exit-code={code}")

    async def dies(self) -> None:
        """Wait for one that crashes before it is ready."""
        self.reasons["launch-failed"] += 1
        assert (await self.ask("segv"))[:2] == (500, "launch failed: ended by signal SIGSEGV")

    async def leaves(self) -> None:
        """Hang up before it is ready."""
        mark = f"leaver-{self.left}-{self.chance.random():.9f}"
        params = {"model": "never-ready", "sessionToken": mark}
        asked = self.site.spawn(body={"class": "csr_session", "params": params})
        while not asked.called and not any(mark in one["argv"] for one in self.site.events(event="start")):
            await pause()
        if asked.called:
            answer = await asked
            assert answer.status in (503, 504)
            self.refused += answer.status == 503
            self.reasons["launch-timeout"] += answer.status == 504
            return
        asked.cancel()
        with pytest.raises(ResponseNeverReceived):
            await asked
        self.reasons["caller-gone"] += 1

    async def holds(self) -> None:
        """Keep a stranger's connection to a program's port beyond the program's end; only then is the port free."""
        session_id, endpoint = await self.spawned("ok")
        self.reasons[USED] += 1
        port = (await self.site.event("listening", id=session_id))["port"]
        viewer = await self.site.view(endpoint)
        stranger = socket.create_connection(("127.0.0.1", port))
        try:
            await self.site.event("connected", count=2, id=session_id)
            await viewer.open_model()
            await viewer.close()
            await self.gone(session_id)
            listening = len(self.site.events(event="listening", port=port))
            for _ in range(30):
                await pause()
            assert len(self.site.events(event="listening", port=port)) == listening
        finally:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            stranger.close()

    async def gone(self, session_id: str) -> None:
        """Wait until its program is gone."""
        pid = await self.site.pid(session_id)
        while not is_gone(pid):
            await pause()


@within(180)
async def test_stress(place: Place) -> None:
    """At the end no program is left, every port is free, every caller was answered in time with the right cause."""
    limits = {"launch": LAUNCH_S, "suspect": SUSPECT_S, "liveliness": SILENT_S}
    site = await ViewerSite.start(
        place,
        count=SLOTS,
        ports=PORTS,
        store="sqlite",
        limits={name: f"{int(limit * 1000)}ms" for name, limit in limits.items()},
        stop=("drain 3s", f"term {TERM_S:.0f}s", "kill 5s"),
    )
    crowd = Crowd(site, random.Random(SEED), SPAWNS)
    playing = [Deferred.fromCoroutine(crowd.play()) for _ in range(CALLERS)]
    await DeferredList(playing, fireOnOneErrback=True, consumeErrors=True)
    await site.all_free()
    print(f"seed {SEED}: {dict(crowd.done)}, {crowd.refused} refused, the longest answer took {crowd.longest_s:.1f} s")  # noqa: T201
    assert all(is_gone(one["pid"]) for one in site.events(event="start"))
    assert not site.events(event="exit", code=3)  # no program has found its port taken
    assert crowd.longest_s < LIMIT_S
    facts = [line for line in site.daemon.output.lines if "session.ended" in line]
    told = Counter(fact.partition("'reason': '")[2].partition("'")[0] for fact in facts)
    assert told.pop("no-port", 0) <= crowd.refused  # a slot was free, and every port was resting
    assert Counter({USED: sum(told.pop(reason, 0) for reason in WELL), **told}) == crowd.reasons
