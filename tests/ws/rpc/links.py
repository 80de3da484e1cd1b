"""A link without a network: an endpoint on a Clock, and clients that write raw messages of either generation."""

from __future__ import annotations

import json
from typing import Any

import msgpack  # type: ignore[import-untyped]
from twisted.internet.task import Clock

from sessiond.clock import SteadyClock
from sessiond.ws.rpc.endpoint import Endpoint, Secret
from sessiond.ws.rpc.link import Link
from sessiond.ws.rpc.methods import Methods
from sessiond.ws.rpc.packed import HEAD
from tests.fakes.frames import BINARY, TEXT, Frames

SECRET = "wslink-secret"


class Wire:
    """The socket of one client, and the client behind it.

    :ivar closed: code and reason, once it was closed.
    """

    def __init__(self, house: House) -> None:
        self.frames = Frames()
        self.raw: list[tuple[int, bytes]] = []
        self.closed: tuple[int, str] | None = None
        self.paused = False
        self.allowed = 0
        self.link: Link = house.endpoint.open(self)
        self.house = house

    # -- what a link wants

    def send(self, written: bytes) -> None:
        """Read what was written."""
        self.raw += [(one.opcode, one.payload) for one in self.frames.read(written)]

    def close(self, code: int, reason: str) -> None:
        """Note it."""
        self.closed = (code, reason)

    def pause(self) -> None:
        """Note it."""
        self.paused = True

    def resume(self) -> None:
        """Note it."""
        self.paused = False

    def allow(self, message_bytes: int) -> None:
        """Note it."""
        self.allowed = message_bytes

    # -- what a client does

    def text(self, message: Any) -> Any:
        """Send JSON, or a text as it is, and give the messages that came since, decoded where they are text."""
        raw = message if isinstance(message, str) else json.dumps(message)
        self.link.received(raw.encode(), is_text=True)
        return self.took()

    def binary(self, payload: bytes) -> Any:
        """Send bytes."""
        self.link.received(payload, is_text=False)
        return self.took()

    def packed(self, message: Any, number: int = 7) -> Any:
        """Send msgpack in one frame."""
        content = msgpack.packb(message)
        return self.binary(HEAD.pack(number, 0, len(content)) + content)

    def took(self) -> list[Any]:
        """Give what came since, decoded."""
        self.house.advance(0)
        raw, self.raw = self.raw, []
        if (
            all(opcode == BINARY for opcode, _ in raw)
            and raw
            and self.link.generation
            and (self.link.generation.value == "2.x")
        ):
            return self._joined(raw)
        return [json.loads(payload) if opcode == TEXT else payload for opcode, payload in raw]

    def _joined(self, raw: list[tuple[int, bytes]]) -> list[Any]:
        found, part = [], b""
        for _, frame in raw:
            _, offset, size = HEAD.unpack_from(frame)
            assert offset == len(part)
            part += frame[HEAD.size :]
            if len(part) == size:
                found.append(msgpack.unpackb(part))
                part = b""
        assert part == b""
        return found


class House:
    """An endpoint."""

    def __init__(self, *protocols: object, **settings: Any) -> None:
        self.clock = Clock()
        self.time = SteadyClock(self.clock, self.clock.seconds, 1000.0)
        self.exits: list[float] = []
        settings = {"exits": self.exits.append, **settings}
        self.endpoint = Endpoint(self.time, Methods(protocols), settings.pop("guard", Secret(SECRET)), **settings)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    def wire(self) -> Wire:
        """Connect."""
        return Wire(self)

    def old(self) -> Wire:
        """Connect as a client of the older generation does, and be known."""
        wire = self.wire()
        [told] = wire.text(hello())
        assert told["result"]["clientID"] == wire.link.client_id
        return wire

    def new(self) -> Wire:
        """Connect as one of the newer does."""
        wire = self.wire()
        [told] = wire.packed(hello())
        assert told["result"] == {"clientID": wire.link.client_id, "maxMsgSize": 4194304}
        return wire


def hello(secret: str | None = SECRET, call_id: str = "system:c0:0") -> dict[str, Any]:
    """Write what a client says first."""
    args = [] if secret is None else [{"secret": secret}]
    return {"wslink": "1.0", "id": call_id, "method": "wslink.hello", "args": args, "kwargs": {}}


def call(method: str, *args: Any, call_id: str = "rpc:c2:0", **kwargs: Any) -> dict[str, Any]:
    """Write a call."""
    return {"wslink": "1.0", "id": call_id, "method": method, "args": list(args), "kwargs": kwargs}
