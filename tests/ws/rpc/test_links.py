"""Links of both generations at one endpoint: who is known, what is called, what is told, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from sessiond.ws.rpc.endpoint import Endpoint
from sessiond.ws.rpc.link import ATTEMPTS, AUTH_S, CALLS_PAUSE, GRACE_S
from sessiond.ws.rpc.methods import Methods, register
from sessiond.ws.rpc.packed import HEAD
from sessiond.ws.rpc.values import Attachment, Unencodable
from tests.reactor import LoggedFailures
from tests.ws.rpc.links import House, Wire, call, hello

DENIED = {"code": -32000, "message": "Unauthorized: Skip message processing"}


class Application:
    """Some methods."""

    def __init__(self) -> None:
        self.endpoint: Endpoint | None = None
        self.waiting: dict[str, Deferred[Any]] = {}
        self.cancelled: list[str] = []
        self.odd: object = None

    @register("t.echo")
    def echo(self, *args: Any, **kwargs: Any) -> Any:
        """Give back."""
        return {"args": list(args), "kwargs": kwargs}

    @register("t.add")
    async def add(self, numbers: list[int]) -> int:
        """Sum."""
        return sum(numbers)

    @register("t.throw")
    def throw(self) -> None:
        """Fail."""
        raise RuntimeError("boom")

    @register("t.notser")
    def not_serializable(self) -> object:
        """Give what can't be written."""
        return object()

    @register("t.blob")
    def blob(self, size: int) -> Any:
        """Give bytes."""
        return {"blob": Attachment(bytes(size))}

    @register("t.length")
    def length(self, data: bytes) -> str:
        """Measure."""
        return f"{type(data).__name__} {len(data)}"

    @register("t.wait")
    def wait(self, name: str) -> Deferred[Any]:
        """Answer when the test has it so."""
        return self._wait(name)

    @register("t.overtake", concurrent=True)
    def overtake(self, name: str) -> Deferred[Any]:
        """Likewise, and others need not wait."""
        return self._wait(name)

    @register("t.publish")
    def publish(self, *args: Any, **kwargs: Any) -> str:
        """Publish."""
        assert self.endpoint is not None
        self.endpoint.publish(*args, **kwargs)
        return "published"

    @register("t.publish.odd")
    def publish_odd(self) -> None:
        """Publish what can't be written."""
        assert self.endpoint is not None
        self.endpoint.publish("odd", self.odd)

    def _wait(self, name: str) -> Deferred[Any]:
        self.waiting[name] = Deferred(lambda _: self.cancelled.append(name))
        return self.waiting[name]


def house(**settings: Any) -> tuple[House, Application]:
    """Make an endpoint with it."""
    application = Application()
    made = House(application, **settings)
    application.endpoint = made.endpoint
    return made, application


def send_text(wire: Wire, message: Any) -> Any:
    """Send as the older generation."""
    return wire.text(message)


def send_packed(wire: Wire, message: Any) -> Any:
    """Send as the newer."""
    return wire.packed(message)


BOTH = pytest.mark.parametrize("send", [send_text, send_packed], ids=["1.x", "2.x"])
Send = Callable[[Wire, Any], Any]


@BOTH
def test_hello(send: Send) -> None:
    """A wrong secret is told, and another hello may follow; the reply has the id of the call, whatever that is."""
    made, _ = house()
    wire = made.wire()
    assert wire.took() == []
    for secret in ("wrong", None, ""):
        [told] = send(wire, hello(secret))
        assert told["error"] == {"code": -32000, "message": "Authentication failed"}
    [denied] = send(wire, call("t.add", [1]))
    assert (denied["id"], denied["error"]) == ("rpc:c2:0", DENIED)
    [known] = send(wire, hello(call_id="system:me.x_1:77"))
    assert known["id"] == "system:me.x_1:77"
    assert known["result"]["clientID"].isalpha()
    assert ("maxMsgSize" in known["result"]) == (send is send_packed)
    assert send(wire, call("t.add", [1, 2, 3]))[0]["result"] == 6


@BOTH
def test_too_many_attempts(send: Send) -> None:
    """Who is wrong too often is closed; so is who says nothing in time."""
    made, _ = house()
    wire, silent = made.wire(), made.wire()
    for _ in range(ATTEMPTS):
        send(wire, hello("wrong"))
    assert wire.closed == (1008, "too many attempts")
    made.advance(AUTH_S + 1)
    assert silent.closed == (1008, "no hello in time")
    assert send(wire, hello()) == []


