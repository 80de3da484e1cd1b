"""What ``python -m sessiond`` does: checks a configuration, makes tokens, and sees to sessions over REST.

A command prints its answer, or raises :class:`Failed` with one line for people.
"""

from __future__ import annotations

import http.client
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from attrs import field, frozen

from sessiond.config import load
from sessiond.core.errors import ConfigError
from sessiond.entropy import SystemEntropy, digest
from sessiond.log import escaped

TOKEN_VARIABLE = "SESSIOND_TOKEN"  # noqa: S105 - the name of a variable, not its value
TIMEOUT_S = 30.0
MOST_ANSWER_BYTES = 64 << 20
COLUMNS = ("id", "service", "state", "owner", "created_at", "reason")

Say = Callable[[str], object]


class Failed(Exception):
    """A command could not do what was asked; the text says why."""


def check_config(path: Path, environment: Mapping[str, str], say: Say) -> None:
    """Check a configuration, and warn of services that would not be offered here.

    :raises Failed: it is refused; each fault has its own line.
    """
    try:
        config = load(path, environment)
    except ConfigError as error:
        raise Failed(str(error)) from None
    for name, programs in config.needs.items():
        missing = [program for program in programs if not shutil.which(program, path=environment.get("PATH"))]
        if missing:
            say(f"services.{name}: not offered here, {', '.join(missing)} is not installed")
    say("OK")


def new_token(name: str, scopes: Sequence[str], groups: Sequence[str], say: Say) -> None:
    """Make a token, show it once, and say what to put into the configuration."""
    token = SystemEntropy().token()
    say(f"The token, which is shown only now:\n\n    {token}\n\nFor the configuration:\n")
    say(f'[tokens.{name}]\ndigest = "sha256:{digest(token).hex()}"')
    say(f"scopes = {json.dumps(list(scopes))}")
    if groups:
        say(f"groups = {json.dumps(list(groups))}")


class Remote(Protocol):
    """The API of a running daemon."""

    def call(self, method: str, path: str) -> Any:
        """Call it; ``path`` is below ``/api/v1/``.

        :returns: the decoded answer, ``None`` where it has no body.
        :raises Failed: it can't be reached, or refuses.
        """


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nowhere: the token is for one daemon only."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


@frozen
class Api:
    """The API over HTTP.

    :ivar url: how the daemon is reached, without ``/api/v1``.
    """

    url: str
    token: str | None = field(default=None, repr=False)

    def call(self, method: str, path: str) -> Any:
        """Call it; see :class:`Remote`."""
        if not self.url.startswith(("http://", "https://")):
            raise Failed(f"{self.url}: a URL with http or https is needed")
        # No proxy of the environment either.
        opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
        try:
            with opener.open(self._request(method, path), timeout=TIMEOUT_S) as answer:
                return _decoded(answer.read(MOST_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            raise Failed(_refusal(error)) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Failed(f"{self.url}: {getattr(error, 'reason', None) or error}") from None


    def _request(self, method: str, path: str) -> urllib.request.Request:
        request = urllib.request.Request(f"{self.url.rstrip('/')}/api/v1/{path}", method=method)  # noqa: S310 - checked
        if self.token is not None:
            request.add_header("Authorization", f"Bearer {self.token}")
        return request


def list_sessions(remote: Remote, say: Say) -> None:
    """Show the sessions that the caller may see, one in each line."""
    rows = [
        [_cell(session.get(column)) for column in COLUMNS] for session in remote.call("GET", "sessions")["sessions"]
    ]
    widths = [max(len(row[i]) for row in [COLUMNS, *rows]) for i in range(len(COLUMNS))]
    for row in [list(COLUMNS), *rows]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def end_session(remote: Remote, session_id: str, say: Say) -> None:
    """End a session."""
    remote.call("DELETE", f"sessions/{quote(session_id, safe='')}")
    say(f"{session_id} is being ended")


def show_log(remote: Remote, session_id: str, say: Say) -> None:
    """Show the last lines of a session's output; control characters in it are written as escapes."""
    for line in remote.call("GET", f"sessions/{quote(session_id, safe='')}/log")["lines"]:
        say(escaped(str(line)))


def read_token(token_file: Path | None, environment: Mapping[str, str]) -> str | None:
    """Read the caller's token, from a file or the environment; ``None`` where there is none of both.

    :raises Failed: the file can't be read.
    """
    if token_file is None:
        return environment.get(TOKEN_VARIABLE) or None
    try:
        with token_file.open(encoding="ascii") as file:
            return file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{token_file}: {getattr(error, 'strerror', None) or 'is no text'}") from None


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        raise Failed("the answer is no JSON: is this a sessiond?") from None


def _refusal(error: urllib.error.HTTPError) -> str:
    """Say in one line what the daemon said."""
    try:
        problem = json.loads(error.read(MOST_ANSWER_BYTES))
        said = [problem["title"], problem.get("detail")]
    except (OSError, ValueError, KeyError, TypeError):
        said = [f"{error.code} {error.reason}"]
    return escaped(": ".join(str(part) for part in said if part))


def _cell(value: object) -> str:
    return escaped("-" if value in (None, "") else str(value))
