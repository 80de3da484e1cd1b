"""Programs' reports on both bases, and the ladder of silence (spec 3)."""

import pytest
from attrs import evolve

from sessiond.core.services import Plan
from sessiond.core.session import Session
from sessiond.core.values import Lease, Reason, State, StopStep
from sessiond.dialects.hoops.words import state_of
from tests.dialects.hoops.house import PLAN, House, Reporting
from tests.fakes.launchers import HARD, SOFT
from tests.results import result_of

TUTORIAL, PRODUCT = "/liveliness/", "/api/spawns/"
BASES = (TUTORIAL, PRODUCT)


def refused(base: str, text: str) -> dict[str, str]:
    """Say what a base answers."""
    return {"error": text} if base == TUTORIAL else {"result": "error", "reason": text}


@pytest.mark.parametrize("base", BASES)
def test_reports_are_taken(base: str) -> None:
    """Each of the three is 200 and empty, ``ready`` too."""
    house = House()
    house.spawn()
    for what in ("ping", "ready", "ping", "ready", "disconnect"):
        told = house.report(what, base)
        assert (told.status, told.body) == (200, b"")
    assert state_of(house.session) == "disconnected"


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("what", ["ready", "ping", "disconnect"])
def test_unknown_and_ended(base: str, what: str) -> None:
    """There is no such session, be it that there never was or that it has ended."""
    house = House()
    house.spawn()
    session = house.session
    house.end(6)
    told = house.report(what, base, evolve(house.session, child_secret=session.child_secret))
    assert (told.status, told.json) == (404, refused(base, "invalid spawnId."))
    told = house.report(what, base, evolve(session, id="never"))
    assert (told.status, told.json) == (404, refused(base, "invalid spawnId."))
    assert house.session.state is State.ENDED


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("what", ["nonsense", "READY", ""])
def test_nonsense(base: str, what: str) -> None:
    """It is 400, and changes nothing."""
    house = House()
    house.ready()
    before = house.session
    told = house.report(what, base)
    assert (told.status, told.json) == (400, refused(base, "invalid liveliness value"))
    assert house.session == before


def test_no_word() -> None:
    """Without any word the tutorial's base says 400 and the product's 200; nothing changes."""
    house = House()
    house.ready()
    before = house.session
    assert house.report(None, TUTORIAL).status == 400
    assert house.report(None, PRODUCT).status == 200
    assert house.session == before


@pytest.mark.parametrize("base", ["//liveliness//", "/api//spawns//", "//api/spawns/"])
@pytest.mark.parametrize("end", ["", "/"])
def test_slashes(base: str, end: str) -> None:
    """Programs join address and id as they like."""
    house = House()
    house.spawn()
    path = f"/{house.session.child_secret}{base}{house.session.id}{end}?liveliness=ready"
    assert house._ask(house.children, "POST", path, (), b"").answer.status == 200
    assert house.session.state is State.READY


@pytest.mark.parametrize("base", BASES)
def test_secret(base: str) -> None:
    """Whoever knows the id alone, as pages do, can report nothing; where the operator says so, it is enough."""
    for child_auth, status in ((True, 404), (False, 200)):
        house = House(child_auth=child_auth)
        house.spawn()
        path = f"{base}{house.session.id}?liveliness=ready"
        assert house._ask(house.children, "POST", path, (), b"").answer.status == status
        assert house.ask("POST", path).answer.status == 404
        page = house._ask(house.children, "POST", path, ("Origin: http://localhost",), b"").answer
        assert page.status != 200


@pytest.mark.parametrize("content", [b"", b"x" * (64 << 10)])
def test_bodies_are_dropped(content: bytes) -> None:
    """A report may have a body, of which nothing is read."""
    house = House()
    house.spawn()
    path = f"/{house.session.child_secret}/api/spawns/{house.session.id}?liveliness=ready"
    assert house._ask(house.children, "POST", path, (), content).answer.status == 200


# -- silence -----------------------------------------------------------------------------------------------------------


