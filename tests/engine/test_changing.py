"""UPDATE and DELETE of many rows: what SQLite does one by one, the store gets at once."""

import sqlite3

import pytest

from backendkit.engine import dbapi
from backendkit.stores import DataError, IntegrityError

from .conftest import open_store

#: More than one batch.
SIZE = 2500
TABLES = """
CREATE TABLE t (id integer PRIMARY KEY AUTOINCREMENT, a integer NOT NULL,
    b varchar(20) NULL, c integer NULL UNIQUE);
CREATE INDEX t_b ON t (b);
CREATE TABLE tree (id integer PRIMARY KEY, parent integer NULL
    REFERENCES tree (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
CREATE INDEX tree_parent ON tree (parent)
"""


def fill(connection):
    for sql in TABLES.split(";"):
        connection.execute(sql)
    for start in range(1, SIZE, 500):
        numbers = range(start, start + 500)
        values = ", ".join(f"({n}, {n % 7}, 'b{n % 5}', {n})" for n in numbers)
        connection.execute(f"INSERT INTO t (id, a, b, c) VALUES {values}")
        values = ", ".join(f"({n}, {n // 2 or 'NULL'})" for n in numbers)
        connection.execute(f"INSERT INTO tree (id, parent) VALUES {values}")


@pytest.fixture(params=["lmdb", pytest.param("memory", marks=pytest.mark.check)])
def pair(request, tmp_path):
    """A connection to a store, and one to SQLite; with the same rows."""
    ours = dbapi.connect(open_store(request.param, tmp_path))
    theirs = sqlite3.connect(":memory:", isolation_level=None)
    theirs.execute("PRAGMA foreign_keys = ON")
    for connection in (ours, theirs):
        fill(connection)
    yield ours, theirs
    ours.close()
    theirs.close()


def contents(connection):
    queries = [
        "SELECT id, a, b, c FROM t ORDER BY id",
        "SELECT id FROM t WHERE b IN ('b1', 'x') ORDER BY id",
        "SELECT c FROM t WHERE c > 10 ORDER BY c",
        "SELECT id, parent FROM tree ORDER BY id",
    ]
    return [list(map(tuple, connection.execute(sql).fetchall())) for sql in queries]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET a = a + 1",
        "UPDATE t SET a = a + 1, b = 'x' WHERE id % 3 = 0",
        "UPDATE t SET b = CASE WHEN a = 3 THEN NULL ELSE b || 'y' END",
        "UPDATE t SET c = c + 10000",
        "UPDATE t SET c = -c WHERE a + 0 = 2",
        "UPDATE t SET id = id + 10000 WHERE id % 2 = 0",
        "UPDATE t SET a = a",
        "UPDATE t SET a = (SELECT count(*) FROM tree WHERE parent = t.id)",
        "UPDATE t SET a = tree.id FROM tree WHERE tree.id = t.id + 1",
        "UPDATE tree SET parent = NULL WHERE id % 3 = 0",
        "UPDATE t SET a = a + 1 WHERE id + 0 < 0",
        "DELETE FROM t WHERE id % 3 = 0",
        "DELETE FROM t WHERE id IN (SELECT parent FROM tree WHERE id < 2000)",
        "DELETE FROM t WHERE id + 0 > 0",
        "DELETE FROM tree WHERE id % 5 = 2",
    ],
)
def test_as_sqlite(pair, sql):
    ours, theirs = (connection.execute(sql) for connection in pair)
    # SQLite counts the rows that cascades deleted as they come, too.
    if "DELETE FROM tree" not in sql:
        assert ours.rowcount == theirs.rowcount
    assert contents(pair[0]) == contents(pair[1])


def test_one_row_that_several_others_change(pair):
    """The value is one of theirs, and the index says the same."""
    ours, _ = pair
    ours.execute(
        "UPDATE t SET b = 'x' || tree.id FROM tree WHERE tree.parent = t.id AND t.id = 9"
    )
    ((value,),) = ours.execute("SELECT b FROM t WHERE id = 9").fetchall()
    assert value in ("x18", "x19")
    found = ours.execute("SELECT id FROM t WHERE b IN ('b4', 'x18', 'x19')").fetchall()
    assert [row for row in found if row[0] == 9] == [(9,)]


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("UPDATE t SET a = nullif(id, 2400)", IntegrityError),
        ("UPDATE t SET c = min(id, 2300)", IntegrityError),
        ("UPDATE t SET a = iif(id = 2200, 'text', a)", DataError),
        ("UPDATE tree SET parent = iif(id = 2100, 9999, parent)", IntegrityError),
    ],
)
def test_all_or_nothing(pair, sql, error):
    """What is wrong with a later row undoes what earlier batches did."""
    ours, _ = pair
    before = contents(ours)
    with pytest.raises(error):
        ours.execute(sql)
    assert contents(ours) == before
