"""Rows: how a session and a fact stand in a table, the same in every database.

A session's row has the columns that somebody may ask for and one JSON document that holds all of its fields; only the
document is read back. It is plain ASCII, so a database keeps it as text without looking into it.
"""

from __future__ import annotations

import json
from typing import Any

from attrs import asdict, astuple, frozen

from sessiond.core.errors import StoreError
from sessiond.core.facts import Fact, StoredFact
from sessiond.core.session import Session
from sessiond.stores.documents import DocumentError, form_of

_SESSION = form_of(Session)
_FACT = form_of(Fact)


@frozen
class SessionRow:
    """A session in the table ``sessions``; fields in the order of the columns."""

    id: str
    service: str
    pool: str
    owner: str
    state: str
    slot: int | None
    version: int
    document: str

    def values(self) -> tuple[Any, ...]:
        """Give the columns as parameters of a statement."""
        return astuple(self, recurse=False)


@frozen
class FactRow:
    """A fact in the table ``facts``, without its offset; fields in the order of the columns."""

    type: str
    session_id: str
    service: str
    owner: str
    at: float
    version: int
    data: str

    def values(self) -> tuple[Any, ...]:
        """Give the columns as parameters of a statement."""
        return astuple(self, recurse=False)


def row_of(session: Session) -> SessionRow:
    """Write a session.

    :raises StoreError: a field has a value that it must not have; the text names session and field.
    """
    try:
        document = _SESSION.write(session)
    except DocumentError as error:
        raise StoreError(f"session {session.id!r} can't be written: {error}") from error
    return SessionRow(
        id=session.id,
        service=session.service,
        pool=session.pool,
        owner=session.owner,
        state=session.state.value,
        slot=session.slot,
        version=session.version,
        document=_dumps(document),
    )


def session_of(session_id: str, document: str) -> Session:
    """Read a session back.

    :param session_id: the row's key, for the error.
    :raises StoreError: a field is missing or has a value that this version lacks; the text names session and field.
    """
    try:
        session = _SESSION.read(_loads(document))
    except DocumentError as error:
        raise StoreError(f"session {session_id!r} can't be read: {error}") from error
    if not isinstance(session, Session) or session.id != session_id:
        raise StoreError(f"session {session_id!r} can't be read: its document is another session's")
    return session


def fact_row_of(fact: Fact) -> FactRow:
    """Write a fact.

    :raises StoreError: a field has a value that it must not have; the text names session, fact and field.
    """
    try:
        written = _FACT.write(fact)
    except DocumentError as error:
        raise StoreError(f"fact {fact.type} of {fact.session_id!r} can't be written: {error}") from error
    return FactRow(**{**written, "data": _dumps(written["data"])})


def fact_of(offset: int, row: FactRow) -> StoredFact:
    """Read a fact back.

    :raises StoreError: a field has a value that this version lacks; the text names the offset and the field.
    """
    try:
        document = {**asdict(row), "data": _loads(row.data)}
        return StoredFact(offset, _FACT.read(document))
    except DocumentError as error:
        raise StoreError(f"fact {offset} can't be read: {error}") from error


_dumps = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def _loads(document: str) -> Any:
    try:
        return json.loads(document)
    except ValueError:
        raise DocumentError("it is no JSON") from None
