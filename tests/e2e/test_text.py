"""A program of kind text, spoken to from end to end."""

import pytest

from tests.e2e.places import Place
from tests.fakes.frames import BINARY, TEXT, close, frame
from tests.hostile.legs import RELAYS, begin, gone, join

TYPED = "grüße aus dem Browser\n"
SERVICE = """
[services.upper]
kind = "text"
launcher = "process"
command = ["sed", "-u", "s/aus/AUS/"]
count = 2
"""


@pytest.mark.parametrize("relay", RELAYS)
def test_lines_through_a_filter(place: Place, relay: str) -> None:
    """What is typed, as text or as bytes, comes back from sed's own output as text; its end has the reason."""
    with begin(place, relay, SERVICE).started() as daemon:
        made = daemon.order("upper").json
        with join(made["tunnel_url"]) as client:
            raw = TYPED.encode()
            client.socket.sendall(frame(TEXT, raw[:4], fin=False) + frame(0, raw[4:]) + frame(BINARY, raw))
            got = b""
            while len(got) < 2 * len(raw):
                for one in client.read():
                    assert one.opcode == TEXT, one
                    got += one.payload
            assert got.decode() == 2 * TYPED.replace("aus", "AUS")
            daemon.call("DELETE", f"/api/v1/sessions/{made['id']}")
            assert client.close_code() == 4410
            client.socket.sendall(close(4410))
        gone(daemon)
