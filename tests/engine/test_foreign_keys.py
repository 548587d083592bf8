"""Foreign keys: checked at commit, acted on at once, compared with SQLite's own."""

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backendkit.backends.memory.store import MemoryStore
from backendkit.engine import dbapi
from tests.effort import examples

from .conftest import open_store


@pytest.fixture
def family(any_connection):
    """Parents 1 to 3, and children 10 to 12 of the first two."""
    any_connection.execute(
        "CREATE TABLE parent (id integer PRIMARY KEY, name text UNIQUE)"
    )
    any_connection.execute(
        "CREATE TABLE child (id integer PRIMARY KEY, parent_id integer"
        " REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)"
    )
    any_connection.execute("INSERT INTO parent VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    any_connection.execute(
        "INSERT INTO child VALUES (10, 1), (11, 1), (12, 2), (13, NULL)"
    )
    return any_connection


def rows(connection, sql):
    return connection.execute(sql).fetchall()


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO child VALUES (20, 99)",
        "UPDATE child SET parent_id = 99 WHERE id = 10",
        "DELETE FROM parent WHERE id = 1",
        "UPDATE parent SET id = 99 WHERE id = 2",
        "REPLACE INTO child VALUES (10, 99)",
    ],
)
def test_outside_of_transactions_statements_are_checked(family, sql):
    """In autocommit mode a statement that breaks a foreign key changes nothing."""
    queries = "SELECT * FROM child ORDER BY id", "SELECT * FROM parent ORDER BY id"
    before = [rows(family, query) for query in queries]
    with pytest.raises(dbapi.IntegrityError, match="FOREIGN KEY constraint failed"):
        family.execute(sql)
    assert [rows(family, query) for query in queries] == before


@pytest.mark.parametrize(
    "statements",
    [
        ["INSERT INTO child VALUES (20, 99)", "INSERT INTO parent VALUES (99, 'z')"],
        ["INSERT INTO child VALUES (20, 99)", "DELETE FROM child WHERE id = 20"],
        ["INSERT INTO child VALUES (20, 99)", "UPDATE child SET parent_id = 1"],
        ["DELETE FROM parent WHERE id = 1", "INSERT INTO parent VALUES (1, 'new')"],
        ["DELETE FROM parent WHERE id = 1", "DELETE FROM child WHERE parent_id = 1"],
        ["UPDATE parent SET id = 99 WHERE id = 2", "UPDATE child SET parent_id = NULL"],
        ["DELETE FROM parent WHERE id = 3"],
        ["DELETE FROM parent", "DELETE FROM child"],
    ],
)
def test_what_is_mended_before_commit_is_right(family, statements):
    """Only what is left at COMMIT counts."""
    family.execute("BEGIN")
    for sql in statements:
        family.execute(sql)
    if len(statements) > 1 and "99" in statements[0] + statements[1]:
        # The other order within the transaction isn't checked.
        assert family.check_foreign_keys() == []
    family.execute("COMMIT")
    assert family.check_foreign_keys() == []


def test_a_failing_commit_goes_on(family):
    """COMMIT with a broken foreign key fails; the transaction may mend it."""
    family.execute("BEGIN")
    family.execute("INSERT INTO child VALUES (20, 99)")
    for _ in range(2):
        with pytest.raises(dbapi.IntegrityError, match=r"child\.parent_id = 99"):
            family.execute("COMMIT")
    assert family.in_transaction
    family.execute("INSERT INTO parent VALUES (99, 'z')")
    family.execute("COMMIT")
    assert rows(family, "SELECT count(*) FROM child") == [(5,)]


def test_what_is_undone_is_not_checked(family):
    """A violation that a savepoint undoes doesn't stop the commit."""
    family.execute("BEGIN")
    family.execute("SAVEPOINT s")
    family.execute("INSERT INTO child VALUES (20, 99)")
    family.execute("DELETE FROM parent WHERE id = 1")
    family.execute("ROLLBACK TO s")
    family.execute("COMMIT")
    assert rows(family, "SELECT count(*) FROM parent") == [(3,)]


