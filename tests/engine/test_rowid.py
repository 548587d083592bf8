"""``rowid``, SQLite's name for the number of a row."""

import pytest

from backendkit.engine import dbapi


def rows(connection, sql):
    return connection.execute(sql).fetchall()


@pytest.mark.parametrize("name", ["rowid", "oid", "_rowid_"])
def test_an_integer_key_is_the_rowid(any_connection, name):
    """The integer primary key is read, given and changed by SQLite's names for it."""
    c = any_connection
    c.execute("CREATE TABLE t (id integer PRIMARY KEY, v text)")
    c.execute(f"INSERT INTO t ({name}, v) VALUES (7, 'a'), (9, 'b')")
    assert rows(c, f"SELECT {name}, id FROM t ORDER BY {name}") == [(7, 7), (9, 9)]
    assert rows(c, f"SELECT v FROM t WHERE {name} = 9") == [("b",)]
    c.execute(f"UPDATE t SET {name} = 20 WHERE id = 7")
    assert rows(c, "SELECT id, v FROM t ORDER BY id") == [(9, "b"), (20, "a")]
    with pytest.raises(dbapi.IntegrityError):
        c.execute(f"UPDATE t SET {name} = 20 WHERE id = 9")
    with pytest.raises(dbapi.IntegrityError):
        c.execute(f"INSERT INTO t ({name}) VALUES (20)")


@pytest.mark.parametrize(
    "declaration",
    ["a integer", "a text PRIMARY KEY", "a integer, b, PRIMARY KEY (a, b)"],
)
def test_other_keys_have_no_rowid_to_set(any_connection, declaration):
    """What can't be done is refused, and never left out in silence."""
    c = any_connection
    c.execute(f"CREATE TABLE t ({declaration})")
    for sql in ("INSERT INTO t (rowid, a) VALUES (5, 1)",):
        with pytest.raises(dbapi.NotSupportedError, match="rowid of t can't be set"):
            c.execute(sql)
    assert rows(c, "SELECT * FROM t") == []


def test_temporary_tables(any_connection):
    """A temporary table is filled from the store's, outside of transactions too."""
    c = any_connection
    c.execute("CREATE TABLE t (id integer PRIMARY KEY, v text)")
    c.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    c.execute("CREATE TEMP TABLE x AS SELECT * FROM t WHERE id > 1")
    c.execute("INSERT INTO x SELECT id + 5, v FROM t")
    assert rows(c, "SELECT id FROM x ORDER BY id") == [(2,), (6,), (7,)]
    c.execute("DROP TABLE x")
    with pytest.raises(dbapi.OperationalError, match="no such table"):
        c.execute("SELECT * FROM x")
