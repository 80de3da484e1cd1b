"""Line 20: secrets come from the system's generator, are compared in constant time, and weak ones stop the start."""

import ast
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sessiond.config.listeners import COMMON_SECRETS
from sessiond.entropy import SystemEntropy
from tests.daemon import ROOT
from tests.e2e.places import Place, place
from tests.e2e.running import LIMIT_S, Ended, running
from tests.imports import is_below
from tests.test_architecture import RANDOM_ALLOWED, SESSIOND, breaks_random

__all__ = ["place"]

GOOD = hashlib.sha256(SystemEntropy().token().encode()).hexdigest()
PLAIN = "canary-" + SystemEntropy().token()
TOKEN_ONLY = '[listeners.inner]\nendpoint = "tcp:0:interface=127.0.0.1"\nserves = ["api", "tunnel"]\n'
OPEN = TOKEN_ONLY.replace("127.0.0.1", "0.0.0.0") + 'callers = "anyone"\n'


def sha256(secret: str) -> str:
    """Give the digest of a secret, as a configuration has it."""
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"


def token(digest: str, name: str = "portal", more: str = "") -> str:
    """Write an API token's table."""
    return f'[tokens.{name}]\ndigest = "{digest}"\nscopes = ["launch"]\n{more}\n'


KNOWN = "tokens.portal.digest: is the digest of a secret that everybody knows"
FORM = 'tokens.portal.digest: "sha256:" and 64 hexadecimal digits are needed'

BAD: Mapping[str, tuple[str, str]] = {
    **{f"the secret {secret!r}": (token(sha256(secret)), KNOWN) for secret in COMMON_SECRETS},
    "zeros": (token("sha256:" + "0" * 64), KNOWN),
    "a pattern": (token("sha256:" + "0123456" * 9 + "0"), KNOWN),
    "the secret itself": (token(PLAIN), FORM),
    "an empty digest": (token(""), FORM),
    "a short digest": (token(f"sha256:{GOOD[:32]}"), FORM),
    "a weaker digest": (token(f"md5:{GOOD[:32]}"), FORM),
    "capitals": (token(f"sha256:{GOOD.upper()}"), FORM),
    "a line behind": (token(f"sha256:{GOOD}\\n"), FORM),
    "no digest": ("[tokens.portal]\nscopes = ['launch']\n", "tokens.portal.digest: "),
    "a secret beside": (token(f"sha256:{GOOD}", more=f'secret = "{PLAIN}"'), "tokens.portal.secret: unknown key"),
    "a token beside": (token(f"sha256:{GOOD}", more=f'token = "{PLAIN}"'), "tokens.portal.token: unknown key"),
    "one for two": (
        token(f"sha256:{GOOD}", "a") + token(f"sha256:{GOOD}", "b"),
        "tokens.b.digest: is another token's already",
    ),
    "tokens needed, none there": (TOKEN_ONLY, 'listeners.inner.callers: is "token", but there are no [tokens]'),
    "everybody, from everywhere": (OPEN, "listeners.inner.callers: "),
    "no TOML": (f'[tokens.portal]\ndigest = "{PLAIN}\n', "not TOML: "),
}
"""What makes a configuration one that must not start, and the fault that is told."""

STARTED = ("the secret 'wslink-secret'", "the secret itself", "everybody, from everywhere", "no TOML")
"""Those with which a whole daemon is started; ``check-config`` is the same reading without a start."""


def write(place: Place, name: str) -> None:
    """Write a bad configuration."""
    place.configure(BAD[name][0])


