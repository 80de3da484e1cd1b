"""One client's link, without its socket: who it is, what it calls, and what waits until it takes bytes."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from sessiond.core.errors import repeated
from sessiond.ws.rpc import packed, text
from sessiond.ws.rpc.methods import Method
from sessiond.ws.rpc.values import (
    EXIT,
    EXIT_LATER,
    FRAME_BYTES,
    HELLO,
    Broken,
    Call,
    Fault,
    Message,
    Unencodable,
    error_of,
    matches,
    read_call,
    result_of,
)

if TYPE_CHECKING:
    from sessiond.ws.rpc.endpoint import Endpoint

AUTH_S, ATTEMPTS = 30.0, 5
"""How long a client may take to say who it is, and how often it may be wrong."""
CALLS_PAUSE, CALLS_RESUME = 64, 16
"""At how many calls that wait for their turn a client is read no more, and again."""
WAITING_MESSAGES = 10_000
GRACE_S = 5.0
"""How long methods may run on whose client is gone."""
EXIT_LATER_S = 60.0
METHODS, SUBSCRIBE, UNSUBSCRIBE = "sessiond.methods", "sessiond.subscribe", "sessiond.unsubscribe"

log = Logger()


class Generation(Enum):
    """Which form a client writes; its first message tells."""

    TEXT = "1.x"
    PACKED = "2.x"


class Socket(Protocol):
    """The WebSocket below a link."""

    def send(self, written: bytes) -> None:
        """Send what was written for it: whole messages of the WebSocket."""

    def close(self, code: int, reason: str) -> None:
        """Close behind what was sent."""

    def pause(self) -> None:
        """Read nothing until ``resume``."""

    def resume(self) -> None:
        """Read again."""

    def allow(self, message_bytes: int) -> None:
        """Take messages of the WebSocket up to this size."""


@frozen
class Waiting:
    """A publication that a client has not taken yet; ``topic`` where only its newest counts."""

    topic: str | None
    written: bytes


class Link:
    """One client.

    :ivar client_id: letters only, as the strictest client wants it.
    :ivar is_known: whether it has said who it is.
    """

    def __init__(self, endpoint: Endpoint, socket: Socket, client_id: str, request: object = None) -> None:
        self._endpoint, self._socket, self.client_id, self.request = endpoint, socket, client_id, request
        self.generation: Generation | None = None
        self.is_known = False
        self.caller: object = None
        self._attempts = 0
        self._calls: deque[Call] = deque()
        self._is_running = self._is_going = self._is_paused = self._is_over = False
        self._running: set[Deferred[Any]] = set()
        self._subscribed: dict[str, Mapping[str, Any]] | None = None
        self._waiting: deque[Waiting] = deque()
        self._waiting_bytes = 0
        self._refuses = False
        self._texts = text.Reader(endpoint.limits.message_bytes)
        self._frames = packed.Reader(packed.Limits(endpoint.auth_bytes, endpoint.auth_bytes))
        self._timer: IDelayedCall | None = endpoint.clock.call_later(AUTH_S, self._too_late)
        socket.allow(max(endpoint.auth_bytes, endpoint.auth_text_bytes) + packed.HEAD.size)

    # -- what comes --------------------------------------------------------------------------------------------------

    def received(self, payload: bytes, *, is_text: bool) -> None:
        """Take one message of the WebSocket."""
        if self._is_over:
            return
        if self.generation is None:
            self.generation = Generation.TEXT if is_text else Generation.PACKED
        try:
            found = (
                self._read_text(payload, is_text)
                if self.generation is Generation.TEXT
                else self._read_packed(payload, is_text)
            )
        except Broken as broken:
            self.end(broken.code, broken.text)
            return
        call = read_call(found)
        if call is not None:
            self._take(call)

    def _read_text(self, payload: bytes, is_text: bool) -> object:
        if not self.is_known and len(payload) > self._endpoint.auth_text_bytes:
            raise Broken(1009, "too large before the hello")
        if is_text:
            return self._texts.text(payload)
        self._texts.binary(payload)
        return None

    def _read_packed(self, payload: bytes, is_text: bool) -> object:
        if is_text:
            self._endpoint.note_mismatch(self.client_id)
            return None
        now = self._endpoint.clock.now()
        self._frames.check(now)
        message = self._frames.frame(payload, now)
        return None if message is None else packed.decode(message)

    def _take(self, call: Call) -> None:
        if not (self._calls or self._is_running or self._is_going):
            self._is_going = True
            self._run(call)
            self._is_going = False
            self._go_on()
            return
        self._calls.append(call)
        self._go_on()
        if len(self._calls) >= CALLS_PAUSE and not self._is_paused and not self._is_over:
            self._is_paused = True
            self._socket.pause()

    def _go_on(self) -> None:
        """Run what waits, one after the other; what may overtake is begun in its turn and not waited for."""
        if self._is_going:
            return
        self._is_going = True
        while self._calls and not self._is_running and not self._is_over:
            self._run(self._calls.popleft())
        self._is_going = False
        if self._is_paused and len(self._calls) <= CALLS_RESUME and not self._is_over:
            self._is_paused = False
            self._socket.resume()

    def _run(self, call: Call) -> None:
        if call.is_system:
            self._run_system(call)
        elif not self.is_known:
            self.fail(call.id, Fault.REFUSED, "Unauthorized: Skip message processing")
        elif call.method in (EXIT, EXIT_LATER):
            self._exit(call)
        elif call.method == METHODS:
            self.reply(call.id, {"methods": self._endpoint.methods.uris(), "topics": self._endpoint.topics()})
        elif call.method in (SUBSCRIBE, UNSUBSCRIBE):
            self._subscribe(call)
        else:
            method = None if call.method is None else self._endpoint.methods.get(call.method)
            if method is None:
                self._endpoint.note_unknown(call.method, self.client_id)
                self.fail(call.id, Fault.UNREGISTERED, "Unregistered method called", call.method)
            else:
                self._call(call, method)

    # -- calls -------------------------------------------------------------------------------------------------------

    def _call(self, call: Call, method: Method) -> None:
        endpoint = self._endpoint
        outer = endpoint.begin_call(self)
        try:
            found = method.call(*call.args, **call.kwargs)
        except Exception:  # noqa: BLE001 - whatever a method raises, its caller is told
            self._raised(Failure(), call.id, method.uri)
        else:
            if isinstance(found, Deferred | Coroutine):
                self._await(found, call, method)
            else:
                self.reply(call.id, found, method.uri)
        finally:
            endpoint.end_call(outer)

    def _await(self, found: Deferred[Any] | Coroutine[Any, Any, Any], call: Call, method: Method) -> None:
        running: Deferred[Any] = found if isinstance(found, Deferred) else self._endpoint.run(found)
        self._running.add(running)
        self._is_running = not method.concurrent
        running.addCallback(lambda result: self.reply(call.id, result, method.uri))
        running.addErrback(self._raised, call.id, method.uri)
        running.addBoth(self._done, running, method)

    def _done(self, result: object, running: Deferred[Any], method: Method) -> None:
        self._running.discard(running)
        if not method.concurrent:
            self._is_running = False
            self._go_on()

    def _raised(self, failure: Failure, call_id: object, uri: str) -> None:
        if self._is_over or failure.check(CancelledError):
            return
        error: BaseException = failure.value or RuntimeError("it failed")
        told = self._endpoint.explains(error)
        if told is not None:
            self.fail(call_id, Fault.RAISED, "Exception raised", {"method": uri, "trace": "", **told})
            return
        log.failure("{uri} failed", failure, uri=uri)
        trace = "".join(traceback.format_exception(error)) if self._endpoint.shows_traces else ""
        data = {"method": uri, "exception": repr(error), "trace": trace}
        self.fail(call_id, Fault.RAISED, "Exception raised", data)

    def _run_system(self, call: Call) -> None:
        if call.method == HELLO:
            self._is_running = True
            hello = call.args[0] if call.args and isinstance(call.args[0], dict) else {}
            asked: Deferred[object] = Deferred.fromCoroutine(self._endpoint.knows(hello, self))
            asked.addCallbacks(self._greet, self._not_asked, callbackArgs=(call.id,), errbackArgs=(call.id,))
            return
        if call.method not in (EXIT, EXIT_LATER):
            self.fail(call.id, Fault.UNREGISTERED, "Unknown system method called")
        elif self.is_known:
            self._exit(call)
        else:
            self.fail(call.id, Fault.REFUSED, "Unauthorized: Skip message processing")

    def _exit(self, call: Call) -> None:
        self.reply(call.id, None)
        later = call.args[0] if call.args else EXIT_LATER_S
        self._endpoint.exit(0.0 if call.method == EXIT else _seconds(later), self)

    def _greet(self, caller: object, call_id: object) -> None:
        self._is_running = False
        if self._is_over:
            return
        if caller is None or caller is False:
            self._refuse_hello(call_id)
            return
        self.caller = caller
        if not self.is_known:
            self.is_known = True
            self._stop_timer()
            self._frames.limits = self._endpoint.limits
            is_text = self.generation is Generation.TEXT
            self._socket.allow(self._endpoint.text_bytes if is_text else FRAME_BYTES + 4096)
        about: Message = {"clientID": self.client_id}
        if self.generation is Generation.PACKED:
            about["maxMsgSize"] = FRAME_BYTES
        self.reply(call_id, about)
        self._endpoint.known(self)
        self._go_on()

    def _not_asked(self, failure: Failure, call_id: object) -> None:
        log.failure("a hello could not be judged", failure)
        self._is_running = False
        self._refuse_hello(call_id)

    def _refuse_hello(self, call_id: object) -> None:
        self.fail(call_id, Fault.REFUSED, "Authentication failed")
        self._attempts += 1
        if self._attempts >= ATTEMPTS and not self.is_known:
            self.end(1008, "too many attempts")
        self._go_on()

    def _too_late(self) -> None:
        self._timer = None
        self.end(1008, "no hello in time")

    # -- what it wants to hear ---------------------------------------------------------------------------------------

    def _subscribe(self, call: Call) -> None:
        topic = call.args[0] if call.args else call.kwargs.get("topic")
        wanted = call.args[1] if len(call.args) > 1 else call.kwargs.get("filter", {})
        if not isinstance(topic, str) or not isinstance(wanted, dict):
            self.fail(call.id, Fault.RAISED, "a topic, and a map of what it must hold, are needed")
            return
        subscribed = self._subscribed if self._subscribed is not None else {}
        if call.method == SUBSCRIBE:
            subscribed[topic] = wanted
        else:
            subscribed.pop(topic, None)
        self._subscribed = subscribed
        self.reply(call.id, sorted(subscribed))

    def hears(self, topic: str, value: object) -> bool:
        """Say whether a publication is for it: one that never subscribed gets everything."""
        if not self.is_known or self._is_over:
            return False
        if self._subscribed is None:
            return True
        return topic in self._subscribed and matches(self._subscribed[topic], value)

    # -- what goes ---------------------------------------------------------------------------------------------------

    def reply(self, call_id: object, value: object, uri: str = "") -> None:
        """Send a result, or that it can't be written."""
        try:
            written = self._endpoint.written(self.generation, result_of(call_id, value))
        except Unencodable as error:
            log.error("the result of {uri} can't be written: {why}", uri=uri, why=error)
            self.fail(call_id, Fault.UNENCODABLE, "Method result cannot be serialized", uri)
        else:
            self._send(None, written)

    def fail(self, call_id: object, fault: Fault, message: str, data: object = None) -> None:
        """Send an error."""
        try:
            self._send(None, self._endpoint.written(self.generation, error_of(call_id, fault, message, data)))
        except Unencodable:
            log.error("an id can't be written back: {call_id}", call_id=repeated(repr(call_id)))

    def publish(self, pieces: Sequence[bytes]) -> None:
        """Send publications, or keep them until bytes are taken."""
        self._send(None, pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def publish_newest(self, topic: str, written: bytes) -> None:
        """Send one of which only the newest counts: where bytes are not taken, it is kept in place of an older."""
        for place, one in enumerate(self._waiting):
            if one.topic == topic:
                self._waiting_bytes += len(written) - len(one.written)
                self._waiting[place] = Waiting(topic, written)
                return
        self._send(topic, written)

    def _send(self, topic: str | None, written: bytes) -> None:
        if self._is_over:
            return
        if not self._refuses:
            self._socket.send(written)
            return
        self._waiting.append(Waiting(topic, written))
        self._waiting_bytes += len(written)
        if self._waiting_bytes > self._endpoint.waiting_bytes or len(self._waiting) > WAITING_MESSAGES:
            self._waiting.clear()
            self.end(1013, "too slow")

    def look(self) -> None:
        """See whether what has begun to come goes on; to be asked now and again."""
        try:
            self._frames.check(self._endpoint.clock.now())
        except Broken as broken:
            self.end(broken.code, broken.text)

    def refuses(self) -> None:
        """Its client takes no bytes."""
        self._refuses = True

    def takes(self) -> None:
        """It takes bytes again: those that waited first."""
        self._refuses = False
        while self._waiting and not self._refuses:
            waiting = self._waiting.popleft()
            self._waiting_bytes -= len(waiting.written)
            self._socket.send(waiting.written)

    # -- its end -----------------------------------------------------------------------------------------------------

    def end(self, code: int, reason: str) -> None:
        """Close it, and say why."""
        if not self._is_over:
            log.info("link {id} ({form}): closed, {code} {reason}", id=self.client_id, form=self._form, code=code,
                     reason=reason)  # fmt: skip
            self._let_go()
            self._socket.close(code, reason)

    def gone(self) -> None:
        """Its connection is gone."""
        self._let_go()
        self._endpoint.gone(self)

    def _let_go(self) -> None:
        self._is_over = True
        self._stop_timer()
        self._calls.clear()
        self._waiting.clear()
        if self._running:
            self._endpoint.clock.call_later(GRACE_S, self._cancel)

    def _cancel(self) -> None:
        for running in tuple(self._running):
            running.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    @property
    def _form(self) -> str:
        return "no message" if self.generation is None else self.generation.value


def _seconds(value: object) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9
    return float(value) if good else EXIT_LATER_S  # type: ignore[arg-type]
