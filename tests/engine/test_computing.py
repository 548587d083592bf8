"""What SQLite computes of rows: only what a change touches, for many rows at once."""

import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backendkit.backends.memory.store import MemoryStore
from backendkit.engine import dbapi
from backendkit.engine.computing import Batch
from backendkit.engine.ddl_text import names_in, table_expressions
from backendkit.engine.declarations import Declarations
from tests.effort import effort

ROWS = 300

#: Definitions beside id, a, b, c, s and f, of which any may be in a table.
DEFINITIONS = [
    "CHECK (a >= 0)",
    'CONSTRAINT "small ""b""" CHECK ("b" < 50 OR t.a = 7)',
    "CONSTRAINT both CHECK (a + coalesce(b, 0) <> 13)",
    "CHECK (s <> 'no' COLLATE NOCASE)",
    "CHECK (c IN ('a', 'B', 'CHECK (a)') OR c IS NULL)",
    "CHECK ([d] <> '5' OR d IS NULL)",
    "g integer GENERATED ALWAYS AS (a * 2) STORED CHECK (g <> 8)",
    "h text NOT NULL AS (coalesce(upper(s), 'none')) VIRTUAL",
    "i AS (b + a)",
    '"j, k" text COLLATE NOCASE AS (s || c) CONSTRAINT odd CHECK ("j, k" <> \'xa\')',
    "FOREIGN KEY (f) REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED",
]
INDEXES = [
    "CREATE UNIQUE INDEX t_part ON t (s, b) WHERE a > 3",
    "CREATE UNIQUE INDEX t_lower ON t (lower(s), c, b)",
    "CREATE INDEX t_sum ON t (a + b, f)",
    "CREATE INDEX t_text ON t (c COLLATE NOCASE)",
]
TABLE = (
    "CREATE TABLE t (id integer PRIMARY KEY, a integer DEFAULT 1, b integer,"
    " c text COLLATE NOCASE, d numeric, s text, f integer{})"
)
VALUES = {
    "a": [0, 1, 3, 4, 7, "5", -1],
    "b": [None, 0, 1, 6, 49, 50],
    "c": [None, "a", "b", "A", "B", "x"],
    "d": [None, 1, "2.5", 5, "5"],
    "s": [None, "x", "X", "no", "NO", "y"],
    "f": [None, 1, 2],
}
SETS = [
    "a = {a}",
    "b = {b}",
    "c = {c}",
    "d = {d}",
    "s = {s}",
    "f = {f}",
    "a = a + 1",
    "b = a, a = b",
    "s = s || c",
    "c = s",
    "id = id + 100",
    "d = b, b = {b}",
    "a = (SELECT count(*) FROM t)",
]
WHERES = ["", " WHERE a > 2", " WHERE id = 2", " WHERE s = 'x'", " WHERE b IS NOT NULL"]


def literal(value):
    return dbapi.connect(MemoryStore()).quote_values([value])[0]


@st.composite
def programs(draw):
    """Return a schema, rows by column and UPDATE statements."""
    definitions = draw(st.lists(st.sampled_from(DEFINITIONS), unique=True, max_size=4))
    # Constraints of the table stand behind its columns.
    definitions.sort(
        key=lambda one: one.split()[0] in {"CHECK", "CONSTRAINT", "FOREIGN"}
    )
    indexes = draw(st.lists(st.sampled_from(INDEXES), unique=True, max_size=2))
    schema = [TABLE.format("".join(f", {one}" for one in definitions)), *indexes]
    columns = draw(st.lists(st.sampled_from([*VALUES]), unique=True, min_size=1))
    row = st.tuples(*(st.sampled_from(VALUES[name]) for name in columns))
    inserts = draw(st.lists(st.lists(row, min_size=1, max_size=7), max_size=3))
    updates = []
    for _ in range(draw(st.integers(1, 4))):
        values = {name: literal(draw(st.sampled_from(VALUES[name]))) for name in VALUES}
        text = draw(st.sampled_from(SETS)).format(**values)
        updates.append(f"UPDATE t SET {text}{draw(st.sampled_from(WHERES))}")
    return schema, columns, inserts, updates


