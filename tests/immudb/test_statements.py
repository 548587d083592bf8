"""Texts that immudb would take for something else are refused before they are sent."""

import pytest

driver = pytest.importorskip(
    "backendkit.backends.immudb.driver",
    reason="needs the extra immudb",
    exc_type=ImportError,
)


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT '?', \"?\" -- ?\n, /* ? */ ? FROM t", (1,)),
        ("SELECT 'it''s ?' FROM t WHERE a = ? AND b = ?", (1, 2)),
        ("SELECT $1, $2, $1", (1, 2)),
        ("SELECT @a, @A, '@b'", {"a": 1}),
        ("SELECT 1", ()),
        ("SELECT 1", {}),
        ("SELECT 1 /* never closed ?", ()),
    ],
)
def test_parameters_are_counted_as_immudb_reads(sql, parameters):
    from backendkit.backends.immudb.driver import immudb_pb2 as pb
    from backendkit.backends.immudb.driver._statements import analyze
    from backendkit.backends.immudb.driver._values import bind

    request = pb.SQLExecRequest()
    bind(request.params, analyze(sql), parameters)
    assert [one.value.n for one in request.params] == (
        list(parameters.values()) if isinstance(parameters, dict) else list(parameters)
    )


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT ?", ()),
        ("SELECT ?", (1, 2)),
        ("SELECT 1", (1,)),
        ("SELECT $2", (1,)),
        ("SELECT @a", (1,)),
        ("SELECT @a", {}),
        ("SELECT @a", {"a": 1, "b": 2}),
        ("SELECT @a", {"a": 1, "A": 2}),
        ("SELECT ?", {"a": 1}),
        ("SELECT ?", "x"),
        ("SELECT ?", b"x"),
        ("", ()),
        (" ; -- nothing", ()),
        ("SELECT 1; SELECT 2", ()),
        ("DELETE FROM t WHERE id = 1; SELECT 2", ()),
        ("BEGIN", ()),
        ("COMMIT", ()),
        ("rollback to savepoint a", ()),
        ("SAVEPOINT a", ()),
        ("RELEASE SAVEPOINT a", ()),
        ("DELETE FROM t WHERE id = 1; COMMIT", ()),
        ("USE other", ()),
        ("SELECT '\ud800'", ()),
        ("SELEKT 1", ()),
        ("SELECT 'not closed", ()),
    ],
)
def test_a_text_that_cannot_be_meant_is_a_programming_error(
    connection, sql, parameters
):
    with pytest.raises(driver.ProgrammingError):
        connection.cursor().execute(sql, parameters)


def test_returning_is_refused_because_immudb_loses_the_row(connection):
    """facts: INSERT … RETURNING reports success and the row is not there."""
    connection.run(
        "CREATE TABLE t (id INTEGER AUTO_INCREMENT, s VARCHAR, PRIMARY KEY id)"
    )
    with pytest.raises(driver.NotSupportedError, match="lastrowid"):
        connection.cursor().execute("INSERT INTO t (s) VALUES ('a') RETURNING id")
    cursor = connection.cursor()
    cursor.execute("INSERT INTO t (s) VALUES ('returning')")
    assert cursor.lastrowid == 1


def test_rows_are_neither_lost_nor_invented(connection):
    """immudb drops the rows of a SELECT that is executed instead of queried."""
    connection.run("CREATE TABLE t (id INTEGER, PRIMARY KEY id)")
    with pytest.raises(driver.ProgrammingError, match="it is a query"):
        connection.run("SELECT id FROM t")
    for method in (connection.query, connection.stream):
        with pytest.raises(driver.ProgrammingError, match="it is no query"):
            method("INSERT INTO t (id) VALUES (1)")
    with pytest.raises(driver.ProgrammingError):
        connection.cursor().executemany("SELECT id FROM t WHERE id = ?", [(1,)])


@pytest.mark.parametrize(
    "sql",
    ["SHOW TABLES", "EXPLAIN SELECT 1", "WITH x AS (SELECT 1 AS a) SELECT a FROM x"],
)
def test_all_that_answers_with_rows_is_a_query(connection, sql):
    assert connection.cursor().execute(sql).description


def test_several_statements_at_once_are_all_or_nothing(connection):
    connection.run("CREATE TABLE t (id INTEGER, PRIMARY KEY id)")
    insert = "INSERT INTO t (id) VALUES (1); INSERT INTO t (id) VALUES (?)"
    with pytest.raises(driver.IntegrityError):
        connection.run(insert, (1,))
    assert connection.query("SELECT id FROM t").rows == []
    connection.run(insert, (2,))
    assert connection.query("SELECT id FROM t").rows == [(1,), (2,)]
