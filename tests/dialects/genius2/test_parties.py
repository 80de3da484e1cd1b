"""What a file of a parties folder says of its party is taken only where it makes sense."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiond.core.services import Framing
from sessiond.dialects.genius2.parties import (
    NAME,
    Unusable,
    Written,
    check_name,
    main_class_of,
    read_capabilities,
    read_description,
    read_descriptor,
    stem_of,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KEYS = ("command", "framing", "env", "capabilities", "description")


def test_descriptor() -> None:
    """A command is enough; what is left out the party is asked."""
    assert read_descriptor(b'{"command": ["x", "y"]}') == Written(("x", "y"))
    whole = {
        "command": ["x"],
        "framing": "line",
        "env": {"A": "b"},
        "capabilities": {"profiles": [], "behaviours": ["b", "a"], "more": 1},
        "description": "",
    }
    found = read_descriptor(json.dumps(whole).encode())
    assert (found.framing, found.env, found.description) == (Framing.LINES, {"A": "b"}, "")
    assert found.capabilities == {"behaviours": ["a", "b"], "more": 1, "profiles": []}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"comand": []}, "the descriptor has an unknown key 'comand'"),
        ({"command": []}, "command: a list of texts is needed"),
        ({"command": "x"}, "command: a list of texts is needed"),
        ({"command": ["x", 1]}, "command: a list of texts is needed"),
        ({"framing": "lines"}, "framing: one of length, line is needed"),
        ({"env": []}, "env: texts by name are needed"),
        ({"env": {"A": 1}}, "env: texts by name are needed"),
        ({"capabilities": []}, "capabilities: an object is needed"),
        ({"capabilities": {"behaviours": ["a"]}}, "capabilities: profiles must be a list of texts"),
        ({"description": 1}, "description: a text is needed"),
    ],
)
def test_no_descriptor(changes: dict[str, Any], why: str) -> None:
    """The text says what is wrong, for the operator."""
    with pytest.raises(Unusable) as unusable:
        read_descriptor(json.dumps({"command": ["x"]} | changes).encode())
    assert str(unusable.value) == why


@given(st.binary(max_size=40) | st.dictionaries(st.sampled_from(KEYS), JSON).map(lambda d: json.dumps(d).encode()))
def test_whatever_is_written(raw: bytes) -> None:
    """Whatever a party's file or its output holds is read, or unusable."""
    for reader in (read_descriptor, read_capabilities, read_description):
        with contextlib.suppress(Unusable):
            assert reader(raw) is not None


@pytest.mark.parametrize("name", ["a", "a.b-c_D9", "..a"])
def test_name(name: str) -> None:
    """A name is one part of a path."""
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "ü", "a\n"])
def test_no_name(name: str) -> None:
    """What would be cut or changed in an address is none."""
    with pytest.raises(Unusable):
        check_name(name)


@given(st.text(min_size=1))
def test_stem(name: str) -> None:
    """An id has one underscore, and begins with a letter."""
    stem = stem_of(name)
    assert NAME.fullmatch(stem)
    assert stem[0].isalpha()
    assert stem.isalnum()


@pytest.mark.parametrize(
    "manifest",
    [
        b"Manifest-Version: 1.0\r\nMain-Class: geniusweb.Party\r\n",
        b"Main-Class: geniusweb.Party",
        b"Manifest-Version: 1.0\nMain-Class: geniuswe\n b.Party\nX: y\n",
    ],
)
def test_main_class(manifest: bytes) -> None:
    """A jar's manifest names its class, maybe on more than one line."""
    assert main_class_of(manifest) == "geniusweb.Party"


@pytest.mark.parametrize("manifest", [b"", b"Main-Class:", b"X-Main-Class: a.B\n", b"Main-Class: a b\n", b"\xff\0"])
def test_no_main_class(manifest: bytes) -> None:
    """A manifest that names none is told."""
    with pytest.raises(Unusable, match="Main-Class"):
        main_class_of(manifest)