@pytest.mark.parametrize("name", BAD)
def test_refused(place: Place, name: str) -> None:
    """A bad configuration is refused with a status and the place of its fault, and no secret is repeated."""
    write(place, name)
    argv = [sys.executable, "-m", "sessiond", "check-config", str(place.config)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1
    faults = done.stderr.splitlines()
    assert any(line.startswith(BAD[name][1]) for line in faults), faults
    assert PLAIN not in done.stdout + done.stderr


@pytest.mark.parametrize("name", STARTED)
def test_does_not_start(place: Place, name: str) -> None:
    """A daemon with it ends at once with status 1, says why, and listens nowhere."""
    write(place, name)
    with running(place.config) as daemon:
        with pytest.raises(Ended, match=r"status 1:"):
            daemon.ready()
        assert BAD[name][1] in daemon.text
        assert "is refused" in daemon.text
        assert "starting on" not in daemon.text
        assert PLAIN not in daemon.text


def test_good_starts(place: Place) -> None:
    """The same with a token as ``token new`` makes it does start."""
    place.configure(token(f"sha256:{GOOD}"))
    with running(place.config) as daemon:
        daemon.ready()
        assert daemon.stop() == 0


def test_nothing_guessable() -> None:
    """No module draws from a guessable source, and those that may be asked for a secret use the system's generator."""
    assert breaks_random(SESSIOND) == []
    assert RANDOM_ALLOWED == {}
    makers = [name for name, source in SESSIOND.items() if re.search(r"^import secrets$", source, re.MULTILINE)]
    assert [name for name in makers if not is_below(name, "sessiond.demo")] == ["sessiond.entropy"]
    urandom = [name for name, source in SESSIOND.items() if "urandom" in source or "getrandbits" in source]
    assert [name for name in urandom if not is_below(name, "sessiond.demo")] == []


def test_secrets_are_long() -> None:
    """A secret has 256 bits, is one word of a URL, and never comes twice."""
    made = [SystemEntropy().token() for _ in range(2000)]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", secret) for secret in made)
    # Each of 64 letters stands at each of the first 42 places about 31 times; none is rare or common.
    for place_of in range(42):
        counts = [sum(secret[place_of] == letter for secret in made) for letter in sorted(set("".join(made)))]
        assert len(counts) == 64
        assert max(counts) < 90
    assert len({SystemEntropy().nonce() for _ in range(2000)}) == 2000


SECRET = re.compile(r"(^|_)(secret|token|ticket|password|given|bearer)$")


def comparisons(source: str) -> Iterator[str]:
    """Find where a secret is compared with something that is not written in the source, other than by digest."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(
            isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops
        ):
            sides = [node.left, *node.comparators]
            names = [side.id if isinstance(side, ast.Name) else getattr(side, "attr", "") for side in sides]
            if any(map(SECRET.search, names)) and not any(isinstance(side, ast.Constant) for side in sides):
                yield ast.unparse(node)


def test_constant_time() -> None:
    """No secret is compared letter by letter: by ``hmac.compare_digest``, or looked up by its digest."""
    assert [f"{name}: {text}" for name, source in SESSIOND.items() for text in comparisons(source)] == []
    assert "hmac.compare_digest(" in SESSIOND["sessiond.web.api_sessions"]
    for name in ("sessiond.broker.broker", "sessiond.broker.tickets", "sessiond.web.access"):
        assert "digest(t" in SESSIOND[name], name


@pytest.mark.parametrize(
    "source",
    ["a.child_secret == given", "token != self.token", "x in secret", "if session.token == other: pass"],
)
def test_comparisons_are_found(source: str) -> None:
    """The check finds a comparison that would tell how much of a guess was right."""
    assert list(comparisons(source))


@pytest.mark.parametrize(
    "source", ["token is None", "a.token_digest == b", "secret == ''", "compare_digest(secret, given)"]
)
def test_comparisons_are_let_pass(source: str) -> None:
    """The check passes what tells nothing."""
    assert list(comparisons(source)) == []


def test_no_default_secret() -> None:
    """No configuration that is shipped or shown has a secret that works, and none comes with the package."""
    shipped = [*(ROOT / "etc").glob("*.toml"), *(ROOT / "docs").glob("*.rst"), ROOT / "README.rst"]
    digests = {found for path in shipped for found in re.findall(r"sha256:([0-9a-f]{64})", Path(path).read_text())}
    guessed = {hashlib.sha256(word.encode()).hexdigest() for path in shipped for word in words(path)}
    assert digests
    assert not digests & guessed


def words(path: Path) -> set[str]:
    """Give everything in a file that somebody could try as a secret."""
    return set(re.findall(r"[^\s\"'`<>|]+", path.read_text())) | set(COMMON_SECRETS)
