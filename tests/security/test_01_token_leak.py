"""Line 1: secrets are sent along every path, right and wrong, and then looked for wherever something is kept."""

import base64
import hashlib
import json
import os
import secrets as entropy
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field

from sessiond.launchers.procfs import all_pids, variable_of
from tests.certificates import write_certificate
from tests.daemon import free_port
from tests.e2e.places import Place, place
from tests.e2e.running import LIMIT_S, Answer, Running, launched_below, running, until
from tests.security.canaries import leaks

__all__ = ["place"]

ECHO = Path(__file__).parents[1] / "e2e" / "programs" / "echo.py"
SPEAKS = Path(__file__).parent / "programs" / "tells.py"
UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)
TLS = "over TLS"

Head = tuple[str, tuple[str, ...], bytes]
"""A request: its first line without the version, further headers, a body."""


def get(target: str, *headers: str, method: str = "GET", body: bytes = b"") -> Head:
    """Write a request."""
    return f"{method} {target}", headers, body


def post(target: str, content: Any, *headers: str) -> Head:
    """Write a request with JSON, or with bytes that only pass for it."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return get(target, "Content-Type: application/json", *headers, method="POST", body=body)


def upgrade(target: str, *headers: str) -> Head:
    """Write a request for a WebSocket."""
    return get(target, *UPGRADE, *headers)


def wrong_places(s: str) -> Iterator[Head]:
    """Give requests that hold a secret where it belongs, where it does not, and where nothing is."""
    basic = base64.b64encode(f"user:{s}".encode()).decode()
    for header in (
        *(f"Authorization: {s}", f"Authorization: Token {s}", f"Authorization: Basic {basic}"),
        *(f"Authorization: Bearer {s}", f"Authorization: Bearer {s}, Bearer {s}", f"Authorization: Bearer {s}x"),
        *(f"Proxy-Authorization: Bearer {s}", f"X-Api-Key: {s}", f"X-Auth-Token: {s}", f"X-Forwarded-For: {s}"),
        *(f"Cookie: token={s}", f"Cookie: {s}", f"Referer: http://x/tunnel?token={s}", f"Referer: {s}"),
        *(f"User-Agent: {s}", f"User-Agent: a (token {s})", f"Origin: http://{s}", f"Origin: {s}", f"{s}: x"),
        *(f"Accept: {s}", f"Content-Type: {s}", f"Content-Encoding: {s}", f"Expect: {s}", f"Range: {s}"),
    ):
        yield get("/api/v1/sessions", header)
        yield post("/api/v1/sessions", {"service": 1}, header)
        yield upgrade("/tunnel?token=wrong", header)
    for target in (
        *("/api/v1/sessions", "/api/v1/services", "/api/v1/nothing", "/nothing", "/metrics", "/healthz", "/"),
        *("/tunnel", "//tunnel//", "/api/v1/openapi.json"),
    ):
        for query in (
            *(f"token={s}", f"ticket={s}x", f"ticket=x{s}", f"secret={s}", f"access_token={s}", f"q={s}", s),
            *(
                f"ticket={s}&ticket={s}",
                f"token={s}&ticket={s}",
                f"a=1;tokens={s}",
                f"%74oken={s}",
                f"ticket=%22{s}%22",
            ),
        ):
            yield get(f"{target}?{query}")
            yield get(f"{target}?{query}", method="POST")
            yield upgrade(f"{target}?{query}", "Origin: http://evil.example")
    for path in (
        *(f"/{s}", f"/tunnel/{s}", f"/tunnel;token={s}", f"/api/v1/{s}", f"/api/v1/sessions/{s}", f"/pages/{s}"),
        *(f"/api/v1/sessions/{s}/log", f"/api/v1/sessions/{s}/liveliness?liveliness=ping", f"/%22{s}%22", f"/%2522{s}"),
        *(f"/api/v1/sessions/x{s}", f"/api/v1/tickets/{s}", f"/token={s}", f"/tunnel%3Ftoken%3D{s}", f"/{s[:-4]}"),
        *(f"http://{s}/", f"http://user:{s}@127.0.0.1/api/v1/sessions", f"*{s}", s, f"/{quoted(s)}"),
    ):
        yield get(path)
        yield get(path, method="DELETE")
        yield upgrade(path)
    yield from wrong_bodies(s)
    yield get("/api/v1/sessions", method=s)
    yield get(f"/api/v1/sessions HTTP/{s}")
    yield get(f"/api/v1/sessions {s}")
    yield upgrade("/tunnel?token=wrong", f"Sec-WebSocket-Protocol: {s}")
    yield upgrade("/tunnel?token=wrong", f"Sec-WebSocket-Extensions: {s}")
    yield upgrade("/tunnel?token=wrong", f"Sec-WebSocket-Key: {s}")


def quoted(text: str) -> str:
    """Write a text so that none of its letters stands there as it is."""
    return "".join(f"%{ord(letter):02x}" for letter in text)


def wrong_bodies(s: str) -> Iterator[Head]:
    """Give bodies that hold a secret, from nearly right to nonsense."""
    target = "/api/v1/sessions"
    for content in (
        *({"service": s}, {"service": "echo", s: 1}, {"service": "echo", "options": {s: 1}}, {"token": s}),
        *({"service": "echo", "options": {"size": s}}, {"service": "echo", "owner": s}, {"service": ["echo", s]}),
        *({"service": "echo", "wait": s}, [s], s, f'{{"service": "{s}'.encode(), s.encode(), f"token={s}".encode()),
        *(f'{{"{s}": 1, "{s}": 2}}'.encode(), b"\xff" + s.encode(), json.dumps(s).encode() * 1500, s.encode() * 30_000),
    ):
        yield post(target, content)
        yield post("/api/v1/tickets", content)
    yield get(target, "Content-Type: application/x-www-form-urlencoded", method="POST", body=f"token={s}".encode())
    yield get(target, "Transfer-Encoding: chunked", f"Trailer: {s}", method="POST")


@define
class House:
    """A real daemon with everything that has a secret, and all that anybody was told but those who should.

    :ivar heard: what came back, by what was asked.
    """

    daemon: Running
    trust: Path
    tls_port: int
    secrets: dict[str, str] = field(factory=dict)
    heard: list[tuple[str, bytes]] = field(factory=list)

    def bearer(self, name: str) -> str:
        """Give the header that proves an API token; it is empty for nobody."""
        return f"Bearer {self.secrets[name]}" if name else ""

    def call(self, name: str, method: str, path: str, body: Any = None) -> Answer:
        """Call the API with a token, where the answer is to hold a secret."""
        answer = self.daemon.call(method, f"/api/v1{path}", body, Authorization=self.bearer(name))
        assert answer.status in (200, 201), answer
        return answer

    def ask(self, request: Head, *, over_tls: bool = False, closing: bytes = b"") -> int:
        """Send a request, keep what came back, and give its status; 0 where the connection was only closed.

        :param closing: what a WebSocket is closed with, where one was opened.
        """
        line, headers, body = request
        host = f"127.0.0.1:{self.tls_port}" if over_tls else self.daemon.netloc
        version = "" if "HTTP/" in line else " HTTP/1.1"
        lines = [line + version, *(["Connection: close"] if UPGRADE[1] not in headers else []), *headers]
        own = ["Host"] if any(header.startswith("Host:") for header in headers) else []
        lines += [] if own else [f"Host: {host}"]
        if "Transfer-Encoding: chunked" in headers:
            body = b"zz\r\n"
        elif body or line.startswith("POST"):
            lines.append(f"Content-Length: {len(body)}")
        raw = "\r\n".join([*lines, "", ""]).encode() + body
        came = self._exchange(raw, over_tls, closing)
        self.heard.append((f"the answer to {line!r} {headers}", came))
        status = came.split(b" ", 2)[1] if came.startswith(b"HTTP/1.1 ") else b"0"
        return int(status)

    def _exchange(self, raw: bytes, over_tls: bool, closing: bytes) -> bytes:
        address = urlsplit(self.daemon.url)
        port = self.tls_port if over_tls else address.port or 0
        with socket.create_connection(("127.0.0.1", port), LIMIT_S) as plain:
            wire: socket.socket = plain
            if over_tls:
                wire = ssl.create_default_context(cafile=str(self.trust)).wrap_socket(
                    plain, server_hostname="localhost"
                )
            came = b""
            with suppress(ConnectionError):  # too large a body is not read to its end
                wire.sendall(raw)
            with suppress(ConnectionError):
                while part := wire.recv(65536):
                    came += part
                    if came.startswith(b"HTTP/1.1 101 ") and b"\r\n\r\n" in came and closing:
                        wire.sendall(closing)
                        closing = b""
                    elif not came.startswith(b"HTTP/1.1 101 ") and whole(came):
                        break
            wire.close()
        return came


def whole(came: bytes) -> bool:
    """Say whether an answer is there in full, so that nobody need wait until its connection is closed."""
    head, mark, body = came.partition(b"\r\n\r\n")
    lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(mark) and bool(lengths) and len(body) >= int(lengths[0])


def frames(secret: str) -> bytes:
    """Write what a client sends that puts a secret into its words: a message, and a close frame."""
    data, reason = secret.encode(), struct.pack(">H", 4000) + secret.encode()
    return b"".join(
        bytes([0x80 | opcode, 0x80 | len(part), 0, 0, 0, 0]) + part for opcode, part in ((2, data), (8, reason))
    )


CONFIG = """
[listeners.tls]
endpoint = "ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
serves = ["api", "tunnel", "health", "metrics"]
{tokens}
[listeners.child]
endpoint = "tcp:{child}:interface=127.0.0.1"
serves = ["child"]
[services.echo]
kind = "tcp"
launcher = "process"
command = ["${{python}}", "-S", "{echo}", "${{port}}"]
ports = "{first}-{last}"
env = {{ REPORT_URL = "${{liveliness}}" }}
count = 1
clients = 2
limits = {{ liveliness = "1h", linger = "1h", connect = "1h" }}
options.size = {{ type = "choice", of = ["small"], default = "small" }}
[services.speaks]
kind = "websocket"
launcher = "process"
command = ["${{python}}", "{speaks}", "${{port}}"]
ports = "{first}-{last}"
count = 1
limits = {{ linger = "1h", connect = "1h" }}
"""


def configured(place: Place, tokens: dict[str, str]) -> tuple[Path, Path, int]:
    """Write the configuration; give it, the certificate, and the port that speaks TLS."""
    key, certificate = write_certificate(place.folder)
    told = "".join(
        f'[tokens.{name}]\ndigest = "sha256:{hashlib.sha256(secret.encode()).hexdigest()}"\nscopes = ["{scope}"]\n'
        for (name, secret), scope in zip(tokens.items(), ("launch", "launch", "operate"), strict=True)
    )
    (first, last), port = place.ports, free_port()
    words: dict[str, Any] = {"port": port, "key": key, "certificate": certificate, "tokens": told, "child": free_port()}
    words |= {"first": first, "last": last, "echo": ECHO, "speaks": SPEAKS}
    return place.configure(CONFIG.format(**words)), certificate, port


def furnish(house: House, place: Place) -> dict[str, str]:
    """Make the sessions, and take up all of their secrets; give the sessions' ids."""
    ids = {}
    for service in ("echo", "speaks"):
        made = house.call("ada", "POST", "/sessions", {"service": service, "wait": "ready"}).json
        ids[service], house.secrets[f"token of {service}"] = made["id"], made["token"]
        ticket = house.call("ada", "POST", f"/sessions/{made['id']}/tickets").json["ticket"]
        house.secrets[f"ticket for {service}"] = ticket
    for over in ("", TLS):
        house.secrets[f"ticket of a caller {over}"] = house.call("ada", "POST", "/tickets").json["ticket"]
    for program in launched_below(place.folder):
        session = variable_of(program.pid, "SESSIOND_SESSION")
        house.secrets[f"child secret of {session}"] = variable_of(program.pid, "SESSIOND_SECRET") or ""
    assert len(house.secrets) == 3 + 4 + 2 + 2 + 1
    assert all(len(secret) == 43 for secret in house.secrets.values())
    return ids


