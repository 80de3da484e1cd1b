"""Facts out to a real RabbitMQ and events in from it, through everything that a server can do to its clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogPublisher

from sessiond.bus.amqp import AmqpBus, Feed, Login, Server, Standing, inbox, link, outbox
from sessiond.bus.cloudevents import encode
from sessiond.bus.local import LocalBus
from sessiond.clock import SteadyClock
from sessiond.core.facts import CloudEvent, Fact, FactType
from sessiond.entropy import SystemEntropy
from sessiond.stores.sqlite import SqliteStore
from tests.bus import reading
from tests.bus.lines import Lines
from tests.components.rabbitmq import PASSWORD, USER, RabbitMQ, until
from tests.reactor import within

EXCHANGE = "sessiond-events"
FACTS = 10_000


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten what would only be waited for; the tests on a Clock hold the real times."""
    monkeypatch.setattr(outbox, "CONFIRM_S", 3.0)
    monkeypatch.setattr(link, "READY_S", 3.0)
    monkeypatch.setattr(inbox, "LOOK_S", 0.5)


class Impatient(SystemEntropy):
    """Draws short waits, so that no test waits half a minute."""

    def fraction(self) -> float:
        """Draw."""
        return super().fraction() / 10


@frozen
class Side:
    """The daemon's side: a store whose facts go out."""

    store: SqliteStore
    bus: LocalBus
    reactor: Any
    lines: list[str]
    buses: list[AmqpBus]

    async def save(self, count: int) -> None:
        """Save facts and publish them, as the journal does."""
        facts = [Fact(FactType.READY, f"clock-{i % 7}", "clock", "ada", 10.0, i) for i in range(count)]
        self.bus.publish(await self.store.forget("nobody", facts))

    async def join(
        self,
        server: Server,
        feeds: Sequence[Feed] = (),
        emit: Callable[[str, CloudEvent], object] = lambda feed, event: None,
    ) -> AmqpBus:
        """Start the bus."""
        shelf = self.store.shelf("amqp")
        clock = SteadyClock(self.reactor)
        joined = AmqpBus(server, self.store, shelf, "E", "/test", self.reactor, clock, Impatient(), feeds, emit)
        self.bus.subscribe(joined.hear)
        await joined.start()
        self.buses.append(joined)
        return joined

    def said(self, part: str) -> bool:
        """Say whether a line of the log holds this."""
        return any(part in line for line in self.lines)


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    """Make the daemon's side."""
    from twisted.internet import reactor

    lines = Lines()
    store = SqliteStore(tmp_path / "store", reactor)  # type: ignore[arg-type]
    pytest_twisted.blockon(store.open())
    side = Side(store, LocalBus(), reactor, lines.kept, [])
    globalLogPublisher.addObserver(lines)
    yield side
    for bus in side.buses:
        pytest_twisted.blockon(Deferred.fromCoroutine(bus.stop()))
    globalLogPublisher.removeObserver(lines)
    pytest_twisted.blockon(store.close())
    assert not side.said(PASSWORD)


@pytest.fixture
def server(rabbitmq: RabbitMQ) -> Server:
    """Tell where RabbitMQ is."""
    return Server("127.0.0.1", rabbitmq.port, Login(USER, PASSWORD), EXCHANGE)


def unique(read: list[reading.Read]) -> list[int]:
    """Give the offsets in order of their first arrival."""
    return list(dict.fromkeys(one.offset for one in read))


