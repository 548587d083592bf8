"""Transactions: commands, savepoints, statements as a whole, several connections."""

import pytest

from backendkit import clock
from backendkit.engine import dbapi, transactions
from backendkit.stores import ConflictError
from tests.stores.buffered import BufferedStore


@pytest.fixture
def table(any_connection):
    """A connection whose table t has the rows 1 to 5."""
    any_connection.execute("CREATE TABLE t (id integer PRIMARY KEY, v text UNIQUE)")
    any_connection.execute(
        "INSERT INTO t VALUES (1,'1'),(2,'2'),(3,'3'),(4,'4'),(5,'5')"
    )
    return any_connection


def ids(connection):
    return [i for (i,) in connection.execute("SELECT id FROM t ORDER BY id")]


@pytest.mark.parametrize(
    "begin",
    ["BEGIN", "begin transaction", "BEGIN DEFERRED", "BEGIN IMMEDIATE TRANSACTION;"],
)
@pytest.mark.parametrize(
    ("end", "kept"),
    [
        ("COMMIT", True),
        ("commit transaction", True),
        ("END", True),
        (" End Transaction ; ", True),
        ("ROLLBACK", False),
        ("rollback transaction", False),
    ],
)
def test_commands_in_text(table, begin, end, kept):
    """Transactions begin and end by SQL, in all its spellings."""
    table.execute(begin)
    assert table.in_transaction
    table.execute("DELETE FROM t WHERE id > 2")
    assert ids(table) == [1, 2]
    table.execute(end)
    assert not table.in_transaction
    assert ids(table) == ([1, 2] if kept else [1, 2, 3, 4, 5])


@pytest.mark.parametrize(
    ("commands", "message"),
    [
        (["BEGIN", "BEGIN"], "within a transaction"),
        (["COMMIT"], "cannot commit"),
        (["ROLLBACK"], "cannot rollback"),
        (["BEGIN", "RELEASE x"], "no such savepoint: x"),
        (["BEGIN", "SAVEPOINT x", "ROLLBACK TO y"], "no such savepoint: y"),
        (["SAVEPOINT x", "RELEASE x", "RELEASE x"], "no such savepoint"),
        (["BEGIN SOMEHOW OR OTHER"], "syntax error"),
    ],
)
def test_commands_out_of_place(table, commands, message):
    """A command that makes no sense here is an OperationalError, as in SQLite."""
    *before, last = commands
    for command in before:
        table.execute(command)
    with pytest.raises(dbapi.OperationalError, match=message):
        table.execute(last)


@pytest.mark.parametrize(
    ("given", "again"),
    [
        ("x", "X"),
        ('"a b"', '"A B"'),
        ("[a;b]", '"a;b"'),
        ("`q``q`", '"q`q"'),
        ('"say ""hi"""', '"say ""hi"""'),
        ('"to"', '"to"'),
        ("'x'", "x"),
    ],
)
def test_names_of_savepoints(table, given, again):
    """A savepoint is found by its name in any quotes and case."""
    table.execute("BEGIN")
    table.execute(f"SAVEPOINT {given}")
    table.execute("DELETE FROM t WHERE id = 1")
    table.execute(f"ROLLBACK TO SAVEPOINT {again}")
    assert ids(table) == [1, 2, 3, 4, 5]
    table.execute(f"RELEASE SAVEPOINT {again}")
    with pytest.raises(dbapi.OperationalError, match="no such savepoint"):
        table.execute(f"ROLLBACK TO {again}")
    table.execute("ROLLBACK")


def test_savepoints_nest(table):
    """Rolling back to a savepoint undoes inner ones too and keeps it usable."""
    table.execute("BEGIN")
    table.execute("DELETE FROM t WHERE id = 1")
    table.execute("SAVEPOINT a")
    table.execute("DELETE FROM t WHERE id = 2")
    table.execute("SAVEPOINT b")
    table.execute("DELETE FROM t WHERE id = 3")
    table.execute("RELEASE b")
    assert ids(table) == [4, 5]
    table.execute("ROLLBACK TO a")
    assert ids(table) == [2, 3, 4, 5]
    table.execute("DELETE FROM t WHERE id = 4")
    table.execute("ROLLBACK TO a")
    assert ids(table) == [2, 3, 4, 5]
    table.execute("RELEASE a")
    table.execute("COMMIT")
    assert ids(table) == [2, 3, 4, 5]


