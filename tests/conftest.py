"""What every test gets: a reactor that is clean when it is over, and real programs to ask for."""

import os

from hypothesis import settings

from tests.components.chromium import browsing, chromium
from tests.components.nodes import rabbitmq, running_rabbitmq
from tests.reactor import logged_failures, pytest_collection_finish, started_reactor

__all__ = [
    "browsing",
    "chromium",
    "logged_failures",
    "pytest_collection_finish",
    "rabbitmq",
    "running_rabbitmq",
    "started_reactor",
]

# No example fails because the machine is busy, and CI draws the same examples each time: it tests the change, not
# its luck.
settings.register_profile("sessiond", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("sessiond")