def test_not_enforced(family):
    """While they aren't enforced nothing is noted; a check finds it all."""
    family.foreign_keys.enforced = False
    family.execute("INSERT INTO child VALUES (20, 99)")
    family.execute("DELETE FROM parent WHERE id = 1")
    family.foreign_keys.enforced = True
    found = {violation.row for violation in family.check_foreign_keys(["CHILD"])}
    assert found == {(20, 99), (10, 1), (11, 1)}
    assert family.check_foreign_keys(["parent"]) == []


ACTIONS = ["NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"]


@pytest.mark.parametrize("action", ACTIONS)
def test_actions_on_delete(any_connection, action):
    """ON DELETE does to the rows that refer to a row what SQLite does."""
    plain = apsw.Connection(":memory:")
    plain.execute("PRAGMA foreign_keys = ON")
    statements = [
        "CREATE TABLE p (id integer PRIMARY KEY)",
        (
            "CREATE TABLE c (id integer PRIMARY KEY, p integer DEFAULT 2"
            f" REFERENCES p ON DELETE {action})"
        ),
        "INSERT INTO p VALUES (1), (2), (3)",
        "INSERT INTO c VALUES (10, 1), (11, 1), (12, 2), (13, NULL)",
        "DELETE FROM p WHERE id = 3",
        "DELETE FROM p WHERE id = 1",
    ]
    for sql in statements:
        wanted = found = "done"
        try:
            plain.execute(sql)
        except apsw.ConstraintError:
            wanted = "refused"
        try:
            any_connection.execute(sql)
        except dbapi.IntegrityError:
            found = "refused"
        assert found == wanted, sql
    for sql in ("SELECT * FROM c ORDER BY id", "SELECT * FROM p ORDER BY id"):
        assert rows(any_connection, sql) == plain.execute(sql).fetchall()
    plain.close()


def test_cascades_in_a_cycle(any_connection):
    """Rows that refer to each other, and to themselves, are deleted once."""
    c = any_connection
    c.execute(
        "CREATE TABLE n (id integer PRIMARY KEY, next integer"
        " REFERENCES n (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED)"
    )
    c.execute("INSERT INTO n VALUES (1, 2), (2, 3), (3, 1), (4, 4), (5, 1), (6, NULL)")
    c.execute("DELETE FROM n WHERE id = 2")
    assert rows(c, "SELECT id FROM n ORDER BY id") == [(4,), (6,)]
    c.execute("DELETE FROM n WHERE id = 4")
    assert rows(c, "SELECT id FROM n") == [(6,)]


def test_cascades_through_tables(any_connection):
    """A cascade goes on through other tables, and stops where it may not."""
    c = any_connection
    c.execute("CREATE TABLE a (id integer PRIMARY KEY)")
    c.execute(
        "CREATE TABLE b (id integer PRIMARY KEY, a REFERENCES a ON DELETE CASCADE)"
    )
    c.execute(
        "CREATE TABLE d (id integer PRIMARY KEY, b REFERENCES b ON DELETE CASCADE)"
    )
    c.execute("CREATE TABLE e (id integer PRIMARY KEY, d REFERENCES d)")
    c.execute("INSERT INTO a VALUES (1), (2)")
    c.execute("INSERT INTO b VALUES (10, 1), (20, 2)")
    c.execute("INSERT INTO d VALUES (100, 10), (101, 10), (200, 20)")
    c.execute("INSERT INTO e VALUES (1000, 200)")
    c.execute("DELETE FROM a WHERE id = 1")
    assert rows(c, "SELECT id FROM d") == [(200,)]
    with pytest.raises(dbapi.IntegrityError):
        c.execute("DELETE FROM a WHERE id = 2")
    assert rows(c, "SELECT id FROM a") == [(2,)]
    assert rows(c, "SELECT id FROM b") == [(20,)]


