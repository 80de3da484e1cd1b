"""A program's page is a neighbour of every other session's: it reaches none of them, and no cookie opens anything.

A program with a port of its own is another origin than the daemon. Pages that the daemon carries below
``/session/{id}/`` come with the reverse proxy; then the cookies of their paths are tested here.
"""

from urllib.parse import urlsplit

from tests.e2e.places import Place
from tests.e2e.running import running, until
from tests.e2e.services import echo
from tests.e2e.wire import Tunnel
from tests.security.exchange import Exchange, Got

UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def asked(client: Exchange, target: str, *headers: str, method: bytes = b"GET") -> Got:
    """Ask on a connection of its own."""
    client.close()
    return client.get(
        target.encode(), method, UPGRADE * (method == b"GET") + "".join(f"{h}\r\n" for h in headers).encode()
    )


def test_no_ambient_cookie(place: Place) -> None:
    """What a browser sends by itself opens no tunnel and proves nobody, whatever it is called; and none is ever set."""
    with running(place.configure(echo(place))) as daemon, Exchange(daemon.ready().url) as client:
        made = daemon.order("echo").json
        token = made["token"]
        names = ("token", "ticket", "session", "sessiond", "Authorization", "access_token", "__Host-token", made["id"])
        cookies = "; ".join(f"{name}={token}" for name in names)
        for target in ("/tunnel", f"/tunnel/{token}", f"/tunnel?id={made['id']}", f"/tunnel?session={made['id']}"):
            for more in ((), (f"Origin: http://{client.netloc}",), (f"Authorization: Bearer {token}",)):
                got = asked(client, target, f"Cookie: {cookies}", *more)
                assert got.status == 400
                assert "set-cookie" not in got.headers
        with Tunnel(made["tunnel_url"]):
            until(lambda: daemon.session(made["id"])["state"] == "connected", "its token opens it")
        daemon.release(made["id"])
        daemon.ended(made["id"])


def test_page_of_a_program(place: Place) -> None:
    """The page of one session's program neither reads nor ends another session, nor opens its tunnel with its token."""
    with running(place.configure(echo(place, count=2))) as daemon, Exchange(daemon.ready().url) as client:
        hostile, other = daemon.order("echo").json, daemon.order("echo").json
        host = urlsplit(daemon.url).hostname
        first, last = place.ports
        before = daemon.session(other["id"])["state"]
        for port in range(first, last + 1):  # one of them is the hostile program's
            origin = f"Origin: http://{host}:{port}"
            path = f"/api/v1/sessions/{other['id']}"
            for target, method in (
                *((path, b"GET"), (path, b"DELETE"), (f"{path}/log", b"GET"), ("/api/v1/sessions", b"GET")),
                (f"/tunnel?token={other['token']}", b"GET"),
            ):
                got = asked(client, target, origin, method=method)
                assert got.status == 403, (target, got)
                assert not [name for name in got.headers if name.startswith("access-control-")]
            preflight = asked(client, path, origin, "Access-Control-Request-Method: DELETE", method=b"OPTIONS")
            assert preflight.status == 403
        assert daemon.session(other["id"])["state"] == before
        for session in (hostile, other):
            daemon.release(session["id"])
            daemon.ended(session["id"])


def test_token_of_another_session(place: Place) -> None:
    """A session's token, and its program's child secret, open that session and prove nobody to the API."""
    with running(place.configure(echo(place, count=2))) as daemon, Exchange(daemon.ready().url) as client:
        mine, other = daemon.order("echo").json, daemon.order("echo").json
        got = asked(
            client,
            f"/api/v1/sessions/{other['id']}/liveliness?liveliness=disconnect",
            f"Authorization: Bearer {mine['token']}",
            "Content-Length: 0",
            method=b"POST",
        )
        assert got.status == 401
        got = asked(
            client, f"/api/v1/sessions/{other['id']}", f"Authorization: Bearer {mine['token']}", method=b"DELETE"
        )
        assert got.status == 401
        assert daemon.session(other["id"])["state"] == "ready"
        for session in (mine, other):
            daemon.release(session["id"])
            daemon.ended(session["id"])
