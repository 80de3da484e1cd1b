"""Another program at the same RabbitMQ: publishes, and reads queues, by pika's blocking connection.

With the reactor at work these calls belong into a thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import frozen
from pika import BasicProperties, BlockingConnection, ConnectionParameters, PlainCredentials

from tests.components.rabbitmq import PASSWORD, USER

QUIET_S = 1.0
"""A queue from which nothing came for so long is read."""


@frozen
class Read:
    """One message as it was read."""

    key: str
    event: dict[str, Any]
    properties: Any

    @property
    def offset(self) -> int:
        """Give the place of the fact."""
        return int(self.properties.headers["offset"])


@contextmanager
def channel(port: int) -> Iterator[Any]:
    """Open a channel."""
    parameters = ConnectionParameters("127.0.0.1", port, credentials=PlainCredentials(USER, PASSWORD))
    connection = BlockingConnection(parameters)
    try:
        yield connection.channel()
    finally:
        connection.close()


def bind(port: int, queue: str, exchange: str, key: str = "#") -> None:
    """Make a durable queue that gets what an exchange gets; both are made where they are not there."""
    with channel(port) as opened:
        opened.exchange_declare(exchange, exchange_type="topic", durable=True)
        opened.queue_declare(queue, durable=True)
        opened.queue_bind(queue, exchange, key)


def read_all(port: int, queue: str) -> list[Read]:
    """Read what a queue holds and comes into it until it is quiet."""
    found: list[Read] = []
    with channel(port) as opened:
        for method, properties, body in opened.consume(queue, auto_ack=True, inactivity_timeout=QUIET_S):
            if method is None:
                return found
            found.append(Read(method.routing_key, json.loads(body), properties))
    raise AssertionError("consuming ended by itself")


def publish(port: int, exchange: str, key: str, bodies: Sequence[bytes], **properties: Any) -> None:
    """Publish some bodies, all with the same key and properties."""
    with channel(port) as opened:
        opened.confirm_delivery()
        for body in bodies:
            opened.basic_publish(exchange, key, body, BasicProperties(**properties))


def do(port: int, what: str, *words: Any) -> None:
    """Call one method of a channel."""
    with channel(port) as opened:
        getattr(opened, what)(*words)
