"""Fixtures of the tests with hostile peers."""

from tests.e2e.places import place

__all__ = ["place"]