def use(house: House, ids: dict[str, str]) -> None:
    """Use every secret as it is meant, and tickets once more."""
    s, mine = house.secrets, f"/api/v1/sessions/{ids['echo']}"
    for service in ("echo", "speaks"):
        for by in (f"a=1;token={s[f'token of {service}']}", f"ticket={s[f'ticket for {service}']}"):
            # Both at once would be one client too many.
            opened = until(lambda by=by: opens(house, by), f"a client is let in to {service}")  # type: ignore[misc]
            assert opened == 101
        assert house.ask(upgrade(f"/tunnel?ticket={s[f'ticket for {service}']}"), over_tls=True) == 401
    for over in ("", TLS):
        by_ticket = get(f"/api/v1/sessions?ticket={s[f'ticket of a caller {over}']}")
        assert [house.ask(by_ticket, over_tls=bool(over)) for _ in range(2)] == [200, 401]
    for name in ("ada", "root"):
        bearer = f"Authorization: Bearer {s[name]}"
        for path in ("/api/v1/sessions", "/api/v1/services", "/metrics", mine, f"{mine}/log"):
            assert house.ask(get(path, bearer), over_tls=True) == 200
        assert house.ask(post(f"{mine}/extend", {"deadline": "lifetime", "by_s": 0.001}, bearer)) == 200
    child = f"Authorization: Bearer {s['child secret of ' + ids['echo']]}"
    assert house.ask(get(f"{mine}/liveliness?liveliness=ping", child, method="POST")) == 204
    assert house.ask(get(f"{mine}/liveliness?liveliness=nonsense", child, method="POST")) == 400
    assert house.ask(get(f"/api/v1/sessions/{ids['speaks']}/liveliness?liveliness=ping", child, method="POST")) == 401


