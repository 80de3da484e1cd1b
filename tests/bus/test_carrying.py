"""Both ways out keep the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from sessiond.bus.amqp import AmqpBus, Login, Server
from sessiond.bus.local import LocalBus
from sessiond.clock import SteadyClock
from sessiond.core.facts import Fact, StoredFact
from sessiond.entropy import SystemEntropy
from sessiond.stores.memory import MemoryStore
from sessiond.stores.sqlite import SqliteStore
from tests.bus import reading
from tests.components.rabbitmq import PASSWORD, USER, RabbitMQ, until
from tests.contracts.carrying import Carrying, CarryingContract


@define
class Near:
    """To a listener in the daemon."""

    store: MemoryStore
    bus: LocalBus
    arrived: list[StoredFact] = field(factory=list)

    async def save(self, facts: list[Fact]) -> None:
        """Save and publish."""
        self.bus.publish(await self.store.forget("nobody", facts))

    async def read(self, count: int) -> list[tuple[int, str]]:
        """Read what arrived."""
        await until(lambda: len({one.offset for one in self.arrived}) >= count)
        return [(one.offset, one.fact.session_id) for one in self.arrived]


@define
class Far:
    """To RabbitMQ, and to another program there."""

    store: SqliteStore
    bus: LocalBus
    joined: AmqpBus
    port: int
    queue: str

    async def save(self, facts: list[Fact]) -> None:
        """Save and publish."""
        self.bus.publish(await self.store.forget("nobody", facts))

    async def read(self, count: int) -> list[tuple[int, str]]:
        """Read what arrived."""
        await until(lambda: self.joined.outbox.count.sent >= count)
        read = await deferToThread(reading.read_all, self.port, self.queue)
        return [(one.offset, one.event["subject"]) for one in read]


class TestLocalBus(CarryingContract):
    """In the daemon."""

    @pytest.fixture
    def carrying(self) -> Carrying:
        """Make the subject."""
        store, bus = MemoryStore(), LocalBus()
        store.open()
        near = Near(store, bus)
        bus.subscribe(near.arrived.append)
        return near


class TestAmqpBus(CarryingContract):
    """By RabbitMQ."""

    @pytest.fixture
    def carrying(self, tmp_path: Path, rabbitmq: RabbitMQ) -> Iterator[Carrying]:
        """Make the subject."""
        from twisted.internet import reactor

        exchange = f"facts-of-{tmp_path.name}"
        reading.bind(rabbitmq.port, exchange, exchange)
        store, bus = SqliteStore(tmp_path / "store", reactor), LocalBus()  # type: ignore[arg-type]
        pytest_twisted.blockon(store.open())
        server = Server("127.0.0.1", rabbitmq.port, Login(USER, PASSWORD), exchange)
        own: tuple[Any, ...] = (reactor, SteadyClock(reactor), SystemEntropy())
        joined = AmqpBus(server, store, store.shelf("amqp"), "E", "/test", *own)
        bus.subscribe(joined.hear)
        pytest_twisted.blockon(Deferred.fromCoroutine(joined.start()))
        yield Far(store, bus, joined, rabbitmq.port, exchange)
        pytest_twisted.blockon(Deferred.fromCoroutine(joined.stop()))
        pytest_twisted.blockon(store.close())
