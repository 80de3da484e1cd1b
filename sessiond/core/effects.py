"""Effects: what a step wants done. The broker performs them in order once the step is saved.

``takes_away`` marks the effects that only end something. They are safe to perform before the store has the step: a
crash in between leaves less than the store says, and recovery finds that.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from attrs import frozen

from sessiond.core.errors import Code
from sessiond.core.values import Lease, LeaseKind, Reason, StopStep


class Verdict(Enum):
    """What a waiting caller is told."""

    READY = "ready"
    LATER = "later"
    ENDED = "ended"


@frozen
class TakeLeases:
    """Find free ports and displays for the session, then say ``leased`` or ``failed(no-port)``."""

    takes_away: ClassVar[bool] = False
    kinds: tuple[LeaseKind, ...]


@frozen
class Launch:
    """Start the program."""

    takes_away: ClassVar[bool] = False


@frozen
class Halt:
    """Take one stop step against the child and its tree."""

    takes_away: ClassVar[bool] = True
    step: StopStep


@frozen
class Dial:
    """Connect a waiting tunnel to the endpoint; ``retry`` until the launch deadline where readiness is told so."""

    takes_away: ClassVar[bool] = False
    number: int
    retry: bool = False


@frozen
class Cut:
    """End one tunnel; the client is told why, after what the program has sent (at most ``flush_s`` seconds).

    :ivar why: the session's reason, or a code of this tunnel's own; ``None`` where the endpoint closed by itself and
        the session lives on.
    """

    takes_away: ClassVar[bool] = True
    number: int
    why: Reason | Code | None
    flush_s: float = 0.0


@frozen
class Answer:
    """Tell a waiting caller how it stands."""

    takes_away: ClassVar[bool] = False
    number: int
    verdict: Verdict


@frozen
class Offer:
    """A slot of the session's pool came free: see who is next."""

    takes_away: ClassVar[bool] = False


@frozen
class FreeLeases:
    """Test these leases until they can be taken again, then say ``ports-free``."""

    takes_away: ClassVar[bool] = False
    leases: tuple[Lease, ...]


@frozen
class Tidy:
    """Delete what the session had on disk: its runtime folder, sockets, output."""

    takes_away: ClassVar[bool] = False


Effect = TakeLeases | Launch | Halt | Dial | Cut | Answer | Offer | FreeLeases | Tidy
