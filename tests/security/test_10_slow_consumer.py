"""Who takes no bytes: what is offered stays with its sender, and the daemon stays as large as it was."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.certificates import write_certificate
from tests.e2e.places import Place
from tests.e2e.running import Running, until
from tests.fakes.frames import BINARY, PING, frame
from tests.hostile.legs import (
    MIB,
    OFFERED_BYTES,
    RELAYS,
    Daemon,
    accept,
    apart,
    begin,
    ended,
    fixed,
    gone,
    join,
    listen,
    port_of,
    push,
    resident_bytes,
)

GROWTH_BYTES = 8 * MIB
"""The most by which the daemon may grow, whoever refuses what is offered."""

WARM_BYTES = 8 * MIB
"""What flows before anybody stops, so that every buffer there is has been in use."""

FRAME = frame(BINARY, b"x" * MIB)


@contextlib.contextmanager
def kept_small(daemon: Running) -> Iterator[None]:
    """See that the daemon does not grow meanwhile."""
    before = resident_bytes(daemon.pid)
    yield
    grown = resident_bytes(daemon.pid) - before
    assert grown < GROWTH_BYTES, f"{grown / MIB:.1f} MiB more than before"


def over(place: Place, kind: str, services: str) -> Daemon:
    """Give a daemon with a relay, or with ours over TLS."""
    if kind != "tls":
        return begin(place, kind, services)
    key, certificate = write_certificate(place.folder)
    endpoint = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    place.configure(services, endpoint)
    return begin(place, "ours", services, certificate)


def url_of(daemon: Running) -> str:
    """Order a session, and give where its tunnel opens."""
    made = daemon.order("echo")
    assert made.status == 201, made
    return str(made.json["tunnel_url"])


@pytest.mark.parametrize("kind", [*RELAYS, "tls"])
def test_a_program_that_is_stopped(place: Place, kind: str) -> None:
    """1.5 GB for a program that reads no more: its client is blocked, and is heard again when the program goes on."""
    with listen() as listener, over(place, kind, fixed(port_of(listener))).started() as daemon:
        with apart(listener, "accept") as program, join(url_of(daemon), daemon.trust).socket as client:
            assert push(client, FRAME, WARM_BYTES) >= WARM_BYTES
            program.reads()
            program.stop()
            with kept_small(daemon):
                taken = push(client, FRAME)
                assert taken < OFFERED_BYTES
            program.go_on()
            rest = FRAME[taken % len(FRAME) :]
            assert push(client, rest, len(rest)) == len(rest)
        gone(daemon)


@pytest.mark.parametrize("kind", [*RELAYS, "tls"])
def test_a_client_that_reads_nothing(place: Place, kind: str) -> None:
    """1.5 GB for a client that reads nothing: its program is blocked."""
    with listen() as listener, over(place, kind, fixed(port_of(listener))).started() as daemon:
        url = url_of(daemon)
        with join(url, daemon.trust) as client, accept(listener) as program:
            with kept_small(daemon):
                assert push(program, b"x" * MIB) < OFFERED_BYTES
            assert client.read()
        gone(daemon)


@pytest.mark.parametrize("relay", RELAYS)
def test_a_client_that_is_stopped(place: Place, relay: str) -> None:
    """1.5 GB for a client's process that was stopped in the midst: its program is blocked until it goes on."""
    with listen() as listener, begin(place, relay, fixed(port_of(listener))).started() as daemon:
        url = url_of(daemon)
        with join(url).socket as leg, apart(leg, "read") as client, accept(listener) as program:
            assert push(program, b"x" * MIB, WARM_BYTES) >= WARM_BYTES
            client.reads()
            client.stop()
            with kept_small(daemon):
                assert push(program, b"x" * MIB) < OFFERED_BYTES
            client.go_on()
            assert push(program, b"x" * MIB, WARM_BYTES) >= WARM_BYTES
        gone(daemon)


@pytest.mark.parametrize("relay", RELAYS)
def test_pings_of_a_client_that_reads_nothing(place: Place, relay: str) -> None:
    """Pings without end from a client that takes no answer cost no memory."""
    with listen() as listener, begin(place, relay, fixed(port_of(listener))).started() as daemon:
        url = url_of(daemon)
        with join(url) as client, accept(listener), kept_small(daemon):
            assert push(client.socket, frame(PING, b"p" * 125) * 1000, 16 * MIB) >= 16 * MIB
        gone(daemon)


@pytest.mark.parametrize("relay", RELAYS)
def test_who_takes_nothing_is_dropped(place: Place, relay: str) -> None:
    """Whoever refuses bytes for too long loses its tunnel: both connections go, and the log says who it was."""
    limits = {"stall": "1s", "close": "1s"}
    with listen() as listener, begin(place, relay, fixed(port_of(listener), **limits)).started() as daemon:
        url = url_of(daemon)
        with join(url) as client, accept(listener) as program:
            push(program, b"x" * MIB, still_s=0.5)
            gone(daemon)
            ended(program)
        until(lambda: "closed by client: 4008 the client takes no bytes" in daemon.text, "a line for the client")
        url = url_of(daemon)
        with join(url) as client, accept(listener) as program:
            push(client.socket, FRAME, still_s=0.5)
            assert client.close_code() == 4502
            ended(program)
        gone(daemon)
        until(lambda: "4502 the application takes no bytes" in daemon.text, "a line for the program")


def test_a_client_over_tls_goes_before_its_program(place: Place) -> None:
    """A client that is gone is not dropped once more when its program, which does not close, is."""
    with listen() as listener, over(place, "tls", fixed(port_of(listener), close="1s")).started() as daemon:
        url = url_of(daemon)
        with join(url, daemon.trust) as client, accept(listener):
            client.socket.close()
            gone(daemon)
        assert "critical" not in daemon.text
