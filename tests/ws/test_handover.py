"""What of a client's request goes on to a program that answers it itself."""

from __future__ import annotations

import pytest
from twisted.web.http import parse_qs

from sessiond.ws.handover import without_secrets


@pytest.mark.parametrize(
    ("target", "passed"),
    [
        (b"/tunnel", b"/tunnel"),
        (b"/tunnel?token=t", b"/tunnel"),
        (b"/tunnel?ticket=t", b"/tunnel"),
        (b"/tunnel?ticket=t&size=1", b"/tunnel?size=1"),
        (b"/tunnel?size=1&token=t", b"/tunnel?size=1"),
        (b"/tunnel?a=1&token=t&b=2;c=3", b"/tunnel?a=1&b=2;c=3"),
        (b"/tunnel?a=1;token=t", b"/tunnel?a=1"),
        (b"/tunnel?token=t;ticket=u;a=1", b"/tunnel?a=1"),
        (b"/tunnel?%74oken=t&tick%65t=u&a", b"/tunnel?a"),
        (b"/tunnel?a=token=t", b"/tunnel?a=token=t"),
        (b"/tunnel?tokens=1&Token=2", b"/tunnel?tokens=1&Token=2"),
    ],
)
def test_without_secrets(target: bytes, passed: bytes) -> None:
    """What the daemon would take for a token or ticket is left out, and nothing else."""
    assert without_secrets(target) == passed
    assert not {b"token", b"ticket"} & parse_qs(passed.partition(b"?")[2], True).keys()
