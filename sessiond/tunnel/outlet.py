"""Writing without a detour: what the kernel takes at once need not wait for the reactor's next round."""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import FileDescriptor


def write_now(transport: Any, data: bytes) -> None:
    """Write to a transport of Twisted's, now if it can be.

    ``write`` alone only keeps the bytes and asks the reactor to call back: one more turn through the kernel for each
    write. Where nothing waits already, the socket is offered the bytes first; what it does not take goes the usual way,
    producers and all, and so does everything on a transport that is no socket itself. TLS is none: it hands on the
    attributes of the socket below, which would take our bytes as they are.
    """
    if isinstance(transport, FileDescriptor) and _has_nothing_to_do(transport):
        taken = transport.writeSomeData(data)
        # Anything but a count is a lost connection, which the usual way finds out too.
        if isinstance(taken, int) and taken > 0:
            if taken == len(data):
                return
            data = _offered(transport, memoryview(data)[taken:]) if taken == transport.SEND_LIMIT else data[taken:]
            if not data:
                return
    transport.write(data)


def _offered(transport: Any, rest: memoryview) -> bytes:
    """Offer the socket more, as long as it takes all that is offered at once; give what is left, copied once."""
    while rest:
        taken = transport.writeSomeData(rest)
        if not isinstance(taken, int) or taken <= 0:
            break
        rest = rest[taken:]
        if taken < transport.SEND_LIMIT:
            break
    return bytes(rest)


def _has_nothing_to_do(transport: Any) -> bool:
    """Say whether nothing waits to be written, and what is written now is not to be dropped."""
    waiting = transport.dataBuffer or transport._tempDataBuffer
    return not (waiting or transport.disconnecting or transport.disconnected or transport._writeDisconnected)
