"""A client of a parties server that knows this protocol and nothing else: it runs SAOP sessions over real sockets."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

from attrs import define, field
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

from tests.daemon import Body

ID = re.compile(r"[A-Za-z]\w*_\d+", re.ASCII)
JAVA_ACCEPT = "text/html, image/gif, image/jpeg, */*; q=0.2"


class Socket(WebSocketClientProtocol):
    """One WebSocket, message by message."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[bytes] = []
        self.opened: Deferred[Socket] = Deferred()
        self.closed: Deferred[tuple[int | None, str | None]] = Deferred()
        self.close: tuple[int | None, str | None] | None = None
        self._waiting: Deferred[bytes] | None = None

    def onOpen(self) -> None:
        """Tell that it is open."""
        self.opened.callback(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Keep a message, or give it to who waits."""
        assert not isBinary
        self.messages.append(payload)
        self._give()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Keep how it ended."""
        self.close = (code, reason)
        if not self.opened.called:
            self.opened.errback(ConnectionRefusedError(f"{code} {reason}"))
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(ConnectionError(f"{code} {reason}"))
        self.closed.callback((code, reason))

    def next(self) -> Deferred[bytes]:
        """Wait for the next message.

        :raises ConnectionError: (in the Deferred) there is none.
        """
        self._waiting = Deferred()
        waiting = self._waiting
        if self.messages:
            self._give()
        elif self.close is not None:
            self._waiting = None
            waiting.errback(ConnectionError(f"{self.close[0]} {self.close[1]}"))
        return waiting

    def _give(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(self.messages.pop(0))

    def say(self, message: Any) -> None:
        """Send a message; bytes as they are."""
        self.sendMessage(message if isinstance(message, bytes) else json.dumps(message).encode())

    def drop(self) -> None:
        """Go without a word."""
        transport: Any = self.transport
        transport.abortConnection()


async def connect(url: str, **headers: str) -> Socket:
    """Open a WebSocket.

    :raises ConnectionRefusedError: it was not let in.
    """
    from twisted.internet import reactor

    factory: Any = WebSocketClientFactory(url, headers=headers)
    # By default a closing handshake may take a second; machines are busy.
    factory.setProtocolOptions(openHandshakeTimeout=30, closeHandshakeTimeout=30)
    factory.setProtocolOptions(maxMessagePayloadSize=0, maxFramePayloadSize=0)
    made = Socket()
    made.factory = factory
    factory.buildProtocol = lambda address: made
    reactor.connectTCP(factory.host, factory.port, factory)
    return await made.opened


async def get(url: str, method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
    """Call over HTTP, on a connection of its own."""
    from twisted.internet import reactor

    agent = Agent(reactor)
    sent = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
    response: Any = await agent.request(method.encode(), url.encode(), sent)
    read: Deferred[bytes] = Deferred()
    response.deliverBody(Body(read))
    body = await read
    told = {name.decode().lower(): values[0].decode() for name, values in response.headers.getAllRawHeaders()}
    return response.code, body.decode(), told


async def sleep(seconds: float) -> None:
    """Wait."""
    from twisted.internet import reactor

    await deferLater(reactor, seconds)


def pause_s(until_ms: int, now_ms: int) -> float:
    """Say how long a client sleeps before it asks again."""
    return min(60_000, max(1_000, until_ms - now_ms)) / 1000


class Refused(Exception):
    """A run was refused for good."""


@define
class Referee:
    """Runs sessions.

    :ivar parties: the addresses that start the parties, one for each seat.
    :ivar java: which JSON dialect it speaks.
    :ivar rounds: by rounds; otherwise by time.
    :ivar is_naive: it keeps the parties that it has while it waits for others.
    """

    parties: list[str]
    java: bool = False
    rounds: int | None = None
    duration_ms: int = 10_000
    parameters: dict[str, Any] = field(factory=dict)
    is_naive: bool = False
    tries: int = 0
    pauses: list[float] = field(factory=list)
    actions: int = 0

    async def claim(self, most: int = 20) -> list[Socket]:
        """Start all parties, from the first one again where a server has no slot now."""
        for _ in range(most):
            self.tries += 1
            sockets: list[Socket] = []
            later: int | None = None
            for party in self.parties:
                status, text, _ = await get(party, Accept=JAVA_ACCEPT)
                if status == 200:
                    assert text == text.strip()
                    assert ID.fullmatch(text.rpartition("/")[2])
                    sockets.append(await connect(text))
                elif status == 503 and "retry later" in text:
                    later = int(text.split(" ")[-1])
                    break
                else:
                    raise Refused(f"{status} {text}")
            if later is None:
                return sockets
            for socket in sockets if not self.is_naive else ():
                socket.sendClose(1000)
                await socket.closed
            self.pauses.append(pause_s(later, int(time.time() * 1000)))
            await sleep(self.pauses[-1])
        raise Refused("again and again")

    def settings(self, number: int, **parameters: Any) -> dict[str, Any]:
        """Write what a party is told first."""
        now = int(time.time() * 1000)
        if self.rounds is not None:
            key = "rounds" if self.java else "ProgressRounds"
            terms = {"duration": self.rounds, "currentRound": 0, "endtime": now + self.duration_ms}
        else:
            key, terms = "time" if self.java else "ProgressTime", {"duration": self.duration_ms, "start": now}
        content = {
            "id": f"party{chr(97 + number)}_{number}",
            "profile": "ws://localhost/none",
            "protocol": "SAOP",
            "progress": {key: terms},
            "parameters": {**self.parameters, **parameters},
        }
        return {"Settings": content}

    async def play(self, watch: Callable[[dict[str, Any]], object] = lambda action: None) -> list[tuple[Any, Any]]:
        """Play a whole session, and give how each socket closed."""
        sockets = await self.claim()
        for number, socket in enumerate(sockets):
            socket.say(self.settings(number))
        turn = 0
        while True:
            actor = sockets[turn % len(sockets)]
            actor.say({"YourTurn": {}})
            action = json.loads(await actor.next())
            self.actions += 1
            watch(action)
            for socket in sockets:
                socket.say({"ActionDone": {"action": action}})
            [kind] = action
            if kind.lower() == "accept":
                break
            turn += 1
        for socket in sockets:
            socket.say({"Finished": {"agreements": {}}})
            socket.sendClose(1000)
        return [await socket.closed for socket in sockets]
