"""What is read of SQL texts, held against SQLite's own parser."""

import apsw
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from backendkit.backends.memory.store import MemoryStore
from backendkit.engine import dbapi
from backendkit.engine.classifying import Kind, classify
from backendkit.engine.compiled import Insert
from backendkit.engine.ddl_text import index_parts
from backendkit.engine.insert_text import InsertHead, insert_head
from backendkit.engine.placeholders import filled, to_named, to_qmark
from backendkit.engine.sqltext import lists_are_literal, without_for_update
from backendkit.engine.tokens import quote, unquote
from backendkit.stores import NotSupportedError, OperationalError

from .names import NAMES


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1", Kind.READ),
        ("  \n\tselect 1", Kind.READ),
        ("-- INSERT\nSELECT 1", Kind.READ),
        ("/* UPDATE */ /* x */SELECT 1", Kind.READ),
        ("VALUES (1)", Kind.READ),
        ("EXPLAIN QUERY PLAN DELETE FROM t", Kind.READ),
        ("WITH x AS (SELECT 1) SELECT * FROM x", Kind.READ),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", Kind.WRITE),
        ("INSERT INTO t VALUES (1)", Kind.WRITE),
        ("replace into t values (1)", Kind.WRITE),
        ("UPDATE t SET a = 1", Kind.WRITE),
        ("DELETE FROM t", Kind.WRITE),
        ("CREATE TABLE t (a)", Kind.DDL),
        ("create unique index i on t (a)", Kind.DDL),
        ("ALTER TABLE t RENAME TO u", Kind.DDL),
        ("DROP VIEW v", Kind.DDL),
        ("BEGIN IMMEDIATE", Kind.TRANSACTION),
        ("COMMIT", Kind.TRANSACTION),
        ("end transaction", Kind.TRANSACTION),
        ("ROLLBACK TO x", Kind.TRANSACTION),
        ("SAVEPOINT x", Kind.TRANSACTION),
        ("RELEASE x", Kind.TRANSACTION),
        ("PRAGMA table_info(t)", Kind.PRAGMA),
        ("SELECT name FROM sqlite_master", Kind.READ),
        ("SELECT * FROM pragma_table_info('t')", Kind.READ),
        ("WITH x AS (SELECT name FROM sqlite_master) SELECT * FROM x", Kind.READ),
        ("", Kind.READ),
        ("FROBNICATE", Kind.READ),
    ],
)
def test_statements_are_classified(sql, kind):
    """The first word tells who runs a statement; comments before it don't count."""
    assert classify(sql) is kind


@pytest.mark.parametrize(
    ("sql", "without"),
    [
        ("SELECT a FROM t FOR UPDATE", "SELECT a FROM t "),
        ("select a from t for\n update;", "select a from t ;"),
        ("SELECT a FROM t FOR UPDATE WHERE a = 1", "SELECT a FROM t  WHERE a = 1"),
        (
            "SELECT 'FOR UPDATE' FROM (SELECT 1 FOR UPDATE) FOR UPDATE -- FOR UPDATE",
            "SELECT 'FOR UPDATE' FROM (SELECT 1 )  -- FOR UPDATE",
        ),
        ("SELECT 'FOR UPDATE'", None),
        ("SELECT a /* FOR UPDATE NOWAIT */ FROM t", None),
        ("CREATE TRIGGER x BEFORE UPDATE ON t BEGIN SELECT 1; END", None),
        ("UPDATE t SET a = 1", None),
    ],
)
def test_for_update_is_taken_out(sql, without):
    """FOR UPDATE is found where it is no text, name or comment; SQLite hasn't got it."""
    assert without_for_update(sql) == without


@pytest.mark.parametrize("option", ["NOWAIT", "nowait", "SKIP LOCKED", "OF t"])
def test_for_update_with_options(option):
    """What can't be done is refused, where SQLite would read another table name."""
    with pytest.raises(NotSupportedError, match="FOR UPDATE"):
        without_for_update(f"SELECT * FROM t FOR UPDATE {option}")


@example("SQLITE")
@given(NAMES)
def test_quoted_names_are_names(name):
    """A text that isn't reserved is a name when it is quoted, and comes back."""
    database = apsw.Connection(":memory:")
    database.execute(f"CREATE TABLE {quote(name)} ({quote(name)} integer)")
    assert database.execute("SELECT name FROM sqlite_master").get == name
    database.close()
    assert unquote(quote(name)) == name


@pytest.mark.parametrize("name", ["SQLITE_", "sqlite_x", "SqLite_master"])
def test_reserved_names(name):
    """What SQLite keeps for itself is refused, in any case; random queries drew it."""
    database = apsw.Connection(":memory:")
    with pytest.raises(apsw.SQLError, match="reserved for internal use"):
        database.execute(f"CREATE TABLE {quote(name)} (a integer)")
    database.close()
    connection = dbapi.connect(MemoryStore())
    with pytest.raises(OperationalError, match="reserved for internal use"):
        connection.execute(f"CREATE TABLE {quote(name)} (a integer)")
    connection.close()