def test_several_columns(any_connection):
    """A key of several columns is compared as a whole; one NULL makes it right."""
    c = any_connection
    c.execute("CREATE TABLE p (a integer, b text, PRIMARY KEY (a, b))")
    c.execute(
        "CREATE TABLE c (id integer PRIMARY KEY, x integer, y text,"
        " FOREIGN KEY (y, x) REFERENCES p (b, a) ON DELETE CASCADE)"
    )
    c.execute("INSERT INTO p VALUES (1, 'one'), (1, 'uno')")
    c.execute("INSERT INTO c VALUES (1, 1, 'one'), (2, 1, NULL), (3, NULL, 'x')")
    with pytest.raises(dbapi.IntegrityError):
        c.execute("INSERT INTO c VALUES (4, 1, 'two')")
    with pytest.raises(dbapi.IntegrityError):
        c.execute("UPDATE p SET b = 'een' WHERE b = 'one'")
    c.execute("DELETE FROM p")
    assert rows(c, "SELECT id FROM c ORDER BY id") == [(2,), (3,)]


def test_keys_to_unique_columns(any_connection):
    """A foreign key may refer to a unique column, in any case of its name."""
    c = any_connection
    c.execute("CREATE TABLE p (id integer PRIMARY KEY, Name text UNIQUE)")
    c.execute('CREATE TABLE c (who text REFERENCES "P" (nAME))')
    c.execute("INSERT INTO p VALUES (1, 'a'), (2, NULL)")
    c.execute("INSERT INTO c VALUES ('a'), (NULL)")
    with pytest.raises(dbapi.IntegrityError):
        c.execute("INSERT INTO c VALUES ('b')")
    with pytest.raises(dbapi.IntegrityError):
        c.execute("UPDATE p SET name = 'z' WHERE id = 1")
    c.execute("DELETE FROM p WHERE id = 2")
    with pytest.raises(dbapi.IntegrityError):
        c.execute("DELETE FROM p WHERE id = 1")


def test_a_deep_cascade(connection):
    """A chain of rows is deleted as a whole, however long."""
    c = connection
    c.execute(
        "CREATE TABLE n (id integer PRIMARY KEY, up integer"
        " REFERENCES n (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED)"
    )
    c.execute("BEGIN")
    cursor = c.cursor()
    cursor.executemany(
        "INSERT INTO n VALUES (?, ?)", [(n, n - 1 or None) for n in range(1, 1201)]
    )
    c.execute("COMMIT")
    c.execute("DELETE FROM n WHERE id = 2")
    assert rows(c, "SELECT id FROM n") == [(1,)]


def test_actions_need_enforcement(family):
    """While foreign keys aren't enforced, deleting a row does nothing to others."""
    family.execute(
        "CREATE TABLE pet (id integer PRIMARY KEY, owner integer"
        " REFERENCES parent (id) ON DELETE CASCADE)"
    )
    family.execute("INSERT INTO pet VALUES (1, 3)")
    family.foreign_keys.enforced = False
    family.execute("DELETE FROM parent WHERE id = 3")
    assert rows(family, "SELECT owner FROM pet") == [(3,)]


TYPES = [
    ("integer", "integer"),
    ("integer", "text"),
    ("text", "integer"),
    ("integer", "decimal(8, 2)"),
    ("decimal(8, 2)", "integer"),
    ("decimal(30, 2)", "integer"),
    ("real", "integer"),
    ("integer", "real"),
    ("text", "text"),
]


@pytest.mark.parametrize(("parent", "child"), TYPES)
@pytest.mark.parametrize("store", ["memory", "nothing"])
@settings(max_examples=examples(test=10, check=25, soak=500))
@given(
    values=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    referring=st.sampled_from([0, 1, 2, 3, 1.5, "1", "01"]),
)
def test_columns_of_other_types(
    tmp_path_factory, parent, child, store, values, referring
):
    """A value is found in a column of another type wherever SQLite finds it."""
    plain = apsw.Connection(":memory:")
    plain.execute("PRAGMA foreign_keys = ON")
    engine = dbapi.connect(open_store(store, tmp_path_factory.getbasetemp()))
    declarations = [
        f"CREATE TABLE p (k {parent} PRIMARY KEY)",
        f"CREATE TABLE c (p {child} REFERENCES p (k) ON DELETE SET NULL)",
    ]
    for sql in declarations:
        plain.execute(sql)
        engine.execute(sql)
    for value in set(values):
        plain.execute("INSERT INTO p VALUES (?)", (value,))
        engine.execute("INSERT INTO p VALUES (?)", (value,))
    if child == "integer" and referring == 1.5:
        referring = 2  # SQLite keeps fractions in integer columns, stores round
    try:
        plain.execute("INSERT INTO c VALUES (?)", (referring,))
        wanted = "done"
    except apsw.ConstraintError:
        wanted = "refused"
    try:
        engine.execute("INSERT INTO c VALUES (?)", (referring,))
        found = "done"
    except dbapi.IntegrityError:
        found = "refused"
    assert found == wanted
    if found == "done":
        plain.execute("DELETE FROM p")
        engine.execute("DELETE FROM p")
        assert (
            rows(engine, "SELECT * FROM c")
            == plain.execute("SELECT * FROM c").fetchall()
        )
    plain.close()
    engine.close()


