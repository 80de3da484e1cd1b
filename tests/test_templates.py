"""``$name`` templates and JSON with comments, as wslink's launcher reads them."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiond.config.commented import read_commented
from sessiond.config.templates import Template

VALUES = {"a": "1", "port": "9001", "_x9": "$a"}
PIECES = st.lists(
    st.sampled_from(["$", "$$", "$a", "${a}", "${port}", "$_x9", "${", "}", "{a}", "$9", "text ", "$nobody"])
)
NOTES = ["// to the end\n", "/* across\nlines */", "/**/", "//\n", " ", "\n"]


@given(PIECES)
def test_as_string_template(pieces: list[str]) -> None:
    """Every text is filled as Python's own templates fill it that leave unknown names as they are."""
    text = "".join(pieces)
    assert Template.of(text).filled(VALUES) == string.Template(text).safe_substitute(VALUES)


def test_names() -> None:
    """Names are told as they are written."""
    template = Template.of("--port=$port ${a}$$ $9")
    assert [(name.name, name.written) for name in template.names] == [("port", "$port"), ("a", "${a}")]
    assert template.put(lambda name: f"<{name.name}>", str.upper) == "--PORT=<port> <a>$ $9"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.data())
def test_comments(value: object, data: st.DataObject) -> None:
    """Comments may stand between any two words; what looks like one within a text is none."""
    written = json.dumps(value, indent=1).splitlines()
    noted = "".join(line + data.draw(st.sampled_from(NOTES)) for line in written)
    assert read_commented(noted) == value


def test_comments_within_texts() -> None:
    """A text keeps what stands in it."""
    assert read_commented('{"url": "ws://a/b" /* c */, "q": "\\"// no" // yes\n}') == {"url": "ws://a/b", "q": '"// no'}


@pytest.mark.parametrize("text", ["", "{", '{"a": 1,}', "/* open", "[" * 100_000])
def test_no_json(text: str) -> None:
    """What is no JSON is refused."""
    with pytest.raises(ValueError, match=r".+"):
        read_commented(text)


def test_place_of_a_fault() -> None:
    """A fault is told where it stands in the file as it was written."""
    with pytest.raises(ValueError, match="line 3 column 4"):
        read_commented('{ // a comment\n "a": /* another\n*/ oops }')
