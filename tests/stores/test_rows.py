"""Rows of sessions and facts, and the schema's promise that old documents stay readable."""

import json
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given

from sessiond.core.errors import StoreError
from sessiond.core.facts import Fact
from sessiond.core.session import Session
from sessiond.stores.opening import schema_steps
from sessiond.stores.rows import FactRow, fact_of, fact_row_of, row_of, session_of
from tests.contracts.store import FULL, fact
from tests.strategies import calm, facts, sessions

SAMPLES = Path(__file__).with_name("samples")


@calm
@given(sessions())
def test_session_comes_back(session: Session) -> None:
    """A session is read from its document as it was written, and the document is plain ASCII."""
    row = row_of(session)
    assert row.document.isascii()
    assert session_of(row.id, row.document) == session


@calm
@given(sessions())
def test_columns_repeat_the_document(session: Session) -> None:
    """Each column says what the document says."""
    *columns, document = row_of(session).values()
    found = json.loads(document)
    assert columns == [found[name] for name in ("id", "service", "pool", "owner", "state", "slot", "version")]


@calm
@given(facts())
def test_fact_comes_back(told: Fact) -> None:
    """A fact is read from its columns as it was written."""
    row = FactRow(*fact_row_of(told).values())
    assert fact_of(9, row).fact == told
    assert fact_of(9, row).offset == 9


@pytest.mark.parametrize("document", ["", "{", "[]", "null", "{}", '"x"', '{"id": "clock-k3v9q2"}'])
def test_torn_document(document: str) -> None:
    """A document that is none is a named error that tells the session."""
    with pytest.raises(StoreError, match="session 'clock-k3v9q2' can't be read"):
        session_of("clock-k3v9q2", document)


def test_document_of_another() -> None:
    """A row whose document belongs to another session is refused."""
    with pytest.raises(StoreError, match="session 'other' can't be read: its document is another session's"):
        session_of("other", row_of(FULL).document)


@pytest.mark.parametrize("data", ["", "[]", '{"a": [1]}'])
def test_torn_fact(data: str) -> None:
    """A fact that does not fit is a named error that tells its offset."""
    with pytest.raises(StoreError, match="fact 3 can't be read"):
        fact_of(3, evolve(fact_row_of(fact()), data=data))


def test_documents_have_their_schema() -> None:
    """The document has the fields that its schema number stands for.

    Where this fails, the fields of a session were changed. Before the first release, write the sample anew; after it,
    add the next ``schema/sqlite-000N.sql`` that brings old documents to the new fields, and a sample of its own.
    """
    sample = json.loads((SAMPLES / f"session-{len(schema_steps())}.json").read_text(encoding="utf-8"))
    assert json.loads(row_of(FULL).document) == sample
