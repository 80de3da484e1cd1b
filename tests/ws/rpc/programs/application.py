"""An application with what tests call; written as those of wslink are."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from sessiond.rpc import LinkProtocol, ServerProtocol, exportRpc


class Tried(LinkProtocol):
    """Methods."""

    @exportRpc("t.echo")
    def echo(self, *args: Any, **kwargs: Any) -> Any:
        """Give back."""
        return {"args": list(args), "kwargs": kwargs}

    @exportRpc("t.add")
    async def add(self, numbers: list[int]) -> int:
        """Sum."""
        return sum(numbers)

    @exportRpc("t.numbers")
    def numbers(self) -> list[float]:
        """Give odd numbers."""
        return [float("inf"), float("nan"), float("-inf")]

    @exportRpc("t.nothing")
    def nothing(self) -> None:
        """Give nothing."""

    @exportRpc("t.throw")
    def throw(self) -> None:
        """Fail."""
        raise RuntimeError("boom")

    @exportRpc("t.notser")
    def not_serializable(self) -> object:
        """Give what can't be written."""
        return object()

    @exportRpc("t.blob")
    def blob(self, size: int) -> Any:
        """Give bytes, alone and within."""
        return {"blob": self.addAttachment(bytes([7]) * size)}

    @exportRpc("t.bare")
    def bare(self, size: int) -> Any:
        """Give bytes."""
        return self.addAttachment(bytes([7]) * size)

    @exportRpc("t.length")
    def length(self, data: bytes) -> str:
        """Measure."""
        return f"received binary data of length {len(data)}, {sum(data[:10])}"

    @exportRpc("t.publish")
    def tell(self, topic: str, value: Any) -> str:
        """Publish."""
        self.publish(topic, value)
        return "published"

    @exportRpc("t.publish_bytes")
    def tell_bytes(self, topic: str, size: int) -> str:
        """Publish bytes."""
        self.publish(topic, {"a": self.addAttachment(bytes(size))})
        return "published"

    @exportRpc("t.later")
    def later(self, seconds: float) -> Any:
        """Answer later, by a Deferred."""
        return deferLater(reactor, seconds, lambda: "late")

    @exportRpc("t.later.concurrent", concurrent=True)
    def later_concurrent(self, seconds: float) -> Any:
        """Likewise, and others may overtake it."""
        return deferLater(reactor, seconds, lambda: "late")


class Application(ServerProtocol):
    """The application."""

    def initialize(self) -> None:
        """Offer them."""
        self.registerLinkProtocol(Tried())
