"""Expressions that some text would keep busy are told from those that none can."""

import re
import time

import pytest

from sessiond.config.patterns import costs_little

LITTLE = (
    *("[a-z]+", ".*", ".*x.*", r"[\w.-]+@[\w.-]+", "red|green|blue", "(a|ab)(c|bcd)d*", "([ab])*", "(a{0,3}){0,3}"),
    *("[a-z]++(-[a-z]++)*+", "(?>a+)*b", "(?=a*)b", "(?!a*b)[a-z]*", r"[a-z]{1,20}\.[a-z]{1,20}\.[a-z]{1,20}"),
    *("(?P<n>a)?(?(n)b|c)", r"(a)\1", "", "(?i:ab)+?c", "x{256}", "(?:)*"),
)
MUCH = (
    *("(a+)+", "(a*)*", "(a|a?)*", "(ab|cd)*", "a*a*a*b", "(?:a?){25}a{25}", "(a+)+?b", r"(\w+\s?)+", "(.*,)*x"),
    *("((a{0,9}){0,9}){0,9}", "(?=(a+)+b)a", "(?>(a+)+b)", r"(.*)(.*)\1\2", "x*(?(1)y)(a*)*()", "(a+)+|b"),
)


@pytest.mark.parametrize("pattern", LITTLE)
def test_little(pattern: str) -> None:
    """What goes on from each character in one way, or in few, may stand."""
    re.compile(pattern)
    assert costs_little(pattern, 256)


@pytest.mark.parametrize("pattern", MUCH)
def test_much(pattern: str) -> None:
    """Repeats within repeats, and many repeats one behind the other, may not."""
    assert not costs_little(pattern, 256)


def test_length_counts() -> None:
    """The same expression may stand for shorter text."""
    assert costs_little("a*a*a*b", 40)
    assert not costs_little("a*b*", 4096)


@pytest.mark.parametrize("pattern", [".*x.*", "([a-c]*)([b-d]*)e", "(a{0,3}){0,3}b", "(?:a|aa){1,12}b", "a++(ba++)*+c"])
def test_bound_holds(pattern: str) -> None:
    """What is said to cost little does: text that fails in the end is done with before anybody notices."""
    assert costs_little(pattern, 256)
    begun = time.process_time()
    for text in ("a" * 256, "ab" * 128, "b" * 255 + "!", "x" * 256):
        re.fullmatch(pattern, text)
    assert time.process_time() - begun < 2.0  # some 0.01 s, where those that are refused take years
