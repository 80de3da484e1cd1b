"""What viewers ask for, by whichever route: which kind of rendering, and what goes into the program's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from twisted.logger import Logger
from twisted.web.server import Request

from sessiond.config import Rendering
from sessiond.core.errors import Code, Refused, repeated
from sessiond.web.bodies import parse_object

MOST_CHARACTERS = 256
"""How long any text of a client's may be that a program gets (spec 2.1)."""
SEPARATOR = ";"

log = Logger()


@frozen
class Order:
    """A wanted viewer.

    :ivar model: a name below the folders of models; ``directories`` are such folders; empty where none is asked for.
    :ivar token: what the viewer will prove itself with to the program.
    """

    rendering: Rendering = Rendering.CSR
    model: str = ""
    token: str = field(default="", repr=False)
    directories: tuple[str, ...] = ()


def read_body(request: Request) -> dict[str, Any]:
    """Read a body as JSON, whatever its type says, or nothing: clients send any type, or none.

    :raises Refused: ``bad-request``.
    """
    raw = b"" if request.content is None else request.content.read()
    return parse_object(raw) if raw.strip() else {}


def read_spawn(found: Mapping[str, Any]) -> Order:
    """Read ``{"rendererType"}`` (spec 4.2).

    :raises Refused: ``bad-request``.
    """
    word = found.get("rendererType")
    return Order(_rendering(word, {"csr": Rendering.CSR, "ssr": Rendering.SSR}))


def read_service(found: Mapping[str, Any]) -> Order:
    """Read ``{"class", "params"}`` (spec 4.1). Addresses in it for reports are never called.

    :raises Refused: ``bad-request``; ``bad-option`` for what no program may get.
    """
    params = found.get("params")
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise Refused(Code.BAD_REQUEST, "params: an object is needed")
    kinds = {"csr_session": Rendering.CSR, "ssr_session": Rendering.SSR}
    folders = params.get("modelSearchDirectories")
    if folders is None:
        folders = []
    if not isinstance(folders, list):
        raise Refused(Code.BAD_REQUEST, "modelSearchDirectories: a list is needed")
    return Order(
        _rendering(found.get("class"), kinds),
        _model(params.get("model")),
        _text("sessionToken", params.get("sessionToken")),
        tuple(_folder(folder) for folder in folders),
    )


def rendering_of(word: str | None) -> Rendering:
    """Read ``renderingLocation`` of an address (spec 4.4)."""
    return Rendering.SSR if word == "ssr" else Rendering.CSR


def _rendering(word: object, known: Mapping[str, Rendering]) -> Rendering:
    if word is not None and not isinstance(word, str):
        raise Refused(Code.BAD_REQUEST, "the kind of viewer must be a text")
    if word is not None and word not in known:
        log.info("a viewer of the kind {word} is asked for, and gets csr", word=repeated(word))
    return known.get(word or "", Rendering.CSR)


def _text(name: str, value: object) -> str:
    """Read a text that becomes one argument; it must not look like an option, nor end a line of whatever reads it."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused(Code.BAD_REQUEST, f"{name}: a text is needed")
    if value.startswith("-") or not value.isprintable() or len(value) > MOST_CHARACTERS:
        raise Refused(Code.BAD_OPTION, f"{name}: not an allowed text")
    return value


def _model(value: object) -> str:
    found = _text("model", value)
    if found.startswith(("/", "\\")) or SEPARATOR in found or ".." in found.replace("\\", "/").split("/"):
        raise Refused(Code.BAD_OPTION, "model: not an allowed name")
    return found


def _folder(value: object) -> str:
    found = _text("modelSearchDirectories", value)
    if not found or SEPARATOR in found:
        # A second folder could be hidden behind it.
        raise Refused(Code.BAD_OPTION, "modelSearchDirectories: not an allowed folder")
    return found
