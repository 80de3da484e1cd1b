"""What the kernel is told of a connection, whatever the limits are."""

import socket
from types import SimpleNamespace

import pytest

from sessiond.ports import RelayLimits
from sessiond.tunnel.tcp import tune


@pytest.mark.parametrize(
    ("limits", "idle_s", "between_s", "timeout_ms"),
    [
        (RelayLimits(), 20, 10, 65_000),
        (RelayLimits(ping_s=0.05, pong_s=0.05, stall_s=0.1, close_s=0.1), 1, 1, 200),
        (RelayLimits(ping_s=1e6, pong_s=1e6, stall_s=1e7, close_s=5), 32767, 32767, 2**31 - 1),
    ],
)
def test_what_the_kernel_takes(limits: RelayLimits, idle_s: int, between_s: int, timeout_ms: int) -> None:
    """Limits that are too fine or too large for it are brought into its range."""
    with socket.socket() as leg:
        tune(SimpleNamespace(socket=leg), limits)
        assert leg.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert leg.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert leg.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == idle_s
        assert leg.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == between_s
        assert leg.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == timeout_ms


def test_what_is_no_tcp_is_left_alone() -> None:
    """A UNIX socket has none of these, and a transport of a test has no socket at all."""
    with socket.socket(socket.AF_UNIX) as leg:
        tune(SimpleNamespace(socket=leg), RelayLimits())
    tune(object(), RelayLimits())
