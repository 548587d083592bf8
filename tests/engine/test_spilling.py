"""Rows that are kept for later come back as they were."""

import datetime
import errno
import os
import tracemalloc
import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendkit import spilling
from backendkit.engine import dbapi
from backendkit.engine.spilling import RowSpill
from backendkit.stores import BATCH_BYTES
from tests.effort import effort

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters()),
    st.binary(),
    st.decimals(),
    st.dates(),
    st.times().map(lambda time: time.replace(fold=0)),  # not stored
    st.datetimes(timezones=st.sampled_from([None, datetime.UTC])).map(
        lambda moment: moment.replace(fold=0)
    ),
    st.timedeltas(),
    st.uuids(),
)
ROWS = st.lists(st.tuples(VALUES, VALUES), min_size=1)


class Label(str):
    """A text that a store has a class of its own for."""


def shown(rows):
    """Return what tells rows apart, their types and NaN included."""
    return [[(type(value), repr(value)) for value in row] for row in rows]


@given(st.lists(ROWS), st.booleans())
def test_rows_come_back(batches, in_memory):
    spill = RowSpill()
    if not in_memory:
        spill.add([(bytes(BATCH_BYTES),)])
    for rows in batches:
        spill.add(rows)
    kept = iter(spill)
    if not in_memory:
        assert next(kept) == (bytes(BATCH_BYTES),)
    assert shown(kept) == shown(row for rows in batches for row in rows)


def test_a_subclass_is_kept_as_what_it_is_of():
    spill = RowSpill()
    spill.add([(Label("a"), 1)])
    assert shown(spill) == shown([("a", 1)])
    with pytest.raises(dbapi.InterfaceError, match="object isn't a type of values"):
        spill.add([(object(),)])


def test_memory_holds_a_few_rows():
    rows = effort(test=50, soak=500)
    tracemalloc.start()
    try:
        spill = RowSpill()
        for number in range(rows):
            spill.add([(number, bytes(BATCH_BYTES), Decimal(number))])
        found = [(row[0], row[2]) for row in spill]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == [(n, n) for n in range(rows)]
    assert peak < 10 * BATCH_BYTES


def test_a_child_process_reads_the_same_rows():
    """What one has read, the other one has still to read."""
    spill = RowSpill()
    for number in range(300):
        spill.add([(number, bytes(BATCH_BYTES // 100), uuid.UUID(int=number))])
    rows = iter(spill)
    assert [next(rows)[0] for _ in range(150)] == list(range(150))
    child = os.fork()
    if not child:
        os._exit(0 if [row[0] for row in rows] == list(range(150, 300)) else 1)
    assert [row[0] for row in rows] == list(range(150, 300))
    assert os.waitpid(child, 0) == (child, 0)


def test_a_commit_without_room_for_rows_fails(connection, monkeypatch):
    """Nothing is committed, and the transaction goes on."""
    connection.execute("CREATE TABLE t (id integer PRIMARY KEY, a blob)")
    connection.execute("INSERT INTO t VALUES (1, zeroblob(1000000)), (2, ''), (3, '')")
    connection.execute("UPDATE t SET a = zeroblob(1000000)")
    connection.execute("BEGIN")
    connection.execute("DELETE FROM t WHERE id = 3")
    cursor = connection.execute("SELECT * FROM t")

    def full(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(spilling.tempfile, "TemporaryFile", full)
    with pytest.raises(
        dbapi.OperationalError, match=r"to a temporary file.*No space left"
    ):
        connection.execute("COMMIT")
    assert connection.in_transaction
    with pytest.raises(dbapi.OperationalError, match="the remaining rows were lost"):
        cursor.fetchall()
    monkeypatch.undo()
    connection.execute("COMMIT")
    assert connection.execute("SELECT id FROM t").fetchall() == [(1,), (2,)]