def test_ladder() -> None:
    """Suspect at 12 s, TERM at 17 s, KILL 5 s later, stuck 5 s after that; the slot and the port stay taken."""
    house = House(count=1)
    house.launcher.script = Reporting(obeys=())
    house.ready()
    begun, names = house.reactor.seconds(), list[str]()
    for at in (11.9, 12.1, 16.9, 17.1, 21.9, 22.1, 26.9, 27.1, 600):
        house.advance(begun + at - house.reactor.seconds())
        names.append(state_of(house.session))
    assert names == [
        *("ready", "suspect", "suspect", "nice-killed", "nice-killed", "killed", "killed", "zombie", "zombie"),
    ]
    assert house.program.steps[:2] == [StopStep.TERM, StopStep.KILL]
    assert (house.session.reason, house.session.leases) == (Reason.HEARTBEAT_LOST, (Lease(number=11000),))
    assert house.spawn().answer.json["reason"] == "No ports available"
    house.program.vanish()
    house.advance(0)
    assert state_of(house.session) == "dead"


@pytest.mark.parametrize("what", ["ping", "ready"])
def test_revives(what: str) -> None:
    """A report after 13 s of silence takes the suspicion back, and the clock of silence begins anew."""
    house = House()
    house.ready()
    house.advance(13)
    assert state_of(house.session) == "suspect"
    house.report(what)
    assert state_of(house.session) == "ready"
    house.advance(11.9)
    assert state_of(house.session) == "ready"
    house.advance(0.2)
    assert state_of(house.session) == "suspect"


def test_pings_keep_it_alive() -> None:
    """A viewer that pings is neither suspect nor ended, whatever its age."""
    house = House(plan=evolve(PLAN, limits=evolve(PLAN.limits, connect_s=3600.0)))
    house.ready()
    for _ in range(120):
        house.advance(5)
        assert house.report("ping").status == 200
        assert state_of(house.session) == "ready"


def test_disconnected_program_has_its_time() -> None:
    """After ``disconnect`` it has 17 s to end by itself, whatever it says meanwhile; then TERM."""
    house = House()
    house.launcher.script = Reporting(obeys=HARD)
    house.ready()
    house.report("disconnect")
    for what in ("ping", "ready", "disconnect"):
        house.advance(5)
        assert house.report(what).status == 200
        assert state_of(house.session) == "disconnected"
    house.advance(1.9)
    assert StopStep.TERM not in house.program.steps
    house.advance(0.2)
    assert state_of(house.session) == "nice-killed"
    house.advance(5)
    assert house.session.state is State.ENDED
    assert house.session.reason is Reason.FINISHED


def test_launching_has_a_limit_of_its_own() -> None:
    """A program that takes 50 s to be ready, and is silent meanwhile, is not ended for that."""
    house = House()
    asked = house.spawn()
    house.advance(50)
    assert state_of(house.session) == "launching"
    house.report()
    assert asked.answer.json["result"] == "ok"


def test_unused_viewer() -> None:
    """Nobody comes within 60 s after it was ready: it is ended."""
    house = House()
    house.launcher.script = Reporting(obeys=SOFT)
    house.ready()
    for _ in range(12):
        house.report("ping")
        house.advance(4.99)
    assert house.session.state is State.READY
    house.advance(0.2)
    assert house.session.reason is Reason.UNUSED


def test_standstill_kills_nobody() -> None:
    """A daemon that stood still for a minute moves every limit on by that."""
    house = House()
    house.ready()
    house.advance(5)
    house.report("ping")
    house.reactor.rightNow += 60  # nothing ran
    house.advance(6)
    assert state_of(house.session) == "ready"


def test_port_waits_for_the_process() -> None:
    """``disconnect`` alone gives no port back: the process must be gone."""
    house = House(ports=(11000, 11002))
    house.launcher.script = Reporting(obeys=())
    house.ready()
    first = house.session
    house.report("disconnect")
    for _ in range(2):
        house.ready()
        assert house.session.leases != first.leases
    house.launcher.children[first.id].exit()
    house.launcher.children[first.id].vanish()
    house.advance(0)
    assert result_of(house.store.facts(0, 1000))
    house.ready()
    assert house.session.leases == first.leases


@pytest.mark.parametrize(
    ("plan", "state"), [(PLAN, "ready"), (evolve(PLAN, limits=evolve(PLAN.limits, suspect_s=None)), "ready")]
)
def test_names(plan: Plan, state: str) -> None:
    """A session that is ready is called so."""
    house = House(plan=plan)
    house.ready()
    session: Session = house.session
    assert state_of(session) == state
