"""What is computed of a row's number, which the store gives: as SQLite computes it."""

import apsw
import pytest

from backendkit.engine import dbapi

KEYED = "CREATE TABLE t (id integer PRIMARY KEY, v text DEFAULT 'd'{})"
PLAIN = "CREATE TABLE t (v text DEFAULT 'd'{})"
SCHEMAS = [
    (KEYED.format(", g AS (id * 10)"), ""),
    (KEYED.format(", g integer AS (id * 10) STORED UNIQUE"), ""),
    (KEYED.format(", g AS (id % 2) STORED, h AS (g + 1) STORED, CHECK (h < 3)"), ""),
    (KEYED.format(", CHECK (id % 4 <> 3)"), ""),
    (KEYED.format(", CHECK (ROWID < 4)"), ""),
    (KEYED.format(", r integer DEFAULT (abs(-7)), CHECK (id * r < 30)"), ""),
    (KEYED.format(""), "CREATE UNIQUE INDEX i ON t (id % 5)"),
    (KEYED.format(""), "CREATE INDEX i ON t (v || id)"),
    (KEYED.format(""), "CREATE UNIQUE INDEX i ON t (v) WHERE id > 2"),
    (PLAIN.format(", CHECK (rowid < 4)"), ""),
    (PLAIN.format(", CHECK (oid % 2 = 1 OR v <> 'x')"), ""),
    (PLAIN.format(""), "CREATE UNIQUE INDEX i ON t (rowid % 5)"),
    (PLAIN.format(""), "CREATE INDEX i ON t (v) WHERE _rowid_ > 2"),
]
#: Each comes after the others, and fails as a whole or not at all.
STATEMENTS = [
    "INSERT INTO t (v) VALUES ('a')",
    "INSERT INTO t DEFAULT VALUES",
    "INSERT INTO t (v) VALUES ('b'), ('c')",
    "INSERT OR IGNORE INTO t (v) VALUES ('b'), ('d'), ('e')",
    "INSERT INTO t (v) VALUES ('p'), ('q'), ('r'), ('s'), ('t')",
    "INSERT INTO t (rowid, v) VALUES (11, 'x'), (NULL, 'y')",
    "INSERT INTO t (v) SELECT v || 'z' FROM t WHERE rowid = 1",
    "UPDATE t SET v = v || 'x' WHERE rowid > 1",
    "UPDATE t SET rowid = rowid + 100 WHERE rowid = 1",
    "DELETE FROM t WHERE rowid % 5 = 2",
]
#: Those that say what a number is.
GIVEN = (STATEMENTS[5], STATEMENTS[8])
QUERIES = [
    "SELECT rowid, * FROM t ORDER BY rowid",
    "SELECT v FROM t WHERE rowid % 5 = 1 ORDER BY v",
    "SELECT rowid FROM t WHERE v || rowid = 'a1'",
    "SELECT v FROM t WHERE v > '' AND rowid > 2 ORDER BY v, rowid",
]


def outcome(execute, sql):
    try:
        return list(execute(sql))
    except (apsw.Error, dbapi.DatabaseError):
        return "refused"


@pytest.mark.parametrize("early", [True, False], ids=["index first", "rows first"])
@pytest.mark.parametrize(("table", "index"), SCHEMAS)
def test_as_sqlite(any_connection, table, index, early):
    """Checks, generated columns and indexes see a row's own number, not another one."""
    plain = apsw.Connection(":memory:")
    statements = [*STATEMENTS]
    if index:
        statements.insert(0 if early else 3, index)
    for connection in (plain, any_connection):
        connection.execute(table)
    for sql in statements:
        if sql in GIVEN and "PRIMARY KEY" not in table:
            continue  # a number can't be given where no column has it
        for each in (sql, *QUERIES):
            expected = outcome(plain.execute, each)
            assert outcome(any_connection.execute, each) == expected, (sql, each)
