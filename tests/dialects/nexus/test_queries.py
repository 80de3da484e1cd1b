"""Queries as Nexus' clients write them."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessiond.dialects.nexus.queries import Query, read_query

FORMS: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "nothing": ("", {}, ()),
    "encoded": ("target_pathname=%2Fdata%2Fmy%20model.evsn", {"target_pathname": "/data/my model.evsn"}, ()),
    "as a form encodes it": ("target_pathname=my+model.evsn", {"target_pathname": "my model.evsn"}, ()),
    "bare, with a plus": ("target_pathname=/data/a+b.evsn", {"target_pathname": "/data/a+b.evsn"}, ()),
    "a bare drive": (r"target_pathname=C:\a+b.evsn", {"target_pathname": r"C:\a+b.evsn"}, ()),
    "decoded once": ("target_pathname=a%2525b", {"target_pathname": "a%25b"}, ()),
    "last and unencoded": (
        "instance_name=X&target_pathname=http://h/x?a=1&b=2",
        {"instance_name": "X", "target_pathname": "http://h/x?a=1&b=2"},
        (),
    ),
    "first": (
        "target_pathname=m.evsn&instance_name=X",
        {"target_pathname": "m.evsn", "instance_name": "X"},
        (),
    ),
    "first, then the security token": ("target_pathname=m&security_token=K", {"target_pathname": "m"}, ("K", "K")),
    "both behind": (
        "target_pathname=m&instance_name=X&security_token=K",
        {"target_pathname": "m", "instance_name": "X"},
        ("K", "K"),
    ),
    "a security token in the midst": (
        "target_pathname=m&security_token=K&b=2",
        {"target_pathname": "m&b=2"},
        ("K", "K"),
    ),
    "an instance in the midst stays": (
        "target_pathname=m&instance_name=X&b=2",
        {"target_pathname": "m&instance_name=X&b=2"},
        (),
    ),
    "a second mark": (
        "instance_name=X?target_pathname=m.evsn",
        {"instance_name": "X", "target_pathname": "m.evsn"},
        (),
    ),
    "two marks at once": ("?target_pathname=m.evsn", {"target_pathname": "m.evsn"}, ()),
    "a mark before the security token": ("size=s?security_token=K", {"size": "s"}, ("K", "K")),
    "another mark is no mark": ("size=s?other=1", {"size": "s?other=1"}, ()),
    "an encoded name": ("security%5Ftoken=K&a=b", {"a": "b"}, ("K", "K")),
    "an unknown field": ("sizes=1600x1200", {"sizes": "1600x1200"}, ()),
    "twice": ("a=1&a=2", {"a": "1"}, ()),
    "no value": ("a&=&&b=", {"a": "", "b": ""}, ()),
    "a plus in the token": ("security_token=a+b", {}, ("a+b", "a b")),
    "no UTF-8": ("a=%ff", {"a": "\ufffd"}, ()),
    "no hexadecimal": ("a=%zz%", {"a": "%zz%"}, ()),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(name: str) -> None:
    """Each form that a client writes is understood as it was meant."""
    raw, options, tokens = FORMS[name]
    assert read_query(raw.encode()) == Query(tokens, options)


def test_bytes_beyond_ascii() -> None:
    """A target that nobody has encoded may hold letters of any language."""
    assert read_query("target_pathname=/é.evsn".encode()).options == {"target_pathname": "/é.evsn"}


PIECES = st.sampled_from(
    [b"&", b"?", b"=", b"+", b"%", b"%26", b"%3D", b"target_pathname=", b"instance_name=", b"security_token="]
)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=4)), max_size=12).map(b"".join))
@example(b"target_pathname=security_token=a&security_token=b&instance_name=c&security_token=d")
def test_anything(raw: bytes) -> None:
    """Whatever comes is read, and the security token is no option."""
    query = read_query(raw)
    assert "security_token" not in query.options
    assert "" not in query.options
    assert all(isinstance(value, str) for value in query.options.values())


@given(st.text(min_size=1, max_size=20), st.text(max_size=20), st.text("abcKEY", min_size=6))
def test_the_security_token_lands_nowhere_else(name: str, value: str, secret: str) -> None:
    """A security token beside any field is found, and no option holds it."""
    for before, after in (("", f"&{quote(name)}={quote(value)}"), (f"{quote(name)}={quote(value)}&", "")):
        query = read_query(f"{before}security_token=<{secret}>{after}".encode())
        assert f"<{secret}>" in query.tokens or name == "target_pathname"
        assert not any(f"<{secret}>" in text for pair in query.options.items() for text in pair)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_encoded_values_come_through(value: str) -> None:
    """What was encoded whole arrives as it was, in a target and elsewhere."""
    query = read_query(f"a={quote(value, safe='')}&target_pathname={quote(value, safe='')}".encode())
    assert query.options == {"a": value, "target_pathname": value}
