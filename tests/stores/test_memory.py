"""The store in memory keeps the contract, and so does the one that fails for tests."""

import pytest

from sessiond.ports import Store
from sessiond.stores.memory import MemoryStore
from tests.contracts.store import KeepingContract, MakeStore, StoreContract
from tests.fakes.stores import UnreliableStore


class TestMemoryStore(KeepingContract):
    """The contract, with one object for all openings."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Make the subject."""
        made: list[Store] = []

        def make(keep_facts: int = 100_000) -> Store:
            if not made:
                made.append(MemoryStore(keep_facts))
            return made[0]

        return make


class TestUnreliableStore(StoreContract):
    """The contract, as long as no test breaks it."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Make the subject."""
        store = UnreliableStore()
        return lambda keep_facts=0: store