NODES = st.integers(1, 6)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("INSERT INTO n VALUES (?, ?)"), NODES, NODES | st.none()),
        st.tuples(
            st.just("UPDATE n SET up = ? WHERE id = ?"), NODES | st.none(), NODES
        ),
        st.tuples(st.just("DELETE FROM n WHERE id = ? OR up = ?"), NODES, st.just(0)),
        st.tuples(st.just("UPDATE n SET id = ? WHERE id = ?"), NODES, NODES),
    ),
    max_size=8,
)


@pytest.mark.parametrize("action", ["NO ACTION", "CASCADE", "SET NULL"])
@settings(max_examples=examples(test=20, check=75, soak=3000))
@given(changes=CHANGES)
def test_transactions_commit_where_sqlite_commits(action, changes):
    """Any changes of a table that refers to itself end as they do on SQLite."""
    sql = (
        "CREATE TABLE n (id integer PRIMARY KEY, up integer REFERENCES n (id)"
        f" ON DELETE {action} DEFERRABLE INITIALLY DEFERRED)"
    )
    plain = apsw.Connection(":memory:")
    plain.execute("PRAGMA foreign_keys = ON")
    engine = dbapi.connect(MemoryStore())
    for database in (plain, engine):
        database.execute(sql)
        database.execute("BEGIN")
    for statement, *params in changes:
        wanted = found = "done"
        try:
            plain.execute(statement, params)
        except apsw.ConstraintError:
            wanted = "refused"
        try:
            engine.execute(statement, params)
        except dbapi.IntegrityError:
            found = "refused"
        assert found == wanted
    query = "SELECT * FROM n ORDER BY id"
    assert rows(engine, query) == plain.execute(query).fetchall()
    wanted = found = "done"
    try:
        plain.execute("COMMIT")
    except apsw.ConstraintError:
        wanted = "refused"
    try:
        engine.execute("COMMIT")
    except dbapi.IntegrityError:
        found = "refused"
    assert found == wanted
    plain.close(True)
    engine.close()


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "SET DEFAULT"])
def test_actions_on_update_are_refused(family, action):
    """ON UPDATE would be forgotten, so it is an error, and no table is made."""
    with pytest.raises(dbapi.NotSupportedError, match=f"ON UPDATE {action}"):
        family.execute(
            "CREATE TABLE other (parent_id integer REFERENCES parent (id)"
            f" ON UPDATE {action})"
        )
    assert rows(family, "SELECT name FROM sqlite_master WHERE name = 'other'") == []
    family.execute("INSERT INTO child VALUES (30, 3)")


@pytest.mark.parametrize(
    "place",
    [0, 499, *(pytest.param(one, marks=pytest.mark.check) for one in (500, 1200))],
)
def test_one_of_many_refers_to_nothing(family, place):
    """Many rows are looked up at once, and each of them is."""
    family.execute("BEGIN")
    for number in range(1201):
        parent = 9999 if number == place else number % 3 + 1
        family.execute(f"INSERT INTO parent VALUES ({number + 100}, 'p{number}')")
        family.execute(
            f"INSERT INTO child VALUES ({number + 100},"
            f" {parent if number % 2 or parent == 9999 else number + 100})"
        )
    with pytest.raises(dbapi.IntegrityError, match="parent_id = 9999 has no"):
        family.execute("COMMIT")
    family.execute(f"UPDATE child SET parent_id = 1 WHERE id = {place + 100}")
    family.execute("COMMIT")
    assert not family.check_foreign_keys()


