"""A program that speaks WebSocket itself, reached through a tunnel that passes everything through."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from sessiond.core.services import Limits, Plan, Service
from sessiond.core.values import Kind, LaunchWhen, LeaseKind, State
from tests.conformance.suite import Echoes
from tests.fakes.frames import ACCEPT, CLOSE, PING, PONG, TEXT, Frame, close, frame, request
from tests.launchers.real import RealBench
from tests.reactor import within
from tests.ws.served import Browser, until

PROGRAM = Path(__file__).parent / "programs" / "echo.py"


def service(*command: str) -> Service:
    """Give a service whose programs speak WebSocket."""
    plan = Plan(limits=Limits(linger_s=0.1), launch=LaunchWhen.ON_CONNECT, leases=(LeaseKind.PORT,))
    return Service("ws", Kind.WEBSOCKET, "process", plan, command=command, pool="ws", ports=(21000, 21063))


@within(120)
async def test_a_program_answers_for_itself(tmp_path: Path) -> None:
    """Its own 101 comes back, its pongs and its close frame too; it never sees the session's token or a cookie."""
    bench = RealBench(tmp_path)
    echoes = Echoes(bench, [service(sys.executable, str(PROGRAM), "${port}")], 1)
    await echoes.start()
    browser = Browser()
    try:
        port = await echoes.listen("tcp:0:interface=127.0.0.1")
        await connectProtocol(TCP4ClientEndpoint(bench.reactor, "127.0.0.1", port), browser)
        lines = ("Sec-WebSocket-Protocol: own, other", "Cookie: c=d", "Authorization: B x")
        browser.wire.write(request("/tunnel?token=ws&size=1", *lines))
        await until(lambda: browser.status == 101)
        assert f"Sec-WebSocket-Accept: {ACCEPT}".encode() in browser.head
        assert b"Server: AutobahnPython" in browser.head
        assert b"Sec-WebSocket-Protocol: own" in browser.head
        browser.wire.write(frame(TEXT, b"hello") + frame(PING, b"there?"))
        await until(lambda: len(browser.read) == 2)
        assert browser.read == [Frame(TEXT, b"hello"), Frame(PONG, b"there?")]
        browser.wire.write(frame(TEXT, b"close"))
        await until(lambda: len(browser.read) == 3)
        assert (browser.read[2].opcode, browser.read[2].code) == (CLOSE, 4321)
        (session,) = echoes.broker.sessions()
        (said,) = (line for line in echoes.broker.tail(session.id, 20) if "sec-websocket-key" in line)
        assert said.startswith("/tunnel ")
        assert not {"token", "cookie", "authorization"} & set(said.replace("'", " ").split())
        browser.wire.write(close(4321))
        await until(lambda: browser.lost)
        await until(lambda: echoes.broker.session(session.id).state is State.ENDED)
    finally:
        if not browser.lost:
            browser.wire.abortConnection()
        await echoes.stop()
        bench.close()


@within(120)
async def test_a_program_that_speaks_something_else(tmp_path: Path) -> None:
    """A client gets 502, and no byte of what was said instead."""
    bench = RealBench(tmp_path)
    echoes = Echoes(bench, [service(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "${port}")], 1)
    await echoes.start()
    browser = Browser()
    try:
        port = await echoes.listen("tcp:0:interface=127.0.0.1")
        await connectProtocol(TCP4ClientEndpoint(bench.reactor, "127.0.0.1", port), browser)
        browser.wire.write(request("/tunnel?token=ws"))
        await until(lambda: browser.status == 502 and bool(browser.got))
        assert browser.problem["detail"] == "the application did not take the connection"
        await until(lambda: browser.lost)
    finally:
        if not browser.lost:
            browser.wire.abortConnection()
        await echoes.stop()
        bench.close()
