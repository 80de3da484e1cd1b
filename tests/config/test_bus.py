"""The bus's part of the configuration: where RabbitMQ is, and a password that stands in no configuration."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from sessiond.config import Config, RabbitMQ, parse
from sessiond.config import bus as reading
from sessiond.core.errors import ConfigError

WEB = """
[listeners.web]
endpoint = "tcp:9000:interface=127.0.0.1"
serves = ["health"]
"""
ENVIRONMENT = {"HOME": "/", "PASSWORD": "carrot"}


def read(text: str, folder: Path = Path("/")) -> Config:
    """Read a configuration whose table [bus] holds this."""
    return parse(f"[bus]\n{text}\n{WEB}".encode(), folder, ENVIRONMENT)


def test_usual() -> None:
    """By default facts stay in the daemon."""
    assert read("").bus is None
    assert read('kind = "local"').bus is None


def test_smallest() -> None:
    """A server of this machine is enough, as RabbitMQ is when it was just installed."""
    found = read('kind = "amqp"\nurl = "amqp://localhost"').bus
    assert found == RabbitMQ("localhost", 5672, False, "/", "guest", "guest", "sessiond-events")


def test_whole(tmp_path: Path) -> None:
    """Everything else comes from the URL, and the password from a file."""
    (tmp_path / "secret").write_text("carrot-Tango\n")
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    found = read(
        'kind = "amqp"\nurl = "amqps://a%40b@[::1]:99/x%2Fy"\npassword_file = "secret"\ntrust_file = "ca.pem"\n'
        'exchange = "facts.of-ours"',
        tmp_path,
    ).bus
    trusted = b"-----BEGIN CERTIFICATE-----\n"
    assert found == RabbitMQ("::1", 99, True, "x/y", "a@b", "carrot-Tango", "facts.of-ours", trusted)
    assert "carrot" not in repr(found)


def test_from_the_environment() -> None:
    """The password may be in a variable; beyond loopback somebody must have allowed that it is sent."""
    more = 'password_env = "PASSWORD"\ninsecure = true'
    found = read(f'kind = "amqp"\nurl = "amqp://ada@rabbit.example.org/"\n{more}').bus
    assert found is not None
    assert (found.host, found.vhost, found.password) == ("rabbit.example.org", "/", "carrot")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('kind = "kafka"', "bus.kind: one of local, amqp is needed"),
        ('kind = "amqp"', "bus.url: is needed"),
        ('url = "amqp://localhost"', 'bus.url: only with kind = "amqp"'),
        ('kind = "amqp"\nurl = "http://localhost"', "bus.url: a URL such as"),
        ('kind = "amqp"\nurl = "amqp:///x"', "bus.url: a URL such as"),
        ('kind = "amqp"\nurl = "amqp://localhost:0"', "bus.url: a URL such as"),
        ('kind = "amqp"\nurl = "amqp://localhost:99999"', "bus.url: a URL such as"),
        ('kind = "amqp"\nurl = "amqp://localhost?heartbeat=1"', "bus.url: a URL such as"),
        ('kind = "amqp"\nurl = "amqp://localhost/a/b"', "bus.url: the virtual host is one word"),
        ('kind = "amqp"\nurl = "amqp://u:carrot@localhost"', "bus.url: a password has no place in the URL"),
        ('kind = "amqp"\nurl = "amqp://10.0.0.1"', "bus.url: amqps is needed, or insecure = true"),
        ('kind = "amqp"\nurl = "amqp://u@localhost"', "bus.password_file: is needed"),
        ('kind = "amqp"\nurl = "amqp://localhost"\npassword_file = "none"', "bus.password_file: No such file"),
        ('kind = "amqp"\nurl = "amqp://localhost"\npassword_env = "NONE"', "bus.password_env: is needed"),
        ('kind = "amqp"\nurl = "amqp://localhost"\npassword_env = "A B"', "bus.password_env: the name of a variable"),
        (
            'kind = "amqp"\nurl = "amqp://localhost"\npassword_env = "PASSWORD"\npassword_file = "x"',
            "bus.password_env: contradicts password_file",
        ),
        ('kind = "amqp"\nurl = "amqp://localhost"\ntrust_file = "x"', "bus.trust_file: only with amqps:"),
        ('kind = "amqp"\nurl = "amqp://localhost"\nexchange = "a b"', "bus.exchange: a name of letters"),
        ('kind = "amqp"\nurl = "amqp://localhost"\npassword = "carrot"', "bus.password: unknown key"),
    ],
)
def test_refused(text: str, fault: str) -> None:
    """Each fault is told by its place, and never with the password."""
    with pytest.raises(ConfigError) as refused:
        read(text)
    assert fault in str(refused.value)
    assert "carrot" not in str(refused.value)


def test_without_pika(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pika is missing the configuration says what to install."""

    def find(name: str) -> Any:
        return None if name == "pika" else importlib.util.find_spec(name)

    monkeypatch.setattr(reading, "find_spec", find)
    with pytest.raises(
        ConfigError, match=r'bus.kind: needs pika, which is not installed: pip install "sessiond\[amqp]"'
    ):
        read('kind = "amqp"\nurl = "amqp://localhost"')
