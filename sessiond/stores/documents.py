"""Values as JSON and back: attrs classes become objects, enums their values, bytes hexadecimal, tuples lists.

The form of a class is read once from its annotations. Both ways are strict: what does not fit its annotation is refused
by its place, so nothing is written that the next start can't read. A value itself never stands in the error, since it
may be a secret; only a word that no enum knows does.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs
from attrs import frozen

TAG = "is"
"""The key that names the class where an annotation allows several, such as ``Tcp | Unix | Stdio``."""

Convert = Callable[[Any], Any]


class DocumentError(ValueError):
    """A value or a document does not fit; the text begins with the place, as in ``plan.limits.queue_s``."""

    def __init__(self, why: str, place: str = "") -> None:
        super().__init__(f"{place}: {why}" if place else why)
        self.why = why
        self.place = place

    def below(self, name: str) -> DocumentError:
        """Give the same error as it is seen from one level up."""
        return DocumentError(self.why, f"{name}.{self.place}" if self.place else name)


@frozen
class Form:
    """How the values of one annotation are written and read.

    :ivar kinds: the classes of the values themselves; ``written`` those that they have in JSON.
    """

    kinds: tuple[type, ...]
    written: tuple[type, ...]
    write: Convert
    read: Convert


@functools.cache
def form_of(annotation: Any) -> Form:
    """Find the form of an annotation.

    :raises TypeError: it is none that a document can hold: a defect of ours, seen when the module is imported.
    """
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return _union(get_args(annotation))
    if origin is tuple:
        return _list(get_args(annotation))
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(*get_args(annotation))
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _words(annotation)
    if isinstance(annotation, type) and attrs.has(annotation):
        return _object(annotation)
    raise TypeError(f"a document can't hold {annotation!r}")


def _exactly(kind: type, noun: str) -> Form:
    """Make the form of values that are the same in JSON. A subclass does not pass: True is no number."""

    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise DocumentError(f"expected {noun}")
        return value

    return Form((kind,), (kind,), check, check)


def _finite(value: Any) -> float:
    """Take a number. JSON has no infinity."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise DocumentError("expected a finite number")
    return float(value)


def _hexadecimal(value: Any) -> str:
    if type(value) is not bytes:
        raise DocumentError("expected bytes")
    return value.hex()


def _from_hexadecimal(value: Any) -> bytes:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise DocumentError("expected hexadecimal digits") from None


_PLAIN: dict[Any, Form] = {
    str: _exactly(str, "text"),
    int: _exactly(int, "a whole number"),
    bool: _exactly(bool, "true or false"),
    NoneType: _exactly(NoneType, "null"),
    float: Form((float, int), (float, int), _finite, _finite),
    bytes: Form((bytes,), (str,), _hexadecimal, _from_hexadecimal),
}


def _words(words: type[Enum]) -> Form:
    if not all(isinstance(word.value, str) for word in words):
        raise TypeError(f"{words.__name__} has values that are no words")

    def write(value: Any) -> Any:
        if type(value) is not words:
            raise DocumentError(f"expected a {words.__name__}")
        return value.value

    def read(value: Any) -> Any:
        if type(value) is not str:
            raise DocumentError("expected a word")
        try:
            return words(value)
        except ValueError:
            raise DocumentError(f"no {words.__name__} is called {value[:40]!r}") from None

    return Form((words,), (str,), write, read)


def _list(arguments: tuple[Any, ...]) -> Form:
    if len(arguments) != 2 or arguments[1] is not Ellipsis:
        raise TypeError("only tuples of any length are kept")
    item = form_of(arguments[0])

    def write(value: Any) -> Any:
        if not isinstance(value, tuple):
            raise DocumentError("expected a tuple")
        return [_at(str(index), item.write, one) for index, one in enumerate(value)]

    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise DocumentError("expected a list")
        return tuple(_at(str(index), item.read, one) for index, one in enumerate(value))

    return Form((tuple,), (list,), write, read)


def _mapping(key_annotation: Any, value_annotation: Any) -> Form:
    key, item = form_of(key_annotation), form_of(value_annotation)
    if key.written != (str,):
        raise TypeError("keys are words: JSON has no others")

    def write(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise DocumentError("expected a mapping")
        named = [(key.write(name), one) for name, one in value.items()]
        return {name: _at(name, item.write, one) for name, one in named}

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise DocumentError("expected an object")
        return {key.read(name): _at(name, item.read, one) for name, one in value.items()}

    return Form((dict,), (dict,), write, read)


def _object(cls: type) -> Form:
    """Make the form of an attrs class: every field must be there.

    A key that the class lacks is passed over: a store that a newer version wrote is told by its schema number.
    """
    hints = get_type_hints(cls)
    fields = [(attribute.name, form_of(hints[attribute.name])) for attribute in attrs.fields(cls)]
    writes = [(name, form.write) for name, form in fields]
    reads = [(name, form.read) for name, form in fields]

    def write(value: Any) -> Any:
        if type(value) is not cls:
            raise DocumentError(f"expected a {cls.__name__}")
        return {name: _at(name, convert, getattr(value, name)) for name, convert in writes}

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise DocumentError("expected an object")
        missing = [name for name, _ in reads if name not in value]
        if missing:
            raise DocumentError("is missing", missing[0])
        return cls(**{name: _at(name, convert, value[name]) for name, convert in reads})

    return Form((cls,), (dict,), write, read)


def _union(annotations: tuple[Any, ...]) -> Form:
    """Make the form of a union, whose members must be told apart by their class in JSON, or by a tag."""
    classes = [one for one in annotations if isinstance(one, type) and attrs.has(one)]
    members = [form_of(one) for one in annotations if one not in classes or len(classes) == 1]
    if len(classes) > 1:
        members.append(_tagged(classes))
    by_kind = _sorted_by(members, lambda form: form.kinds)
    by_written = _sorted_by(members, lambda form: form.written)

    def write(value: Any) -> Any:
        return _pick(by_kind, value).write(value)

    def read(value: Any) -> Any:
        return _pick(by_written, value).read(value)

    return Form(tuple(by_kind), tuple(by_written), write, read)


def _sorted_by(members: list[Form], classes: Callable[[Form], tuple[type, ...]]) -> dict[type, Form]:
    """Map each class to the member that takes it; the one for which it comes first has precedence (int over float)."""
    found = {classes(form)[0]: form for form in members}
    if len(found) < len(members):
        raise TypeError("members of this union look the same")
    for form in members:
        for kind in classes(form):
            found.setdefault(kind, form)
    return found


def _pick(members: Mapping[type, Form], value: Any) -> Form:
    form = members.get(type(value))
    if form is None:
        raise DocumentError("is of no kind that is allowed here")
    return form


def _tagged(classes: list[type]) -> Form:
    forms = {cls: form_of(cls) for cls in classes}
    by_tag = {cls.__name__.lower(): form for cls, form in forms.items()}

    def write(value: Any) -> Any:
        return {TAG: type(value).__name__.lower(), **forms[type(value)].write(value)}

    def read(value: Any) -> Any:
        tag = value.get(TAG)
        form = by_tag.get(tag) if isinstance(tag, str) else None
        if form is None:
            raise DocumentError(f"expected one of {', '.join(by_tag)}", TAG)
        return form.read(value)

    return Form(tuple(classes), (dict,), write, read)


def _at(name: str, convert: Convert, value: Any) -> Any:
    """Convert what stands at ``name``, and say so if it does not fit."""
    try:
        return convert(value)
    except DocumentError as error:
        raise error.below(name) from None
