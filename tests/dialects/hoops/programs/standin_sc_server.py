"""A viewer's child as strict as the real one, with every fault that ``--mode`` asks for; it tells all to a journal.

``standin_sc_server.py --mode M[,M...] --journal F [--join plain|double|final] [--deflate] [--lifetime S] <its argv>``

It imports little, since many are started at once, and finds its modules by itself, so that any Python runs it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import select
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.abspath(__file__).rpartition("/tests/")[0])

from tests.dialects.hoops.programs.sc_argv import Usage, read_modes, read_own, read_vendor
from tests.dialects.hoops.programs.sc_tasks import HEAD_MOST, NEVER, Loop, Stream, Wait, post, sleep, split_head
from tests.dialects.hoops.programs.sc_websocket import (
    BINARY,
    CLOSE,
    KINDS,
    TEXT,
    Violation,
    WebSocket,
    agree,
    first_of,
)

TYPES = False
if TYPES:  # what only types need takes its time to import
    from ssl import SSLContext
    from typing import NoReturn

STARTED = time.monotonic()
READY_S, REPORT_S, HEAD_S = 2.0, 5.0, 10.0
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
WAKER = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)


class Child:
    """One run, from its command line to its exit."""

    def __init__(self, own: dict[str, str], words: list[str]) -> None:
        self.own, self.words = own, words
        self.journal = os.open(own["--journal"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.id: object = words[words.index("--id") + 1] if "--id" in words[:-1] else None
        self.modes: dict[str, object] = {}
        self.given: dict[str, object] = {}
        self.loop = Loop()
        self.listening = socket.socket()
        self.tls: SSLContext | None = None
        self.viewer: Stream | None = None
        self.is_ending = self.is_lingering = False
        self.mute_at, self.silent_until = NEVER, 0.0
        self.messages = self.bytes = 0

    def note(self, event: str, **fields: object) -> None:
        """Write a line into the journal."""
        about = {"event": event, "at": round(time.time(), 4), "id": self.id, "pid": os.getpid()}
        os.write(self.journal, json.dumps({**about, **fields}).encode() + b"\n")

    def exit(self, code: int, reason: str) -> NoReturn:
        """End."""
        self.note("exit", code=code, reason=reason)
        say(f"exit {code}: {reason}")
        os._exit(code)

    def seconds(self, mode: str) -> float:
        """Give the time that a mode came with, 0 without the mode."""
        return float(str(self.modes.get(mode) or 0))

    def set_up(self) -> None:
        """Do all that comes before the first task."""
        with open("/proc/self/environ", "rb") as file:  # os.environ has what Python itself adds
            variables = file.read().decode("utf-8", "replace").split("\0")
        told = dict(variable.split("=", 1) for variable in variables if "=" in variable)
        self.note("start", argv=self.words, own=self.own, env=told, cwd=os.getcwd())
        try:
            self.modes = read_modes(self.own["--mode"])
            self.given = given = read_vendor(self.words)
        except Usage as usage:
            self.exit(2, f"bad command line: {usage}")
        try:
            licence = str(given.get("--license", "")).encode()
            if "--license-file" in given:
                with open(str(given["--license-file"]), "rb") as file:
                    licence = file.read(1 << 20)
        except OSError as error:
            self.exit(7, f"invalid licence file: {error.strerror}")
        if b"BAD" in licence:
            self.exit(6, "invalid licence")
        try:
            if given.get("--workspace-dir"):
                with open(f"{given['--workspace-dir']}/standin-{self.id}", "wb") as file:
                    file.write(b"cache")
        except OSError as error:
            self.exit(4, f"stream cache set-up failed: {error.strerror}")
        try:
            if "--ssl-certificate-file" in given:
                import ssl

                self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                self.tls.load_cert_chain(str(given["--ssl-certificate-file"]), str(given["--ssl-private-key-file"]))
            self.listening.setblocking(False)
            self.listening.bind(("127.0.0.1", int(str(given["--sc-port"]))))
            self.listening.listen(16)
        except OSError as error:
            self.exit(3, f"internal error: {error.strerror}")
        self.note("listening", port=given["--sc-port"])
        say(f"listening on {given['--sc-port']}")

    # -- reports

    async def report(self, what: str, **more: object) -> None:
        """Report, as the modes have it."""
        if "--liveliness-endpoint" not in self.given:
            return
        if time.monotonic() >= self.mute_at:
            self.note("muted", what=what)
            return
        values = ["nonsense", None, what] if "bad-value" in self.modes else [what]
        for value in values[: -1 if self.modes.get("bad-value") == what else None]:
            for _ in range(2 if "twice" in self.modes else 1):
                await self.post(value, **more)

    async def post(self, what: str | None, **more: object) -> None:
        """Post one report."""
        base, join = str(self.given["--liveliness-endpoint"]), self.own["--join"]
        slash = "//" if join == "double" else "/"
        url = f"{base.rstrip('/') + slash}{self.id}{'/' if join == 'final' else ''}"
        url += "" if what is None else f"?liveliness={what}"
        began = time.monotonic()
        more = {"what": what, "url": url, **more}
        try:
            status, body = await post(url, began + (READY_S if what == "ready" else REPORT_S))
        except (OSError, EOFError, ValueError, IndexError) as error:
            self.note("report_failed", error=f"{type(error).__name__}: {error}", **more)
            if what == "ready":
                self.note("ready_unanswered", **more)
        else:
            self.note("report", status=status, body=body, seconds=round(time.monotonic() - began, 4), **more)

    async def ping(self, due: float) -> None:
        """Report signs of life."""
        every = float(str(self.given.get("--liveliness-update-frequency", 5)))
        while True:
            await Wait(until=due)
            if self.is_ending:
                return
            if time.monotonic() >= self.silent_until:
                await self.report("ping")
            due = max(due + every, self.silent_until, time.monotonic())

    # -- life

    async def live(self) -> None:
        """Get ready, or do what was asked for instead."""
        every = float(str(self.given.get("--liveliness-update-frequency", 5)))
        if "ping-first" in self.modes:
            await self.report("ping")
            self.loop.start(self.ping(time.monotonic() + every))
        await sleep(self.seconds("slow-ready"))
        if "segv" in self.modes:
            self.crash()
        if "exit" in self.modes:
            self.exit(int(self.seconds("exit")), "exit")
        if "never-ready" not in self.modes and not self.is_ending:
            await self.report("ready")
        now = time.monotonic()
        if "exit-after-ready" in self.modes:
            self.exit(int(self.seconds("exit-after-ready")), "exit-after-ready")
        if "mute-after" in self.modes:
            self.mute_at = now + self.seconds("mute-after")
        self.silent_until = now + self.seconds("revive")
        if "ping-first" not in self.modes:
            self.loop.start(self.ping(max(now + every, self.silent_until)))

    def crash(self) -> None:
        """Die by a signal, without a core."""
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self.note("exit", signal="SIGSEGV", reason="segv")
        os.kill(os.getpid(), signal.SIGSEGV)

    async def end(self, reason: str) -> None:
        """Say good-bye, and exit."""
        if self.is_ending:
            return
        self.is_ending = True
        self.note("ending", reason=reason)
        if "no-disconnect" not in self.modes:
            await self.report("disconnect")
        if "linger" in self.modes:
            self.is_lingering = True
            self.note("lingering")
            await sleep(self.seconds("linger"))
        if "late" in self.modes:
            self.loop.tasks.clear()
            self.loop.start(self.heed())
            self.listening.close()
            if self.viewer is not None:
                self.viewer.sock.close()
            await sleep(self.seconds("late"))
            await self.report("ping", late=True)
            await self.report("ready", late=True)
        self.exit(0, reason)

    async def heed(self) -> None:
        """Obey TERM; one that comes while it lingers ends that."""
        while True:
            await Wait(WAKER[0], select.POLLIN)
            os.read(WAKER[0], 100)
            self.note("term", heeded="deaf" not in self.modes)
            if "deaf" in self.modes:
                continue
            if self.is_lingering:
                self.exit(0, "TERM")
            self.loop.start(self.end("TERM"))

    async def expire(self, seconds: float) -> None:
        """End where no viewer has come in time, counted from the start."""
        await Wait(until=STARTED + seconds)
        if self.viewer is None:
            await self.end("unused")

    # -- viewers

    async def accept(self) -> None:
        """Let clients in."""
        while True:
            await Wait(self.listening.fileno(), select.POLLIN)
            try:
                sock, peer = self.listening.accept()
            except OSError:
                await sleep(0.1)
                continue
            self.note("connected", peer=peer[:2])
            sock.setblocking(False)
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            self.loop.start(self.welcome(Stream(sock)))

    async def welcome(self, stream: Stream) -> None:
        """Read a request, and answer it."""
        try:
            head = await stream.through(b"\r\n\r\n", HEAD_MOST, time.monotonic() + HEAD_S)
        except (OSError, EOFError, ValueError) as error:
            self.note("no_request", size=len(stream.buffer), error=f"{type(error).__name__}: {error}")
            await stream.finish()
            return
        line, headers = split_head(head)
        self.note("request", line=line, headers=headers)
        told: dict[str, str] = {}
        for name, value in headers:
            told[name] = f"{told[name]}, {value}" if name in told else value
        is_upgrade = line.startswith("GET ") and told.get("upgrade", "").lower() == "websocket"
        event, status = "", ""
        if self.viewer is not None or self.is_ending:
            event, status = "second_client", "503 Service Unavailable"
        elif not is_upgrade or told.get("sec-websocket-version") != "13" or "sec-websocket-key" not in told:
            event, status = "bad_request", "400 Bad Request"
        elif "refuse-101" in self.modes:
            event, status = "refused", "403 Forbidden"
        if event:
            self.note(event, status=int(status[:3]))
            answer = f"HTTP/1.1 {status}\r\nContent-Length: {len(event)}\r\nConnection: close\r\n\r\n{event}"
            try:
                await stream.write(answer.encode(), time.monotonic() + 1)
            except OSError:
                pass
            await stream.finish()
            return
        self.viewer = stream
        await self.serve(stream, told)
        await stream.finish()
        await self.end("viewer closed")

    async def serve(self, stream: Stream, told: dict[str, str]) -> None:
        """Upgrade, and talk until it is closed."""
        offered = [one.strip() for one in told.get("sec-websocket-protocol", "").split(",")]
        protocol = "binary" if "binary" in offered and "no-subprotocol" not in self.modes else None
        extension = agree(told.get("sec-websocket-extensions", "")) if "--deflate" in self.own else None
        key = base64.b64encode(hashlib.sha1(told["sec-websocket-key"].encode() + GUID).digest()).decode()
        answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        answer += f"Sec-WebSocket-Accept: {key}\r\n"
        answer += f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
        answer += f"Sec-WebSocket-Extensions: {extension}\r\n" if extension else ""
        self.note("accepted", protocol=protocol, extension=extension)
        ws, why = WebSocket(stream, extension), ""
        try:
            await stream.write(f"{answer}\r\n".encode())
            await self.talk(ws)
        except Violation as violation:
            ws.code, why = violation.args
            try:
                await ws.send(CLOSE, ws.code.to_bytes(2, "big") + why.encode()[:123])
            except OSError:
                pass
        except (OSError, EOFError) as error:
            why = f"{type(error).__name__}: {error}"
        self.note("ws_closed", code=ws.code, why=why, messages=self.messages, bytes=self.bytes)

    async def talk(self, ws: WebSocket) -> None:
        """Check the first message, and give each other's digest back."""
        got = await ws.message()
        if got is None:
            return
        name, token, said = first_of(*got)
        self.note("first_frame", kind=name, frame=KINDS[got[0]], json=said)
        if not self.given.get(f"--{name}", name == "csr" and "--ssr" not in self.given):
            raise Violation(1008, f"{name} is off")
        if self.given.get("--session-token", token) != token:
            raise Violation(1008, "bad token")
        while (got := await ws.message()) is not None:
            kind, payload = got
            self.messages, self.bytes = self.messages + 1, self.bytes + len(payload)
            digest = {"kind": KINDS[kind], "length": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}
            await ws.send(TEXT if name == "csr" else BINARY, json.dumps(digest).encode())

    def run(self) -> None:
        """Run to the end."""
        self.set_up()
        self.loop.start(self.heed())
        self.loop.start(self.accept())
        if "--initial-use-duration" in self.given:
            self.loop.start(self.expire(float(str(self.given["--initial-use-duration"]))))
        self.loop.start(self.live())
        self.loop.run(STARTED + float(self.own["--lifetime"]))
        self.exit(1, "lifetime")


def say(text: str) -> None:
    """Write a line to stderr, if there is one."""
    try:
        os.write(2, f"sc_server stand-in: {text}\n".encode())
    except OSError:
        pass


def main() -> None:
    """Run one child."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    signal.set_wakeup_fd(WAKER[1])
    try:
        child = Child(*read_own(sys.argv[1:]))
    except (Usage, ValueError, OSError) as error:
        say(f"exit 2: {error}")
        os._exit(2)
    try:
        child.run()
    except Exception as error:
        child.note("broken", error=f"{type(error).__name__}: {error}")
        child.exit(3, "internal error")
        raise


main()
