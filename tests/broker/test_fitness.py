"""Services that can't be started as they are set up: looked at, refused with the cause, looked at again."""

from twisted.internet.defer import Deferred

from sessiond.broker.fitness import AGAIN_S
from sessiond.core.errors import Code
from sessiond.core.values import State
from sessiond.ports import Described
from tests.broker.world import SERVICES, WARM, World


def look(world: World) -> None:
    """Have all services looked at."""
    Deferred.fromCoroutine(world.broker.check_services())
    world.advance(0.0)


def test_unfit_service_is_refused_until_it_is_mended() -> None:
    """Its callers are told the cause and when to come back, others are served; a later look finds it mended."""
    world = World()
    world.launcher.described["plain"] = Described(cause="load failed: no such file")
    look(world)
    refused = world.reserve("plain").refused
    assert refused is not None
    assert (refused.code, refused.detail, refused.retry_after_s) == (
        Code.CANNOT_START,
        "load failed: no such file",
        AGAIN_S,
    )
    assert world.broker.unfit(world.broker.service("plain")) == "load failed: no such file"
    assert world.ready("leased").state is State.READY
    del world.launcher.described["plain"]
    world.advance(AGAIN_S)
    assert world.broker.unfit(world.broker.service("plain")) is None
    assert world.ready("plain").state is State.READY


def test_unfit_service_is_not_warmed() -> None:
    """Nothing is started beforehand for a service that can't be; once it is mended, it is warmed."""
    world = World((*SERVICES, WARM))
    world.advance(0.0)
    world.launcher.described["warm"] = Described(cause="load failed")
    look(world)
    world.ready("warm")
    assert [s.claimed for s in world.broker.sessions() if s.service == "warm"] == [True]
    del world.launcher.described["warm"]
    world.advance(AGAIN_S)
    assert [s.claimed for s in world.broker.sessions() if s.service == "warm"] == [True, False]
