"""Fixtures of the security tests."""

from tests.e2e.places import place

__all__ = ["place"]
