"""Cursors as PEP 249 has them, and what they hold on to."""

import datetime
import gc
import time
from dataclasses import replace
from decimal import Decimal

import pytest

from backendkit.backends.memory.store import MemorySession, MemoryStore
from backendkit.engine import dbapi
from backendkit.engine.compiled import Select


class CountingSession(MemorySession):
    """Knows whether it is in a transaction."""

    busy = False

    def begin(self, *, write):
        super().begin(write=write)
        self.busy = True

    def commit(self):
        super().commit()
        self.busy = False

    def rollback(self):
        super().rollback()
        self.busy = False


class CountingStore(MemoryStore):
    """Knows its sessions, and how many of them are in a transaction."""

    def __init__(self):
        super().__init__()
        self.sessions = []

    def session(self):
        session = CountingSession(self)
        self.sessions.append(session)
        return session

    @property
    def busy(self):
        return sum(session.busy for session in self.sessions)


@pytest.fixture
def store():
    return CountingStore()


@pytest.fixture
def table(store):
    """A connection whose table t has the rows 1 to 10."""
    connection = dbapi.connect(store)
    connection.execute(
        "CREATE TABLE t (id integer PRIMARY KEY, v text, d date, b bool)"
    )
    connection.execute("BEGIN")
    for number in range(1, 11):
        connection.execute(
            "INSERT INTO t VALUES (?, ?, '2024-01-02', ?)", (number, "x", number % 2)
        )
    connection.execute("COMMIT")
    yield connection
    connection.close()


QUERY = "SELECT id FROM t ORDER BY id"


def test_fetching(table):
    """fetchone, fetchmany, fetchall and iteration go on where the last one ended."""
    cursor = table.execute(QUERY)
    assert cursor.fetchone() == (1,)
    assert cursor.fetchmany() == [(2,)]
    cursor.arraysize = 2
    assert cursor.fetchmany() == [(3,), (4,)]
    assert cursor.fetchmany(0) == []
    assert next(cursor) == (5,)
    assert [row for row, _ in zip(cursor, range(2), strict=False)] == [(6,), (7,)]
    assert cursor.fetchall() == [(8,), (9,), (10,)][1:]
    assert cursor.fetchone() is None
    assert cursor.fetchmany(5) == []
    assert cursor.fetchall() == []
    with pytest.raises(StopIteration):
        next(cursor)


def test_fetching_before_executing(table):
    """A cursor that executed nothing has no rows and no description."""
    cursor = table.cursor()
    assert cursor.fetchone() is None
    assert cursor.description is None
    assert cursor.rowcount == -1


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT id, v AS value, 1 + 1 FROM t", ["id", "value", "1 + 1"]),
        ("SELECT id, v AS value, 1 + 1 FROM t WHERE 0", ["id", "value", "1 + 1"]),
        ("SELECT count(*) AS n FROM t", ["n"]),
        ("VALUES (1, 2)", ["column1", "column2"]),
        (
            "PRAGMA table_info(t)",
            ["cid", "name", "type", "notnull", "dflt_value", "pk"],
        ),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_descriptions(table, sql, names, when):
    """A statement that returns rows describes them, be there any or none."""
    cursor = table.execute(sql)
    if when == "after":
        cursor.fetchall()
    assert [column[0] for column in cursor.description] == names
    assert all(len(column) == 7 for column in cursor.description)


@pytest.mark.parametrize(
    "sql", ["INSERT INTO t (v) VALUES ('a')", "BEGIN", "CREATE TABLE u (a)"]
)
def test_no_description(table, sql):
    """A statement that returns no rows has no description, whatever came before."""
    cursor = table.execute(QUERY)
    assert cursor.description is not None
    cursor.execute(sql)
    assert cursor.description is None
    assert cursor.fetchall() == []


@pytest.mark.parametrize(
    ("sql", "count"),
    [
        ("INSERT INTO t (v) VALUES ('a'), ('b')", 2),
        ("UPDATE t SET v = 'y' WHERE id > 3", 7),
        ("UPDATE t SET v = 'y' WHERE id > 100", 0),
        ("DELETE FROM t WHERE id IN (1, 2, 100)", 2),
        ("DELETE FROM t", 10),
        (QUERY, -1),
        ("BEGIN", -1),
    ],
)
def test_rowcount(table, sql, count):
    """rowcount is the number of rows changed, -1 where PEP 249 leaves it open."""
    assert table.execute(sql).rowcount == count


