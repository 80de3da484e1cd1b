"""Fixtures of the tests of documents."""

from tests.e2e.places import place

__all__ = ["place"]