def insert(connection, columns, rows):
    """Insert rows together, as ``bulk_create`` does."""

    def work(running):
        table = running.session.catalog().tables["t"]
        writer = connection.tables.writer(running.session, table)
        writer.insert([writer.number(name) for name in columns], rows)

    connection.run_write(work)


def attempt(work):
    """Return what went wrong, in the words up to what differs: the values."""
    try:
        work()
    except (sqlite3.IntegrityError, dbapi.IntegrityError) as error:
        text = str(error)
        return "FOREIGN KEY" if text.startswith("FOREIGN KEY") else text
    return None


@settings(
    max_examples=effort(test=30, check=200, soak=20_000),
    suppress_health_check=[HealthCheck.too_slow],
    deadline=None,
)
@given(programs())
def test_the_same_as_sqlite(program):
    """INSERT and UPDATE of many rows compute, check and refuse what SQLite does."""
    schema, columns, inserts, updates = program
    ours = dbapi.connect(MemoryStore())
    theirs = sqlite3.connect(":memory:", isolation_level=None)
    theirs.execute("PRAGMA foreign_keys = ON")
    for sql in schema:
        ours.execute(sql)
        theirs.execute(sql)
    marks = ", ".join("?" * len(columns))
    names = ", ".join(columns)
    for rows in inserts:
        many = ", ".join([f"({marks})"] * len(rows))
        values = [value for row in rows for value in row]
        statement = f"INSERT INTO t ({names}) VALUES {many}"
        expected = attempt(lambda: theirs.execute(statement, values))  # noqa: B023  # called at once
        assert attempt(lambda: insert(ours, columns, rows)) == expected  # noqa: B023  # called at once
    for sql in updates:
        expected = attempt(lambda: theirs.execute(sql))  # noqa: B023  # called at once
        assert attempt(lambda: ours.execute(sql)) == expected  # noqa: B023  # called at once
        everything = "SELECT *, typeof(a), typeof(b), typeof(d) FROM t ORDER BY id"
        assert (
            ours.execute(everything).fetchall() == theirs.execute(everything).fetchall()
        )
    for index in ("a > 3 AND s = 'x'", "lower(s) = 'x'", "a + b = 5", "c = 'b'"):
        sql = f"SELECT id FROM t WHERE {index} ORDER BY id"
        assert ours.execute(sql).fetchall() == theirs.execute(sql).fetchall()
    ours.close()
    theirs.close()


@pytest.fixture
def counted(any_connection, monkeypatch):
    """A connection to a table with rows; and what is evaluated, in numbers of rows."""
    evaluated = []
    run, compute = Batch.run, Declarations.compute
    monkeypatch.setattr(
        Batch, "run", lambda self, rows: evaluated.append(len(rows)) or run(self, rows)
    )
    monkeypatch.setattr(
        Declarations,
        "compute",
        lambda self, *rest: evaluated.append(1) or compute(self, *rest),
    )
    any_connection.execute(
        "CREATE TABLE t (id integer PRIMARY KEY, a integer CHECK (a >= 0), b integer,"
        " j text CHECK (json_valid(j)), s text, u integer,"
        " g integer GENERATED ALWAYS AS (b + 1) STORED)"
    )
    any_connection.execute("CREATE INDEX t_part ON t (u) WHERE s = 'x'")
    insert(
        any_connection,
        ["a", "b", "j", "s", "u"],
        [(n, n, "{}", "x", n) for n in range(ROWS)],
    )
    return any_connection, evaluated


