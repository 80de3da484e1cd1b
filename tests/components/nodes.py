"""RabbitMQ for the tests of a file: started once, and given to each as it must be."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components import RABBITMQ, needs
from tests.components.rabbitmq import RabbitMQ


@pytest.fixture(scope="module")
def running_rabbitmq() -> Iterator[RabbitMQ]:
    """Start one for the tests of a file."""
    needs(RABBITMQ, "setpriv")
    folder = Path(tempfile.mkdtemp(prefix="rabbitmq-"))
    node = RabbitMQ(folder)
    try:
        node.start()
        yield node
    finally:
        node.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def rabbitmq(running_rabbitmq: RabbitMQ) -> Iterator[RabbitMQ]:
    """Give a node that answers, whatever the test before has done to it."""
    yield running_rabbitmq
    if not running_rabbitmq._alive:
        running_rabbitmq.kill()
        running_rabbitmq.start()
    running_rabbitmq.go_on()
