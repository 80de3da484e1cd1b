"""How programs report: below the tutorial's base and the product's, which answer otherwise (spec 3.2)."""

from __future__ import annotations

from sessiond.core.errors import Code, Refused
from sessiond.core.values import Liveliness
from sessiond.web.answers import Answer
from sessiond.web.child import Base, liveliness_of

NO_SUCH = "invalid spawnId."
NO_WORD = "invalid liveliness value"
TAKEN = Answer(None, 200)


class TutorialReports:
    """``/liveliness/ID``."""

    def what(self, word: str | None) -> Liveliness:
        """Read one of three words."""
        return liveliness_of(word)

    def taken(self) -> Answer:
        """Say nothing."""
        return TAKEN

    def refused(self, refused: Refused) -> Answer:
        """Say why."""
        status, text = told(refused)
        return Answer({"error": text}, status)


class ProductReports:
    """``/api/spawns/ID``."""

    def what(self, word: str | None) -> Liveliness | None:
        """Read one of three words, or none at all: then nothing happens."""
        return None if word is None else liveliness_of(word)

    def taken(self) -> Answer:
        """Say nothing."""
        return TAKEN

    def refused(self, refused: Refused) -> Answer:
        """Say why."""
        status, text = told(refused)
        return Answer({"result": "error", "reason": text}, status)


def told(refused: Refused) -> tuple[int, str]:
    """Give status and words: a report of a session that has ended, or not begun, is one of no session at all."""
    if refused.code in (Code.UNKNOWN_SESSION, Code.NOT_ACCEPTING):
        return 404, NO_SUCH
    return refused.shape.http, NO_WORD if refused.code is Code.BAD_REQUEST else refused.shape.title


def bases(*, child_auth: bool) -> list[Base]:
    """Give the two bases.

    :param child_auth: whether programs report below a secret only.
    """
    return [
        Base((b"liveliness",), TutorialReports(), without_secret=not child_auth),
        Base((b"api", b"spawns"), ProductReports(), without_secret=not child_auth),
    ]