def test_rows_are_inserted_together(counted):
    """Many rows are evaluated at once."""
    _, evaluated = counted
    assert evaluated == [ROWS]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("u = u + 1", [ROWS]),  # an index's column, with what its condition says
        ("s = 'y'", [ROWS]),
        ("a = a + 1", [ROWS]),
        ("b = b * 2, a = 5", [ROWS]),
    ],
)
def test_a_touched_column(counted, change, expected):
    """What a changed column touches is evaluated for all rows by one statement."""
    connection, evaluated = counted
    evaluated.clear()
    connection.execute(f"UPDATE t SET {change}")
    assert sum(evaluated) <= sum(expected)
    assert len(evaluated) <= len(expected)


def test_a_column_that_nothing_mentions(counted):
    """A change of other columns evaluates nothing; one row of others little."""
    connection, evaluated = counted
    connection.execute("ALTER TABLE t ADD COLUMN plain text")
    connection.execute("ALTER TABLE t ADD COLUMN other integer REFERENCES t (id)")
    evaluated.clear()
    connection.execute("UPDATE t SET plain = s || 'y'")
    connection.execute("UPDATE t SET plain = 'z' WHERE id = 5")
    # Foreign keys are changed row by row.
    connection.execute("UPDATE t SET other = id, plain = 'other'")
    assert evaluated == []
    assert connection.execute(
        "SELECT DISTINCT plain, id = other, g = b + 1 FROM t"
    ).fetchall() == [("other", 1, 1)]


def test_a_wrong_row_among_many(counted):
    """The error is of the row that is wrong; nothing is changed."""
    connection, _ = counted
    before = connection.execute("SELECT * FROM t ORDER BY id").fetchall()
    with pytest.raises(dbapi.IntegrityError, match=r"CHECK constraint failed: a >= 0"):
        connection.execute("UPDATE t SET a = a - 10, b = 0")
    with pytest.raises(dbapi.IntegrityError, match=r"CHECK constraint failed: json"):
        connection.execute("UPDATE t SET j = CASE id WHEN 250 THEN '{' ELSE '[]' END")
    assert connection.execute("SELECT * FROM t ORDER BY id").fetchall() == before


def test_after_the_mirror_was_made_anew(counted):
    """A change of the schema by others doesn't make later changes row by row."""
    connection, evaluated = counted
    connection.declarations.invalidate()
    evaluated.clear()
    connection.execute("UPDATE t SET a = a + 1")
    assert evaluated == [ROWS]


@pytest.mark.parametrize(
    ("sql", "checks", "generated", "strict"),
    [
        ("CREATE TABLE t (a, b)", [], {}, False),
        ("CREATE TABLE t (a CHECK(a>(1)), CHECK ( b ) )", ["a>(1)", " b "], {}, False),
        ('CREATE TABLE "CHECK (x)" ("AS" text, "check" int)', [], {}, False),
        ("CREATE TABLE t (a int DEFAULT (abs(-1)), b AS (a))", [], {"b": "a"}, False),
        (
            "CREATE TABLE t (a dec(5, 2) AS /* ( */ (')' || b))",
            [],
            {"a": "')' || b"},
            False,
        ),
        ("CREATE TABLE t (a -- CHECK (a)\n, b) STRICT", [], {}, True),
        (
            "CREATE TABLE t (a text CHECK (a IN ('(', 'b')))",
            ["a IN ('(', 'b')"],
            {},
            False,
        ),
        (
            "CREATE TABLE t (a CHECK (CAST(a AS int) = 1))",
            ["CAST(a AS int) = 1"],
            {},
            False,
        ),
    ],
)
def test_expressions_of_a_table(sql, checks, generated, strict):
    """CHECKs and generated columns are found by a statement's tokens."""
    assert table_expressions(sql) == (checks, generated, strict)


def test_names_in_an_expression():
    """Names are found in all quotes; what is in strings and comments isn't one."""
    sql = 'a + "b""c" || [d e] || `f` || \'g\' -- h'
    assert names_in(sql) == {"a", 'b"c', "d e", "f"}