def test_executemany(table):
    """executemany runs a statement for each set of parameters and adds up."""
    cursor = table.cursor()
    cursor.executemany(
        "UPDATE t SET v = ? WHERE id = ?", [("a", 1), ("b", 2), ("c", 99)]
    )
    assert cursor.rowcount == 2
    cursor.executemany("INSERT INTO t (v) VALUES (:v)", ({"v": v} for v in "xyz"))
    assert cursor.rowcount == 3
    cursor.executemany("DELETE FROM t", [])
    assert cursor.rowcount == 0


def test_raw_sql_converts_declared_types(table):
    """Raw SQL returns dates and booleans as such; the compiler's gets SQLite's own."""
    sql = "SELECT d, b FROM t WHERE id = 1"
    assert table.execute(sql).fetchone() == (datetime.date(2024, 1, 2), True)
    assert table.execute(Select(sql)).fetchone() == ("2024-01-02", 1)


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT ?, ?", (Decimal("1.5"), datetime.date(2024, 1, 2))),
        ("SELECT :a, :b", {"a": Decimal("1.5"), "b": datetime.date(2024, 1, 2)}),
        ("SELECT ?2, ?1", (datetime.date(2024, 1, 2), Decimal("1.5"))),
    ],
)
def test_parameters(table, sql, params):
    """Parameters are a sequence or a mapping, of the contract's types."""
    assert table.execute(sql, params).fetchall() == [("1.5", "2024-01-02")]


@pytest.mark.parametrize(
    ("sql", "params", "error"),
    [
        ("SELEKT 1", (), dbapi.OperationalError),
        ("SELECT * FROM nothing", (), dbapi.OperationalError),
        ("SELECT nothing FROM t", (), dbapi.OperationalError),
        ("SELECT ?", (), dbapi.ProgrammingError),
        ("SELECT ?", (1, 2), dbapi.ProgrammingError),
        ("SELECT ?", "1", dbapi.InterfaceError),
        ("SELECT ?", 1, dbapi.InterfaceError),
        ("SELECT ?", (object(),), dbapi.Error),
        ("INSERT INTO t (id) VALUES (1)", (), dbapi.IntegrityError),
        ("INSERT INTO t (id) VALUES ('one')", (), dbapi.DataError),
        ("INSERT INTO t (d) VALUES ('soon')", (), dbapi.DataError),
        ("CREATE TABLE t (a)", (), dbapi.OperationalError),
        (
            "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
            (),
            dbapi.NotSupportedError,
        ),
        ("CREATE VIRTUAL TABLE x USING fts5(a)", (), dbapi.NotSupportedError),
        ("DROP TABLE nothing", (), dbapi.OperationalError),
        ("SELECT abs(-9223372036854775808)", (), dbapi.OperationalError),
    ],
)
def test_errors(table, sql, params, error):
    """SQLite's and the store's errors are PEP 249's; the connection goes on."""
    with pytest.raises(error) as caught:
        table.execute(sql, params).fetchall()
    assert isinstance(caught.value, dbapi.DatabaseError | dbapi.InterfaceError)
    assert table.execute("SELECT count(*) FROM t").fetchall() == [(10,)]


def test_closed_cursors(table, store):
    """A closed cursor can't be used, and closing again does nothing."""
    cursor = table.execute(QUERY)
    cursor.fetchone()
    assert store.busy == 1
    cursor.close()
    cursor.close()
    assert store.busy == 0
    for call in (cursor.fetchone, cursor.fetchall, lambda: cursor.execute(QUERY)):
        with pytest.raises(dbapi.ProgrammingError, match="closed"):
            call()


@pytest.mark.parametrize("end", ["read", "close", "forget", "again", "fail"])
def test_snapshots_are_released(table, store, end):
    """A statement that reads on its own holds a snapshot no longer than it has to."""
    cursor = table.execute(QUERY)
    cursor.fetchone()
    assert store.busy == 1
    if end == "read":
        cursor.fetchall()
    elif end == "close":
        cursor.close()
    elif end == "forget":
        del cursor
        gc.collect()
    elif end == "again":
        cursor.execute("SELECT 1").fetchall()
    else:
        with pytest.raises(dbapi.OperationalError):
            cursor.execute("SELEKT")
    assert store.busy == 0
    assert len(store.sessions) == 2