@BOTH
def test_calls(send: Send, logged_failures: LoggedFailures) -> None:
    """Results, values of every kind, and each error with its code and shape."""
    made, _ = house()
    wire = made.old() if send is send_text else made.new()
    assert send(wire, call("t.echo", 1, "ü", None, [1.5], k={"a": True}))[0] == {
        "wslink": "1.0",
        "id": "rpc:c2:0",
        "result": {"args": [1, "ü", None, [1.5]], "kwargs": {"k": {"a": True}}},
    }
    [unknown] = send(wire, call("myprotocol.mistake.TYPO"))
    assert unknown["error"] == {
        "code": -32601,
        "message": "Unregistered method called",
        "data": "myprotocol.mistake.TYPO",
    }
    [raised] = send(wire, call("t.throw"))
    data = {"method": "t.throw", "exception": "RuntimeError('boom')", "trace": ""}
    assert raised["error"] == {"code": -32001, "message": "Exception raised", "data": data}
    assert logged_failures.take(RuntimeError)
    [odd] = send(wire, call("t.notser"))
    assert odd["error"] == {"code": -32002, "message": "Method result cannot be serialized", "data": "t.notser"}
    [system] = send(wire, {"id": "system:c0:1", "method": "nonsense"})
    assert system["error"] == {"code": -32601, "message": "Unknown system method called"}
    [nameless] = send(wire, {"id": "rpc:someone-else:abc"})
    assert nameless["error"] == {"code": -32601, "message": "Unregistered method called"}
    [bare] = send(wire, {"id": "rpc:c2:9", "method": "t.echo", "args": "no list", "kwargs": [1]})
    assert bare["result"] == {"args": [], "kwargs": {}}
    for ignored in ([1], 7, None, {"method": "t.echo"}):
        assert send(wire, ignored) == []
    assert wire.closed is None


def test_traces(logged_failures: LoggedFailures) -> None:
    """Traces leave only where that is wanted."""
    made, _ = house(shows_traces=True)
    [raised] = made.old().text(call("t.throw"))
    assert "RuntimeError: boom" in raised["error"]["data"]["trace"]
    assert logged_failures.take(RuntimeError)


def test_attachments() -> None:
    """Bytes go both ways, in the form of each generation; a text that looks like a key pulls nothing out."""
    made, _ = house()
    old, new = made.old(), made.new()
    for size in (0, 1, 5_000_000):
        header, data, message = old.text(call("t.blob", size))
        assert data == bytes(size)
        assert message["result"] == {"blob": header["args"][0]}
        assert new.packed(call("t.blob", size))[0]["result"] == {"blob": bytes(size)}
        old.text({"wslink": "1.0", "method": "wslink.binary.attachment", "args": ["wslink_bin1"]})
        old.binary(bytes(size))
        assert old.text(call("t.length", "wslink_bin1"))[0]["result"] == f"bytes {size}"
    assert new.packed(call("t.length", b"12345"))[0]["result"] == "bytes 5"
    assert old.text(call("t.echo", "wslink_bin0"))[0]["result"]["args"] == ["wslink_bin0"]


@BOTH
def test_order(send: Send) -> None:
    """One after the other on one link; a method that may overtake does, and other links wait for nothing."""
    made, application = house()
    wire, other = (made.old(), made.old()) if send is send_text else (made.new(), made.new())
    assert send(wire, call("t.wait", "a", call_id="rpc:c:1")) == []
    assert send(wire, call("t.add", [1], call_id="rpc:c:2")) == []
    assert send(other, call("t.add", [1]))[0]["result"] == 1
    application.waiting["a"].callback("done")
    assert [one["id"] for one in wire.took()] == ["rpc:c:1", "rpc:c:2"]
    assert send(wire, call("t.overtake", "b", call_id="rpc:c:3")) == []
    assert send(wire, call("t.add", [2], call_id="rpc:c:4"))[0]["id"] == "rpc:c:4"
    application.waiting["b"].callback("late")
    assert [one["id"] for one in wire.took()] == ["rpc:c:3"]


def test_many_calls() -> None:
    """A client whose calls pile up is read no more until they are done."""
    made, application = house()
    wire = made.old()
    wire.text(call("t.wait", "a"))
    for _ in range(CALLS_PAUSE):
        wire.text(call("t.add", [1]))
    assert wire.paused
    application.waiting["a"].callback(None)
    assert not wire.paused
    assert len(wire.took()) == CALLS_PAUSE + 1


