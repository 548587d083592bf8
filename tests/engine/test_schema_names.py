"""Statements with the names of SQLite's own tables, beside SQLite."""

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backendkit.backends.memory.store import MemoryStore
from backendkit.engine import dbapi
from backendkit.stores import NotSupportedError
from tests.effort import effort

NOTE = """
    CREATE TABLE note (id integer PRIMARY KEY AUTOINCREMENT, body text,
    "sqlite_master" integer DEFAULT 7, "pragma_x(" text)
"""
SETUP = [
    NOTE,
    "CREATE TABLE log (a text, b text)",
    "CREATE INDEX note_body ON note (body)",
    "CREATE VIEW kinds AS SELECT DISTINCT type FROM sqlite_master",
    "CREATE VIEW bodies AS SELECT body AS sqlite_schema FROM note",
    "INSERT INTO note (body) VALUES ('sqlite_master'), ('pragma_x(1)'), ('-- /* '' ')",
    "INSERT INTO log SELECT name, type FROM sqlite_master WHERE name = 'note_body'",
]
#: What may stand wherever there is white space.
SPACES = st.sampled_from(
    [" ", "\n", " /* sqlite_master ' \" ; */ ", " -- pragma_table_info('note')\n"]
)
SOURCES = st.sampled_from(
    [
        ("note", "id"),
        ("bodies", "sqlite_schema"),
        ("kinds", "type"),
        ("sqlite_master", "name"),
        ("main.sqlite_master", "main.sqlite_master.name"),
        ('"main"."sqlite_schema"', "tbl_name"),
        ("'sqlite_master'", "type"),
        ("[SQLITE_MASTER] m", "m.name"),
        ("sqlite_master AS sqlite_schema", "sqlite_schema.name"),
        ("log AS sqlite_master", "sqlite_master.b"),
        ("pragma_table_info('note')", "name"),
        ("pragma_index_list('note') AS sqlite_sequence", "sqlite_sequence.name"),
        ("(SELECT name AS n FROM sqlite_schema)", "n"),
        ("pragma_foreign_key_list('log')", "id"),
    ]
)
VALUES = st.sampled_from(
    ["'sqlite_master'", "'pragma_x(1)'", "''", "1", "NULL", "'a -- b'", "'sqlite_'"]
)
FORMS = st.sampled_from(
    [
        "SELECT {0} FROM {1} ORDER BY 1 ;",
        "SELECT count(*) FROM {1} , {3} WHERE {2} IS NOT {4}",
        "SELECT ( SELECT count(*) FROM {3} ) , {0} FROM {1} ORDER BY 2",
        "SELECT {4} AS sqlite_master , {0} FROM {1} ORDER BY 2",
        "WITH x AS ( SELECT {0} AS y FROM {1} ) SELECT y , {2} FROM x , {3} ORDER BY 1, 2",
        "WITH sqlite_master AS ( SELECT {0} AS y FROM {1} ) SELECT * FROM sqlite_master ORDER BY 1",
        "SELECT id FROM note WHERE EXISTS ( SELECT 1 FROM {1} WHERE {0} <> {4} ) ORDER BY 1",
        "SELECT {0} FROM {1} UNION SELECT {2} FROM {3} ORDER BY 1",
        "VALUES ( {4} , ( SELECT max( {0} ) FROM {1} ) )",
        "INSERT INTO log SELECT {0} , {4} FROM {1}",
        "UPDATE note SET body = {4} WHERE id IN ( SELECT count(*) - 1 FROM {1} WHERE {0} <> '' )",
        "DELETE FROM log WHERE a IN ( SELECT {0} FROM {1} ) OR b = {4}",
        "CREATE TABLE made AS SELECT CAST( {0} AS text ) AS z , CAST( {4} AS text ) AS v FROM {1} WHERE {0} NOT IN ( 'made' )",
        "CREATE VIEW made AS SELECT CAST( {0} AS text ) AS z , CAST( {4} AS text ) AS v FROM {1} WHERE {0} NOT IN ( 'made' )",
    ]
)


@settings(max_examples=effort(test=40, check=150, soak=20_000))
@given(FORMS, SOURCES, SOURCES, VALUES, st.lists(SPACES, min_size=30, max_size=30))
@example(
    "SELECT {0} FROM {1} , note ORDER BY 1",
    ("main.sqlite_master", "main.sqlite_master.name"),
    ("note", "id"),
    "1",
    [" "] * 30,
)
def test_names_of_sqlites_own_tables(form, first, second, value, spaces):
    """
    A word in a literal, a comment, an alias or a column's name is nothing special.

    A statement that reads the schema and a table sees both, and so do views and what
    is made or inserted from a SELECT.
    """
    words = form.format(first[1], first[0], second[1], second[0], value).split(" ")
    parts = iter(spaces)
    sql = "".join(word + next(parts, " ") for word in words)
    sqlite, ours = apsw.Connection(":memory:"), dbapi.connect(MemoryStore())
    try:
        answers = []
        for database in (sqlite, ours):
            for statement in SETUP:
                database.execute(statement)
            answers.append(_answers(database, sql))
        assert answers[0] == answers[1]
    finally:
        sqlite.close()
        ours.close()


def _answers(database, sql):
    found = []
    for statement in [sql, *_CHECKS]:
        try:
            found.append(database.execute(statement).fetchall())
        except (apsw.Error, dbapi.Error):
            found.append("an error")
    return found


_CHECKS = [
    "SELECT * FROM note ORDER BY 1",
    "SELECT a, b FROM log ORDER BY 1, 2",
    "SELECT z, v FROM made ORDER BY 1, 2",
    "SELECT type FROM kinds ORDER BY 1",
]


def test_numbers_begin_anew_by_sql(connection):
    """sqlite_sequence is written as on SQLite, but never below a row that is there."""
    connection.execute("CREATE TABLE t (id integer PRIMARY KEY AUTOINCREMENT, a)")
    connection.execute("INSERT INTO t (a) VALUES (1), (2)")
    connection.execute("UPDATE /* x */ sqlite_sequence SET seq = 9 WHERE name = 't'")
    connection.execute("INSERT INTO t (a) VALUES (3)")
    assert connection.execute("SELECT max(id) FROM t").fetchall() == [(10,)]
    connection.execute("DELETE FROM t WHERE id > 1")
    connection.execute("DELETE FROM sqlite_sequence")
    connection.execute("INSERT INTO t (a) VALUES (4)")
    connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('t', 40)")
    connection.execute("INSERT INTO t (a) VALUES (5)")
    assert connection.execute("SELECT id FROM t").fetchall() == [(1,), (2,), (41,)]
    assert connection.execute("SELECT name FROM sqlite_sequence").fetchall() == [("t",)]
    with pytest.raises(NotSupportedError, match="not read"):
        connection.execute("SELECT seq FROM sqlite_sequence").fetchall()
    with pytest.raises(NotSupportedError, match="with automatic numbers"):
        connection.execute("INSERT INTO sqlite_sequence VALUES ('u', 40)")
