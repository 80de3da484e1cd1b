"""The command lines: the real child's, read as strictly as it does, and behind its name the stand-in's own."""

from __future__ import annotations

from collections.abc import Callable

NEVER = float("inf")


def number(text: str) -> float:
    """Read a number that is not negative."""
    value = float(text)
    if not 0 <= value < NEVER:
        raise ValueError(text)
    return value


def interval(text: str) -> float:
    """Read a number above 0."""
    return number(text) or number("-1")


def whole(text: str) -> int:
    """Read a whole number that is not negative."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def below(limit: int) -> Callable[[str], int]:
    """Make what reads a whole number below a limit."""
    return lambda text: range(limit)[whole(text)]


def one_of(**meanings: object) -> Callable[[str], object]:
    """Make what reads one of some words."""

    def read(text: str) -> object:
        if text not in meanings:
            raise ValueError(text)
        return meanings[text]

    return read


def base_url(text: str) -> str:
    """Read a base of reports."""
    if not text.startswith("http://") or any(not "!" <= letter <= "~" for letter in text):
        raise ValueError(text)
    place_of(text)
    return text


def place_of(url: str) -> tuple[str, int, str]:
    """Take a URL apart, into host, port and path."""
    authority, slash, path = url.removeprefix("http://").partition("/")
    host, colon, port = authority.rpartition(":")
    return (host.strip("[]"), below(65536)(port), slash + path) if colon else (authority, 80, slash + path)


FLAG = {"true": True, "1": True, "false": False, "0": False}
VENDOR: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(("--id", "--license", "--license-file", "--session-token", "--workspace-dir", "--log-file"), str),
    **dict.fromkeys(("--model-search-directories", "--model-file"), str),
    **dict.fromkeys(("--ssl-certificate-file", "--ssl-private-key-file"), str),
    **dict.fromkeys(("--csr", "--ssr", "--ssr-egl", "--log-style-delta", "--sc-verbose-logging"), one_of(**FLAG)),
    **dict.fromkeys(("--ssr-gpu-index", "--log-file-category-mask", "--log-stdout-category-mask"), whole),
    "--sc-port": lambda text: below(65536)(text) or whole("none"),
    "--liveliness-endpoint": base_url,
    "--liveliness-update-frequency": interval,
    "--initial-use-duration": number,
}
OWN = ("--mode", "--journal", "--join", "--lifetime")
MODES: dict[str, tuple[Callable[[str], object], str | None]] = {
    **dict.fromkeys(("ok", "never-ready", "ping-first", "segv", "no-disconnect", "deaf", "twice"), (one_of(), "")),
    **dict.fromkeys(("no-subprotocol", "refuse-101"), (one_of(), "")),
    **dict.fromkeys(("slow-ready", "mute-after", "linger"), (number, None)),
    **dict.fromkeys(("exit", "exit-after-ready"), (below(256), None)),
    "revive": (number, "13"),
    "late": (number, "0.5"),
    "bad-value": (one_of(ready="ready", ping="ping", disconnect="disconnect"), ""),
}


class Usage(Exception):
    """The command line is no good."""


def read_own(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split off the stand-in's own switches, which come first."""
    own = {"--mode": "ok", "--join": "plain", "--lifetime": "900"}
    while words and words[0] in {*OWN, "--deflate"}:
        name, words = words[0], words[1:]
        if name == "--deflate":
            own[name] = "on"
        elif words:
            own[name], words = words[0], words[1:]
    if "--journal" not in own or own["--join"] not in {"plain", "double", "final"}:
        raise Usage("--journal is needed, and --join is plain, double or final")
    number(own["--lifetime"])
    return own, words


def read_modes(text: str) -> dict[str, object]:
    """Read what ``--mode`` names."""
    modes: dict[str, object] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        reader, default = MODES.get(name, (None, None))
        if reader is None or (not equals and default is None):
            raise Usage(f"no mode {part!r}")
        try:
            modes[name] = reader(value) if equals else default and reader(default)
        except (ValueError, IndexError):
            raise Usage(f"no mode {part!r}") from None
    return modes


def read_vendor(words: list[str]) -> dict[str, object]:
    """Read what the real child would be given."""
    if len(words) % 2:
        raise Usage("an option has no value, or a value no option")
    given: dict[str, object] = {}
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name not in VENDOR or name in given or value.startswith("--"):
            raise Usage(f"bad option {name} {value}")
        try:
            given[name] = VENDOR[name](value)
        except (ValueError, IndexError):
            raise Usage(f"bad value {name} {value}") from None
    if not given.get("--id") or "--sc-port" not in given:
        raise Usage("--id and --sc-port are needed")
    if ("--license" in given) == ("--license-file" in given):
        raise Usage("one of --license and --license-file is needed")
    if ("--ssl-certificate-file" in given) != ("--ssl-private-key-file" in given):
        raise Usage("a certificate needs its key")
    return given