def test_publish() -> None:
    """Everybody who is known hears it, in his own form, behind the reply of the call that made it."""
    made, _ = house()
    old, new, unknown = made.old(), made.new(), made.wire()
    reply, told = old.text(call("t.publish", "some.topic", {"v": 1}))
    assert reply["result"] == "published"
    assert told == {"wslink": "1.0", "id": "publish:some.topic:0", "result": {"v": 1}}
    assert new.took() == [told]
    assert unknown.took() == []
    made.endpoint.publish("bin", {"a": Attachment(b"\0\1")})
    header, data, message = old.took()
    assert (data, message["result"]["a"]) == (b"\0\1", header["args"][0])
    assert new.took()[0]["result"] == {"a": b"\0\1"}
    made.endpoint.publish("one", 1, new.link.client_id)
    assert (len(new.took()), old.took()) == (1, [])
    made.endpoint.publish("none", 1, "nobody")
    made.endpoint.publish("skip", 1, skip_last_active=True)
    assert (len(new.took()), old.took()) == (1, [])


@pytest.mark.parametrize("topic", ["a-b", "a/b", "a:b", "", "a..b", ".a"])
def test_topics_that_nobody_hears(topic: str) -> None:
    """They are refused where they are made."""
    made, _ = house()
    with pytest.raises(ValueError, match="invalid topic"):
        made.endpoint.publish(topic, 1)
    made.old()
    with pytest.raises(Unencodable):
        made.endpoint.publish("odd", object())


@BOTH
def test_publishing_what_can_not_be_written(send: Send, logged_failures: LoggedFailures) -> None:
    """The method that does it fails, and its client's link goes on."""
    made, application = house()
    wire = made.old() if send is send_text else made.new()
    application.odd = object()
    [told] = send(wire, call("t.publish.odd"))
    assert told["error"]["code"] == -32001
    assert "no form on the wire" in told["error"]["data"]["exception"]
    assert logged_failures.take(Unencodable)
    assert send(wire, call("t.add", [1]))[0]["result"] == 1


def test_written_once() -> None:
    """A publication is written once for each generation, however many hear it."""
    made, _ = house()
    for _ in range(5):
        made.old()
        made.new()
    before = made.endpoint._keys, made.endpoint._numbers
    made.endpoint.publish("bin", Attachment(b"x"))
    assert (made.endpoint._keys - before[0], made.endpoint._numbers - before[1]) == (1, 1)


@BOTH
def test_subscriptions(send: Send) -> None:
    """Who never subscribes hears all; who does hears what he wants, as long as he wants it."""
    made, _ = house()
    wire = made.old() if send is send_text else made.new()
    assert send(wire, call("sessiond.subscribe", "a"))[0]["result"] == ["a"]
    assert send(wire, call("sessiond.subscribe", "b", {"k": 1}))[0]["result"] == ["a", "b"]
    for topic, value in (("a", 1), ("b", {"k": 2}), ("b", {"k": 1, "l": 2}), ("b", 5), ("c", 1)):
        made.endpoint.publish(topic, value)
    assert [one["id"] for one in wire.took()] == ["publish:a:0", "publish:b:0"]
    assert send(wire, call("sessiond.unsubscribe", "a"))[0]["result"] == ["b"]
    made.endpoint.publish("a", 1)
    assert wire.took() == []
    assert send(wire, call("sessiond.subscribe", 5))[0]["error"]["code"] == -32001
    found = send(wire, call("sessiond.methods"))[0]["result"]
    assert "t.echo" in found["methods"]
    assert found["topics"] == ["a", "b", "c"]


def test_slow() -> None:
    """What a client does not take waits, up to a limit; of a topic whose newest counts only that one waits."""
    made, _ = house(waiting_bytes=10_000)
    slow, other = made.old(), made.old()
    slow.link.refuses()
    for number in range(100):
        made.endpoint.publish("pose", number, only_newest=True)
        made.endpoint.publish("log", number) if number < 3 else None
    assert slow.took() == []
    slow.link.takes()
    assert [one["result"] for one in slow.took()] == [99, 0, 1, 2]
    slow.link.refuses()
    for number in range(1000):
        made.endpoint.publish("log", number)
    assert slow.closed == (1013, "too slow")
    assert len(other.took()) == 1103
    made.endpoint.publish("log", 1)
    assert len(other.took()) == 1


def test_exit() -> None:
    """Its own clients are closed behind the reply, at once or later; a page that comes meanwhile takes that back."""
    made, _ = house()
    wire = made.new()
    [refused] = made.wire().text({"id": "system:c0:1", "method": "application.exit"})
    assert refused["error"] == DENIED
    [told] = wire.packed({"id": "system:c0:1", "method": "application.exit.later", "args": [10]})
    assert told["result"] is None
    made.advance(9)
    again = made.old()
    made.advance(2)
    assert (wire.closed, made.exits) == (None, [])
    again.text({"id": "system:c0:1", "method": "application.exit.later", "args": ["soon"]})
    made.advance(59)
    assert made.exits == []
    made.advance(2)
    assert wire.closed == again.closed == (1001, "Server shutdown")
    assert made.exits == [0.0]