def test_violations_among_many(family):
    """A table that is checked as a whole is read in parts, and nothing is missed."""
    family.execute("PRAGMA foreign_keys = OFF")
    family.execute("BEGIN")
    for number in range(1001):
        parent = 9000 + number if number in {3, 499, 500, 1000} else number % 3 + 1
        family.execute(f"INSERT INTO child VALUES ({number + 100}, {parent})")
    family.execute("COMMIT")
    found = sorted(one.row for one in family.check_foreign_keys())
    assert found == [(n + 100, n + 9000) for n in (3, 499, 500, 1000)]


#: With {0}, {1}: a table that refers, one that is referred to; {2}: a new name.
FAMILY_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *["INSERT INTO {0} VALUES ({3}, {4})"] * 3,
                "INSERT OR IGNORE INTO {1} VALUES ({4})",
                "DELETE FROM {0} WHERE id = {3}",
                *["DELETE FROM {1} WHERE id = {4}"] * 2,
                "UPDATE {0} SET {5} = {4} WHERE id = {3}",
                "UPDATE {1} SET id = {3} WHERE id = {4}",
                "ALTER TABLE {0} RENAME TO {2}",
                "ALTER TABLE {1} RENAME TO {2}",
                "ALTER TABLE {0} RENAME COLUMN {5} TO {2}",
                "ALTER TABLE {0} ADD COLUMN {2} integer;ALTER TABLE {0} DROP COLUMN {2}",
                "DROP TABLE {0}",
                "DROP TABLE {1};CREATE TABLE {1} (id integer PRIMARY KEY)",
                (
                    "CREATE TABLE {2} (id integer PRIMARY KEY, up integer REFERENCES {1}"
                    " DEFERRABLE INITIALLY DEFERRED)"
                ),
                # What a migration does to a table, but for the rows' keys.
                (
                    "CREATE TABLE {2} (id integer PRIMARY KEY, up integer REFERENCES {1}"
                    " DEFERRABLE INITIALLY DEFERRED);INSERT INTO {2} SELECT * FROM {0};"
                    "DROP TABLE {0};ALTER TABLE {2} RENAME TO {0}"
                ),
                "SAVEPOINT s",
                *["ROLLBACK TO s"] * 2,
                "RELEASE s",
            ]
        ),
        st.integers(0, 3),
        st.sampled_from(["a", "B", "c", "child", "parent", "new"]),
        st.integers(1, 4),
        st.integers(1, 4),
    ),
    max_size=14,
)


def _told(database, errors, sql):
    try:
        database.execute(sql)
    except errors:
        return "refused"
    return "done"


@settings(max_examples=examples(test=30, check=150, soak=20_000))
@given(changes=FAMILY_CHANGES)
def test_schema_changes_hide_no_violation(changes):
    """
    Whatever is renamed, dropped or made anew, COMMIT refuses what SQLite refuses.

    Rows, tables and columns change in one transaction, with savepoints.
    """
    plain = apsw.Connection(":memory:")
    engine = dbapi.connect(MemoryStore())
    plain.execute("PRAGMA foreign_keys = ON")
    both = ((plain, apsw.Error), (engine, dbapi.Error))
    for sql in (
        "CREATE TABLE parent (id integer PRIMARY KEY)",
        (
            "CREATE TABLE child (id integer PRIMARY KEY, up integer REFERENCES parent (id)"
            " DEFERRABLE INITIALLY DEFERRED)"
        ),
        "INSERT INTO parent VALUES (1), (2)",
        "INSERT INTO child VALUES (1, 1), (2, 2), (3, NULL)",
        "BEGIN",
    ):
        for database, _ in both:
            database.execute(sql)
    for template, choice, new, one, other in changes:
        keys = rows(
            plain,
            'SELECT m.name, f."table", f."from" FROM sqlite_master m,'
            " pragma_foreign_key_list(m.name) f WHERE type = 'table' ORDER BY 1",
        )
        if not keys:
            break
        child, parent, column = keys[choice % len(keys)]
        for sql in template.format(child, parent, new, one, other, column).split(";"):
            wanted, found = (_told(*database, sql) for database in both)
            assert found == wanted, sql
            if found == "refused":
                break
    wanted, found = (_told(*database, "COMMIT") for database in both)
    assert found == wanted
    for (name,) in rows(plain, "SELECT name FROM sqlite_master WHERE type = 'table'"):
        query = f'SELECT * FROM "{name}" ORDER BY id'
        assert rows(engine, query) == rows(plain, query)
    plain.close(True)
    engine.close()


