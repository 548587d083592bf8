"""Schema: what CREATE, ALTER and DROP mean for the store and the rows in it."""

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backendkit.backends.memory.store import MemoryStore
from backendkit.engine import dbapi
from backendkit.stores import Column, ForeignKey, Table, ValueType
from tests.effort import examples

from .names import NAMES


def read(connection, name):
    """Return a table as the store has it."""
    session = connection.store.session()
    session.begin(write=False)
    table = session.catalog().tables[name]
    session.close()
    assert Table.from_json(table.to_json()) == table
    return table


def rows(connection, sql):
    return connection.execute(sql).fetchall()


DECLARATIONS = [
    ("CREATE TABLE t (id integer PRIMARY KEY)", ("id",), "id"),
    ("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)", ("id",), "id"),
    ("CREATE TABLE t (id integer, PRIMARY KEY (id))", ("id",), "id"),
    ("CREATE TABLE t (id integer PRIMARY KEY DESC)", ("id",), None),
    ("CREATE TABLE t (id bigint PRIMARY KEY)", ("id",), None),
    ("CREATE TABLE t (id integer PRIMARY KEY, a text) WITHOUT ROWID", ("id",), None),
    ("CREATE TABLE t (a text PRIMARY KEY)", ("a",), None),
    ("CREATE TABLE t (a text, b integer, PRIMARY KEY (b, a))", ("b", "a"), None),
    ("CREATE TABLE t (a text)", ("rowid",), "rowid"),
    ("CREATE TABLE t (rowid text)", ("rowid_",), "rowid_"),
    ("CREATE TABLE IF NOT EXISTS main.t (a)", ("rowid",), "rowid"),
    ('CREATE TABLE "t" ("a b" text, [c d] integer)', ("rowid",), "rowid"),
    ("CREATE TABLE t (a text) STRICT", ("rowid",), "rowid"),
]


@pytest.mark.parametrize(("sql", "key", "numbered"), DECLARATIONS)
def test_primary_keys(any_connection, sql, key, numbered):
    """A table's key is the declared one, or a hidden number; integers are numbered."""
    any_connection.execute(sql)
    table = read(any_connection, "t")
    assert table.primary_key == key
    number = table.auto_increment
    assert (None if number is None else table.columns[number].name) == numbered
    for name in key:
        assert not table.column(name).nullable


def test_declared_columns(connection):
    """Types, sizes, nullability and the words of the declaration are kept."""
    connection.execute(
        "CREATE TABLE t (id integer PRIMARY KEY, a varchar(10) NOT NULL,"
        " b decimal(5, 2) DEFAULT 1.5, c, d uuid char(32), e blob NULL)"
    )
    assert read(connection, "t").columns[1:] == (
        Column(
            "a", ValueType.STRING, nullable=False, declared="varchar(10)", max_length=10
        ),
        Column(
            "b",
            ValueType.DECIMAL,
            declared="decimal(5, 2)",
            max_digits=5,
            decimal_places=2,
        ),
        Column("c", ValueType.ANY),
        Column("d", ValueType.UUID, declared="uuid char(32)", max_length=32),
        Column("e", ValueType.BYTES, declared="BLOB"),
    )


KEYS = [
    ("p integer REFERENCES t", ForeignKey(("p",), "t", ("id",))),
    ("p integer REFERENCES t (id)", ForeignKey(("p",), "t", ("id",))),
    (
        "p integer, FOREIGN KEY (p) REFERENCES t (id) ON DELETE SET NULL",
        ForeignKey(("p",), "t", ("id",), "SET NULL"),
    ),
    (
        (
            'p integer CONSTRAINT "x y" REFERENCES "t" ("id") ON DELETE CASCADE'
            " DEFERRABLE INITIALLY DEFERRED"
        ),
        ForeignKey(("p",), "t", ("id",), "CASCADE"),
    ),
    (
        "p integer, q text, FOREIGN KEY (q, p) REFERENCES other (a, b)",
        ForeignKey(("q", "p"), "other", ("a", "b")),
    ),
]


