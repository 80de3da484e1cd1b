"""What every test gets: a reactor that is clean when it is over, and real programs to ask for."""

from tests.components.chromium import browsing, chromium
from tests.reactor import logged_failures, pytest_collection_finish, started_reactor

__all__ = ["browsing", "chromium", "logged_failures", "pytest_collection_finish", "started_reactor"]
