"""A session's time runs out: its portal is warned, and extends it, over REST and on a Clock."""

from __future__ import annotations

from typing import Any

import pytest

from sessiond.core.draft import RECLAIMS
from sessiond.core.facts import FactType
from sessiond.core.services import Limits, Plan
from sessiond.core.values import Deadline, End, LaunchWhen, Reason
from tests.broker.world import FakeClient, service
from tests.web.http import Api

LIMITS = Limits(
    reservation_s=100.0,
    connect_s=200.0,
    linger_s=300.0,
    idle_s=400.0,
    lifetime_s=5000.0,
    lifetime_cap_s=8000.0,
    warning_s=30.0,
)
LENGTHS = {
    Deadline.RESERVATION: 100.0,
    Deadline.CONNECT: 200.0,
    Deadline.LINGER: 300.0,
    Deadline.IDLE: 400.0,
    Deadline.LIFETIME: 5000.0,
}
REASONS = {
    Deadline.RESERVATION: Reason.RESERVATION_EXPIRED,
    Deadline.CONNECT: Reason.UNUSED,
    Deadline.LINGER: Reason.LINGERED,
    Deadline.IDLE: Reason.IDLE,
    Deadline.LIFETIME: Reason.LIFETIME,
}


class Watched:
    """A session of which one reclaim is next, and the portal that looks after it."""

    def __init__(self, deadline: Deadline) -> None:
        launch = LaunchWhen.ON_CONNECT if deadline is Deadline.RESERVATION else LaunchWhen.ON_RESERVE
        plan = Plan(limits=LIMITS, launch=launch)
        self.api, self.deadline = Api(services=(service("plain", plan),), pools={"plain": 1}), deadline
        self.id = self.api.create()["id"]
        self.client: FakeClient | None = None
        if deadline in (Deadline.LINGER, Deadline.IDLE, Deadline.LIFETIME):
            self.client = self.api.world.tunnel(self.id)
            self.client.active_at = self.api.world.now
        if deadline is Deadline.LINGER and self.client is not None:
            self.client.close(End.CLIENT)

    def pass_time(self, seconds: float) -> None:
        """Let time pass; the client of a session that lives out its lifetime is always active."""
        if self.deadline is not Deadline.LIFETIME or self.client is None:
            self.api.world.advance(seconds)
            return
        whole, rest = divmod(seconds, 50.0)
        for part in (*[50.0] * int(whole), rest):
            self.client.active_at = self.api.world.now + part
            self.api.world.advance(part)

    def extend(self, by_s: float, deadline: Deadline | None = None) -> Any:
        """Ask for more time."""
        wanted = {"deadline": (deadline or self.deadline).value, "by_s": by_s}
        return self.api.post(f"/sessions/{self.id}/extend", wanted)

    def left_s(self) -> float:
        """Say how much time is left until the reclaim."""
        deadlines = self.api.get(f"/sessions/{self.id}").json["deadlines"]
        return float({told["name"]: told["in_s"] for told in deadlines}[self.deadline.value])

    def warnings(self, deadline: Deadline | None = None) -> list[float]:
        """Say of which instants of a reclaim the portal was warned."""
        facts = [s.fact for s in self.api.world.bus.facts if s.fact.type is FactType.WARNING]
        return [float(f.data["at"] or 0) for f in facts if f.data["deadline"] == (deadline or self.deadline).value]

    def told(self) -> dict[str, Any]:
        """Tell how the session stands."""
        found: dict[str, Any] = self.api.get(f"/sessions/{self.id}").json
        return found


def test_every_reclaim_is_tried() -> None:
    """No reclaim is left out here."""
    assert set(LENGTHS) == set(REASONS) == set(RECLAIMS)


