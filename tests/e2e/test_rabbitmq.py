"""A real daemon and a real RabbitMQ: facts go out, and the daemon does its work whether the server is there or not."""

import json
from pathlib import Path
from typing import Any

from tests.bus import reading
from tests.components.rabbitmq import PASSWORD, USER, RabbitMQ
from tests.e2e.places import Place
from tests.e2e.running import Running, running, until
from tests.e2e.services import echo, serves_on
from tests.e2e.wire import Tunnel

EXCHANGE = "sessiond-events"


def configured(place: Place, port: int) -> Path:
    """Write a configuration with a bus."""
    (place.folder / "password").write_text(PASSWORD)
    bus = f"""
[bus]
kind = "amqp"
url = "amqp://{USER}@127.0.0.1:{port}"
password_file = "password"
"""
    return place.configure(echo(place) + bus)


def metric(daemon: Running, name: str) -> float:
    """Read one of the bus's metrics."""
    text = daemon.call("GET", "/metrics").json
    [line] = [line for line in text.splitlines() if line.startswith(f"sessiond_bus_{name} ")]
    return float(line.split()[1])


def bus(daemon: Running) -> str:
    """Read how the bus stands; the daemon is ready whatever that is."""
    answer = daemon.call("GET", "/readyz")
    assert answer.status == 200
    return str(answer.json["bus"])


def test_server_comes_and_goes(place: Place, rabbitmq: RabbitMQ) -> None:
    """Sessions go on while the server is away; every fact arrives, in order, though the daemon is killed meanwhile."""
    reading.bind(rabbitmq.port, "whole", EXCHANGE, "sessiond.#")
    config = configured(place, rabbitmq.port)
    with running(config) as daemon:
        daemon.ready()
        until(lambda: bus(daemon) == "up", "the bus is up")
        serves_on(daemon)
        until(lambda: metric(daemon, "facts_unsent") == 0, "all facts are sent")
        rabbitmq.kill()
        until(lambda: bus(daemon) == "away", "the bus is away")
        serves_on(daemon)
        assert metric(daemon, "facts_unsent") > 0
        until(lambda: "can't be reached" in daemon.text, "it was tried again")
        daemon.kill()
        assert PASSWORD not in daemon.text
    rabbitmq.start()
    with running(config) as daemon:
        daemon.ready()
        until(lambda: bus(daemon) == "up", "the bus is up")
        until(lambda: metric(daemon, "facts_unsent") == 0, "all facts are sent")
        serves_on(daemon)
        assert daemon.stop() == 0
    read = reading.read_all(rabbitmq.port, "whole")
    offsets = list(dict.fromkeys(one.offset for one in read))
    assert offsets == list(range(1, len(offsets) + 1))
    assert len({one.event["epoch"] for one in read}) == 1
    ended = [one for one in read if one.event["type"] == "sessiond.session.ended"]
    assert len({one.event["subject"] for one in ended}) == 3
    assert ended[0].key == f"sessiond.session.ended.echo.{ended[0].event['subject']}"
    assert ended[0].event["source"] == "/sessiond/0"


FEED = """
[feeds.jobs]
exchange = "jobs-of-others"
key = "job.#"
"""


def test_a_feed_reaches_browsers(place: Place, rabbitmq: RabbitMQ) -> None:
    """What others publish is heard by browsers, each event once; a server that was killed is told of as a gap."""
    config = configured(place, rabbitmq.port)
    config.write_text(config.read_text() + FEED)
    with running(config) as daemon:
        daemon.ready()
        until(lambda: bus(daemon) == "up", "the bus is up")
        with Tunnel(f"ws://{daemon.netloc}/api/v1/events?topics=jobs") as browser:
            assert heard(browser)["type"] == "sessiond.feed.opened"
            reading.publish(rabbitmq.port, "jobs-of-others", "job.done", numbered(0, 300), content_type="text/plain")
            reading.publish(rabbitmq.port, "jobs-of-others", "other.key", numbered(0, 1))
            assert [heard(browser)["data"]["n"] for _ in range(300)] == list(range(300))
            rabbitmq.kill()
            until(lambda: bus(daemon) == "away", "the bus is away")
            rabbitmq.start()
            until(lambda: bus(daemon) == "up", "the bus is up again", 90)
            gap = heard(browser)
            assert (gap["type"], gap["topic"]) == ("sessiond.bus.gap", "jobs")
            assert gap["data"]["from"] < gap["data"]["to"]
            reading.publish(rabbitmq.port, "jobs-of-others", "job.done", numbered(300, 600))
            events = [heard(browser) for _ in range(300)]
            assert [event["data"]["n"] for event in events] == list(range(300, 600))
            assert len({event["id"] for event in events}) == 300
            assert {(event["type"], event["source"], event["topic"]) for event in events} == {
                ("job.done", "/amqp/jobs-of-others", "jobs")
            }


def heard(browser: Tunnel) -> dict[str, Any]:
    """Give the next event that a browser hears."""
    return dict(json.loads(browser.read() or b""))


def numbered(first: int, behind: int) -> list[bytes]:
    """Make bodies."""
    return [json.dumps({"n": number}).encode() for number in range(first, behind)]
