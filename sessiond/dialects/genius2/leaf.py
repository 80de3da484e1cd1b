"""What a context answers over HTTP: runs, free slots, and pages for people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web.server import Request

from sessiond.core.errors import Code, Refused
from sessiond.dialects.genius2.entry import Entry, told
from sessiond.dialects.genius2.front import Front
from sessiond.dialects.genius2.words import plain
from sessiond.web.answers import Answer
from sessiond.web.leaf import JsonLeaf, finish_anyway

Giving = Callable[[Request], Awaitable[Answer]]
NOT_GET = plain("only GET is offered here", 405, Allow="GET")

log = Logger()


class PlainLeaf(JsonLeaf):
    """Answers GET, and nothing else: a HEAD that counted as one would start a party for nobody."""

    isLeaf = True

    def __init__(self, entry: Entry, give: Giving) -> None:
        super().__init__()
        self._entry, self._give = entry, give

    async def _serve(self, request: Request) -> Answer:
        try:
            if request.method != b"GET":
                return NOT_GET
            self._entry.check(request)
            return await self._give(request)
        except CancelledError:
            raise
        except Refused as refused:
            return told(refused)
        except Exception:  # noqa: BLE001 - whatever it is, the client hears that it is ours
            log.failure("a call of a parties server failed")
            return told(Refused(Code.INTERNAL))


class Elsewhere(JsonLeaf):
    """Stands for every path outside all contexts, and names them: a wrong address is the commonest fault."""

    isLeaf = True

    def __init__(self, paths: list[str]) -> None:
        super().__init__()
        self._text = "nothing here; parties servers are at " + " ".join(paths)

    async def _serve(self, request: Request) -> Answer:
        return plain(self._text, 404)


def runs_of(front: Front, entry: Entry, name: str) -> Giving:
    """Give what starts a party."""

    async def run(request: Request) -> Answer:
        base = entry.base(request)
        caller = str(getattr(request.getClientAddress(), "host", "a local caller"))
        starting = Deferred.fromCoroutine(front.run(name, base, caller))
        # It is started even if its caller goes now, and nobody would come for it; its own limit takes it back.
        answer: Answer = await finish_anyway(starting, lambda answer: None)
        return answer

    return run


def free_of(front: Front) -> Giving:
    """Give what tells how many slots are free."""

    async def tell(request: Request) -> Answer:
        return plain(str(front.free()))

    return tell
