"""What a Deferred has come to, without a reactor and without waiting."""

from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")
_PENDING = object()


def result_of(waited: Deferred[T]) -> T:
    """Return the result that a Deferred has now.

    :raises AssertionError: it has none yet.
    :raises BaseException: it failed; what it failed with, which is thereby read.
    """
    outcome = _outcome(waited)
    if isinstance(outcome, Failure):
        outcome.raiseException()
    return outcome  # type: ignore[no-any-return]


def failure_of(waited: Deferred[Any], *expected: type[BaseException]) -> Failure:
    """Return the failure that a Deferred has now, and mark it as read.

    :param expected: exception types of which it must be one; any, if none is given.
    :raises AssertionError: it has no result yet, a good one, or another failure.
    """
    outcome = _outcome(waited)
    if not isinstance(outcome, Failure):
        raise AssertionError(f"expected a failure, got the result {outcome!r}")
    if expected and not outcome.check(*expected):
        raise AssertionError(f"expected one of {expected}, got {outcome.getTraceback()}")
    return outcome


def no_result_of(waited: Deferred[Any]) -> None:
    """Hold that a Deferred is still waiting; it can be used on.

    :raises AssertionError: it has a result or has failed.
    """
    if waited.called and not waited.paused:
        raise AssertionError(f"expected no result yet: {waited}")


def _outcome(waited: Deferred[Any]) -> Any:
    """Take the result out of a Deferred, a failure included."""
    outcome: Any = _PENDING

    def keep(value: Any) -> None:
        nonlocal outcome
        outcome = value

    waited.addBoth(keep)
    if outcome is _PENDING:
        raise AssertionError(f"no result yet: {waited}")
    return outcome
