"""Fixtures of the end-to-end tests."""

from tests.e2e.places import place

__all__ = ["place"]