@pytest.mark.parametrize(("sql", "key"), KEYS)
def test_foreign_keys(connection, sql, key):
    """Every way to declare a foreign key is read."""
    connection.execute(f"CREATE TABLE t (id integer PRIMARY KEY, {sql})")
    assert read(connection, "t").foreign_keys == (key,)


def conflicts(connection, sql, params=()):
    try:
        connection.execute(sql, params)
    except dbapi.IntegrityError:
        return True
    return False


INDEXES = [
    "CREATE UNIQUE INDEX i ON t (a)",
    "CREATE UNIQUE INDEX i ON t (a, b DESC)",
    "CREATE UNIQUE INDEX i ON t (a COLLATE NOCASE)",
    "CREATE UNIQUE INDEX i ON t (a COLLATE RTRIM)",
    "CREATE UNIQUE INDEX i ON t (lower(a))",
    "CREATE UNIQUE INDEX i ON t (lower(a), b)",
    "CREATE UNIQUE INDEX i ON t (a) WHERE b > 1",
    "CREATE UNIQUE INDEX i ON t (coalesce(b, 0)) WHERE a IS NOT NULL AND a <> ','",
    "CREATE UNIQUE INDEX IF NOT EXISTS main.i ON t (b + 1 DESC, a || ')')",
    "CREATE UNIQUE INDEX i ON t (b) WHERE b IN (1, 2)",
    "CREATE UNIQUE INDEX i ON t (n)",
]
PAIRS = st.tuples(
    st.sampled_from([None, "a", "A", "a ", "b", ","]),
    st.sampled_from([None, 0, 1, 2, 3]),
    st.sampled_from([None, "x", "X"]),
)


@pytest.mark.parametrize("sql", INDEXES)
@pytest.mark.parametrize("when", ["before", "after"])
@settings(max_examples=examples(test=10, check=25, soak=500))
@given(given_rows=st.lists(PAIRS, max_size=6))
def test_unique_indexes_refuse_what_sqlites_refuse(sql, when, given_rows):
    """Uniqueness of columns, expressions and parts is SQLite's, made when it may."""
    plain = apsw.Connection(":memory:")
    engine = dbapi.connect(MemoryStore())
    create = (
        "CREATE TABLE t (id integer PRIMARY KEY, a text, b integer,"
        " n text COLLATE NOCASE)"
    )
    statements = [(create, ())]
    inserts = [("INSERT INTO t (a, b, n) VALUES (?, ?, ?)", row) for row in given_rows]
    index = (sql, ())
    statements += [index, *inserts] if when == "before" else [*inserts, index]
    updates = [
        ("UPDATE t SET a = upper(a) WHERE id = 1", ()),
        ("UPDATE t SET b = b + 1 WHERE id = 2", ()),
        ("DELETE FROM t WHERE id = 1", ()),
        ("INSERT INTO t (a, b, n) VALUES ('a', 2, 'x')", ()),
    ]
    for statement, params in statements + updates:
        try:
            plain.execute(statement, params)
            wanted = False
        except apsw.ConstraintError:
            wanted = True
        assert conflicts(engine, statement, params) == wanted
    query = "SELECT a, b, n FROM t ORDER BY a, b, n"
    assert rows(engine, query) == plain.execute(query).fetchall()
    plain.close()
    engine.close()


CONSTRAINTS = [
    ("a integer CHECK (a > 0)", [1, 0, None]),
    ("a integer NOT NULL CHECK (a <> 5)", [1, 5, None]),
    ("a integer NOT NULL DEFAULT 7", [1, None]),
    ("a text CHECK (length(a) < 3)", ["ab", "abc", None]),
    ("a text COLLATE NOCASE UNIQUE", ["a", "A", "b", None, None]),
    ("a text COLLATE NOCASE PRIMARY KEY", ["a", "A", "b"]),
    ("a integer UNIQUE", [1, 1, None, None]),
    ("a integer, g integer AS (a * 2) STORED UNIQUE", [1, 1, 2, None]),
    ("a integer, g text AS (a || 'x') VIRTUAL CHECK (g <> '3x')", [1, 3, 2, None]),
    ("a bool CHECK (a IN (0, 1)), b text DEFAULT (lower('X'))", [0, 1]),
]


