"""What callers ask for in the bodies of their requests: checked, and turned into the broker's own words."""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen

from sessiond.broker import Request
from sessiond.core.errors import Code, Refused
from sessiond.core.events import Extend
from sessiond.core.session import Session
from sessiond.core.tickets import LIFETIME_S
from sessiond.core.values import Deadline
from sessiond.web.access import Caller, Scope, scopes_of
from sessiond.web.bodies import check_keys

WAIT_S = 55.0
"""How long a caller is held: proxies and clients commonly give up after 60 seconds."""
KEY_LENGTH = 128
OWNER_LENGTH = 128
MOST_EXTENSION_S = 366 * 86400.0

ORDER = frozenset({"service", "options", "owner", "wait"})
EXTENSION = frozenset({"deadline", "by_s"})
TICKET = frozenset({"scopes", "lifetime_s"})
WAITS = {"none": None, "ready": WAIT_S}


@frozen
class Order:
    """A wanted session: what the broker is asked, and whether the answer tells how its launch went."""

    request: Request
    waits: bool


def read_order(found: dict[str, Any], caller: Caller, key: str | None, prefer: str | None = None) -> Order:
    """Read ``{service, options, owner, wait}``; all but ``service`` may be left out.

    :param key: the Idempotency-Key.
    :param prefer: what the caller prefers, as its header says it.
    :raises Refused: ``bad-request``, or ``forbidden`` for a name that is not the caller's.
    """
    check_keys(found, ORDER)
    service, options, wait = found.get("service"), found.get("options", {}), found.get("wait", "none")
    if not isinstance(service, str):
        raise Refused(Code.BAD_REQUEST, "service: a text is needed")
    if not isinstance(options, dict):
        raise Refused(Code.BAD_REQUEST, "options: an object is needed")
    if not isinstance(wait, str) or wait not in WAITS:
        raise Refused(Code.BAD_REQUEST, 'wait: "none" or "ready" is needed')
    owner = caller.owner_for(read_owner(found.get("owner")))
    request = Request(service, owner, options, WAITS[wait], key=read_key(key), queues=not hurried(prefer))
    return Order(request, WAITS[wait] is not None)


def hurried(prefer: str | None) -> bool:
    """Say whether a caller would rather be refused than queue: ``Prefer: wait=0`` (RFC 7240 section 4.3).

    Any other preference is passed over, as the standard has it (section 2).
    """
    first = next((word for word in (prefer or "").split(",") if word.strip().lower().startswith("wait")), "")
    name, _, seconds = first.partition(";")[0].partition("=")
    return name.strip().lower() == "wait" and seconds.strip().strip('"') == "0"


def read_owner(owner: object) -> str | None:
    """Read a name, where there is one."""
    if owner is None:
        return None
    if not isinstance(owner, str) or len(owner) > OWNER_LENGTH or not owner.isprintable():
        raise Refused(Code.BAD_REQUEST, f"owner: a printable text is needed, {OWNER_LENGTH} characters at most")
    return owner


def read_key(key: str | None) -> str | None:
    """Read an Idempotency-Key, where there is one."""
    if key is not None and not (0 < len(key) <= KEY_LENGTH and key.isprintable()):
        raise Refused(Code.BAD_REQUEST, f"Idempotency-Key: 1 to {KEY_LENGTH} printable characters are needed")
    return key


def read_ticket_order(found: dict[str, Any], caller: Caller) -> tuple[Caller, float]:
    """Read ``{scopes, lifetime_s}``, both of which may be left out.

    :returns: what the ticket is to stand for: the caller, with no more scopes than it asks for; and the seconds that
        the ticket is good for.
    :raises Refused: ``bad-request``, or ``forbidden`` for a scope that the caller has not itself.
    """
    check_keys(found, TICKET)
    names, lifetime_s = found.get("scopes"), found.get("lifetime_s", LIFETIME_S)
    if isinstance(lifetime_s, bool) or not isinstance(lifetime_s, int | float) or not 0 < lifetime_s <= LIFETIME_S:
        raise Refused(Code.BAD_REQUEST, f"lifetime_s: seconds are needed, more than 0, {LIFETIME_S:.0f} at most")
    if names is None:
        return caller, lifetime_s
    known = [scope.value for scope in Scope]
    if not isinstance(names, list) or not names or not all(name in known for name in names):
        raise Refused(Code.BAD_REQUEST, f"scopes: a list is needed, of {', '.join(known)}")
    scopes = scopes_of(names)
    if not scopes <= caller.scopes:
        raise Refused(Code.FORBIDDEN, "a ticket is good for no more than its caller")
    return evolve(caller, scopes=scopes), lifetime_s


def read_extension(found: dict[str, Any], session: Session, now: float) -> Extend:
    """Read ``{deadline, by_s}``: the deadline's name, and the seconds that it is pushed on from where it stands.

    :param now: epoch seconds.
    :raises Refused: ``bad-request``.
    """
    check_keys(found, EXTENSION)
    name, by_s = found.get("deadline"), found.get("by_s")
    deadline = next((deadline for deadline in Deadline if deadline.value == name), None)
    if deadline is None:
        raise Refused(Code.BAD_REQUEST, "deadline: the name of a deadline is needed")
    if isinstance(by_s, bool) or not isinstance(by_s, int | float) or not 0 < by_s <= MOST_EXTENSION_S:
        raise Refused(Code.BAD_REQUEST, f"by_s: seconds are needed, more than 0, {MOST_EXTENSION_S:.0f} at most")
    return Extend(deadline, session.deadlines.get(deadline, now) + by_s)
