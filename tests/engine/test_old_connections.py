"""A connection that lives for days keeps no more than one that is new."""

from backendkit.engine.plans import Plans
from tests.effort import effort


def test_plans_dont_grow_with_the_rows(connection):
    """A statement has one plan, however many rows there are when it is prepared."""
    connection.execute("CREATE TABLE t (id integer PRIMARY KEY, a integer, b text)")
    connection.execute("CREATE INDEX t_a ON t (a)")
    sizes = []
    for number in range(effort(test=600, soak=50_000)):
        connection.execute("INSERT INTO t (a, b) VALUES (?, 'x')", (number,))
        some = ", ".join("?" * (number % 300 + 1))
        sql = f"SELECT b FROM t WHERE a IN ({some}) AND b <> '{number % 7}' LIMIT 2"
        connection.execute(sql, range(number % 300 + 1)).fetchall()
        if number % 300 == 299:
            sizes.append(len(connection.plans))
    assert 0 < sizes[0] == sizes[-1] <= 20


def varied(connection, number):
    """Run a statement whose plan is another one for each number."""
    names = [f"c{place}" for place in range(12) if number >> place & 1]
    tests = " AND ".join(f"{name} >= ?" for name in names) or "1"
    sql = f"SELECT id, {', '.join([*names, 'id'])} FROM t WHERE {tests}"
    return connection.execute(sql, [0] * len(names)).fetchall()


def test_plans_are_bounded(connection, monkeypatch):
    """Also while one statement goes on: it has those that it began with."""
    monkeypatch.setattr(Plans, "MOST", 50)
    columns = ", ".join(f"c{place} integer" for place in range(12))
    connection.execute(f"CREATE TABLE t (id integer PRIMARY KEY, {columns})")
    connection.execute("CREATE TABLE u (id integer PRIMARY KEY, t integer)")
    rows = 40
    for number in range(rows):
        connection.execute(
            f"INSERT INTO t VALUES ({', '.join('?' * 13)})", [number] * 13
        )
        connection.execute("INSERT INTO u VALUES (?, ?)", (number, number))
    join = "SELECT u.id, t.c3 FROM u LEFT JOIN t ON t.id = u.t AND +t.c1 < 1000"
    inner = "SELECT (SELECT max(c2) FROM t AS b WHERE b.c1 <= a.c1) FROM t AS a"
    expected = [[(n, n) for n in range(rows)], [(n,) for n in range(rows)]]
    for _ in range(2):
        open_ones = [connection.execute(join), connection.execute(inner)]
        found = [[], []]
        for number in range(effort(test=400, check=4000, soak=4000)):
            assert len(varied(connection, number)) == rows
            assert len(connection.plans) <= Plans.MOST + 4
            if number % 10 == 0:
                for cursor, so_far in zip(open_ones, found, strict=True):
                    so_far.extend(cursor.fetchmany(1))
        for cursor, so_far in zip(open_ones, found, strict=True):
            assert so_far + cursor.fetchall() == expected[open_ones.index(cursor)]


def test_the_schema_changes_while_a_statement_goes_on(connection):
    connection.execute("CREATE TABLE t (id integer PRIMARY KEY, a integer)")
    for number in range(10):
        connection.execute("INSERT INTO t VALUES (?, ?)", (number, number))
    sql = "SELECT x.id, y.a FROM t AS x JOIN t AS y ON y.id = x.a"
    for number in range(20):
        cursor = connection.execute(sql)
        rows = cursor.fetchmany(3)
        connection.execute(f"ALTER TABLE t ADD COLUMN c{number} integer")
        assert (
            connection.execute(f"SELECT c{number} FROM t").fetchall() == [(None,)] * 10
        )
        assert rows + cursor.fetchall() == [(n, n) for n in range(10)]
    assert len(connection.plans) < 10


def test_what_writes_and_schema_statements_remember_is_bounded(connection):
    """Statements by their columns, tables by their names, also those that are gone."""
    columns = ", ".join(f"c{place} integer CHECK (c{place} > 0)" for place in range(12))
    connection.execute(f"CREATE TABLE t (id integer PRIMARY KEY, {columns})")
    for number in range(1, effort(test=700, check=4000, soak=4000)):
        names = [f"c{place}" for place in range(12) if number >> place & 1]
        connection.execute(
            f"INSERT INTO t ({', '.join(names)}) VALUES ({', '.join('1' for _ in names)})"
        )
    assert len(connection.declarations._fillers) <= 500
    for number in range(1100):
        connection.changed_tables[f"gone{number}"] = None
    for number in range(30):
        connection.execute(f"CREATE TABLE parent{number} (id integer PRIMARY KEY)")
        connection.execute(
            f"CREATE TABLE child{number} (p integer REFERENCES parent{number})"
        )
        connection.execute(f"DROP TABLE child{number}")
        connection.execute(f"DROP TABLE parent{number}")
    assert len(connection.changed_tables) < 200
    assert connection.tables.catalog is not None
    connection.execute("SELECT 1 FROM t").fetchall()
    assert not connection.foreign_keys._referring


def test_sessions_of_many_open_cursors_are_closed(connection):
    connection.execute("CREATE TABLE t (id integer PRIMARY KEY)")
    connection.execute("INSERT INTO t VALUES (1), (2)")
    cursors = [connection.execute("SELECT id FROM t") for _ in range(50)]
    assert [cursor.fetchone() for cursor in cursors] == [(1,)] * 50
    for cursor in cursors:
        cursor.close()
    assert len(connection.transactions._readers) <= 8