def test_the_latest_of_equal_names_counts(table):
    """Of savepoints with one name the latest is meant, as in SQLite."""
    table.execute("BEGIN")
    table.execute("SAVEPOINT s")
    table.execute("DELETE FROM t WHERE id = 1")
    table.execute("SAVEPOINT s")
    table.execute("DELETE FROM t WHERE id = 2")
    table.execute("ROLLBACK TO s")
    assert ids(table) == [2, 3, 4, 5]
    table.execute("RELEASE s")
    table.execute("ROLLBACK TO s")
    assert ids(table) == [1, 2, 3, 4, 5]
    table.execute("ROLLBACK")


def test_a_savepoint_outside_begins_a_transaction(table):
    """SAVEPOINT outside of a transaction begins one; releasing it commits."""
    table.execute("SAVEPOINT s")
    assert table.in_transaction
    table.execute("DELETE FROM t WHERE id = 1")
    table.execute("RELEASE s")
    assert not table.in_transaction
    assert ids(table) == [2, 3, 4, 5]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (6, '6'), (7, '7'), (8, '1')",
        "INSERT INTO t SELECT id + 4, 'x' || id FROM t",
        "UPDATE t SET v = 'x' WHERE id > 2",
        "UPDATE t SET v = NULL, id = 1 WHERE id IN (3, 4)",
        "INSERT INTO t (id, v) VALUES (9, '9'), ('nine', 'n')",
        "UPDATE t SET id = CASE id WHEN 4 THEN 'four' ELSE id + 100 END",
    ],
)
@pytest.mark.parametrize("within", [False, True])
def test_a_failing_statement_changes_nothing(table, sql, within):
    """What a statement did before it failed is undone; the transaction goes on."""
    if within:
        table.execute("BEGIN")
        table.execute("INSERT INTO t VALUES (20, 'kept')")
    before = table.execute("SELECT * FROM t ORDER BY id").fetchall()
    with pytest.raises(dbapi.DatabaseError):
        table.execute(sql)
    assert table.execute("SELECT * FROM t ORDER BY id").fetchall() == before
    if within:
        table.execute("COMMIT")
        assert 20 in ids(table)


def test_autocommit_off_begins_by_itself(table):
    """Without autocommit any statement begins a transaction, which commit() ends."""
    table.set_autocommit(False)
    table.execute("DELETE FROM t WHERE id = 1")
    assert table.in_transaction
    table.rollback()
    assert ids(table) == [1, 2, 3, 4, 5]
    table.execute("DELETE FROM t WHERE id = 1")
    table.set_autocommit(True)
    assert not table.in_transaction
    table.execute("BEGIN")
    table.execute("ROLLBACK")
    assert ids(table) == [2, 3, 4, 5]


def test_ddl_is_rolled_back(table):
    """CREATE, ALTER and DROP are undone with the transaction, rows included."""
    table.execute("BEGIN")
    table.execute("ALTER TABLE t ADD COLUMN w integer DEFAULT 7")
    table.execute("CREATE TABLE u (a integer)")
    table.execute("INSERT INTO u VALUES (1)")
    table.execute("SAVEPOINT s")
    table.execute("DROP TABLE t")
    with pytest.raises(dbapi.OperationalError, match="no such table"):
        table.execute("SELECT * FROM t")
    table.execute("ROLLBACK TO s")
    assert table.execute("SELECT id, w FROM t WHERE id = 1").fetchall() == [(1, 7)]
    table.execute("ROLLBACK")
    assert ids(table) == [1, 2, 3, 4, 5]
    with pytest.raises(dbapi.OperationalError, match="no such column: w"):
        table.execute("SELECT w FROM t")
    with pytest.raises(dbapi.OperationalError, match="no such table: u"):
        table.execute("SELECT * FROM u")
    table.execute("CREATE TABLE u (b text)")
    assert table.execute("SELECT b FROM u").fetchall() == []


def test_others_see_what_is_committed(two):
    """A transaction sees its own changes, others only after COMMIT."""
    first, second = two
    first.execute("CREATE TABLE t (id integer PRIMARY KEY)")
    first.execute("BEGIN")
    first.execute("INSERT INTO t VALUES (1)")
    assert ids(first) == [1]
    assert ids(second) == []
    first.execute("COMMIT")
    assert ids(second) == [1]


def test_a_transaction_reads_one_snapshot(two):
    """What others commit meanwhile isn't seen, and changing it is a conflict."""
    first, second = two
    first.execute("CREATE TABLE t (id integer PRIMARY KEY)")
    first.execute("BEGIN")
    assert ids(first) == []
    second.execute("INSERT INTO t VALUES (1)")
    assert ids(first) == []
    with pytest.raises(dbapi.OperationalError):
        first.execute("INSERT INTO t VALUES (2)")
    with pytest.raises(dbapi.Error):
        first.execute("SELECT * FROM t")
    first.execute("ROLLBACK")
    assert ids(first) == [1]
    first.execute("INSERT INTO t VALUES (2)")
    assert ids(second) == [1, 2]


