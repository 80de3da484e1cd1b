"""One end has said its last word: what the other still has for it, or had from it, is delivered."""

import hashlib
import os
import socket

import pytest

from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, until
from tests.fakes.frames import BINARY, CLOSE, close, frame
from tests.hostile.legs import MIB, RELAYS, Client, accept, begin, fixed, gone, join, listen, metric, port_of, push

BYTES = os.urandom(4 * MIB)


def digest(data: bytes) -> str:
    """Give what is compared: a difference in megabytes is not to be printed."""
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}"


def read_to_the_end(leg: socket.socket) -> bytes:
    """Read until the other end has closed, which must not be a reset."""
    parts = []
    while data := leg.recv(1 << 18):
        parts.append(data)
    return b"".join(parts)


def answered(client: Client, program: socket.socket, data: bytes) -> bytes:
    """Send all of ``data`` as the program, and give what the client has read of it meanwhile."""
    got, rest = b"", memoryview(data)
    while rest:
        rest = rest[push(program, bytes(rest), len(rest), 0.2) :]
        if rest:
            got += b"".join(one.payload for one in client.read() if one.opcode == BINARY)
    return got


def accept_after(client: Client, listener: socket.socket) -> socket.socket:
    """Take the connection for a client, which is closed at once and without a word."""
    with client:
        return accept(listener)


@pytest.mark.parametrize("relay", RELAYS)
def test_the_program_sends_no_more(place: Place, relay: str) -> None:
    """A program closes its direction behind 4 MiB: a client that reads late has all of them, then 1000."""
    with listen() as listener, begin(place, relay, fixed(port_of(listener))).started() as daemon:
        url = daemon.order("echo").json["tunnel_url"]
        with join(url) as client, accept(listener) as program:
            client_got = answered(client, program, BYTES)
            program.shutdown(socket.SHUT_WR)
            for one in client.read_all():
                if one.opcode == CLOSE:
                    assert one.code == 1000
                    break
                client_got += one.payload
            assert digest(client_got) == digest(BYTES)
            client.socket.sendall(close(1000))
            gone(daemon)


@pytest.mark.parametrize("relay", RELAYS)
def test_the_client_closes(place: Place, relay: str) -> None:
    """A client closes behind what it sent: a program that reads late has all of it, then the end, and no reset."""
    with listen() as listener, begin(place, relay, fixed(port_of(listener))).started() as daemon:
        url = daemon.order("echo").json["tunnel_url"]
        with join(url) as client, accept(listener) as program:
            client.socket.sendall(frame(BINARY, BYTES[:MIB]) + close(1000))
            client.socket.shutdown(socket.SHUT_WR)
            assert digest(read_to_the_end(program)) == digest(BYTES[:MIB])
            assert client.close_code() == 1000
            program.close()
            gone(daemon)


@pytest.mark.parametrize("relay", RELAYS)
def test_the_client_ends_without_a_close_frame(place: Place, relay: str) -> None:
    """The FIN of a client that says nothing: the program has all that it sent, then the end, and answers at length."""
    with listen() as listener, begin(place, relay, fixed(port_of(listener))).started() as daemon:
        url = daemon.order("echo").json["tunnel_url"]
        with join(url) as client, accept(listener) as program:
            client.socket.sendall(frame(BINARY, BYTES[:MIB]))
            client.socket.shutdown(socket.SHUT_WR)
            assert digest(read_to_the_end(program)) == digest(BYTES[:MIB])
            got = answered(client, program, BYTES)
            program.close()
            for one in client.read_all():
                if one.opcode == CLOSE:
                    assert one.code == 1000
                elif one.opcode == BINARY:
                    got += one.payload
            assert digest(got) == digest(BYTES)
            gone(daemon)


@pytest.mark.parametrize("relay", RELAYS)
def test_a_client_that_is_gone_without_a_close_frame(place: Place, relay: str) -> None:
    """A browser that was killed: its tunnel ends, though the program reads the end and neither ends nor speaks."""
    with listen() as listener, begin(place, relay, fixed(port_of(listener))).started() as daemon:
        url = daemon.order("echo").json["tunnel_url"]
        with accept_after(join(url), listener) as program:
            assert program.recv(1) == b""
            gone(daemon)


@pytest.mark.parametrize("relay", RELAYS)
def test_a_program_that_only_reads(place: Place, relay: str) -> None:
    """A program closes its direction first: what its client sends until it is told of that arrives whole."""
    with listen() as listener, begin(place, relay, fixed(port_of(listener))).started() as daemon:
        url = daemon.order("echo").json["tunnel_url"]
        with join(url) as client, accept(listener) as program:
            program.shutdown(socket.SHUT_WR)
            assert client.close_code() == 1000
            client.socket.sendall(frame(BINARY, BYTES[:MIB]) + close(1000))
            assert digest(read_to_the_end(program)) == digest(BYTES[:MIB])
            gone(daemon)


@pytest.mark.parametrize("relay", RELAYS)
def test_what_was_on_its_way_to_a_program_that_sends_no_more(place: Place, relay: str) -> None:
    """A program closes its direction and goes on reading: what its client sent before arrives, then the end."""
    with listen() as listener, begin(place, relay, fixed(port_of(listener))).started() as daemon:
        url = daemon.order("echo").json["tunnel_url"]
        with join(url) as client, accept(listener) as program:
            client.socket.sendall(frame(BINARY, BYTES[:MIB]))
            until(
                lambda: metric(daemon, 'tunnels_carried_bytes_total{to="program"}') == MIB,
                "all is read from the client",
                LIMIT_S,
            )
            program.shutdown(socket.SHUT_WR)
            assert client.close_code() == 1000
            client.socket.sendall(close(1000))
            assert digest(read_to_the_end(program)) == digest(BYTES[:MIB])
            gone(daemon)
