"""Reads ``[feeds.NAME]``: topics of events that others bring."""

from __future__ import annotations

from sessiond.config.table import Table, matching, name, text
from sessiond.config.units import Unfit
from sessiond.config.values import FeedSource

SESSIONS = "sessions"
FIELD = matching(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", "the name of a member of an event's data")


def read_feeds(root: Table) -> tuple[FeedSource, ...]:
    """Read all feeds."""
    found = []
    for called, table in root.tables("feeds"):
        try:
            name(called)
        except Unfit as unfit:
            table.fault("", str(unfit))
        if called == SESSIONS:
            table.fault("", "is the topic of what happens to sessions")
        feed = FeedSource(
            called,
            exchange=table.read("exchange", text, None),
            key=table.read("key", text, "#"),
            owner_field=table.read("owner_field", FIELD, None),
            group=table.read("group", text, None),
        )
        table.done()
        found.append(feed)
    return tuple(found)
