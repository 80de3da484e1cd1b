"""``$name`` templates, as wslink's launcher and much else in Python has them (``string.Template``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from attrs import frozen

# What a dollar sign stands before that is no name stays as it is, as with ``safe_substitute``.
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_TOKEN = re.compile(rf"\$(?:\$|(?P<bare>{_NAME})|\{{(?P<braced>{_NAME})\}})")


@frozen
class Name:
    """A name that something is put in for.

    :ivar written: as it stands in the template, dollar sign and braces included.
    """

    name: str
    written: str


Part = str | Name


@frozen
class Template:
    """A text with names in it."""

    parts: tuple[Part, ...] = ()

    @classmethod
    def of(cls, text: str) -> Template:
        """Read one; every text is one."""
        parts: list[Part] = []
        at = 0
        for token in _TOKEN.finditer(text):
            name = token["bare"] or token["braced"]
            parts += [text[at : token.start()], "$" if name is None else Name(name, token[0])]
            at = token.end()
        parts.append(text[at:])
        return cls(tuple(part for part in parts if part))

    @property
    def names(self) -> tuple[Name, ...]:
        """List what it asks for, in order, repeats included."""
        return tuple(part for part in self.parts if isinstance(part, Name))

    def put(self, fill: Callable[[Name], str], literal: Callable[[str], str] = str) -> str:
        """Make a text of it.

        :param fill: gives what stands in place of a name.
        :param literal: gives what stands in place of the rest.
        """
        return "".join(fill(part) if isinstance(part, Name) else literal(part) for part in self.parts)

    def filled(self, values: Mapping[str, str]) -> str:
        """Put values in; a name that has none stays as it was written."""
        return self.put(lambda name: values.get(name.name, name.written))
