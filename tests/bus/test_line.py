"""What waits for one client of the feed."""

from collections.abc import Callable

from attrs import define, field

from sessiond.bus.line import MOST_BYTES, MOST_EVENTS, Line
from sessiond.bus.topics import Told
from sessiond.core.facts import CloudEvent


def told(number: int, size: int = 0) -> Told:
    """Make an event."""
    return Told.of(CloudEvent(str(number), "/t", "t", data="x" * size if size else None))


@define
class Client:
    """One that takes bytes, or not."""

    got: list[bytes] = field(factory=list)
    over: int = 0
    full: Callable[[], bool] = bool

    def line(self) -> Line:
        """Give its line; it pauses with the write that makes it full."""

        def write(data: bytes) -> None:
            self.got.append(data)
            if self.full():
                made.refuses()

        def overflow() -> None:
            self.over += 1

        made = Line(lambda one: one.event.id.encode(), write, overflow)
        return made


def test_in_order() -> None:
    """What came while the client took nothing comes first, and once."""
    client = Client()
    line = client.line()
    line.tell(told(1))
    line.refuses()
    line.tell(told(2))
    line.tell(told(3))
    assert client.got == [b"1"]
    line.takes()
    line.tell(told(4))
    assert client.got == [b"1", b"2", b"3", b"4"]


def test_pauses_in_the_midst() -> None:
    """A client that is full again while it catches up gets the rest later."""
    client = Client(full=lambda: len(client.got) % 2 == 0)
    line = client.line()
    line.refuses()
    for number in range(5):
        line.tell(told(number))
    line.takes()
    assert client.got == [b"0", b"1"]
    line.takes()
    line.takes()
    assert client.got == [b"0", b"1", b"2", b"3", b"4"]
    assert client.over == 0


def test_too_many() -> None:
    """One more than may wait is too much; that is told once, and nothing is told after it."""
    client = Client()
    line = client.line()
    line.refuses()
    for number in range(MOST_EVENTS):
        line.tell(told(number))
    assert client.over == 0
    line.tell(told(-1))
    line.tell(told(-2))
    line.takes()
    assert (client.over, client.got) == (1, [])


def test_too_much() -> None:
    """So are more bytes than may wait, as they are written for this client."""
    over = list[int]()
    line = Line(lambda one: one.body, lambda data: None, lambda: over.append(1))
    line.refuses()
    for number in range(20):
        line.tell(told(number, MOST_BYTES // 10))
    assert over == [1]


def test_ready() -> None:
    """Who would tell more waits until nothing waits."""
    client = Client()
    line = client.line()
    fired = list[str]()
    line.ready().addCallback(lambda _: fired.append("at once"))
    line.refuses()
    line.ready().addCallback(lambda _: fired.append("later"))
    assert fired == ["at once"]
    line.takes()
    assert fired == ["at once", "later"]
