"""Who may call a context, and under which address it answers."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from twisted.web.server import Request

from sessiond.config import PartyContext
from sessiond.core.errors import Code, Refused
from sessiond.dialects.genius2.words import PLAIN, one_line
from sessiond.web.access import Face
from sessiond.web.answers import Answer
from sessiond.web.bodies import header
from sessiond.web.origins import as_address, read_host, read_origin

Networks = tuple[IPv4Network | IPv6Network, ...]


class Entry:
    """A context as one listener has it at one of its paths.

    :ivar path: that path.
    """

    def __init__(self, context: PartyContext, path: str, face: Face) -> None:
        self.context, self.path, self._face = context, path, face

    def check(self, request: Request) -> None:
        """Let nobody in who may not call: a GET here starts programs.

        :raises Refused: ``forbidden``, or ``bad-request``.
        """
        if not self._is_from(request, self.context.allow_from):
            raise Refused(Code.FORBIDDEN, "this network may not call; the operator names those that may (allow_from)")
        origin = header(request, "Origin")
        if origin is None and self.context.require_origin:
            raise Refused(Code.FORBIDDEN, "an Origin is needed")
        allowed = {read_origin(one) for one in self.context.origins}
        if origin is not None and allowed and read_origin(origin) not in allowed:
            raise Refused(Code.FORBIDDEN, "this origin may not call")

    def base(self, request: Request) -> str:
        """Give what the addresses begin with that a client of this request is told; never an address of an interface.

        :raises Refused: ``bad-request``: no valid Host.
        """
        return self._origin(request) + self.path

    def _origin(self, request: Request) -> str:
        if self.context.public_url is not None:
            return self.context.public_url.rstrip("/")
        forwarded, scheme = header(request, "X-Forwarded-Host"), header(request, "X-Forwarded-Proto")
        if self.context.trusted_proxies and self._is_from(request, self.context.trusted_proxies):
            secure = self._face.secure if scheme is None else scheme == "https"
            found = read_host(forwarded or header(request, "Host"), secure)
            if found is None:
                raise Refused(Code.BAD_REQUEST, "one valid Host is needed")
            return found.text
        return self._face.base_url(header(request, "Host"))

    def turn_away(self, request: Request, refused: Refused) -> Answer:
        """Say in one line why a request is refused, or that its address is for WebSockets."""
        upgrade = b",".join(request.requestHeaders.getRawHeaders(b"Upgrade", []))
        if refused.code is Code.BAD_REQUEST and b"websocket" not in upgrade.lower():
            # RFC 9110 section 15.5.22: the answer names what to change to.
            return Answer(b"this address is for WebSockets", 426, {**PLAIN, "Upgrade": "websocket"})
        return told(refused)

    def _is_from(self, request: Request, networks: Networks) -> bool:
        host = getattr(request.getClientAddress(), "host", None)
        if host is None:
            return True  # a UNIX socket: its folder says who may
        address = as_address(host)
        return address is not None and any(address in network for network in networks)


def told(refused: Refused) -> Answer:
    """Tell a refusal in one line."""
    return Answer(one_line(refused.detail or refused.shape.title).encode(), refused.shape.http, PLAIN)
