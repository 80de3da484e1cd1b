"""What every way does that facts leave by: to listeners in the daemon, or to a server and whoever reads there."""

from collections.abc import Coroutine
from typing import Any, Protocol

import pytest

from sessiond.core.facts import Fact, FactType
from tests.reactor import within


class Carrying(Protocol):
    """A store whose facts are carried to one reader, who sees each as the event that it becomes."""

    def save(self, facts: list[Fact]) -> Coroutine[Any, Any, None]:
        """Save facts in one transaction and publish them, as the journal does."""

    def read(self, count: int) -> Coroutine[Any, Any, list[tuple[int, str]]]:
        """Wait until so many different facts have arrived since the start: offset and subject of each arrival."""


def facts(count: int, session: str = "clock-1") -> list[Fact]:
    """Make some facts of one session."""
    return [Fact(FactType.READY, session, "clock", "ada", 10.0, version) for version in range(count)]


class CarryingContract:
    """Saved facts arrive, at least once and in order. A subclass has a fixture ``carrying``."""

    @pytest.fixture
    def carrying(self) -> Carrying:
        """Make the subject."""
        raise NotImplementedError

    @within(60)
    async def test_arrive_in_order(self, carrying: Carrying) -> None:
        """Facts of one transaction and of several arrive by their offsets."""
        await carrying.save(facts(3))
        await carrying.save([])
        await carrying.save(facts(2, "clock-2"))
        arrived = list(dict.fromkeys(await carrying.read(5)))
        assert arrived == [(1, "clock-1"), (2, "clock-1"), (3, "clock-1"), (4, "clock-2"), (5, "clock-2")]

    @within(60)
    async def test_many_arrive(self, carrying: Carrying) -> None:
        """More than is under way at a time arrive complete."""
        for _ in range(20):
            await carrying.save(facts(60))
        arrived = list(dict.fromkeys(await carrying.read(1200)))
        assert [offset for offset, _ in arrived] == list(range(1, 1201))