@pytest.mark.parametrize("call_id", ["system:c0:1", "rpc:c2:1"])
def test_exit_at_once(call_id: str) -> None:
    """Likewise, as the link's own call or as any other."""
    made, _ = house()
    wire = made.old()
    assert wire.text({"id": call_id, "method": "application.exit"})[0]["result"] is None
    made.advance(0)
    assert wire.closed == (1001, "Server shutdown")


def test_generations_do_not_mix() -> None:
    """The first message fixes the form: text on a newer link is ignored, stray bytes on an older one end it."""
    made, _ = house()
    new, old = made.new(), made.old()
    new.link.received(b'{"id": "rpc:c:1", "method": "t.echo"}', is_text=True)
    assert new.raw == []
    assert new.packed(call("t.add", [1]))[0]["result"] == 1
    old.binary(b"stray")
    assert old.closed is not None
    assert old.closed[0] == 1002


@pytest.mark.parametrize(
    ("payload", "is_text", "code"),
    [
        (b"{", True, 1007),
        (b" " * 8193, True, 1009),
        (b"short", False, 1002),
        (HEAD.pack(1, 0, 513) + b"x" * 513, False, 1009),
        (HEAD.pack(1, 0, 200 << 20) + b"x", False, 1009),
        (HEAD.pack(1, 0, 1) + b"\xc1", False, 1007),
    ],
)
def test_before_the_hello(payload: bytes, is_text: bool, code: int) -> None:
    """What is too large or makes no sense ends it, with a code that says so."""
    made, _ = house()
    wire = made.wire()
    wire.link.received(payload, is_text=is_text)
    assert wire.closed is not None
    assert wire.closed[0] == code
    assert made.endpoint.links != {}
    wire.link.gone()
    assert made.endpoint.links == {}


def test_client_that_goes() -> None:
    """Methods of a client that is gone have a little time, then they are cancelled; its replies go nowhere."""
    made, application = house()
    wire = made.old()
    wire.text(call("t.wait", "a"))
    wire.link.gone()
    made.advance(GRACE_S - 1)
    assert application.cancelled == []
    made.advance(2)
    assert application.cancelled == ["a"]
    assert wire.took() == []


def test_client_of_the_other_library() -> None:
    """One whose first message is its hello without kwargs, and whose replies it takes in their order."""
    made, application = house()
    wire = made.wire()
    message = hello(call_id="system:c0:0")
    del message["kwargs"]
    message["args"][0]["more"] = {"x": 1}
    first, *rest = wire.text(message)
    assert rest == []
    assert set(first["result"]) == {"clientID"}
    wire.text(call("t.wait", "a", call_id="rpc:c:1"))
    for number in range(2, 6):
        wire.text(call("t.add", [number], call_id=f"rpc:c:{number}"))
    application.waiting["a"].callback(None)
    assert [one["id"] for one in wire.took()] == [f"rpc:c:{number}" for number in range(1, 6)]


def test_a_guard_of_ones_own(logged_failures: LoggedFailures) -> None:
    """A hook that says no, or fails, lets nobody in."""

    class Guard:
        async def knows(self, said: Any, link: object) -> object:
            if said.get("secret") == "broken":
                raise ZeroDivisionError
            return said.get("secret") == "token" or None

    made, _ = house(guard=Guard())
    wire = made.wire()
    assert "error" in wire.text(hello("broken"))[0]
    assert logged_failures.take(ZeroDivisionError)
    assert "error" in wire.text(hello("wslink-secret"))[0]
    assert "result" in wire.text(hello("token"))[0]


@pytest.mark.parametrize("uri", ["A.b", "a-b", "a..b", "", "a.", "1a"])
def test_uris(uri: str) -> None:
    """A URI that clients can't call is refused where it is written."""
    with pytest.raises(ValueError, match="invalid URI"):
        register(uri)


def test_methods_come_and_go() -> None:
    """The later of two with one URI counts, and one that is taken back is gone."""

    class Other:
        @register("t.add")
        def add(self, numbers: list[int]) -> int:
            return -sum(numbers)

    methods, other = Methods([Application()]), Other()
    methods.add(other)
    found = methods.get("t.add")
    assert found is not None
    assert found.call([1]) == -1
    methods.remove(other)
    assert methods.get("t.add") is None
    assert asyncio.iscoroutinefunction(Application.add)