def test_an_autocommit_read_sees_its_moment(table):
    """Rows are those of the moment of execution, whatever is written meanwhile."""
    cursor = table.execute(QUERY)
    assert cursor.fetchone() == (1,)
    table.execute("DELETE FROM t WHERE id > 2")
    table.execute("INSERT INTO t (id) VALUES (50)")
    assert cursor.fetchall() == [(n,) for n in range(2, 11)]
    assert table.execute(QUERY).fetchall() == [(1,), (2,), (50,)]


@pytest.mark.parametrize("writes", [False, True])
def test_open_cursors_outlive_a_commit(table, writes):
    """Cursors that are open when a transaction commits keep their rows."""
    table.execute("BEGIN")
    if writes:
        table.execute("INSERT INTO t (id) VALUES (11)")
    cursors = [table.execute(QUERY) for _ in range(5)]
    for number, cursor in enumerate(cursors):
        assert cursor.fetchmany(number) == [(n + 1,) for n in range(number)]
    table.execute("COMMIT")
    table.execute("DELETE FROM t")
    for number, cursor in enumerate(cursors):
        rows = [i for (i,) in cursor.fetchall()]
        assert rows == list(range(number + 1, 11 + writes))
        assert cursor.description[0][0] == "id"


def test_a_commit_reads_no_rows_of_a_transaction_that_only_read(table, store):
    """It leaves its snapshot to the cursors, which end it."""
    table.execute("BEGIN")
    cursors = [table.execute(QUERY) for _ in range(3)]
    table.execute("COMMIT")
    assert all(cursor._running is not None for cursor in cursors)
    table.execute("BEGIN")
    table.execute("INSERT INTO t (id) VALUES (50)")
    assert cursors[0].fetchall() == [(n,) for n in range(1, 11)]
    cursors[1].close()
    table.execute("ROLLBACK")
    assert cursors[2].fetchall() == [(n,) for n in range(1, 11)]
    assert store.busy == 0


@pytest.mark.parametrize("writes", [False, True])
def test_a_rollback_ends_open_cursors(table, store, writes):
    """To fetch another row is the error that SQLite has for it."""
    table.execute("BEGIN")
    if writes:
        table.execute("INSERT INTO t (id) VALUES (11)")
    cursor, closed = table.execute(QUERY), table.execute(QUERY)
    assert cursor.fetchone() == (1,)
    table.execute("ROLLBACK")
    with pytest.raises(dbapi.OperationalError, match="abort due to ROLLBACK"):
        cursor.fetchone()
    closed.close()
    assert cursor.execute("SELECT count(*) FROM t").fetchall() == [(10,)]
    assert store.busy == 0


def test_many_open_cursors(table, store):
    """A hundred cursors are read in turns, each from its own moment."""
    cursors = []
    for number in range(100):
        cursors.append(table.execute(QUERY))
        table.execute("INSERT INTO t (id) VALUES (?)", (100 + number,))
    for place in range(10):
        for cursor in cursors:
            assert cursor.fetchone() == (place + 1,)
    for number, cursor in enumerate(cursors):
        assert len(cursor.fetchall()) == number
    assert store.busy == 0
    assert len(store.sessions) <= 101


def test_cursors_in_turns_in_one_statement_each(table):
    """Two joins that are read in turns don't take each other's rows."""
    sql = "SELECT a.id, b.id FROM t a JOIN t b ON b.id = a.id + ? ORDER BY a.id"
    first, second = table.execute(sql, (1,)), table.execute(sql, (2,))
    pairs = list(zip(first, second, strict=False))
    assert pairs == [((n, n + 1), (n, n + 2)) for n in range(1, 9)]


def test_closing_the_connection_closes_cursors(table, store):
    """Nothing is held once the connection is closed, and cursors say so."""
    cursor = table.execute(QUERY)
    cursor.fetchone()
    table.close()
    with pytest.raises(dbapi.Error):
        table.execute(QUERY)
    del cursor
    gc.collect()


# Functions