@pytest.mark.parametrize(("declaration", "values"), CONSTRAINTS)
def test_constraints(any_connection, declaration, values):
    """Each constraint accepts and refuses what it does in SQLite, defaults included."""
    plain = apsw.Connection(":memory:")
    for database in (plain, any_connection):
        database.execute(f"CREATE TABLE t ({declaration})")
    for sql in ("INSERT INTO t (a) VALUES (?)", "UPDATE t SET a = ?"):
        for value in values:
            try:
                plain.execute(sql, (value,))
                wanted = False
            except apsw.ConstraintError:
                wanted = True
            assert conflicts(any_connection, sql, (value,)) == wanted
            query = "SELECT * FROM t ORDER BY a"
            found = [tuple(map(str, row)) for row in rows(any_connection, query)]
            kept = [tuple(map(str, row)) for row in plain.execute(query)]
            if "bool" in declaration:
                found = [(str(int(a == "True")), b) for a, b in found]
            assert found == kept
    plain.close()


ALTERS = [
    ["ALTER TABLE t RENAME TO u", "SELECT * FROM u ORDER BY id"],
    ["ALTER TABLE t RENAME COLUMN a TO z", "SELECT id, z, b FROM t ORDER BY id"],
    ['ALTER TABLE t RENAME a TO "a b"', 'SELECT "a b" FROM t ORDER BY id'],
    ["ALTER TABLE t RENAME id TO key", "SELECT key, a FROM t ORDER BY key"],
    ["ALTER TABLE t ADD COLUMN x integer", "SELECT * FROM t ORDER BY id"],
    ["ALTER TABLE t ADD x integer NOT NULL DEFAULT 5", "SELECT x FROM t WHERE x = 5"],
    ["ALTER TABLE t ADD x text DEFAULT 'it''s'", "SELECT x, id FROM t ORDER BY id"],
    ["ALTER TABLE t ADD g integer AS (b + 1) VIRTUAL", "SELECT g FROM t ORDER BY id"],
    ["ALTER TABLE t DROP COLUMN b", "SELECT * FROM t ORDER BY id"],
    ["CREATE INDEX i ON t (a, b)", "SELECT id FROM t WHERE a = 'two' AND b > 1"],
    ["CREATE INDEX i ON t (b)", "DROP INDEX i", "SELECT id FROM t WHERE b = 2"],
    [
        "CREATE UNIQUE INDEX i ON t (lower(a))",
        "ALTER TABLE t RENAME a TO z",
        "SELECT id FROM t WHERE lower(z) = 'two'",
    ],
    [
        "CREATE UNIQUE INDEX i ON t (a) WHERE b > 1",
        "ALTER TABLE t RENAME b TO z",
        "SELECT a, z FROM t ORDER BY id",
    ],
    [
        "CREATE INDEX i ON t (a)",
        "ALTER TABLE t RENAME TO u",
        "SELECT id FROM u WHERE a = 'two'",
    ],
    [
        "CREATE TABLE c (t integer REFERENCES t (id))",
        "ALTER TABLE t RENAME TO u",
        "INSERT INTO c VALUES (1)",
        "SELECT * FROM c, u WHERE u.id = c.t",
    ],
    [
        "CREATE VIEW v AS SELECT a AS name FROM t WHERE b > 1",
        "ALTER TABLE t RENAME b TO z",
        "SELECT * FROM v ORDER BY name",
    ],
    ["DROP TABLE t", "CREATE TABLE t (q text)", "SELECT * FROM t"],
    ["ALTER TABLE t RENAME TO tmp", "CREATE TABLE t (q text)", "SELECT * FROM tmp"],
]