@pytest.mark.parametrize("action", ["NO ACTION", *ACTIONS[1:4]])
@pytest.mark.parametrize("within", [False, True])
def test_a_table_that_is_referred_to_is_dropped(any_connection, action, within):
    """DROP TABLE does to the rows that refer to its own what SQLite's does."""
    plain = apsw.Connection(":memory:")
    plain.execute("PRAGMA foreign_keys = ON")
    statements = [
        "CREATE TABLE p (id integer PRIMARY KEY)",
        (
            "CREATE TABLE c (id integer PRIMARY KEY, p integer"
            f" REFERENCES p ON DELETE {action} DEFERRABLE INITIALLY DEFERRED)"
        ),
        "INSERT INTO p VALUES (1), (2), (3)",
        "INSERT INTO c VALUES (10, 1), (11, 1), (12, 2), (13, NULL)",
        *(["BEGIN"] if within else []),
        "DROP TABLE p",
        *(["COMMIT"] if within else []),
    ]
    for sql in statements:
        wanted = _told(plain, apsw.ConstraintError, sql)
        assert _told(any_connection, dbapi.IntegrityError, sql) == wanted, sql
    query = "SELECT * FROM c ORDER BY id"
    assert rows(any_connection, query) == rows(plain, query)
    plain.close(True)


@pytest.mark.parametrize("action", ["NO ACTION", "CASCADE", "SET NULL", "SET DEFAULT"])
@pytest.mark.parametrize("kind", ["integer", "text", "both"])
def test_parents_are_deleted_with_one_scan(any_connection, action, kind):
    """However many rows are deleted, one scan finds those that refer to them."""
    connection = any_connection
    key = ("a", "b") if kind == "both" else ("a",)
    declared = "text" if kind == "text" else "integer"
    connection.execute(
        f"CREATE TABLE p ({', '.join(f'{n} integer' for n in key)},"
        f" PRIMARY KEY ({', '.join(key)}))"
    )
    connection.execute(
        f"CREATE TABLE c ({', '.join(f'{n} {declared}' for n in key)},"
        f" FOREIGN KEY ({', '.join(key)}) REFERENCES p ON DELETE {action}"
        " DEFERRABLE INITIALLY DEFERRED)"
    )
    few, many = 5, 60
    marks = ", ".join("?" * len(key))
    for table, count in (("p", many), ("c", many)):
        connection.cursor().executemany(
            f"INSERT INTO {table} VALUES ({marks})",
            [(n,) * len(key) for n in range(count)],
        )

    def scans(first, last):
        """Return how often the children were read."""
        connection.execute("BEGIN")
        session = connection.transactions.current(write=True)
        with pytest.MonkeyPatch.context() as patch:
            query, read = session.query, []

            def counted(table, columns, access):
                read.extend([table.name] if table.name == "c" else [])
                return query(table, columns, access)

            patch.setattr(session, "query", counted)
            if action == "NO ACTION":
                number = "CAST(a AS integer)"
                connection.execute(
                    f"DELETE FROM c WHERE {number} >= {first} AND {number} < {last}"
                )
                read.clear()
            connection.execute(f"DELETE FROM p WHERE a >= {first} AND a < {last}")
            connection.execute("COMMIT")
        return len(read)

    expected = scans(0, few)
    assert scans(few, many) <= expected + 1
    left = {"SET NULL": many, "SET DEFAULT": many}.get(action, 0)
    assert rows(connection, "SELECT count(*), count(a) FROM c") == [(left, 0)]
    connection.execute(f"INSERT INTO p VALUES ({marks})", (7,) * len(key))
    connection.execute(f"INSERT INTO c VALUES ({marks})", (7,) * len(key))
    if action == "NO ACTION":
        with pytest.raises(dbapi.IntegrityError, match=r"c\.a"):
            connection.execute("DELETE FROM p")