def test_functions(table):
    """Functions, aggregates and collations are defined as sqlite3 does."""

    class Longest:
        def __init__(self):
            self.value = ""

        def step(self, text):
            self.value = max(self.value, text, key=len)

        def finalize(self):
            return self.value

    table.create_function("twice", 1, lambda value: value * 2, deterministic=True)
    table.create_function("many", -1, lambda *values: len(values))
    table.create_aggregate("longest", 1, Longest)
    table.create_collation("backwards", lambda a, b: (a < b) - (a > b))
    rows = table.execute("SELECT twice(id), many(1, 2, 3) FROM t WHERE twice(id) = 4")
    assert rows.fetchall() == [(4, 3)]
    assert table.execute("SELECT longest(v) FROM t").fetchall() == [("x",)]
    assert table.execute("SELECT longest(v) FROM t WHERE 0").fetchall() == [(None,)]
    rows = table.execute("SELECT id || '' AS x FROM t ORDER BY x COLLATE backwards")
    assert rows.fetchone() == ("9",)
    with pytest.raises(dbapi.OperationalError, match="active statements"):
        table.create_function("twice", 1, None)
    rows.close()
    table.create_function("twice", 1, None)
    with pytest.raises(dbapi.OperationalError, match="no such function"):
        table.execute("SELECT twice(1)")


def test_functions_that_fail(table):
    """An exception in a function fails the statement, and nothing is changed."""

    def fail(value):
        raise ZeroDivisionError(value)

    table.create_function("fail", 1, fail)
    with pytest.raises(dbapi.OperationalError, match="user-defined function"):
        table.execute("SELECT fail(id) FROM t").fetchall()
    with pytest.raises(dbapi.OperationalError, match="user-defined function"):
        table.execute("UPDATE t SET v = CASE id WHEN 9 THEN fail(id) ELSE 'new' END")
    assert table.execute("SELECT DISTINCT v FROM t").fetchall() == [("x",)]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (2**63, dbapi.DataError),
        (-(2**63) - 1, dbapi.DataError),
        ("\ud800", dbapi.OperationalError),
        (object(), dbapi.OperationalError),
    ],
)
def test_functions_whose_results_sqlite_does_not_have(table, value, error):
    """They fail as sqlite3's do, be it a function or an aggregate."""

    class Aggregate:
        def step(self, value):
            pass

        def finalize(self):
            return value

    table.create_function("odd", 1, lambda _: value)
    table.create_aggregate("odds", 1, Aggregate)
    for sql in ("SELECT odd(id) FROM t", "SELECT odds(id) FROM t"):
        with pytest.raises(error):
            table.execute(sql).fetchall()


def test_functions_in_checks_and_generated_columns(table):
    """A function may be used in declarations, and runs for each row written."""
    table.create_function("twice", 1, lambda v: v * 2, deterministic=True)
    table.execute(
        "CREATE TABLE g (a integer CHECK (twice(a) < 10),"
        " b integer AS (twice(a)) STORED)"
    )
    table.execute("INSERT INTO g (a) VALUES (3)")
    assert table.execute("SELECT a, b FROM g").fetchall() == [(3, 6)]
    with pytest.raises(dbapi.IntegrityError, match="CHECK"):
        table.execute("INSERT INTO g (a) VALUES (5)")


def test_limits(table):
    """SQLite's limits are read and set by sqlite3's constants."""
    variables = 9  # sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER
    before = table.getlimit(variables)
    assert table.setlimit(variables, 5) == before
    assert table.getlimit(variables) == 5
    with pytest.raises(dbapi.OperationalError, match="too many SQL variables"):
        table.execute("SELECT ?, ?, ?, ?, ?, ?", (1, 2, 3, 4, 5, 6))


# Start-up


def first_query(tables):
    store = MemoryStore()
    sql = "CREATE TABLE t (id integer PRIMARY KEY, v text, w integer)"
    dbapi.connect(store).execute(sql)
    session = store.session()
    session.begin(write=True)
    (table,) = session.catalog().tables.values()
    for number in range(tables):
        own = sql.replace(" t ", f" t{number} ")
        session.create_table(replace(table, name=f"t{number}", sql=own))
    session.commit()
    best = 1.0
    for _ in range(5):
        start = time.thread_time()
        connection = dbapi.connect(store)
        assert connection.execute("SELECT * FROM t1").fetchall() == []
        best = min(best, time.thread_time() - start)
        connection.sqlite.close(True)
    return best


def test_many_tables_do_not_slow_the_first_query():
    """The first query with 500 tables takes less than 30 ms of CPU more than with 5."""
    assert first_query(500) - first_query(5) < 0.03