@pytest.mark.parametrize("statements", ALTERS, ids=lambda s: s[0][:40])
def test_changes_of_tables_with_rows(any_connection, statements):
    """DDL does to a table with rows what SQLite does; rolled back, it did nowhere."""
    plain = apsw.Connection(":memory:")
    create = [
        "CREATE TABLE t (id integer PRIMARY KEY, a text, b integer CHECK (b < 100))",
        "INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', NULL)",
    ]
    for sql in create:
        plain.execute(sql)
        any_connection.execute(sql)
    *changes, query = statements
    any_connection.execute("BEGIN")
    for sql in changes:
        any_connection.execute(sql)
    any_connection.execute("ROLLBACK")
    assert rows(any_connection, "SELECT a FROM t WHERE b IS NULL") == [("three",)]
    for sql in changes:
        plain.execute(sql)
        any_connection.execute(sql)
    wanted = sorted(plain.execute(query), key=repr)
    assert sorted(rows(any_connection, query), key=repr) == wanted
    # A second connection sees the same.
    other = dbapi.connect(any_connection.store)
    assert sorted(rows(other, query), key=repr) == wanted
    master = "SELECT type, name, tbl_name FROM sqlite_master ORDER BY type, name"
    wanted = plain.execute(master).fetchall()
    assert rows(other, master) == wanted
    other.transactions.close()
    plain.close()


def test_sqlites_own_tables_are_rows_to_write(any_connection):
    """What is written from them is written to the store, not to the mirror."""
    c = any_connection
    c.execute("CREATE TABLE t (a text)")
    names = "WITH names AS (SELECT name FROM sqlite_master) SELECT * FROM names"
    assert rows(c, names) == [("t",)]
    c.execute("INSERT INTO t SELECT name FROM sqlite_master")
    c.execute(
        "WITH n AS (SELECT name || 2 FROM main.sqlite_schema) INSERT INTO t SELECT * FROM n"
    )
    assert rows(c, "SELECT * FROM t") == [("t",), ("t2",)]
    c.execute("DELETE FROM t WHERE a IN (SELECT name FROM sqlite_master)")
    assert rows(c, "SELECT * FROM t") == [("t2",)]
    for sql in ("DELETE FROM sqlite_master", "UPDATE sqlite_schema SET name = 'x'"):
        with pytest.raises(dbapi.OperationalError, match="may not be modified"):
            c.execute(sql)
    # The mirror itself goes on to be written.
    c.execute("CREATE TABLE u (a text DEFAULT 'x')")
    c.execute("INSERT INTO u DEFAULT VALUES")
    assert rows(c, "SELECT * FROM u") == [("x",)]


REFUSED = [
    "CREATE TABLE t (a integer)",
    "CREATE TABLE u (a integer, a text)",
    "CREATE TABLE u (",
    "CREATE INDEX i ON nowhere (a)",
    "CREATE INDEX i ON t (nowhere)",
    "CREATE UNIQUE INDEX i ON t (b)",
    "ALTER TABLE t ADD COLUMN a integer",
    "ALTER TABLE t ADD COLUMN x integer NOT NULL",
    "ALTER TABLE t ADD COLUMN x integer PRIMARY KEY",
    "ALTER TABLE t DROP COLUMN id",
    "ALTER TABLE t DROP COLUMN nowhere",
    "ALTER TABLE t RENAME a TO b",
    "ALTER TABLE nowhere RENAME TO x",
    "DROP TABLE nowhere",
    "DROP INDEX nowhere",
    "DROP VIEW t",
    "ALTER TABLE t ADD COLUMN x integer CHECK (b < 2)",
]


@pytest.mark.parametrize("sql", REFUSED)
@pytest.mark.parametrize("within", [False, True])
def test_what_sqlite_refuses_is_refused(any_connection, sql, within):
    """Impossible DDL fails with PEP 249's errors and leaves all as it was."""
    any_connection.execute("CREATE TABLE t (id integer PRIMARY KEY, a text, b integer)")
    any_connection.execute("INSERT INTO t VALUES (1, 'one', 2), (2, 'two', 2)")
    before = read(any_connection, "t")
    if within:
        any_connection.execute("BEGIN")
    with pytest.raises(dbapi.DatabaseError):
        any_connection.execute(sql)
    assert rows(any_connection, "SELECT * FROM t ORDER BY id") == [
        (1, "one", 2),
        (2, "two", 2),
    ]
    any_connection.execute("INSERT INTO t VALUES (3, 'three', 3)")
    if within:
        any_connection.execute("COMMIT")
    assert read(any_connection, "t") == before
    tables = rows(any_connection, "SELECT name FROM sqlite_master WHERE type = 'table'")
    assert tables == [("t",)]