def opens(house: House, by: str) -> int | None:
    """Open a tunnel, put its secret into what is sent through it, and close it; ``None`` while it is still taken."""
    kept = len(house.heard)
    status = house.ask(upgrade(f"/tunnel?{by}", "Cookie: a=b", f"Referer: http://x/?{by}"), closing=frames(by[-43:]))
    # An echo gives back what its own client sent; that is nobody else's to see.
    house.heard[kept:] = [(name, came.partition(b"\r\n\r\n")[0]) for name, came in house.heard[kept:]]
    return None if status == 409 else status


def misuse(house: House) -> None:
    """Send every secret along every path where it opens nothing."""
    for secret in tuple(house.secrets.values()):
        for number, request in enumerate(wrong_places(secret)):
            house.ask(request, over_tls=number % 7 == 0)


def files(place: Place) -> Iterator[tuple[str, bytes]]:
    """Give every file that the daemon or its programs have."""
    for folder in (place.folder, place.run):
        for path in folder.rglob("*"):
            if path.is_file():
                yield str(path), path.read_bytes()


def processes(mine: Callable[[int], bool]) -> Iterator[tuple[str, bytes]]:
    """Give the arguments of every process, and the environment of each but those whose secret it is."""
    for pid in all_pids():
        for name in ("cmdline", "environ"):
            with suppress(OSError):
                if name == "cmdline" or not mine(pid):
                    yield f"{name} of {pid}", Path(f"/proc/{pid}/{name}").read_bytes()