@within(180)
async def test_killed_and_started_again(side: Side, server: Server, rabbitmq: RabbitMQ) -> None:
    """A server that is killed amid ten thousand facts loses none; without duplicates they are complete and in order."""
    await deferToThread(reading.bind, rabbitmq.port, "all", EXCHANGE)
    bus = await side.join(server)
    saved = 0
    while saved < FACTS:
        await side.save(20)
        saved += 20
        if saved == FACTS // 2:
            await until(lambda: bus.outbox.count.sent > FACTS // 5)
            rabbitmq.kill()
            rabbitmq.spawn()
    await until(lambda: not bus.outbox.count.unsent)
    assert bus.reconnects
    read = await deferToThread(reading.read_all, rabbitmq.port, "all")
    assert unique(read) == list(range(1, FACTS + 1))
    assert len({one.properties.message_id for one in read}) == FACTS
    assert all(one.event["id"] == one.properties.message_id == f"E-{one.offset}" for one in read)
    assert all(one.properties.delivery_mode == 2 for one in read)
    assert read[0].key == "sessiond.session.ready.clock.clock-0"
    assert bus.outbox.count.dropped == 0


@within(60)
async def test_place_is_kept(side: Side, server: Server, rabbitmq: RabbitMQ) -> None:
    """A daemon that comes again goes on where it was, with what was saved while the bus was not there."""
    await deferToThread(reading.bind, rabbitmq.port, "kept", EXCHANGE)
    await side.save(3)
    bus = await side.join(server)
    await until(lambda: not bus.outbox.count.unsent)
    await bus.stop()
    side.buses.remove(bus)
    await side.save(2)
    again = await side.join(server)
    assert again.outbox.count.unsent == 2
    await until(lambda: not again.outbox.count.unsent)
    assert [one.offset for one in await deferToThread(reading.read_all, rabbitmq.port, "kept")] == [1, 2, 3, 4, 5]


@within(120)
async def test_hangs(side: Side, server: Server, rabbitmq: RabbitMQ) -> None:
    """A server that stands still is noticed by the confirmation that is missing, and gets all when it goes on."""
    await deferToThread(reading.bind, rabbitmq.port, "hung", EXCHANGE)
    bus = await side.join(server)
    await side.save(5)
    await until(lambda: not bus.outbox.count.unsent)
    rabbitmq.hang()
    await side.save(5)
    await until(lambda: side.said("does not confirm within 3 s"))
    assert bus.standing is Standing.AWAY
    await until(lambda: side.said("does not let us in within 3 s"))
    rabbitmq.go_on()
    await until(lambda: not bus.outbox.count.unsent)
    assert unique(await deferToThread(reading.read_all, rabbitmq.port, "hung")) == list(range(1, 11))


@within(120)
async def test_blocks(side: Side, server: Server, rabbitmq: RabbitMQ) -> None:
    """A server that is short of memory is shown as such, keeps its connection, and gets all when it takes it."""
    await deferToThread(reading.bind, rabbitmq.port, "blocked", EXCHANGE)
    bus = await side.join(server)
    await until(lambda: bus.standing is Standing.UP)
    await rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    await until(lambda: "alarm" in rabbitmq.log)
    await side.save(300)
    await until(lambda: bus.standing is Standing.BLOCKED)
    assert side.said("RabbitMQ, facts: takes no messages at present: low on memory")
    await rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
    await until(lambda: not bus.outbox.count.unsent)
    assert bus.standing is Standing.UP
    assert side.said("RabbitMQ, facts: takes messages again")
    assert bus.reconnects == 0
    assert unique(await deferToThread(reading.read_all, rabbitmq.port, "blocked")) == list(range(1, 301))


@within(60)
async def test_refuses(side: Side, server: Server, rabbitmq: RabbitMQ) -> None:
    """A wrong password, then the right one: the log says what is wrong, and never what was tried."""
    bus = await side.join(evolve(server, login=Login(USER, "not-" + PASSWORD)))
    await side.save(1)
    await until(lambda: side.said("403 ACCESS_REFUSED"))
    assert side.said("are the user, the password and the virtual host right?")
    assert bus.standing is Standing.AWAY
    await rabbitmq.ctl("change_password", USER, "not-" + PASSWORD)
    await until(lambda: not bus.outbox.count.unsent)
    await rabbitmq.ctl("change_password", USER, PASSWORD)


@within(60)
async def test_wrong_vhost(side: Side, server: Server) -> None:
    """A virtual host that is not there is named."""
    await side.join(evolve(server, login=evolve(server.login, vhost="elsewhere")))
    await until(lambda: side.said("vhost elsewhere not found"))


@within(60)
async def test_exchange_deleted(side: Side, server: Server, rabbitmq: RabbitMQ) -> None:
    """An exchange that is deleted is told of at the next fact, made again, and the fact goes out."""
    bus = await side.join(server)
    await side.save(1)
    await until(lambda: not bus.outbox.count.unsent)
    await deferToThread(reading.do, rabbitmq.port, "exchange_delete", EXCHANGE)
    await side.save(1)
    await until(lambda: side.said("404 NOT_FOUND - no exchange 'sessiond-events'"))
    await until(lambda: not bus.outbox.count.unsent)


@within(60)
async def test_closed_by_an_operator(side: Side, server: Server, rabbitmq: RabbitMQ) -> None:
    """A connection that an operator closes is told of with the operator's words, and made again."""
    bus = await side.join(server)
    await until(lambda: bus.standing is Standing.UP)
    await rabbitmq.ctl("close_all_connections", "for the test")
    await until(lambda: side.said("320 CONNECTION_FORCED - for the test"))
    await until(lambda: bus.standing is Standing.UP)
    assert bus.reconnects == 1


JOBS = Feed("jobs", "cloudstack-events", "management-server.AsyncJobEvent.#")
OTHERS = Feed("others", "others", "#")
JOB_KEY = "management-server.AsyncJobEvent.complete.VirtualMachine.u1"


class Taken:
    """Takes the events of feeds."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, CloudEvent]] = []

    def __call__(self, feed: str, event: CloudEvent) -> None:
        """Take one."""
        self.kept.append((feed, event))

    def of(self, feed: str, type_: str = "") -> list[CloudEvent]:
        """Give those of a feed whose type begins so."""
        return [event for name, event in self.kept if name == feed and event.type.startswith(type_)]


@within(60)
async def test_feeds(side: Side, server: Server, rabbitmq: RabbitMQ) -> None:
    """Messages of others become events: CloudEvents as they are, any JSON as data, and what is neither is counted."""
    taken = Taken()
    bus = await side.join(server, (JOBS, OTHERS), taken)
    await until(lambda: bus.standing is Standing.UP)
    port = rabbitmq.port
    await deferToThread(reading.publish, port, JOBS.exchange, JOB_KEY, [b'{"jobId":"j1"}'], content_type="text/plain")
    await deferToThread(
        reading.publish, port, JOBS.exchange, "management-server.UsageEvent.x.y.z", [b'{"not":"bound"}']
    )
    sent = CloudEvent("7", "/elsewhere", "org.example.done", data={"n": 1})
    bad = [b"no JSON", b'{"specversion":"1.0"}', b'{"n":NaN}', b"9" * 300_000]
    await deferToThread(
        reading.publish, port, OTHERS.exchange, "a.b", [encode(sent), *bad, b"[1]"], message_id="m1", timestamp=1000
    )
    await until(lambda: len(taken.kept) == 3)
    [job] = taken.of("jobs")
    assert (job.type, job.source, job.data) == (JOB_KEY, "/amqp/cloudstack-events", {"jobId": "j1"})
    assert taken.of("others") == [sent, CloudEvent("m1", "/amqp/others", "a.b", time=1000.0, data=[1])]
    assert [(tap.taken, tap.unread) for tap in bus.inbox.taps] == [(1, 0), (2, 4)]
    assert side.said("feed others: a message of 7 bytes, key a.b, is no event: no JSON")


@within(120)
async def test_feeds_of_a_killed_server(side: Side, server: Server, rabbitmq: RabbitMQ) -> None:
    """Each feed is told, once, between which instants messages may be lost, and goes on."""
    taken = Taken()
    bus = await side.join(server, (JOBS, OTHERS), taken)
    await until(lambda: bus.standing is Standing.UP)
    rabbitmq.kill()
    await until(lambda: bus.standing is Standing.AWAY)
    rabbitmq.spawn()
    await until(lambda: len(taken.kept) == 2)
    for feed in (JOBS, OTHERS):
        [gap] = taken.of(feed.name, "sessiond.bus.gap")
        assert gap.data["from"] < gap.data["to"]
    await deferToThread(reading.publish, rabbitmq.port, JOBS.exchange, JOB_KEY, [b"{}"])
    await until(lambda: len(taken.of("jobs", JOB_KEY)) == 1)


@within(120)
async def test_exchange_of_a_feed_deleted(side: Side, server: Server, rabbitmq: RabbitMQ) -> None:
    """A feed whose exchange was deleted is consumed again, with a gap; the other has none."""
    taken = Taken()
    bus = await side.join(server, (JOBS, OTHERS), taken)
    await until(lambda: bus.standing is Standing.UP)
    await deferToThread(reading.do, rabbitmq.port, "exchange_delete", JOBS.exchange)
    await until(lambda: bool(taken.of("jobs", "sessiond.bus.gap")))
    assert side.said("feed jobs: nothing comes from cloudstack-events: 404 NOT_FOUND")
    await deferToThread(reading.publish, rabbitmq.port, JOBS.exchange, JOB_KEY, [b"{}"])
    await until(lambda: len(taken.of("jobs", JOB_KEY)) == 1)
    assert not taken.of("others")


@within(120)
async def test_flood(side: Side, server: Server, rabbitmq: RabbitMQ) -> None:
    """All of many messages arrive, in order, and are acknowledged."""
    taken = Taken()
    bus = await side.join(server, (OTHERS,), taken)
    await until(lambda: bus.standing is Standing.UP)
    await deferToThread(reading.publish, rabbitmq.port, OTHERS.exchange, "n", [str(n).encode() for n in range(3000)])
    await until(lambda: len(taken.kept) == 3000)
    assert [event.data for event in taken.of("others")] == list(range(3000))
    await bus.stop()
    side.buses.remove(bus)


@within(120)
async def test_feed_without_a_right(side: Side, server: Server, rabbitmq: RabbitMQ) -> None:
    """A feed that may not be read says so, and neither the other feed nor the facts suffer."""
    await deferToThread(reading.do, rabbitmq.port, "exchange_declare", OTHERS.exchange, "topic", False, True)
    await deferToThread(reading.do, rabbitmq.port, "exchange_declare", JOBS.exchange, "topic", False, True)
    await rabbitmq.ctl("set_permissions", USER, ".*", ".*", "^(?!cloudstack-events$).*")
    taken = Taken()
    bus = await side.join(server, (JOBS, OTHERS), taken)
    await until(lambda: side.said("feed jobs: nothing comes from cloudstack-events: 403 ACCESS_REFUSED"))
    await until(lambda: bus.inbox.taps[1].inlet is not None)
    assert bus.standing is Standing.AWAY
    await deferToThread(reading.publish, rabbitmq.port, OTHERS.exchange, "n", [b"1"])
    await side.save(1)
    await until(lambda: len(taken.of("others")) == 1 and not bus.outbox.count.unsent)
    await rabbitmq.ctl("set_permissions", USER, ".*", ".*", ".*")
    await until(lambda: bus.standing is Standing.UP)
