"""The broker: the one place where sessions change. Event → step → save → effects."""

from sessiond.broker.broker import Broker
from sessiond.broker.requests import Admission, Request, Reservation
from sessiond.broker.tickets import Issued, Tickets

__all__ = ["Admission", "Broker", "Issued", "Request", "Reservation", "Tickets"]
