"""A negotiating party for a parties server: it trades over a space of its own, and gives in as time passes.

``capabilities`` and ``description`` print what it is; ``run`` speaks over standard input and output: four bytes for a
message's length, least first, then the message.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from typing import Any, BinaryIO

Message = dict[str, Any]
Bid = dict[str, str]

CAPABILITIES = {
    "behaviours": ["SAOP"],
    "profiles": ["geniusweb.profile.utilityspace.LinearAdditive"],
}
DESCRIPTION = "Sells or buys a holiday, and gives in as time passes. Needs no profile."
ISSUES = ("place", "food", "trips", "price")
VALUES = ("a", "b", "c", "d", "e", "f")
SPACE: list[Bid] = [dict(zip(ISSUES, values, strict=True)) for values in itertools.product(VALUES, repeat=len(ISSUES))]
JAVA = frozenset({"time", "rounds"})
"""Progress types by the names of the Java dialect, which writes actions in lower case."""
LAST_S = 0.1
"""How long before its deadline it takes what it is offered."""


class Party:
    """One negotiation, as one party plays it."""

    def __init__(self) -> None:
        self.me = ""
        self.parameters: Message = {}
        self.offers = 0
        self.over = False
        self._java = False
        self._begun = self._ends = 0.0
        self._rounds: int | None = None
        self._offered: Bid | None = None
        self._wishes: list[Bid] = []

    def hear(self, message: Message) -> list[Message]:
        """Take one message, and give the actions that it leads to.

        :raises ValueError: it is none that a party knows.
        """
        [(kind, content)] = message.items()
        match kind:
            case "Settings":
                self.settle(content)
            case "YourTurn":
                return [self.act()]
            case "ActionDone":
                self.note(content["action"])
            case "Finished":
                self.over = True
            case _:
                raise ValueError(f"unknown message {kind}")
        return []

    def settle(self, settings: Message) -> None:
        """Learn who it is, and until when it plays."""
        self.me, self.parameters = str(settings["id"]), settings["parameters"]
        [(kind, terms)] = settings["progress"].items()
        self._java = kind in JAVA
        self._begun = time.time()
        if "endtime" in terms:
            self._rounds, self._ends = int(terms["duration"]), terms["endtime"] / 1000
        else:
            self._ends = (terms["start"] + terms["duration"]) / 1000
        self._wishes = sorted(SPACE, key=self.worth, reverse=True)

    def worth(self, bid: Bid) -> float:
        """Say what a bid is worth to it, from 0 to 1: parties with odd and even names want opposite things."""
        points = [VALUES.index(bid[issue]) * (place + 1) for place, issue in enumerate(ISSUES)]
        share = sum(points) / (len(VALUES) - 1) / sum(range(1, len(ISSUES) + 1))
        return share if sum(self.me.encode()) % 2 else 1.0 - share

    def act(self) -> Message:
        """Accept what was offered, or offer something."""
        wanted = self.worth(self._wishes[min(len(self._wishes) - 1, int(self.gone() * len(self._wishes) / 2))])
        offered = self._offered
        enough = self.offers >= int(self.parameters.get("min_offers", 0))
        near = time.time() > self._ends - LAST_S
        if offered is not None and enough and (near or self.worth(offered) >= wanted):
            return self.action("Accept", offered)
        self.offers += 1
        return self.action("Offer", self._wishes[min(len(self._wishes) - 1, int(self.gone() * len(self._wishes) / 2))])

    def gone(self) -> float:
        """Say how much of its time is gone, from 0 to 1; it opens up faster the more it was asked for."""
        by_time = (time.time() - self._begun) / max(0.001, self._ends - self._begun)
        by_rounds = self.offers / self._rounds if self._rounds else self.offers / 200
        return min(1.0, max(by_time, by_rounds))

    def action(self, kind: str, bid: Bid) -> Message:
        """Write an action in the dialect that it was spoken to in."""
        return {kind.lower() if self._java else kind: {"actor": self.me, "bid": {"issuevalues": bid}}}

    def note(self, action: Message) -> None:
        """Take note of what another offers."""
        [(kind, content)] = action.items()
        if kind.lower() == "offer" and content["actor"] != self.me:
            self._offered = content["bid"]["issuevalues"]


def read(stream: BinaryIO) -> bytes | None:
    """Read one message; ``None`` at the end."""
    size = stream.read(4)
    return stream.read(int.from_bytes(size, "little")) if len(size) == 4 else None


def write(stream: BinaryIO, message: bytes) -> None:
    """Write one message."""
    stream.write(len(message).to_bytes(4, "little") + message)
    stream.flush()


def serve(party: Party) -> None:
    """Play until the input ends."""
    while (message := read(sys.stdin.buffer)) is not None:
        for action in party.hear(json.loads(message)):
            write(sys.stdout.buffer, json.dumps(action).encode())


def main() -> None:
    """Do what the last argument says."""
    said: dict[str, object] = {"capabilities": CAPABILITIES, "description": DESCRIPTION}
    if sys.argv[-1] in said:
        sys.stdout.write(json.dumps(said[sys.argv[-1]]))
    else:
        serve(Party())


if __name__ == "__main__":
    main()
