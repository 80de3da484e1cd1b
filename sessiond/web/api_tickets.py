"""``/api/v1/tickets``: what stands in for a caller's token in a URL, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from twisted.web.server import Request

from sessiond.broker import Tickets
from sessiond.web.access import Access, Caller, Face, Scope
from sessiond.web.answers import Answer
from sessiond.web.bodies import read_any_object
from sessiond.web.leaf import ApiLeaf
from sessiond.web.orders import read_ticket_order
from sessiond.web.shapes import ticket_shape


class CallerTickets(ApiLeaf):
    """Tickets for callers: links, feeds and sockets of pages, which can send no header."""

    # A ticket gives nothing that its caller has not, so whoever may call at all may have one.
    needs: ClassVar[Mapping[str, Scope]] = {"POST": Scope.READ}

    def __init__(self, tickets: Tickets[Caller], access: Access, face: Face) -> None:
        super().__init__(access, face)
        self._tickets = tickets

    async def post(self, request: Request, caller: Caller) -> Answer:
        """Make one."""
        stands_for, lifetime_s = read_ticket_order(read_any_object(request), caller)
        return Answer(ticket_shape(self._tickets.issue(caller.owner, stands_for, lifetime_s)), 201)
