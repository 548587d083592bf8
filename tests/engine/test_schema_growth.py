"""A schema statement costs what it changes, with any number of tables."""

import sys

import pytest

from backendkit.backends.lmdb.store import LMDBStore
from backendkit.backends.memory.store import MemoryStore
from backendkit.engine import dbapi
from tests.effort import effort
from tests.stores.buffered import BufferedStore

FEW, MANY = 10, effort(test=60, check=120, soak=500)
STORES = ["memory", "lmdb", "buffered"]

CREATE = (
    'CREATE TABLE "{0}" (id integer PRIMARY KEY AUTOINCREMENT, a text NOT NULL,'
    " b integer CHECK (b > 0), u text UNIQUE, hub_id integer REFERENCES hub (id)"
    " DEFERRABLE INITIALLY DEFERRED)"
)
INDEX = 'CREATE INDEX "{0}_a" ON "{0}" (a)'
#: Statements that are about one table, in their order.
STATEMENTS = {
    "create table": CREATE,
    "create index": INDEX,
    "insert": "INSERT INTO \"{0}\" (a, b, u) VALUES ('a', 1, 'u')",
    "add column": 'ALTER TABLE "{0}" ADD COLUMN c integer',
    "drop not null": 'ALTER TABLE "{0}" ALTER COLUMN a DROP NOT NULL',
    "drop index": 'DROP INDEX "{0}_a"',
    "drop table": 'DROP TABLE "{0}"',
}


def open_store(name, path):
    if name == "lmdb":
        return LMDBStore.open(path / "lmdb", {"sync": False})
    return MemoryStore() if name == "memory" else BufferedStore()


class Calls:
    """Count the calls of Python functions."""

    def __enter__(self):
        self.number = 0
        sys.setprofile(self._count)
        return self

    def _count(self, _frame, event, _argument):
        self.number += event == "call"

    def __exit__(self, *_):
        sys.setprofile(None)


def grow(connection, start, stop):
    for number in range(start, stop):
        connection.execute(CREATE.format(f"t{number}"))
        connection.execute(INDEX.format(f"t{number}"))


def measure(connection, name):
    """Return how many calls each statement takes, each in a transaction of its own."""
    calls = {}
    for what, sql in STATEMENTS.items():
        statement = sql.format(name)
        with Calls() as counted:
            connection.execute(statement)
        calls[what] = counted.number
    return calls


@pytest.mark.parametrize("store", STORES)
def test_a_statement_takes_the_same_with_many_tables(store, tmp_path):
    """What one table's statements take doesn't grow with the number of others."""
    connection = dbapi.connect(open_store(store, tmp_path))
    connection.execute("CREATE TABLE hub (id integer PRIMARY KEY)")
    grow(connection, 0, FEW)
    measure(connection, "first")  # what is made once
    few = measure(connection, "second")
    grow(connection, FEW, MANY)
    measure(connection, "third")  # declares what was made last
    many = measure(connection, "fourth")
    assert all(few.values())
    assert {
        what: number for what, number in many.items() if number > few[what] + 20
    } == {}
    connection.close()


@pytest.mark.parametrize("store", STORES)
def test_a_failing_statement_keeps_the_mirror(store, tmp_path):
    """After an error the schema isn't declared anew, and is as it was."""
    connection = dbapi.connect(open_store(store, tmp_path))
    connection.execute("CREATE TABLE hub (id integer PRIMARY KEY)")
    grow(connection, 0, FEW)
    before = list(connection.schema().execute("SELECT * FROM sqlite_master"))
    connection.execute("INSERT INTO t1 (a, u) VALUES ('x', NULL), ('x', NULL)")
    for sql in (
        "CREATE TABLE t1 (id integer PRIMARY KEY)",
        "CREATE TABLE other (a, a)",
        "CREATE UNIQUE INDEX unique_a ON t1 (a)",
        "ALTER TABLE t1 ADD COLUMN d integer NOT NULL",
        "ALTER TABLE t1 RENAME TO t2",
    ):
        mirror = connection.declarations.sqlite
        with pytest.raises(dbapi.DatabaseError):
            connection.execute(sql)
        assert connection.declarations.sqlite is mirror
        assert (
            list(connection.schema().execute("SELECT * FROM sqlite_master")) == before
        )
    assert measure(connection, "new")
    connection.close()


@pytest.mark.parametrize("store", STORES)
def test_renaming_follows_to_other_tables(store, tmp_path):
    """A renamed table and column are found by all that refer to them, and views."""
    connection = dbapi.connect(open_store(store, tmp_path))
    connection.execute("CREATE TABLE hub (id integer PRIMARY KEY, n integer)")
    grow(connection, 0, FEW)
    connection.execute("CREATE VIEW numbers AS SELECT n FROM hub")
    connection.execute("INSERT INTO hub VALUES (1, 5)")
    connection.execute("ALTER TABLE hub RENAME TO centre")
    connection.execute("ALTER TABLE centre RENAME COLUMN id TO number")
    tables = connection.catalog().tables
    for number in range(FEW):
        (key,) = tables[f"t{number}"].foreign_keys
        assert (key.table, key.references) == ("centre", ("number",))
    assert connection.execute("SELECT n FROM numbers").fetchall() == [(5,)]
    with pytest.raises(dbapi.IntegrityError):
        connection.execute("INSERT INTO t3 (a, hub_id) VALUES ('a', 2)")
    connection.close()


def test_a_new_connection_declares_what_it_needs(tmp_path):
    """The first statements of a connection don't declare all tables."""
    first = dbapi.connect(LMDBStore.open(tmp_path / "lmdb", {"sync": False}))
    first.execute("CREATE TABLE hub (id integer PRIMARY KEY)")
    grow(first, 0, FEW)
    connection = dbapi.connect(LMDBStore.open(tmp_path / "lmdb", {"sync": False}))
    connection.execute("INSERT INTO t1 (a, b) VALUES ('a', 1)")
    assert connection.execute("SELECT a, b FROM t1").fetchall() == [("a", 1)]
    names = connection.declarations.sqlite.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 't%'"
    )
    assert [name for (name,) in names] == ["t1"]
    # Another connection renames, and reuses the names of tables and indexes.
    first.execute("ALTER TABLE t1 RENAME TO moved")
    first.execute(CREATE.format("t1"))
    connection.execute("INSERT INTO moved (a, b) VALUES ('b', 1)")
    connection.execute("INSERT INTO t1 (a, b) VALUES ('c', 1)")
    with pytest.raises(dbapi.IntegrityError):
        connection.execute("INSERT INTO moved (a, b) VALUES ('b', -1)")
    assert connection.execute("SELECT count(*) FROM moved").fetchall() == [(2,)]
    connection.close()
    first.close()
