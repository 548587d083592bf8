"""INSERT in raw SQL: what it returns and leaves behind, beside SQLite."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backendkit.backends.memory.store import MemoryStore
from backendkit.engine import dbapi
from backendkit.engine.insert_clauses import insert_clauses
from tests.effort import effort

TABLE = """
    CREATE TABLE t (id integer PRIMARY KEY AUTOINCREMENT, a text, n integer UNIQUE,
    c integer DEFAULT 5 CHECK (c > 0), "returning" text DEFAULT 'r')
"""
SETUP = [
    TABLE,
    "CREATE TABLE u (k varchar(9) PRIMARY KEY, v integer)",
    "INSERT INTO t (a, n) VALUES ('x', 1), ('y', 2)",
]
TEXTS = st.sampled_from(["'a'", "'RETURNING'", "'on conflict ('", "?", "NULL", "a.b"])
NUMBERS = st.sampled_from(
    ["1", "2", "3", "4", "NULL", "-1", "?2", "(SELECT max(n) FROM t)"]
)
HEADS = st.sampled_from(["INSERT", "INSERT OR IGNORE", "INSERT OR REPLACE", "REPLACE"])
LISTS = st.sampled_from(
    [
        *("id", "*", "id, a", '"t"."id" , t.n', "x.id", "id AS number, n + 1 AS more"),
        *(
            "n || '-' || a",
            "typeof(n), id",
            "(SELECT count(*) FROM t)",
            "?3",
            "rowid AS r",
        ),
        *(
            '"returning"',
            "upper([returning]), ?2",
            "nothing",
            "CASE WHEN n > 2 THEN a END",
        ),
    ]
)
UPSERTS = st.sampled_from(
    [
        *("", "", "ON CONFLICT (n) DO UPDATE SET a = excluded.a, c = EXCLUDED.c"),
        'ON /* x */ CONFLICT("n")DO UPDATE SET "a"="excluded"."a"',
        "ON CONFLICT (a) DO UPDATE SET a = excluded.a",
    ]
)
ROWS = st.lists(
    st.tuples(TEXTS, NUMBERS, st.sampled_from(["5", "0", "7"])), min_size=1, max_size=3
)
SPACES = st.sampled_from([" ", "\n", " /* RETURNING 'x */ ", " -- ON CONFLICT (\n"])


@st.composite
def inserts(draw):
    """Return an INSERT of one of these forms."""
    name = draw(st.sampled_from(["t", "t AS x", '"T"', "main.t"]))
    upsert, returning = draw(UPSERTS), draw(st.none() | LISTS)
    rows = draw(ROWS)
    form = draw(st.sampled_from(["VALUES", "VALUES", "SELECT", "DEFAULT", "WITH"]))
    head = draw(HEADS) if not upsert else "INSERT"
    space = draw(SPACES)
    if upsert or "IGNORE" in head:
        # A row that is left out uses a number up on SQLite.
        rows = rows[:1]
        form = "DEFAULT" if form == "SELECT" else form
    source = "VALUES " + ", ".join(f"({a}, {n}, {c})" for a, n, c in rows)
    if form == "DEFAULT":
        sql = f"{head} INTO {name} DEFAULT VALUES"
    elif form == "SELECT":
        sql = f"{head} INTO {name} (a, n, c) SELECT a, n + 2, c FROM t WHERE id > 1"
    elif form == "WITH":
        sql = f"WITH z (a, b, c) AS ({source}) {head} INTO {name} (a, n, c) SELECT * FROM z WHERE 1"
    else:
        sql = f"{head} INTO {name} (a, n, c) {source}"
    if upsert and form != "DEFAULT":
        sql += space + upsert
    if returning is not None:
        sql += f"{space}returning {returning}"
    return draw(SPACES) + sql + draw(SPACES)


STEPS = st.lists(
    inserts()
    | st.sampled_from(
        [
            *(
                "SAVEPOINT a",
                "ROLLBACK TO a",
                "RELEASE a",
                "BEGIN",
                "COMMIT",
                "ROLLBACK",
            ),
            "INSERT INTO t (id, a) VALUES (50, 'z')",
            "DELETE FROM t WHERE n = 2",
            "UPDATE t SET a = 'q'",
            "SELECT 1",
        ]
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=effort(test=30, check=250, soak=30_000))
@given(STEPS)
def test_inserts_return_as_on_sqlite(steps):
    """Rows, names, lastrowid and last_insert_rowid() are SQLite's."""
    theirs = sqlite3.connect(":memory:", isolation_level=None)
    ours = dbapi.connect(MemoryStore())
    try:
        assert _run(ours, steps) == _run(theirs, steps)
    finally:
        theirs.close()
        ours.close()


def _run(database, steps):
    for sql in SETUP:
        database.execute(sql)
    found = []
    for sql in steps:
        # Numbers that rows used which are left out: begin behind those that are there.
        database.execute("UPDATE sqlite_sequence SET seq = 0 WHERE name = 't'")
        cursor = database.cursor()
        count = sql.count("?") and (3 if "?3" in sql else 2 if "?2" in sql else 1)
        try:
            rows = cursor.execute(sql, ("p", 3, 9)[:count]).fetchall()
        except (sqlite3.Error, dbapi.Error):
            found.append("an error")
            # What it inserted before it failed SQLite tells as the last row.
            database.execute("INSERT INTO t (id) VALUES (777)")
            database.execute("DELETE FROM t WHERE id = 777")
            continue
        names = [
            column[0].split("/*")[0].split("--")[0].strip()
            for column in cursor.description or ()
        ]
        last = database.execute("SELECT last_insert_rowid()").fetchall()
        found.append((rows, names, cursor.lastrowid, last))
    found.append(database.execute("SELECT * FROM t ORDER BY id").fetchall())
    return found


@pytest.mark.parametrize(
    "sql",
    [
        'INSERT INTO t (a) SELECT "returning" FROM t',
        "INSERT INTO t (a) SELECT a AS [returning] FROM t",
        "INSERT INTO t (a, `returning`) VALUES ('RETURNING x', 1)",
        "UPDATE t SET a = 1 RETURNING a",
        "INSERT INTO t (a) VALUES (1) ON CONFLICT DO NOTHING",
        "INSERT INTO t (n) VALUES (1) ON CONFLICT (n) DO UPDATE SET n = n + 1",
        "INSERT INTO t (a) VALUES (1) RETURNING",
    ],
)
def test_what_virtual_tables_do_or_refuse_themselves(sql):
    """A column's name is no clause; other clauses are SQLite's to refuse."""
    assert insert_clauses(sql) is None


def test_a_key_of_text_leaves_the_last_number(connection):
    """last_insert_rowid() is of tables that number their rows."""
    for sql in SETUP:
        connection.execute(sql)
    cursor = connection.execute("INSERT INTO u VALUES ('k', 1) RETURNING k, v + 1")
    assert cursor.fetchall() == [("k", 2)]
    assert cursor.lastrowid == 2
    cursor.executemany("INSERT INTO t (a) VALUES (?)", [("m",), ("n",)])
    assert cursor.lastrowid == 2
    assert connection.cursor().lastrowid is None
