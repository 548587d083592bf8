"""A stream is open in a transaction while other statements run: its rows are kept."""

import errno
import os
import tracemalloc

import pytest

from backendkit import spilling
from backendkit.stores import OperationalError
from tests.effort import effort

ROWS = effort(test=20_000, soak=200_000)
#: Bytes of each row's text.
WIDTH = 300
MIB = 1 << 20


@pytest.fixture
def table(connection):
    connection.run("CREATE TABLE t (id INTEGER, text VARCHAR, PRIMARY KEY id)")
    for low in range(0, ROWS, 1000):
        rows = range(low, min(low + 1000, ROWS))
        marks = ", ".join("(?, ?)" for _ in rows)
        values = [value for n in rows for value in (n, "t" * WIDTH)]
        connection.run(f"INSERT INTO t (id, text) VALUES {marks}", values)
    return connection


def test_a_statement_keeps_the_rows_of_a_stream_in_a_file(table, connect):
    connection = connect(autocommit=False)
    first = connection.stream("SELECT id, text FROM t")
    numbers = [row[0] for row in next(first, [])]
    tracemalloc.start()
    try:
        for number in range(3):
            connection.run("INSERT INTO t (id) VALUES (?)", (ROWS + number,))
            numbers += [row[0] for row in next(first, [])]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    numbers += [row[0] for rows in first for row in rows]
    assert numbers == list(range(ROWS))
    assert peak < 6 * MIB
    connection.rollback()


def test_a_stream_without_room_for_its_rows(table, connect, monkeypatch):
    """The statement fails, and so does reading: no row is left out in silence."""

    def full(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    connection = connect(autocommit=False)
    stream = connection.stream("SELECT id, text FROM t")
    monkeypatch.setattr(spilling.tempfile, "TemporaryFile", full)
    with pytest.raises(OperationalError, match="No space left"):
        connection.run("INSERT INTO t (id) VALUES (?)", (ROWS,))
    assert next(stream)
    with pytest.raises(OperationalError, match="No space left"):
        list(stream)
    connection.rollback()
