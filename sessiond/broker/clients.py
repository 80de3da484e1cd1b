"""The clients that were let in, by the numbers of their tunnels."""

from __future__ import annotations

from sessiond.core.effects import Cut
from sessiond.core.errors import CLOSE_CODES, SHAPES
from sessiond.core.session import Session
from sessiond.core.values import Endpoint, Reason
from sessiond.ports import TunnelClient


class Clients:
    """Every client from its admission until its tunnel is no longer its session's."""

    def __init__(self) -> None:
        self._clients: dict[int, TunnelClient] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def __contains__(self, number: int) -> bool:
        return number in self._clients

    def add(self, number: int, client: TunnelClient) -> None:
        """Take a client in."""
        self._clients[number] = client

    def drop(self, number: int) -> None:
        """Forget a client."""
        self._clients.pop(number, None)

    def dial(self, number: int, endpoint: Endpoint, *, retry: bool) -> None:
        """Have a client carried to an endpoint; one that was cut meanwhile is passed over."""
        client = self._clients.get(number)
        if client is not None:
            client.dial(endpoint, retry)

    def cut(self, effect: Cut) -> None:
        """Let a client go with the close code that says why."""
        client = self._clients.pop(effect.number, None)
        if client is None:
            return
        if effect.why is None:
            client.cut(1000, "closed by the application", effect.flush_s)
        elif isinstance(effect.why, Reason):
            client.cut(CLOSE_CODES[effect.why], effect.why.value, effect.flush_s)
        else:
            client.cut(SHAPES[effect.why].close, effect.why.value, effect.flush_s)

    def active_at(self, session: Session) -> float | None:
        """Give the instant of the last byte from any client of a session; ``None`` where it has none."""
        clients = (self._clients.get(tunnel.number) for tunnel in session.tunnels)
        return max((client.active_at for client in clients if client is not None), default=None)
