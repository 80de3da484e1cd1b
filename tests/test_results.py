"""The two functions that read a Deferred."""

import pytest
from twisted.internet import defer

from tests.results import failure_of, no_result_of, result_of


def test_result() -> None:
    """A result is returned."""
    assert result_of(defer.succeed(3)) == 3


def test_failure_is_raised() -> None:
    """A failure is raised where a result was wanted."""
    with pytest.raises(ZeroDivisionError):
        result_of(defer.fail(ZeroDivisionError()))


def test_failure() -> None:
    """A failure is returned, and its type is checked."""
    assert failure_of(defer.fail(ZeroDivisionError())).check(ZeroDivisionError)
    with pytest.raises(AssertionError, match="expected one of"):
        failure_of(defer.fail(ZeroDivisionError()), KeyError)


def test_no_failure() -> None:
    """A good result is not taken for a failure."""
    with pytest.raises(AssertionError, match="got the result 3"):
        failure_of(defer.succeed(3))


def test_pending() -> None:
    """A Deferred that waits is told from one that has ended."""
    waiting: defer.Deferred[None] = defer.Deferred()
    no_result_of(waiting)
    with pytest.raises(AssertionError, match="no result yet"):
        result_of(waiting)
    with pytest.raises(AssertionError, match="expected no result yet"):
        no_result_of(defer.succeed(3))
