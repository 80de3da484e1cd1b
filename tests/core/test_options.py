"""What a client gave for an option is taken only as the option says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiond.core.errors import Code, Refused
from sessiond.core.options import LONGEST_PATH, MOST_FOLDERS, check_options
from sessiond.core.services import Choice, File, Folders, Integer, OptionType, Pattern

MODEL = File("/srv/models", "cube.stl", (".stl", ".obj"))
ANY_FILE = File("/srv/models", "x")
FOLDERS = Folders(("/srv/models", "/data"), "/srv/models;/data")
KINDS: tuple[OptionType, ...] = (
    Choice(("small", "large", "-x", "a\nb"), "small"),
    Integer(-3, 3, 0),
    Pattern("(?s:.*)", "x"),
    MODEL,
    ANY_FILE,
    FOLDERS,
)


@pytest.mark.parametrize(
    "value", ["cube.stl", "a/b/c.obj", "a b.stl", "ü/é.stl", "a\\b.stl", "a/-b.stl", "~/x.stl", "%2e.stl"]
)
def test_file(value: str) -> None:
    """A relative path with a name that ends as it should is taken as it is."""
    assert check_options({"model": MODEL}, {"model": value}) == {"model": value}


@pytest.mark.parametrize(
    "value",
    [
        *("", "/", "/cube.stl", "//cube.stl", "cube.stl/", "a//b.stl", "./cube.stl", "../cube.stl", "a/../b.stl"),
        *("..", ".", "a/..", ".hidden.stl", "a/.hidden.stl", ".git/b.stl", "...stl", "-cube.stl", "cube.stl\0"),
        *("cube.stl\n", "a\nb.stl", "a\rb.stl", "a\u2028b.stl", "a\x7fb.stl", "cube.txt", "cube.STL", "cube", ".stl"),
        *("x" * LONGEST_PATH + ".stl", "\udc2e\udc2e/x.stl"),
    ],
)
def test_no_file(value: str) -> None:
    """A path that could lead out of its folder, or to what is hidden, is refused, and so is another kind of name."""
    with pytest.raises(Refused) as refused:
        check_options({"model": MODEL}, {"model": value})
    assert refused.value.code is Code.BAD_OPTION
    assert refused.value.detail.startswith("model: ")


@pytest.mark.parametrize(
    "value",
    ["/srv/models", "/data", "/srv/models/a/b c", "/data/x;/srv/models", ";".join(["/data/x"] * MOST_FOLDERS)],
)
def test_folders(value: str) -> None:
    """Each folder is one of the roots, or lies below one."""
    assert check_options({"where": FOLDERS}, {"where": value}) == {"where": value}


@pytest.mark.parametrize(
    "value",
    [
        *("", ";", "/", "data", "/datas", "/srv", "/data/", "/data//x", "/data/../etc", "/data/..", "/data/.x"),
        *("/data/./x", "/data;", ";/data", "/data;/etc", "/etc;/data", "/data;x", "/data/x\n", "-/data"),
        "/data/" + "x" * LONGEST_PATH,
        ";".join(["/data/x"] * (MOST_FOLDERS + 1)),
    ],
)
def test_no_folders(value: str) -> None:
    """One folder that lies elsewhere is enough to refuse them all."""
    with pytest.raises(Refused, match="bad-option"):
        check_options({"where": FOLDERS}, {"where": value})


@pytest.mark.parametrize(
    "kind", [Pattern("[a-z]+", "", optional=True), File("/srv/models", "", (".stl",), optional=True)]
)
def test_optional(kind: OptionType) -> None:
    """What is optional may be left out or empty, and is otherwise as strict as ever."""
    assert check_options({"x": kind}, {}) == check_options({"x": kind}, {"x": ""}) == {"x": ""}
    for value in (" ", "../a.stl", "-", None):
        with pytest.raises(Refused, match="bad-option"):
            check_options({"x": kind}, {"x": value})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "value", ["-x", "a\nb", "a\rb", "a\0b", "\x1b[31m", "a\u2029b", None, [], {}, 1.5, True, 2**80]
)
def test_refused_for_every_type(kind: OptionType, value: object) -> None:
    """Dashes in front, control characters, line ends and other types are refused, whatever an option declares."""
    with pytest.raises(Refused, match="bad-option"):
        check_options({"x": kind}, {"x": value})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from("abcdefg") | st.text(), JSON | st.sampled_from(["../x", "/x", "a/b", "small", 2]))
)
def test_whatever_is_given(given: dict[str, object]) -> None:
    """Whatever a client gives is refused, or has become one value for each declared option and no other."""
    declared = dict(zip("abcdef", KINDS, strict=True))
    try:
        found = check_options(declared, given)
    except Refused:
        return
    assert set(found) == set(declared)
    assert found["a"] in ("small", "large")
    assert found["b"] in range(-3, 4)
    for name in "cdef":
        assert isinstance(found[name], str)
        assert not str(found[name]).startswith("-")
    assert not {"", ".", ".."} & set(str(found["e"]).split("/"))


@pytest.mark.parametrize(
    ("value", "allowed"), [("abc", True), ("abc!", True), ("!abc", False), ("$unsaid", True), ("$unsaid!", False)]
)
def test_matched_at_the_start(value: str, allowed: bool) -> None:
    """An expression of this kind need not match the whole text, nor the default at all."""
    declared = {"x": Pattern("[a-z]+", "$unsaid", at_start=True)}
    if allowed:
        assert check_options(declared, {"x": value}) == {"x": value}
    else:
        with pytest.raises(Refused):
            check_options(declared, {"x": value})
