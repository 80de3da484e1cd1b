"""Peers that are there no more and do not say so: both connections go within the deadline, and are counted."""

import socket
import time
from functools import partial
from urllib.parse import urlsplit

import pytest

from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, Running, until
from tests.fakes.frames import BINARY, frame
from tests.hostile.legs import (
    MIB,
    RELAYS,
    Client,
    accept,
    begin,
    ended,
    fixed,
    join,
    listen,
    metric,
    port_of,
    push,
    shake,
)
from tests.hostile.spaces import FAR, NEAR, Spaces, linked

LIMITS = {"ping": "500ms", "pong": "500ms", "stall": "1s", "close": "500ms"}
SILENT_S = 0.5 + 0.5 + 0.5
"""A ping, its deadline, and the time to close."""
UNACKNOWLEDGED_S = 1.5 + 1.0
"""The user timeout, and the probe that finds it exceeded."""
SLACK_S = 3.0
"""What a busy machine may add: the kernel's timers back off, so that a retransmission comes late."""

PORT = 8123
"""Where the daemon listens in a namespace of its own."""

FAR_LISTENER = f"""
[listeners.far]
endpoint = "tcp:{PORT}:interface={NEAR}"
serves = ["tunnel"]
callers = "anyone"
insecure = true
"""


@pytest.mark.parametrize("relay", RELAYS)
def test_a_client_that_answers_no_ping(place: Place, relay: str) -> None:
    """It is told 4408 and dropped, its program with it; the log has the line and the count is right."""
    with listen() as listener, begin(place, relay, fixed(port_of(listener), **LIMITS)).started() as daemon:
        made = daemon.order("echo").json
        with join(made["tunnel_url"]) as client, accept(listener) as program:
            begun = time.monotonic()
            assert metric(daemon, "tunnels_open") == 1
            assert client.close_code() == 4408
            ended(client.socket)
            ended(program)
            until(lambda: metric(daemon, "tunnels_open") == 0, "the count is right")
            assert time.monotonic() - begun < SILENT_S + SLACK_S
            until(lambda: "closed by client: 4408 the client did not answer a ping" in daemon.text, "a line in the log")
            assert daemon.session(made["id"])["state"] == "ready"


def dropped(spaces: Spaces, daemon: Running, legs: list[socket.socket], limit_s: float) -> str:
    """Wait until the daemon has let both connections go, in time; give what the log says of it."""
    begun = time.monotonic()
    look = partial(until, lambda: metric(daemon, "tunnels_open") == 0, "the tunnel is gone", limit_s + SLACK_S, 0.05)
    spaces.near.call(look)
    for leg in legs:
        ended(leg, max(0.1, begun + limit_s + SLACK_S - time.monotonic()))
    return until(lambda: next((line for line in daemon.text.splitlines() if " closed by " in line), ""), "a line")


def opened(spaces: Spaces, daemon: Running, far: bool) -> Client:
    """Open a tunnel from the near or the far side."""
    made = spaces.near.call(lambda: daemon.order("echo")).json
    target = urlsplit(made["tunnel_url"])
    if far:
        leg = spaces.far.call(lambda: socket.create_connection((NEAR, PORT), LIMIT_S))
        return shake(leg, f"{target.path}?{target.query}", f"{NEAR}:{PORT}")
    return spaces.near.call(lambda: join(made["tunnel_url"]))


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("busy", [False, True])
def test_a_client_whose_packets_vanish(place: Place, relay: str, busy: bool) -> None:
    """Idle or in the midst of a download, its tunnel is gone within the deadline, and its program hears of it."""
    with linked() as spaces, spaces.near.call(listen) as listener:
        start = begin(place, relay, fixed(port_of(listener), **LIMITS) + FAR_LISTENER)
        start.before = spaces.near.before
        with start.started() as daemon, opened(spaces, daemon, far=True), accept(listener) as program:
            spaces.part()
            if busy:
                push(program, b"x" * MIB, still_s=0.5)
            line = dropped(spaces, daemon, [program], max(SILENT_S, UNACKNOWLEDGED_S))
            assert "closed by client: " in line
            assert any(code in line for code in ((" 4008 ", " 1006 ") if busy else (" 4408 ",)))


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("busy", [False, True])
def test_a_program_whose_packets_vanish(place: Place, relay: str, busy: bool) -> None:
    """Idle or with something on its way to it, its tunnel is gone within the deadline; the client lives and is told."""
    with linked() as spaces, spaces.far.call(lambda: listen(FAR)) as listener:
        start = begin(place, relay, fixed(port_of(listener), host=FAR, **LIMITS) + FAR_LISTENER)
        start.before = spaces.near.before
        with start.started() as daemon, opened(spaces, daemon, far=False) as client, accept(listener):
            spaces.part()
            if busy:
                client.socket.sendall(frame(BINARY, b"lost"))
            begun = time.monotonic()
            closed = False
            while not closed and time.monotonic() - begun < LIMIT_S:
                for one in client.read():
                    closed = closed or one.opcode == 8
                    if one.opcode == 9:
                        client.socket.sendall(frame(10, one.payload))
            assert closed
            assert time.monotonic() - begun < UNACKNOWLEDGED_S + 1.0 + SLACK_S
            client.socket.close()
            assert "closed by endpoint: " in dropped(spaces, daemon, [], 1.0)