@pytest.mark.parametrize("deadline", RECLAIMS)
def test_warned_once_before_each_reclaim(deadline: Deadline) -> None:
    """A warning comes so long before the reclaim as the service says, once, and then the session is taken back."""
    watched = Watched(deadline)
    ends_at = watched.api.world.now + LENGTHS[deadline]
    watched.pass_time(LENGTHS[deadline] - 31.0)
    assert watched.warnings() == []
    watched.pass_time(2.0)
    assert watched.warnings() == [ends_at]
    watched.pass_time(28.0)
    assert watched.told()["reason"] is None
    watched.pass_time(1.5)
    assert watched.told()["reason"] == REASONS[deadline].value
    assert watched.warnings() == [ends_at]


@pytest.mark.parametrize("deadline", RECLAIMS)
def test_extended_after_a_warning(deadline: Deadline) -> None:
    """A portal that was warned extends the session, is warned anew before the new instant, and only once."""
    watched = Watched(deadline)
    first = watched.api.world.now + LENGTHS[deadline]
    watched.pass_time(LENGTHS[deadline] - 20.0)
    assert watched.extend(100.0).status == 200
    assert watched.left_s() == 120.0
    watched.pass_time(80.0)
    assert watched.told()["reason"] is None
    assert watched.warnings() == [first]
    watched.pass_time(20.0)
    assert watched.warnings() == [first, first + 100.0]
    watched.pass_time(21.0)
    assert watched.told()["reason"] == REASONS[deadline].value
    assert watched.warnings() == [first, first + 100.0]


@pytest.mark.parametrize("deadline", RECLAIMS)
def test_extended_within_its_cap(deadline: Deadline) -> None:
    """However often a portal asks, the lifetime bounds every reclaim, and its cap the lifetime."""
    watched = Watched(deadline)
    for _ in range(5):
        watched.extend(4000.0)
    assert watched.left_s() == (8000.0 if deadline is Deadline.LIFETIME else 5000.0)


@pytest.mark.parametrize("deadline", [deadline for deadline in Deadline if deadline not in RECLAIMS])
def test_what_is_no_reclaim_is_not_extended(deadline: Deadline) -> None:
    """A portal buys no time for what the daemon itself waits for."""
    watched = Watched(Deadline.CONNECT)
    watched.extend(10.0, deadline).refused("not-accepting", 409)


def test_a_reclaim_that_comes_between_brings_no_second_warning() -> None:
    """Who was warned of the lifetime's end is not warned of it again because a client left and came back."""
    watched = Watched(Deadline.LIFETIME)
    ends_at = watched.api.world.now + 5000.0
    watched.extend(1.0, Deadline.IDLE)
    watched.pass_time(4975.0)
    assert watched.warnings() == [ends_at]
    for _ in range(2):
        if watched.client is not None:
            watched.client.close(End.CLIENT)
        watched.api.world.advance(1.0)
        watched.client = watched.api.world.tunnel(watched.id)
        watched.client.active_at = watched.api.world.now
        watched.pass_time(1.0)
    assert watched.told()["state"] == "connected"
    assert watched.warnings() == [ends_at]


def test_a_short_reclaim_brings_a_second_warning_of_none() -> None:
    """So it is where the reclaim between is nearer than the lifetime's end: each is warned of, once."""
    limits = Limits(linger_s=5.0, lifetime_s=1000.0, connect_s=900.0, warning_s=30.0)
    api = Api(services=(service("plain", Plan(limits=limits)),), pools={"plain": 1})
    session_id, ends_at = api.create()["id"], api.world.now + 1000.0
    client = api.world.tunnel(session_id)
    api.world.advance(975.0)
    client.close(End.CLIENT)
    left_at = api.world.now
    api.world.advance(1.0)
    api.world.tunnel(session_id)
    api.world.advance(1.0)
    facts = [stored.fact for stored in api.world.bus.facts if stored.fact.type is FactType.WARNING]
    told = [(fact.data["deadline"], fact.data["at"]) for fact in facts]
    assert told == [("lifetime", ends_at), ("linger", left_at + 5.0)]
