"""``/api/v1/services``: what a caller may launch."""

from __future__ import annotations

from twisted.web.server import Request

from sessiond.broker import Broker
from sessiond.web.access import Access, Caller, Face
from sessiond.web.answers import Answer
from sessiond.web.leaf import ApiLeaf
from sessiond.web.shapes import service_shape


class Services(ApiLeaf):
    """Every service that the caller sees, with what its pool has left."""

    def __init__(self, broker: Broker, access: Access, face: Face) -> None:
        super().__init__(access, face)
        self._broker = broker

    async def get(self, request: Request, caller: Caller) -> Answer:
        """List them."""
        seen = [service for service in self._broker.catalogue.services.values() if caller.sees(service)]
        return Answer({"services": [service_shape(self._broker, service) for service in seen]})
