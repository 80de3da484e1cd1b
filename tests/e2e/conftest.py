"""Fixtures of the end-to-end tests."""

from tests.e2e.places import place
from tests.e2e.viewing import site_ends

__all__ = ["place", "site_ends"]
