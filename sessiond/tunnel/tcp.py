"""What the kernel is told of a tunnel's connections, so that it does not wait where we would not."""

from __future__ import annotations

import math
from socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_TCP,
    SO_KEEPALIVE,
    SOL_SOCKET,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_NODELAY,
    TCP_USER_TIMEOUT,
    socket,
)
from typing import Any

from twisted.internet.abstract import FileDescriptor

from sessiond.ports import RelayLimits

USUAL = RelayLimits()
READ_BYTES = 112 * 1024
"""How much one read takes, and a write may leave unsent before the other side is paused.

Nearly twice Twisted's 64 KiB saves a part of what a read costs; above 128 KiB the allocator takes each buffer anew from
the kernel, which costs more.
"""


def tune(transport: Any, limits: RelayLimits) -> None:
    """Send small pieces at once, and have a peer found out whose packets vanish (tcp(7)).

    An endpoint can't be pinged as a client is: an idle one is probed after ``ping_s``. Whoever acknowledges nothing, or
    keeps its window shut, is dropped once it has done so for ``stall_s`` and ``close_s``: later than the relay would,
    which can still say why.

    :param transport: of Twisted's; TLS hands on the socket below. What is no TCP is only read in larger pieces.
    """
    if isinstance(transport, FileDescriptor):
        transport.bufferSize = READ_BYTES
    leg = getattr(transport, "socket", None)
    if not isinstance(leg, socket) or leg.family not in (AF_INET, AF_INET6):
        return
    leg.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    leg.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
    leg.setsockopt(IPPROTO_TCP, TCP_KEEPIDLE, _whole_s(limits.ping_s))
    leg.setsockopt(IPPROTO_TCP, TCP_KEEPINTVL, _whole_s(limits.pong_s / 2))
    leg.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, _whole_ms(limits.stall_s + limits.close_s))


def _whole_s(seconds: float) -> int:
    """Give what the kernel takes: 1 to 32767 seconds."""
    return min(max(1, math.ceil(seconds)), 32767)


def _whole_ms(seconds: float) -> int:
    return min(max(1, math.ceil(seconds * 1000)), 2**31 - 1)
