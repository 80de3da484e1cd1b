"""Pings in the midst of everything: no byte of a transfer is lost, doubled or moved by them."""

import os
import random
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.places import Place
from tests.fakes.frames import BINARY, CONTINUATION, PING, PONG, close, frame
from tests.hostile.legs import MIB, RELAYS, Client, accept, begin, ended, fixed, gone, join, listen, port_of
from tests.security.test_11_half_closed import digest

EVERY_S = 0.001
BYTES = os.urandom(16 * MIB)


def echo(program: socket.socket) -> None:
    """Send back what comes."""
    while data := program.recv(1 << 16):
        program.sendall(data)


def fragments() -> list[bytes]:
    """Cut the bytes into messages of one to five fragments of very different sizes."""
    drawn = random.Random(1)
    sizes = (0, 1, 7, 125, 126, 4095, 4096, 65_535, 65_536)
    cut, at, left = [], 0, 0
    while at < len(BYTES):
        opens = left == 0
        left = drawn.randint(1, 5) if opens else left
        size = drawn.choice(sizes)
        left -= 1
        last = left == 0 or at + size >= len(BYTES)
        cut.append(frame(BINARY if opens else CONTINUATION, BYTES[at : at + size], fin=last))
        at += size
    return cut


def send_with_pings(client: Client) -> list[bytes]:
    """Send all fragments with a ping between two of them whenever a millisecond has passed; give what these held."""
    pings, due = list[bytes](), 0.0
    for one in fragments():
        if time.monotonic() >= due:
            pings.append(str(len(pings)).encode())
            client.socket.sendall(frame(PING, pings[-1]))
            due = time.monotonic() + EVERY_S
        client.socket.sendall(one)
    return pings


@pytest.mark.parametrize("relay", RELAYS)
def test_pings_of_the_client(place: Place, relay: str) -> None:
    """A ping each millisecond among fragments: the echo is the same byte by byte, and answers come in order.

    While the client takes no bytes only its last ping waits for an answer (RFC 6455 section 5.5.3).
    """
    with listen() as listener, begin(place, relay, fixed(port_of(listener))).started() as daemon:
        url = daemon.order("echo").json["tunnel_url"]
        with ThreadPoolExecutor(2) as threads, join(url) as client, accept(listener) as program:
            echoing = threads.submit(echo, program)
            sending = threads.submit(send_with_pings, client)
            payload, pongs = bytearray(), list[bytes]()
            while len(payload) < len(BYTES) or not sending.done() or pongs[-1:] != sending.result()[-1:]:
                for one in client.read():
                    if one.opcode == PONG:
                        pongs.append(one.payload)
                    else:
                        assert one.opcode == BINARY
                        payload += one.payload
            assert digest(bytes(payload)) == digest(BYTES)
            numbers = [int(pong) for pong in pongs]
            assert numbers == sorted(set(numbers))
            assert sending.result()
            client.socket.sendall(close(1000))
            assert client.close_code() == 1000
            echoing.result()
            program.close()
            gone(daemon)


@pytest.mark.parametrize("relay", RELAYS)
def test_pings_of_the_daemon(place: Place, relay: str) -> None:
    """A client that is pinged each millisecond while it is sent megabytes, and sends some, has every byte."""
    limits = {"ping": "1ms", "pong": "30s"}
    with listen() as listener, begin(place, relay, fixed(port_of(listener), **limits)).started() as daemon:
        url = daemon.order("echo").json["tunnel_url"]
        with ThreadPoolExecutor(1) as threads, join(url) as client, accept(listener) as program:
            sending = threads.submit(trickle, program.sendall)
            payload, pings = bytearray(), 0
            while len(payload) < len(BYTES):
                for one in client.read():
                    if one.opcode == PING:
                        pings += 1
                        client.socket.sendall(
                            frame(BINARY, b"up", fin=False) + frame(PONG, one.payload) + frame(0, b"!")
                        )
                    else:
                        assert one.opcode == BINARY
                        payload += one.payload
            sending.result()
            assert digest(bytes(payload)) == digest(BYTES)
            assert pings
            client.socket.sendall(close(1000))
            up = b""
            while data := program.recv(1 << 16):
                up += data
            assert up == b"up!" * (len(up) // 3)
            assert len(up) >= 3 * pings
            program.close()
            ended(client.socket)
            gone(daemon)


def trickle(send: Callable[[bytes], None]) -> None:
    """Send the bytes in pieces that take their time, so that pings fall between any two."""
    step = len(BYTES) // 200
    for at in range(0, len(BYTES), step):
        send(BYTES[at : at + step])
        time.sleep(EVERY_S)
