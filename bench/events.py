"""What carries events from RabbitMQ to browsers: this daemon's feed, and RabbitMQ's own Web STOMP plugin."""

from __future__ import annotations

import json
import selectors
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from attrs import frozen

from bench.client import Failed, WebSocket, frame
from bench.programs import NotStarted, free_port, running
from bench.readings import cpu_s, pss_kib
from bench.sides import daemon
from tests.components import RABBITMQ as PROGRAM
from tests.components import is_here
from tests.components.rabbitmq import PASSWORD, USER, RabbitMQ

EXCHANGE = "bench-events"
LIMIT_S = 60.0
PAYLOAD = "x" * 100
PIECE_BYTES = 1 << 18


@frozen
class Carrier:
    """One way from an exchange to browsers.

    :ivar pids: the processes whose CPU time it costs.
    :ivar pid: the process that holds the browsers' connections.
    :ivar amqp: the port that is published to.
    :ivar connect: gives a client that hears everything.
    """

    pid: int
    pids: tuple[int, ...]
    amqp: int
    connect: Callable[[], Hearer]

    def cpu_s(self) -> float:
        """Give the CPU time that it has used so far."""
        return sum(map(cpu_s, self.pids))


class Hearer(WebSocket):
    """A client that counts messages: those of one begin with the same bytes, whatever they hold."""

    def __init__(self, port: int, path: str, more: str = "") -> None:
        super().__init__(port, path, more)
        self._rest = b""
        self._skip = 0

    @property
    def fileno(self) -> int:
        """Give the socket's number."""
        return self._socket.fileno()

    def send_text(self, text: str) -> None:
        """Send a text message."""
        written = bytearray(frame(text.encode()))
        written[0] = 0x81
        self._socket.sendall(bytes(written))

    def message(self) -> bytes:
        """Read one message."""
        length = self._head()
        while self._end - self._start < length:
            self._fill()
        payload = bytes(self._buffer[self._start : self._start + length])
        self._start += length
        return payload

    def count(self) -> int:
        """Read what is there, and give how many messages began in it."""
        data, found = self._rest + self._socket.recv(PIECE_BYTES), 0
        at, self._skip = min(self._skip, len(data)), max(0, self._skip - len(data))
        while at + 4 <= len(data):
            length, head = data[at + 1], 2
            if length == 126:
                length, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            found += data[at] & 0x0F == 1
            end = at + head + length
            if end > len(data):
                self._skip, at = end - len(data), len(data)
                break
            at = end
        self._rest = data[at:]
        return found


@contextmanager
def carriers(folder: Path) -> Iterator[tuple[Carrier, Carrier] | None]:
    """Run one RabbitMQ with its plugin, and this daemon beside it; ``None`` where RabbitMQ is not installed."""
    if not is_here(PROGRAM):
        yield None
        return
    web, stomp = free_port(), free_port()
    settings = (
        *("web_stomp.tcp.ip = 127.0.0.1", f"web_stomp.tcp.port = {web}"),
        f"stomp.listeners.tcp.1 = 127.0.0.1:{stomp}",
    )
    own = folder / "rabbitmq"
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    node = RabbitMQ(own, ("rabbitmq_web_stomp",), settings)
    with ExitStack() as stack:
        stack.callback(node.end)
        node.start()
        _await(web)
        with publishing(node.port):
            pass
        port = free_port()
        config = folder / "events.toml"
        (folder / "password").write_text(PASSWORD)
        config.write_text(f"""\
state_dir = {json.dumps(str(folder / f"state-{port}"))}
[listeners.web]
endpoint = "tcp:{port}:interface=127.0.0.1:backlog=4096"
serves = ["api", "health"]
callers = "anyone"
[bus]
kind = "amqp"
url = "amqp://{USER}@127.0.0.1:{node.port}"
password_file = "password"
[feeds.bench]
exchange = "{EXCHANGE}"
""")
        pid = stack.enter_context(running(folder, "events", *daemon(config), port=port))
        _await_bus(port)

        def hear() -> Hearer:
            found = Hearer(port, "/api/v1/events?topics=bench")
            found.message()  # how it stands
            return found

        def stomp_hear() -> Hearer:
            found = Hearer(web, "/ws", "Sec-WebSocket-Protocol: v12.stomp\r\n")
            login = f"host:/\nlogin:{USER}\npasscode:{PASSWORD}\nheart-beat:0,0"
            found.send_text(f"CONNECT\naccept-version:1.2\n{login}\n\n\0")
            if not found.message().startswith(b"CONNECTED"):
                raise Failed("not let in by the plugin")
            found.send_text(f"SUBSCRIBE\nid:0\ndestination:/exchange/{EXCHANGE}/#\nack:auto\nreceipt:r\n\n\0")
            if not found.message().startswith(b"RECEIPT"):
                raise Failed("the plugin does not let it subscribe")
            return found

        ours, theirs = (
            Carrier(pid, (pid, node.pid), node.port, hear),
            Carrier(node.pid, (node.pid,), node.port, stomp_hear),
        )
        yield ours, theirs