def test_if_exists(any_connection):
    """IF EXISTS and IF NOT EXISTS make no error and no change."""
    c = any_connection
    c.execute("CREATE TABLE t (a integer)")
    c.execute("INSERT INTO t VALUES (1)")
    c.execute("CREATE TABLE IF NOT EXISTS T (b text)")
    c.execute("DROP TABLE IF EXISTS nowhere")
    c.execute("DROP INDEX IF EXISTS nowhere")
    c.execute("DROP VIEW IF EXISTS nowhere")
    assert rows(c, "SELECT a FROM t") == [(1,)]


def test_views(two):
    """Views are read like tables, on other connections too, and can't be written."""
    first, second = two
    first.execute("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    first.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    first.execute('CREATE VIEW "my view" (k) AS SELECT a FROM t WHERE id > 1')
    assert rows(second, 'SELECT k FROM "my view"') == [("y",)]
    with pytest.raises(dbapi.DatabaseError):
        second.execute("INSERT INTO \"my view\" VALUES ('z')")
    first.execute('DROP VIEW "my view"')
    with pytest.raises(dbapi.OperationalError, match="no such table"):
        second.execute('SELECT k FROM "my view"')


def test_default_values(any_connection):
    """Defaults are constants or expressions, for columns that aren't given."""
    c = any_connection
    c.execute(
        "CREATE TABLE t (id integer PRIMARY KEY, a integer DEFAULT -5,"
        " b text DEFAULT 'x', c integer DEFAULT (1 + 2), d text DEFAULT CURRENT_DATE,"
        " e blob DEFAULT x'00ff', f real DEFAULT 1e3, g text DEFAULT NULL)"
    )
    c.execute("INSERT INTO t DEFAULT VALUES")
    c.execute("INSERT INTO t (a, b) VALUES (NULL, 'y')")
    found = rows(c, "SELECT a, b, c, d = date(), e, f, g FROM t ORDER BY id")
    assert found == [
        (-5, "x", 3, 1, b"\x00\xff", 1000.0, None),
        (None, "y", 3, 1, b"\x00\xff", 1000.0, None),
    ]


@settings(max_examples=examples(test=30, check=100, soak=3000))
@given(
    # A column that is called as SQLite's own number of a row can't be renamed.
    st.lists(
        NAMES.filter(lambda name: name.lower() not in {"rowid", "oid", "_rowid_"}),
        min_size=1,
        max_size=4,
        unique_by=str.lower,
    ),
    NAMES,
    NAMES,
    st.sampled_from(["", "UNIQUE "]),
)
def test_any_text_is_a_name(columns, table, index, unique):
    """Tables, columns and indexes of any name are made, changed, read and dropped."""
    new = table + "2"
    if index.lower() in {table.lower(), new.lower()}:
        index = "i" + index

    def q(name):
        return '"' + name.replace('"', '""') + '"'

    c = dbapi.connect(MemoryStore())
    c.execute(f"CREATE TABLE {q(table)} ({', '.join(map(q, columns))})")
    marks = ", ".join("?" * len(columns))
    names = ", ".join(map(q, columns))
    row = tuple(str(number) for number in range(len(columns)))
    c.execute(f"INSERT INTO {q(table)} ({names}) VALUES ({marks})", row)
    c.execute(f"CREATE {unique}INDEX {q(index)} ON {q(table)} ({names})")
    assert rows(c, f"SELECT {names} FROM {q(table)} WHERE {q(columns[0])} = '0'") == [
        row
    ]
    c.execute(f'ALTER TABLE {q(table)} RENAME COLUMN {q(columns[0])} TO "new \' """')
    c.execute(f"ALTER TABLE {q(table)} RENAME TO {q(new)}")
    assert rows(c, f'SELECT "new \' """ FROM {q(new)}') == [("0",)]
    c.execute(f"DROP INDEX {q(index)}")
    c.execute(f"DROP TABLE {q(new)}")
    assert rows(c, "SELECT name FROM sqlite_master") == []
    c.close()
