"""What the kernel is told of both connections of a tunnel."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from sessiond.ports import RelayLimits
from tests.fakes.frames import BINARY, frame, request
from tests.reactor import within
from tests.ws.certificate import write_certificate
from tests.ws.served import Peer, Served, until

Serve = Callable[..., Awaitable[Served]]
LIMITS = RelayLimits(ping_s=20, pong_s=10, stall_s=60, close_s=5)

OPTIONS = {
    (socket.IPPROTO_TCP, socket.TCP_NODELAY): 1,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 20,
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 5,
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 65_000,
}


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def serve() -> AsyncIterator[Serve]:
    """Give what starts tunnels on real ports; they are closed after the test."""
    started: list[Served] = []

    async def start(**settings: Any) -> Served:
        started.append(Served(**settings))
        return await started[-1].start()

    yield start
    for served in started:
        await served.stop()


def own_legs(served: Served, peers: list[Peer]) -> list[socket.socket]:
    """Find this process's other ends of the peers' connections: the daemon's."""
    from twisted.internet import reactor

    wanted = {(peer.wire.getHost().host, peer.wire.getHost().port) for peer in peers}
    found = [getattr(reader, "socket", None) for reader in reactor.getReaders()]
    return [leg for leg in found if isinstance(leg, socket.socket) and _peer(leg) in wanted]


def _peer(leg: socket.socket) -> tuple[str, int] | None:
    try:
        return leg.getpeername()  # type: ignore[no-any-return]
    except OSError:  # it listens
        return None


@within(30.0)
@pytest.mark.parametrize("by_autobahn", [False, True])
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL")
async def test_options_of_both_legs(serve: Serve, tmp_path: Path, by_autobahn: bool, tls: bool) -> None:
    """Small pieces go at once, and a peer that does not answer is found out, on either side and below TLS."""
    from twisted.internet import reactor
    from twisted.internet.endpoints import SSL4ClientEndpoint
    from twisted.internet.ssl import CertificateOptions

    served = await serve(limits=LIMITS)
    served.tunnels._by_autobahn = by_autobahn
    made = await served.reserve()
    if tls:
        pem = write_certificate(tmp_path / "pem")
        port = await served.listen_at(f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}")
        where = SSL4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port, CertificateOptions())
        browser = await served.connect_to(where, request(f"/?token={made.token}") + frame(BINARY, b"x"))
    else:
        browser = await served.open(made.token)
    await until(lambda: len(served.programs) == 1)
    await until(lambda: browser.status == 101)
    legs = own_legs(served, [browser, served.programs[0]])
    assert len(legs) == 2
    for leg in legs:
        assert {option: leg.getsockopt(*option) for option in OPTIONS} == OPTIONS


@within(30.0)
async def test_a_socket_of_another_family_is_left_alone(serve: Serve, tmp_path: Path) -> None:
    """A program behind a UNIX socket is reached all the same."""
    served = await serve(socket_path=str(tmp_path / "s"))
    made = await served.reserve()
    browser = await served.open(made.token)
    browser.wire.write(frame(BINARY, b"x"))
    await until(lambda: served.programs[0].got == b"x")
