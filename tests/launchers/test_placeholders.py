"""Placeholders are filled from what is known, and from nothing else; no value becomes more than it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiond.core.services import Scalar
from sessiond.launchers.placeholders import PlaceholderError, check, fill, names_in, values_of

VALUES: dict[str, Scalar] = {"port": 11000, "id": "demo-x1", "options.size": "1x2", "options.shift": -3}


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("plain", "plain"),
        ("", ""),
        ("${port}", "11000"),
        (":${port}:${port}", ":11000:11000"),
        ("--size=${options.size}", "--size=1x2"),
        ("${options.shift}", "-3"),
        ("$${port}", "${port}"),
        ("$$$${id}", "$${id}"),
        ("$HOME and ^a$", "$HOME and ^a$"),
        ("5$", "5$"),
    ],
)
def test_fill(template: str, filled: str) -> None:
    """Names become values, two dollars one, and a dollar before anything else stays."""
    assert fill(template, VALUES) == filled


@pytest.mark.parametrize("template", ["${", "a${port", "${port${id}}", "${a$b}"])
def test_unfinished(template: str) -> None:
    """A placeholder without an end is refused, both when it is filled and when it is looked at."""
    with pytest.raises(PlaceholderError, match="unfinished"):
        fill(template, VALUES)
    with pytest.raises(PlaceholderError, match="unfinished"):
        names_in(template)


@pytest.mark.parametrize("name", ["", "PORT", "options.", "options.other", " port", "socket"])
def test_no_value(name: str) -> None:
    """What has no value is refused by name, never filled with nothing."""
    with pytest.raises(PlaceholderError, match="nothing to put in"):
        fill(f"${{{name}}}", VALUES)


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b"])
def test_line_ends(value: str) -> None:
    """A value with a line end or NUL is refused, and not repeated."""
    with pytest.raises(PlaceholderError) as refused:
        fill("x${options.size}", {"options.size": value})
    assert value not in str(refused.value)


def test_no_option_out_of_an_option() -> None:
    """A client's text can't become an option of the program."""
    with pytest.raises(PlaceholderError, match="dash"):
        fill("${options.size}", {"options.size": "--help"})
    assert fill("--size=${options.size}", {"options.size": "--help"}) == "--size=--help"


def test_server_wins() -> None:
    """No option can take the place of what the server knows."""
    values = values_of({"port": 1, "options.x": "server"}, {"port": 2, "x": "client"})
    assert values == {"port": 1, "options.port": 2, "options.x": "server"}


def test_names() -> None:
    """Names are listed in order, and an escaped dollar begins none."""
    assert names_in("${port} $${id} ${options.a b}${port}") == ("port", "options.a b", "port")


def test_check() -> None:
    """All names are known, or the first unknown one is named."""
    assert check(["a", "${port}", "x${options.size}"], ["size"]) == {"port", "options.size"}
    with pytest.raises(PlaceholderError, match=r"unknown placeholder \$\{options.other\}"):
        check(["${options.other}"], ["size"])
    with pytest.raises(PlaceholderError, match=r"unknown placeholder \$\{secrets\}"):
        check(["${port}", "${secrets}"], [])


@given(st.text(), st.text(alphabet=st.characters(exclude_characters="\0\r\n")))
def test_values_are_never_templates(around: str, value: str) -> None:
    """A value is put in as it is: what looks like a placeholder in it is none."""
    around = around.replace("$", "")
    assert fill(f"x{around}${{options.v}}", {"options.v": value}) == f"x{around}{value}"


@given(st.text())
def test_escaped_text_is_itself(text: str) -> None:
    """Any text can be written as a template."""
    assert fill(text.replace("$", "$$"), {}) == text
