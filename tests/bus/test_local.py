"""The bus inside the daemon keeps the contract."""

import pytest

from sessiond.bus.local import LocalBus
from sessiond.ports import Bus
from tests.contracts.bus import BusContract


class TestLocalBus(BusContract):
    """The contract, and nothing beside it."""

    @pytest.fixture
    def bus(self) -> Bus:
        """Make the subject."""
        return LocalBus()