def views(house: House, ids: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Give what others see of the sessions: another caller, somebody without a name, an operator, the metrics."""
    paths = ["/api/v1/sessions", "/api/v1/services", "/metrics", "/readyz", "/healthz", "/api/v1/openapi.json"]
    paths += [f"/api/v1/sessions/{session_id}{more}" for session_id in ids.values() for more in ("", "/log?lines=1000")]
    for who in ("ada", "bob", "root", ""):
        for path in paths:
            answer = house.daemon.call("GET", path, Authorization=house.bearer(who))
            yield f"{path} for {who or 'anyone'}", repr(answer).encode()
            assert answer.status in (200, 404), answer


def at_rest(name: str) -> bool:
    """Say whether this is the store, which knows child secrets, so that programs can report after a restart."""
    return Path(name).name.startswith("sessions.sqlite")


def test_canaries(place: Place) -> None:
    """No token, ticket or child secret, right or wrong, used or misused, turns up anywhere but where it was told."""
    tokens = {name: entropy.token_urlsafe(32) for name in ("ada", "bob", "root")}
    config, certificate, port = configured(place, tokens)
    with running(config) as daemon:
        house = House(daemon.ready(), certificate, port, {**tokens, "a wrong one": entropy.token_urlsafe(32)})
        ids = furnish(house, place)
        use(house, ids)
        misuse(house)
        programs = {program.pid for program in launched_below(place.folder)}
        assert len(programs) == 2
        kept = list(files(place))
        children = {name: secret for name, secret in house.secrets.items() if name.startswith("child")}
        others = {name: secret for name, secret in house.secrets.items() if name not in children}
        assert leaks(house.heard, house.secrets) == []
        assert leaks(views(house, ids), house.secrets) == []
        assert leaks(processes(lambda pid: pid in programs), house.secrets) == []
        assert leaks(processes(lambda pid: False), others) == []
        assert leaks(kept, others) == []
        assert leaks([(name, content) for name, content in kept if not at_rest(name)], children) == []
        assert len(house.heard) > 1000
        # The passed-through program wrote down what it was asked for.
        log = house.call("ada", "GET", f"/sessions/{ids['speaks']}/log").json["lines"]
        assert [line.split()[0] for line in log if "sec-websocket-key" in line] == ["/tunnel?a=1", "/tunnel"]
        for session_id in ids.values():
            assert house.call("ada", "DELETE", f"/sessions/{session_id}").status == 200
        for session_id in ids.values():
            until(lambda gone=session_id: over(house, gone), f"{session_id} has ended")  # type: ignore[misc]
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.text
    assert leaks(files(place), house.secrets) == []


def over(house: House, session_id: str) -> bool:
    """Say whether a session has ended."""
    return bool(house.call("ada", "GET", f"/sessions/{session_id}").json["state"] == "ended")


def test_search_finds(tmp_path: Path) -> None:
    """The search finds a secret in every form and place that it looks at."""
    secret = entropy.token_urlsafe(32)
    for content in (
        *(f"x{secret}y", secret[:30], secret[-30:], secret.encode().hex(), quoted(secret), quoted(secret).upper()),
        *(base64.b64encode(secret.encode()).decode(), secret[::-1]),
    ):
        assert leaks([("sink", content.encode())], {"it": secret}) == ["it in sink"]
    assert leaks([("sink", os.urandom(10_000)), ("other", secret[:10].encode())], {"it": secret}) == []
    where = Place(tmp_path, tmp_path / "run")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text(secret)
    assert leaks(files(where), {"it": secret}) == [f"it in {tmp_path}/a/file"]
