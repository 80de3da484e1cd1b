"""``[feeds.NAME]``."""

from pathlib import Path

import pytest

from sessiond.config import Config, FeedSource, parse
from sessiond.core.errors import ConfigError

WHOLE = """
[listeners.web]
endpoint = "tcp:9000:interface=127.0.0.1"
serves = ["health"]
[bus]
kind = "amqp"
url = "amqp://127.0.0.1"
[feeds.news]
[feeds.jobs]
exchange = "cloudstack-events"
key = "*.AsyncJobEvent.#"
owner_field = "account"
group = "operators"
"""


def read(text: str) -> Config:
    """Read one."""
    return parse(text.encode(), Path("/"), {})


def test_read() -> None:
    """A name is enough."""
    assert read(WHOLE).feeds == (
        FeedSource("news"),
        FeedSource("jobs", "cloudstack-events", "*.AsyncJobEvent.#", "account", "operators"),
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("feeds.news", "feeds.sessions"), "is the topic of what happens to sessions"),
        (("feeds.news", "feeds.News"), "a name is needed"),
        (('"account"', '"a b"'), "the name of a member"),
        (("group =", "groups ="), "unknown key"),
        (('kind = "amqp"\nurl = "amqp://127.0.0.1"', ""), 'needs [bus] with kind = "amqp"'),
    ],
)
def test_faults(change: tuple[str, str], fault: str) -> None:
    """What is wrong is named."""
    with pytest.raises(ConfigError) as refused:
        read(WHOLE.replace(*change))
    assert fault in str(refused.value)