@contextmanager
def publishing(port: int) -> Iterator[Any]:
    """Give what publishes."""
    from pika import BlockingConnection, ConnectionParameters, PlainCredentials  # noqa: PLC0415 - an extra

    parameters = ConnectionParameters("127.0.0.1", port, credentials=PlainCredentials(USER, PASSWORD))
    connection = BlockingConnection(parameters)
    try:
        channel = connection.channel()
        channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
        yield lambda body: channel.basic_publish(EXCHANGE, "bench.key", body)
    finally:
        connection.close()


def delivered_per_cpu_s(carrier: Carrier, clients: int, count: int) -> float:
    """Give how many deliveries one CPU second brings, of so many publications to so many clients."""
    with crowd(carrier, clients) as hearers, publishing(carrier.amqp) as publish:
        before = carrier.cpu_s()
        for number in range(count):
            publish(body(number))
        gather(hearers, count)
        return clients * count / max(0.01, carrier.cpu_s() - before)


def took_ms(carrier: Carrier, clients: int, count: int) -> list[float]:
    """Give how long each of so many publications, one after another, took to each of so many clients."""
    took: list[float] = []
    with crowd(carrier, clients) as hearers, publishing(carrier.amqp) as publish:
        for number in range(count):
            begun = time.perf_counter()
            publish(body(number))
            gather(hearers, 1, lambda: took.append((time.perf_counter() - begun) * 1000))  # noqa: B023 - called within
    return took


def idle_kib(carrier: Carrier, clients: int) -> float:
    """Give the memory that each client adds who hears nothing."""
    before = pss_kib(carrier.pid)
    with crowd(carrier, clients):
        return (pss_kib(carrier.pid) - before) / clients


@contextmanager
def crowd(carrier: Carrier, count: int) -> Iterator[list[Hearer]]:
    """Connect many clients."""
    with ExitStack() as stack:
        hearers = []
        for _ in range(count):
            hearers.append(stack.enter_context(carrier.connect()))
            hearers[-1].slim()
        yield hearers


def gather(hearers: list[Hearer], count: int, each: Callable[[], object] = lambda: None) -> None:
    """Wait until every client has so many messages.

    :param each: is called for each client that has.
    :raises Failed: one is missing.
    """
    left = {hearer.fileno: count for hearer in hearers}
    by_number = {hearer.fileno: hearer for hearer in hearers}
    with selectors.DefaultSelector() as selector:
        for number in left:
            selector.register(number, selectors.EVENT_READ)
        while left:
            ready = selector.select(LIMIT_S)
            if not ready:
                raise Failed("an event was lost")
            for key, _ in ready:
                left[key.fd] -= by_number[key.fd].count()
                if left[key.fd] <= 0:
                    each()
                    del left[key.fd]
                    selector.unregister(key.fd)


def body(number: int) -> bytes:
    """Write what is published: each as long as any."""
    return json.dumps({"n": f"{number:08}", "x": PAYLOAD}).encode()


def _await(port: int) -> None:
    def connects() -> bool:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True

    _look(connects)


def _await_bus(port: int) -> None:
    _look(lambda: json.load(urlopen(f"http://127.0.0.1:{port}/readyz"))["bus"] == "up")


def _look(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        try:
            if holds():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise NotStarted("what carries events does not answer")