def test_a_changed_catalog_is_followed(two):
    """Statements prepared before are prepared anew when another changed the schema."""
    first, second = two
    first.execute("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    first.execute("INSERT INTO t VALUES (1, 'x')")
    query = "SELECT * FROM t"
    assert second.execute(query).fetchall() == [(1, "x")]
    first.execute("ALTER TABLE t ADD COLUMN b integer DEFAULT 5")
    assert second.execute(query).fetchall() == [(1, "x", 5)]
    first.execute("ALTER TABLE t DROP COLUMN a")
    assert second.execute(query).fetchall() == [(1, 5)]
    first.execute("DROP TABLE t")
    with pytest.raises(dbapi.OperationalError, match="no such table: t"):
        second.execute(query)
    first.execute("CREATE VIEW t AS SELECT 'view' AS kind")
    assert second.execute(query).fetchall() == [("view",)]
    first.execute("DROP VIEW t")
    first.execute("CREATE TABLE t (c text)")
    assert second.execute(query).fetchall() == []
    insert = "INSERT INTO t VALUES ('1')"
    second.execute(insert)
    first.execute("DELETE FROM t")
    first.execute("CREATE UNIQUE INDEX i ON t (c)")
    second.execute(insert)
    with pytest.raises(dbapi.IntegrityError, match="UNIQUE"):
        second.execute(insert)


def test_a_conflict_of_schemas_does_not_mix_them(two):
    """A transaction goes on with the schema that it began with."""
    first, second = two
    first.execute("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    first.execute("INSERT INTO t VALUES (1, 'x')")
    second.execute("BEGIN")
    assert second.execute("SELECT * FROM t").fetchall() == [(1, "x")]
    first.execute("ALTER TABLE t DROP COLUMN a")
    assert second.execute("SELECT a FROM t").fetchall() == [("x",)]
    second.execute("COMMIT")
    with pytest.raises(dbapi.OperationalError, match="no such column: a"):
        second.execute("SELECT a FROM t")


def test_closing_rolls_back(two):
    """A connection that is closed in a transaction leaves nothing of it."""
    first, second = two
    first.execute("CREATE TABLE t (id integer PRIMARY KEY)")
    first.execute("BEGIN")
    first.execute("INSERT INTO t VALUES (1)")
    first.close()
    first.close()
    assert ids(second) == []
    second.execute("INSERT INTO t VALUES (2)")
    for call in (first.cursor, first.commit, first.rollback):
        with pytest.raises(dbapi.InterfaceError, match="closed"):
            call()


@pytest.fixture
def hasty():
    """Two connections, the second of which has a row changed before the first one."""
    store = BufferedStore()
    first, second = dbapi.connect(store), dbapi.connect(store)
    first.execute("CREATE TABLE t (id integer PRIMARY KEY, n integer)")
    first.execute("INSERT INTO t VALUES (1, 0)")

    def hurry(times):
        def meanwhile(changes):
            store.on_apply = None
            second.execute("UPDATE t SET n = n + 10")
            hurry(times - 1)

        store.on_apply = meanwhile if times else None

    yield first, hurry
    store.on_apply = None
    first.close()
    second.close()


@pytest.mark.parametrize("times", [1, 8])
def test_a_statement_that_meets_a_conflict_is_run_again(hasty, times):
    """Outside of a transaction nobody has seen what it read."""
    first, hurry = hasty
    hurry(times)
    cursor = first.execute("UPDATE t SET n = n + ? WHERE id = ?", iter([1, 1]))
    assert cursor.rowcount == 1
    assert first.execute("SELECT n FROM t").fetchall() == [(10 * times + 1,)]


def test_it_isnt_run_again_for_ever_and_not_in_a_transaction(hasty, monkeypatch):
    """It is for as long as the store has patience."""
    first, hurry = hasty
    slept = []

    class Time:
        sleep = staticmethod(slept.append)

    def now():
        return sum(slept)

    monkeypatch.setattr(transactions, "time", Time)
    monkeypatch.setattr(clock, "monotonic", now)
    monkeypatch.setattr(BufferedStore, "patience", 3.0)
    hurry(1000)
    with pytest.raises(ConflictError):
        first.execute("UPDATE t SET n = n + 1")
    assert 1.5 < sum(slept) <= 3.0
    hurry(0)
    assert first.execute("SELECT n FROM t").fetchall() == [(10 * len(slept) + 10,)]
    first.execute("BEGIN")
    first.execute("UPDATE t SET n = 0")
    hurry(1)
    with pytest.raises(ConflictError):
        first.execute("COMMIT")
