"""The broker: the one place where sessions change. Event → step → save → effects."""

from sessiond.broker.broker import Broker
from sessiond.broker.requests import Admission, Request, Reservation

__all__ = ["Admission", "Broker", "Request", "Reservation"]
