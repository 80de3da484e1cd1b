"""Slowloris and half handshakes: who dribbles is cut at a deadline, and those who don't are served meanwhile."""

import json
import select
import socket
import time
from pathlib import Path

import pytest

from tests.certificates import write_certificate
from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, Running, running
from tests.hostile.legs import accept, ended, fixed, gone, join, listen, port_of, resident_bytes
from tests.security.dribbling import client_hello, dribbling, many_descriptors

COUNT = 2000
DEADLINE_S = 6.0
SLACK_S = 10.0
"""How late a machine that is busy may be."""

LIMITS = f'limits = {{ handshake = "{DEADLINE_S}s", headers = "{DEADLINE_S}s", body = "{DEADLINE_S}s" }}\n'
HEAD = b"GET /tunnel?token=x HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nX: "
BODY = b"POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
KINDS = {
    "head": (False, HEAD, b"a" * 1000),
    "body": (False, BODY, b"a" * 1000),
    "silence": (False, b"", b""),
    "silence before TLS": (True, b"", b""),
    "half a handshake": (True, b"", client_hello()),
}
"""Whether it is over TLS, what each client says at once, and what it then dribbles."""


def tunnels(daemon: Running, listener: socket.socket, trust: Path | None) -> None:
    """See that a client is served from start to end."""
    made = daemon.order("echo")
    assert made.status == 201, made
    with join(made.json["tunnel_url"], trust) as client, accept(listener) as program:
        program.sendall(b"there")
        [one] = client.read()
        assert one.payload == b"there"


@pytest.mark.parametrize("kind", KINDS)
def test_dribblers_are_cut(place: Place, kind: str) -> None:
    """Each of 2,000 is cut at its deadline and not before, and a good client opens a tunnel in their midst."""
    tls, said, slowly = KINDS[kind]
    endpoint, trust = "tcp:0:interface=127.0.0.1", None
    if tls:
        key, trust = write_certificate(place.folder)
        endpoint = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={trust}"
    with many_descriptors(3 * COUNT), listen() as listener:
        config = place.configure(LIMITS + fixed(port_of(listener)), endpoint)
        with running(config, trust=trust) as daemon:
            netloc = daemon.ready().netloc
            before = resident_bytes(daemon.pid)
            with dribbling(netloc, COUNT, said, slowly) as dribblers:
                dribblers.go_on(0.1)
                tunnels(daemon, listener, trust)
                served_at = time.monotonic()
                grown = resident_bytes(daemon.pid) - before
                dribblers.go_on(2 * DEADLINE_S + SLACK_S)
                lived = [dribbler.lived_s for dribbler in dribblers.all]
                first_cut = min(dribbler.begun + dribbler.lived_s for dribbler in dribblers.all)
            assert served_at < first_cut, "the good client was not served in their midst"
            assert min(lived) > DEADLINE_S - 1.0
            assert max(lived) < DEADLINE_S + SLACK_S
            print(  # noqa: T201 - a figure for who runs it with -s
                f"{kind}: {COUNT} cut after {min(lived):.2f} to {max(lived):.2f} s, {grown / COUNT / 1024:.1f} KiB each"
            )
            told = {dribbler.came[:12] for dribbler in dribblers.all}
            assert told == ({b""} if tls else {b"HTTP/1.1 408"})
            tunnels(daemon, listener, trust)
            gone(daemon)


@pytest.mark.parametrize("tls", [False, True])
def test_one_address(place: Place, tls: bool) -> None:
    """One address has only so many connections, TLS handshakes that are not done among them; others get in."""
    endpoint, trust = "tcp:0:interface=127.0.0.1", None
    if tls:
        key, trust = write_certificate(place.folder)
        endpoint = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={trust}"
    with listen() as listener:
        config = place.configure("max_per_address = 50\n" + fixed(port_of(listener)), endpoint)
        with running(config, trust=trust) as daemon:
            netloc = daemon.ready().netloc
            with dribbling(netloc, 200, source="127.0.0.9") as dribblers:
                begun = time.monotonic()
                while dribblers.open > 50 and time.monotonic() - begun < LIMIT_S:
                    dribblers.go_on(0.1)
                assert dribblers.open == 50
                tunnels(daemon, listener, trust)
                assert dribblers.open == 50
            gone(daemon)
            assert "turned away, the last from 127.0.0.9 by max_per_address" in daemon.text


def test_unread_answer(place: Place) -> None:
    """Who asks for a large file and does not read it is dropped; who reads has it whole."""
    (place.folder / "files").mkdir()
    (place.folder / "files" / "large").write_bytes(b"x" * (32 << 20))
    more = f'limits.stall = "1s"\n[static]\n"/files" = {json.dumps(str(place.folder / "files"))}\n'
    with running(place.configure(more, serves=("static", "api"))) as daemon:
        host, _, port = daemon.ready().netloc.partition(":")
        with socket.create_connection((host, int(port)), LIMIT_S) as leg:
            leg.sendall(f"GET /files/large HTTP/1.1\r\nHost: {daemon.netloc}\r\n\r\n".encode())
            looking = select.poll()
            looking.register(leg, 0)  # only its end
            assert looking.poll(LIMIT_S * 1000), "not dropped"
            assert not ended(leg)
        assert len(daemon.call("GET", "/files/large").json) == 32 << 20


def test_who_waits_is_not_cut(place: Place) -> None:
    """A caller who waits for its session is not a slow client, however short the limits are."""
    limits = '{ handshake = "200ms", headers = "200ms", body = "200ms", idle = "200ms", stall = "200ms" }'
    service = """
[services.slow]
kind = "tcp"
launcher = "process"
command = ["sh", "-c", "sleep 2; echo ready; exec sleep 600", "${port}"]
ready = "line:ready"
count = 1
"""
    with running(place.configure(f"limits = {limits}\n{service}")) as daemon:
        begun = time.monotonic()
        made = daemon.ready().order("slow")
        assert made.status == 201
        assert time.monotonic() - begun >= 2.0
        daemon.release(made.json["id"])
        daemon.ended(made.json["id"])
