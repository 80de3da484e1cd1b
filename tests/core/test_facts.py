"""What facts say: each kind has a meaning, and data of exactly the names that stand there."""

import pytest

from sessiond.core.errors import Refused
from sessiond.core.facts import MEANINGS, FactType
from sessiond.core.machine import step
from tests.core.sessions import walk


def test_each_has_a_meaning() -> None:
    """No kind is without."""
    assert set(MEANINGS) == set(FactType)
    assert all(meaning.text for meaning in MEANINGS.values())


@pytest.mark.parametrize("seed", range(40))
def test_data(seed: int) -> None:
    """However a session goes, its facts have what their meanings say."""
    for session, event, now in walk(seed, 60):
        try:
            outcome = step(session, event, now)
        except Refused:
            continue
        for fact in outcome.facts:
            assert set(fact.data) == set(MEANINGS[fact.type].data), fact
