"""Placeholders in commands, environments and directories: ``${port}`` and its like, filled from what a session has."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from sessiond.core.services import Scalar, Service, words_of

SERVER_NAMES = frozenset({"port", "socket", "folder", "display", "index", "id", "python", "liveliness", "secret"})
"""What a template may name besides the options of its own service (``options.NAME``)."""

OPTION_PREFIX = "options."

# A "$" before anything but "{" or "$" stands for itself: commands of operators are full of them (regular expressions).
_TOKEN = re.compile(r"\$\$|\$\{([^{}$]*)\}|\$\{")


class PlaceholderError(ValueError):
    """A template can't be filled; the text says why and holds no value of a client's."""


def names_in(template: str) -> tuple[str, ...]:
    """List the names that a template asks for, in their order, repeats included.

    :raises PlaceholderError: a ``${`` has no end.
    """
    names = []
    for token in _TOKEN.finditer(template):
        if token[0] == "${":
            raise PlaceholderError(f"unfinished placeholder in {template!r}")
        if token[1] is not None:
            names.append(token[1])
    return tuple(names)


def check(templates: Iterable[str], options: Collection[str]) -> frozenset[str]:
    """Say which names some templates ask for, all of them known.

    :param options: the names of the service's options.
    :raises PlaceholderError: a template is malformed, or asks for what nothing has.
    """
    known = SERVER_NAMES | {OPTION_PREFIX + option for option in options}
    named = frozenset(name for template in templates for name in names_in(template))
    unknown = sorted(named - known)
    if unknown:
        raise PlaceholderError(f"unknown placeholder ${{{unknown[0]}}}")
    return named


def names_of(service: Service) -> frozenset[str]:
    """Say which names a service asks for; none where it is malformed."""
    templates = (*words_of(service.command), *service.env.values(), service.directory or "")
    try:
        return frozenset(name for template in templates for name in names_in(template))
    except PlaceholderError:
        return frozenset()


def values_of(server: Mapping[str, Scalar], options: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Join what the server knows and what the client chose; no option can hide a name of the server's."""
    return {**{OPTION_PREFIX + name: value for name, value in options.items()}, **server}


def fill(template: str, values: Mapping[str, Scalar]) -> str:
    """Put values into one template. One template stays one argument, whatever a value holds.

    :param values: by name, as :func:`values_of` makes them.
    :raises PlaceholderError: a name has no value, or a value holds what no argument may: a NUL, a line end, or, as text
        from a client at the beginning of an argument, a ``-``, which would make an option of the program out of it.
    """
    names_in(template)

    def replace(token: re.Match[str]) -> str:
        return "$" if token[1] is None else _text(token[1], values, at_start=token.start() == 0)

    return _TOKEN.sub(replace, template)


def _text(name: str, values: Mapping[str, Scalar], *, at_start: bool) -> str:
    try:
        value = values[name]
    except KeyError:
        raise PlaceholderError(f"nothing to put in for ${{{name}}}") from None
    text = str(value)
    if any(character in text for character in "\0\r\n"):
        raise PlaceholderError(f"the value of ${{{name}}} holds a line end or NUL")
    if at_start and name.startswith(OPTION_PREFIX) and isinstance(value, str) and text.startswith("-"):
        raise PlaceholderError(f"the value of ${{{name}}} begins with a dash")
    return text
