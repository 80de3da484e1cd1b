"""What the REST reference says beside its examples: figures, closed lists, and what it says is not given."""

import re

from sessiond.core.draft import RECLAIMS
from sessiond.core.errors import Code
from sessiond.launchers import child
from sessiond.web import access, api_sessions, bodies, orders, wire
from sessiond.web.openapi import SESSION
from tests.docs.documents import ROOT, page, tables, words


def text() -> str:
    """Give the page on one line."""
    return " ".join(page("rest").split())


def section(title: str) -> str:
    """Give what stands below a title, on one line."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n---|\Z)", page("rest"), re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return " ".join(found[1].split())


def test_numbers_are_the_daemons_own() -> None:
    """Bounds and times on the page are those in the code."""
    for said in (
        f"1 to {orders.KEY_LENGTH} printable ASCII characters",
        f"the session is ready, {orders.WAIT_S:.0f} seconds at most",
        f"or {orders.WAIT_S:.0f} seconds are over",
        f"{api_sessions.LINES} or as many as ``lines`` asks for (1 to {api_sessions.MOST_LINES})",
        f"the last {child.TAIL_LINES} lines are kept",
        f"Bodies of more than {bodies.BODY_BYTES // 1024} KiB",
        f"a body of more than {wire.DROP_BYTES >> 20} MiB",
    ):
        assert said in text(), said


def test_scopes_are_told() -> None:
    """The table of scopes has each, in the order in which they include each other."""
    [found] = [table for table in tables(page("rest")) if table.section == "Who calls"]
    assert [words(row[0])[0] for row in found.rows] == [scope.value for scope in access.Scope]


def test_deadlines_that_can_be_pushed_are_told() -> None:
    """The section on more time names the deadlines that can be pushed, and no others."""
    said = section("More time").partition("can be pushed")[0].rpartition("stands.")[2]
    assert {*words(said), "lifetime"} == {deadline.value for deadline in RECLAIMS}


def test_members_are_told() -> None:
    """The table of a session's members has each that the example shows and that does not go without saying."""
    [found] = [table for table in tables(page("rest")) if table.section == "Seeing sessions"]
    told = {word for row in found.rows for word in words(row[0])}
    plain = {"id", "service", "owner", "created_at"}
    assert told | plain == set(SESSION["properties"])


def test_codes_that_are_not_given_are_told() -> None:
    """Codes that stand in the table for later versions are said to, and nothing in the daemon gives one."""
    telling = ("errors.py", "openapi.py")
    sources = [path.read_text() for path in (ROOT / "sessiond").rglob("*.py") if path.name not in telling]
    given = {name for source in sources for name in re.findall(r"\bCode\.([A-Z_]+)", source)}
    said = re.search(r"((?:``[a-z-]+``(?:, | and )?)+) (?:is|are) not given by this version", section("Problems"))
    told = set() if said is None else set(words(said[1]))
    assert told == {code.value for code in Code if code.name not in given}
