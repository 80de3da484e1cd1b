"""The operator's commands."""

import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from sessiond.__main__ import main
from sessiond.config import parse

ROOT = Path(__file__).parents[1]
GOOD = """
[listeners.web]
endpoint = "tcp:8080:interface=127.0.0.1"
serves = ["api", "tunnel"]
callers = "anyone"
"""


def test_check_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration is accepted with a word."""
    (tmp_path / "good.toml").write_text(GOOD)
    assert main(["check-config", str(tmp_path / "good.toml")]) == 0
    assert capsys.readouterr().out == "OK\n"


def test_check_config_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each fault of a refused one has its line, and the status says so too."""
    (tmp_path / "bad.toml").write_text(GOOD + "x = 1\nhosts = 3\n")
    assert main(["check-config", str(tmp_path / "bad.toml")]) == 1
    assert capsys.readouterr().err == "listeners.web.hosts: a list is needed\nlisteners.web.x: unknown key\n"
    assert main(["check-config", str(tmp_path / "none.toml")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_check_config_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A service whose program is not installed here is named, and no fault."""
    service = '[services.x]\nkind = "tcp"\nlauncher = "process"\ncommand = ["x", "${port}"]\ncount = 1\n'
    (tmp_path / "needs.toml").write_text(GOOD + service + 'needs = ["no-such-program"]\n')
    assert main(["check-config", str(tmp_path / "needs.toml")]) == 0
    assert "services.x: not offered here, no-such-program is not installed" in capsys.readouterr().out


def test_new_token(capsys: pytest.CaptureFixture[str]) -> None:
    """The token is shown once, and the lines beside it make exactly that token known."""
    assert main(["token", "new", "portal", "--scope", "read", "--scope", "launch", "--group", "designers"]) == 0
    shown = capsys.readouterr().out
    token = next(line.strip() for line in shown.splitlines() if re.fullmatch(r" {4}[\w-]{43}", line))
    config = parse((GOOD + shown[shown.index("[tokens.") :]).encode(), Path("/"), {"HOME": "/"})
    (known,) = config.tokens
    assert known.name == "portal"
    assert known.digest == hashlib.sha256(token.encode()).digest()
    assert known.scopes == {"read", "launch"}
    assert known.groups == {"designers"}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["token"],
        ["token", "new"],
        ["token", "new", "No Name"],
        ["token", "new", "x", "--scope", "all"],
        ["token", "new", "x", "--group", '"'],
        ["sessions"],
        ["sessions", "end"],
        ["sessions", "list", "--token", "secret"],
    ],
)
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A command line that is not understood is status 2 and a word of help; a token has no place on it."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


class Daemon(BaseHTTPRequestHandler):
    """Answers as the API does, and takes note of what it was asked."""

    asked: ClassVar[list[tuple[str, str, str | None]]] = []
    answers: ClassVar[dict[str, tuple[int, Any]]] = {}

    def answer(self) -> None:
        """Answer what the test has laid ready for the path."""
        self.asked.append((self.command, self.path, self.headers["Authorization"]))
        status, body = self.answers[self.path]
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status == 302:
            self.send_header("Location", "/api/v1/elsewhere")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Log nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """Serve on loopback while a test runs."""
    Daemon.asked.clear()
    Daemon.answers.clear()
    with HTTPServer(("127.0.0.1", 0), Daemon) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def sessions(url: str, *arguments: str) -> int:
    """Run a command on sessions."""
    return main(["sessions", "--url", url, *arguments])


def test_list(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions are shown in columns; the token comes from the environment; nothing can colour the terminal."""
    monkeypatch.setenv("SESSIOND_TOKEN", "from-the-environment")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    found = {"id": "clock-1", "service": "clock", "state": "ready", "owner": "a\x1b[31m", "reason": None}
    Daemon.answers["/api/v1/sessions"] = (200, {"sessions": [found]})
    assert sessions(url, "list") == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "service", "state", "owner", "created_at", "reason"]
    assert line.split() == ["clock-1", "clock", "ready", r"a\x1b[31m", "-", "-"]
    assert Daemon.asked == [("GET", "/api/v1/sessions", "Bearer from-the-environment")]


def test_end(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A session is ended by its id, whatever the id holds; the token may come from a file."""
    (tmp_path / "token").write_text("from-a-file\n")
    Daemon.answers["/api/v1/sessions/a%2F..%3Fb"] = (200, {})
    assert sessions(url, "--token-file", str(tmp_path / "token"), "end", "a/..?b") == 0
    assert capsys.readouterr().out == "a/..?b is being ended\n"
    assert Daemon.asked == [("DELETE", "/api/v1/sessions/a%2F..%3Fb", "Bearer from-a-file")]


def test_log(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Output is shown line by line, escaped."""
    Daemon.answers["/api/v1/sessions/x/log"] = (200, {"lines": ["one", "two\x1b]0;title\x07"]})
    assert sessions(url, "log", "x") == 0
    assert capsys.readouterr().out == "one\ntwo\\x1b]0;title\\x07\n"


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (404, {"title": "There is no such session", "status": 404}, "There is no such session"),
        (403, {"title": "This caller may not do that", "detail": "operate is needed"}, "operate is needed"),
        (500, b"<html>", "500"),
        (302, b"", "302"),
        (200, b"<html>", "no JSON"),
    ],
)
def test_refused(url: str, status: int, body: Any, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the daemon refuses is told in one line; a redirect is not followed with the token."""
    Daemon.answers["/api/v1/sessions/x"] = (status, body)
    assert sessions(url, "end", "x") == 1
    told_in = capsys.readouterr().err
    assert told in told_in
    assert told_in.count("\n") == 1
    assert len(Daemon.asked) == 1


@pytest.mark.parametrize("where", ["http://127.0.0.1:1", "file:///etc/passwd", "nonsense", "http://["])
def test_not_reached(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A daemon that can't be reached is told in one line."""
    assert sessions(where, "list") == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_token_file_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A token file that can't be read is told in one line."""
    assert sessions("http://127.0.0.1:1", "--token-file", str(tmp_path / "none"), "list") == 1
    assert "No such file" in capsys.readouterr().err


def test_as_a_module() -> None:
    """``python -m sessiond`` runs it."""
    shown = subprocess.run(
        [sys.executable, "-m", "sessiond", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"sessiond \d.*\n", shown.stdout)
