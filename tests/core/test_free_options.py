"""Options that are not declared: data for scripts, bounded and text."""

import pytest

from sessiond.core.errors import Code, Refused
from sessiond.core.options import MOST_FREE, MOST_FREE_CHARACTERS, check_options
from sessiond.core.services import Integer

DECLARED = {"depth": Integer(8, 32, 24)}


def test_free_options_stand_beside_the_declared() -> None:
    """What is declared is checked as ever; the rest passes as it is, also what no argument may be."""
    given = {"depth": 8, "target": "-x\nhttp://host/ü", "": ""}
    assert check_options(DECLARED, given, free=True) == given
    assert check_options(DECLARED, {}, free=True) == {"depth": 24}


@pytest.mark.parametrize(
    "given",
    [
        {"x": 1},
        {"x": None},
        {"x": "a\0b"},
        {"x": "\ud800"},
        {"x\0": "a"},
        {"x": "a" * (MOST_FREE_CHARACTERS + 1)},
        {"a" * (MOST_FREE_CHARACTERS + 1): "x"},
        {str(number): "" for number in range(MOST_FREE + 1)},
        {"depth": "8"},
    ],
)
def test_free_options_are_bounded(given: dict[str, object]) -> None:
    """What is no text, too long or too much is refused."""
    with pytest.raises(Refused) as refused:
        check_options(DECLARED, given, free=True)
    assert refused.value.code is Code.BAD_OPTION


def test_unknown_is_refused_elsewhere() -> None:
    """Where nothing is said of others, only declared options pass."""
    with pytest.raises(Refused):
        check_options(DECLARED, {"x": "y"})