@given(
    NAMES,
    st.lists(NAMES, min_size=1, max_size=4, unique_by=str.lower),
    st.sampled_from(["", "IGNORE", "REPLACE", "ABORT"]),
    st.sampled_from([" ", "\n", " /* ( */ ", " -- (\n"]),
    st.booleans(),
)
def test_the_head_of_an_insert_is_read(table, columns, conflict, space, main):
    """Table, columns and OR clause of an INSERT are those that SQLite reads."""
    assume(len({unquote(quote(c)).lower() for c in columns}) == len(columns))
    name = ("main." if main else "") + quote(table)
    clause = f" OR{space}{conflict}" if conflict else ""
    names = f"{space},{space}".join(map(quote, columns))
    marks = ", ".join("?" * len(columns))
    sql = f"{space}INSERT{clause}{space}INTO {name}{space}({names}) VALUES ({marks})"
    head = insert_head(sql)
    assert head is not None
    assert head.table == table
    assert head.columns == tuple(column.lower() for column in columns)
    assert head.conflict == conflict


@pytest.mark.parametrize(
    ("sql", "head"),
    [
        ("INSERT INTO t VALUES (1)", ("t", None, "")),
        ("INSERT INTO t SELECT 1", ("t", None, "")),
        ("REPLACE INTO [t] (A) VALUES (1)", ("t", ("a",), "REPLACE")),
        ("INSERT INTO t AS x (a) VALUES (1)", ("t", ("a",), "")),
        ("INSERT INTO `t` (a, b) SELECT a, (b) FROM u", ("t", ("a", "b"), "")),
    ],
)
def test_forms_of_insert(sql, head):
    """VALUES behind the table isn't a list of columns."""
    found = insert_head(sql)
    assert (found.table, found.columns, found.conflict) == head
    assert isinstance(found, InsertHead)


@pytest.mark.parametrize("sql", ["UPDATE t SET a = 1", "SELECT 'INSERT INTO t'", ""])
def test_other_statements_have_no_head(sql):
    """What isn't an INSERT isn't taken for one."""
    assert insert_head(sql) is None


@pytest.mark.parametrize(
    ("sql", "literal"),
    [
        ("SELECT 1", True),
        ("SELECT * FROM t WHERE a IN (1, 2)", True),
        ("SELECT * FROM t WHERE a IN (?, ?)", True),
        ("SELECT * FROM t WHERE a IN ('x')", True),
        ("SELECT * FROM t WHERE a IN (SELECT 1)", False),
        ("SELECT * FROM t WHERE a in(select 1)", False),
        ("SELECT * FROM t WHERE a IN u", False),
        ("SELECT * FROM t WHERE a IN (WITH x AS (SELECT 1) SELECT * FROM x)", False),
        ("SELECT * FROM t WHERE a IN (VALUES (1))", False),
        ("SELECT * FROM t WHERE a IN ()", False),
    ],
)
def test_lists_of_values(sql, literal):
    """Only a list written out in the statement is known not to be empty."""
    assert lists_are_literal(sql) is literal


EXPRESSIONS = [
    "a",
    '"a b"',
    "lower(a)",
    "coalesce(a, 'x, y)')",
    "a || ')'",
    "(a + 1)",
    "CASE WHEN a > 1 THEN 'WHERE' ELSE b END",
    "substr(a, 1, 2)",
    "a /* , ) */ + 1",
]
SUFFIXES = ["", " ASC", " DESC", " desc", " COLLATE NOCASE", " COLLATE nocase DESC"]


@given(
    st.lists(
        st.tuples(st.sampled_from(EXPRESSIONS), st.sampled_from(SUFFIXES)),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([None, "a > 1", "a IN (1, 2)", "b = 'WHERE ('", "(a) AND (b)"]),
    NAMES,
)
def test_an_index_is_split_into_its_parts(parts, where, name):
    """Keys and condition of CREATE INDEX are what SQLite parses, text by text."""
    keys = ", ".join(text + suffix for text, suffix in parts)
    sql = f'CREATE INDEX {quote(name)} ON "t (x" ({keys})'
    if where is not None:
        sql += f" WHERE {where}"
    database = apsw.Connection(":memory:")
    database.execute('CREATE TABLE "t (x" (a, b, "a b")')
    database.execute(sql)
    (kept,) = database.execute("SELECT sql FROM sqlite_master WHERE type = 'index'")
    database.close()
    found, condition = index_parts(kept[0])
    assert [" ".join(text.split()) for text in found] == [text for text, _ in parts]
    assert (condition or "").strip() == (where or "")


@given(st.lists(st.sampled_from(["%%", "%s", "s", "a", " ", "'"]), max_size=8))
def test_format_style_becomes_question_marks(parts):
    """Each %s is a placeholder, %% is a percent sign; the rest stays."""
    sql = "".join(parts)
    assert to_qmark(sql) == sql % (("?",) * parts.count("%s"))


def test_pyformat_style_becomes_names():
    """%(name)s becomes :name, wherever it stands and however often."""
    sql = "SELECT %(a)s, %(b)s, %(a)s, '%%'"
    assert to_named(sql, {"a": 1, "b": 2}) == "SELECT :a, :b, :a, '%'"


def test_an_insert_is_its_text():
    """What the compiler hands over is logged and compared as text."""
    assert Insert("INSERT INTO t") == "INSERT INTO t"


def test_a_percent_sign_that_is_no_placeholder_stays():
    """It may be in a column's name; Python's % would fail."""
    sql = 'SELECT "100%" FROM t WHERE "a%b" = '
    assert to_qmark(f"{sql}%s") == f"{sql}?"
    assert to_named(f"{sql}%(a)s", {"a": 1}) == f"{sql}:a"
    assert filled(f"{sql}%s, '%%'", ["'x%s'"]) == f"{sql}'x%s', '%'"
    assert filled(f"{sql}%(a)s", {"a": "'%(a)s'"}) == f"{sql}'%(a)s'"
    with pytest.raises(KeyError):
        to_named(f"{sql}%(b)s", {"a": 1})
