"""Fixtures of the tests that kill the daemon."""

from tests.e2e.places import place

__all__ = ["place"]
