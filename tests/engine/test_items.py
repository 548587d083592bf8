"""Item indexes: whatever a statement does, each has the items that are in the rows."""

import json
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backendkit.backends.memory.store import MemoryStore
from backendkit.engine import dbapi
from backendkit.stores import (
    Access,
    Catalog,
    DatabaseError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    Table,
)
from tests.effort import effort, examples

from .conftest import open_store

TABLES = {
    "numbered": "CREATE TABLE t (id integer PRIMARY KEY, a json text, n integer)",
    "named": "CREATE TABLE t (id text PRIMARY KEY, a json text, n integer)",
    "paired": "CREATE TABLE t (id integer, a json text, n integer, PRIMARY KEY (n, id))",
    "keyless": "CREATE TABLE t (id integer UNIQUE, a json text, n integer)",
    "generated": (
        "CREATE TABLE t (id integer PRIMARY KEY, n integer, b json text, a json text"
        " GENERATED ALWAYS AS (CASE WHEN n IS 3 THEN NULL ELSE b END) STORED)"
    ),
}
ITEMS = st.one_of(
    st.sampled_from(
        [None, True, False, 0, 1, -0.0, 1.0, 2**53, 2**53 + 1, 2.0**53, 2**63 - 1]
    ),
    st.sampled_from(["", "1", "a", "A", "á", "null", "x" * 40, "x" * 600, "a\0b"]),
    st.sampled_from(["y" * 63, "y" * 64, "y" * 300 + "1", "y" * 300 + "2"]),
    st.sampled_from([[], [1], [1, 2], ["a"], {}, {"a": 1}, {"a": [1]}]),
)
DOCUMENTS = st.none() | st.lists(ITEMS, max_size=4).map(
    lambda items: json.dumps(items, separators=(",", ":"))
)
#: What no field writes, but somebody may.
OTHERS = st.sampled_from(["1", '"a"', "null", '{"a":1,"b":"a"}', "[1e999]", "[1,1]"])


def form(item):
    """What is the same for equal items, and for no others."""
    if isinstance(item, bool | list | dict):
        return json.dumps(item)
    if isinstance(item, int | float):
        infinite = item in (float("inf"), float("-inf"))
        return str(item) if infinite else Fraction(item)
    return "text", item


def items_of(document):
    """Return the forms of a document's items, of what else is in JSON too."""
    if document is None:
        return set()
    value = json.loads(document)
    if isinstance(value, dict):
        value = list(value.values())
    elif not isinstance(value, list):
        value = [value]
    return {form(item) for item in value if item is not None}


def contents(connection, table):
    """Return all rows of a table of the store."""
    session = connection.store.session()
    session.begin(write=False)
    try:
        names = [column.name for column in table.columns]
        return list(session.query(table, names, Access()).fetch())
    finally:
        session.close()


def indexes(connection):
    return [one for one in connection.catalog().tables.values() if one.items_of]


def assert_right(connection, columns=None):
    """
    Each item index has one entry for each item of each row, and no others.

    :param columns: which column each is on, by its name, if not all are on ``a``.
    """
    catalog = connection.catalog()
    for index in indexes(connection):
        base = catalog.tables[index.items_of]
        place = base.positions[(columns or {}).get(index.name, "a")]
        expected = defaultdict(set)
        for row in contents(connection, base):
            for item in items_of(row[place]):
                expected[item].add(base.key_of(row))
        found = defaultdict(set)
        for item, *key in contents(connection, index):
            found[item].add(tuple(key))
        assert sorted(map(sorted, found.values())) == sorted(
            map(sorted, expected.values())
        )
        assert Table.from_json(index.to_json()) == index


KEYS = st.integers(1, 6)
VALUES = DOCUMENTS | OTHERS
ROWS = st.lists(st.tuples(KEYS, VALUES, KEYS), min_size=1, max_size=6)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["INSERT", "REPLACE", "INSERT OR IGNORE"]), ROWS),
    st.tuples(st.just("UPSERT"), ROWS),
    st.tuples(st.just("UPDATE t SET {a} = ? WHERE n < ?"), st.tuples(VALUES, KEYS)),
    st.tuples(st.just("UPDATE t SET n = n + 1 WHERE n = ?"), st.tuples(KEYS)),
    st.tuples(
        st.just("UPDATE t SET {a} = ?, id = id + 7 WHERE n < ?"),
        st.tuples(VALUES, KEYS),
    ),
    st.tuples(
        st.just("UPDATE t SET {a} = json_insert({a}, '$[#]', ?) WHERE n > ?"),
        st.tuples(KEYS, KEYS),
    ),
    st.tuples(st.just("DELETE FROM t WHERE n = ?"), st.tuples(KEYS)),
    st.tuples(st.sampled_from(["DELETE FROM t", "INDEX", "UNIQUE"]), st.just(())),
    st.tuples(
        st.sampled_from(["SAVEPOINT s", "ROLLBACK TO s", "RELEASE s"]), st.just(())
    ),
    st.tuples(
        st.sampled_from(
            ["BEGIN", "ROLLBACK", "COMMIT", "DROP INDEX i", "DROP INDEX u"]
        ),
        st.just(()),
    ),
)


def run(connection, name, step, values):
    """Run a step of a program; an error is as good as success."""
    column = "b" if name == "generated" else "a"
    if step in ("INSERT", "REPLACE", "INSERT OR IGNORE", "UPSERT"):
        sql = f"{'INSERT' if step == 'UPSERT' else step} INTO t (id, {column}, n)"
        sql += " VALUES " + ", ".join("(?, ?, ?)" for _ in values)
        if step == "UPSERT" and name != "paired":
            sql += f" ON CONFLICT (id) DO UPDATE SET {column} = excluded.{column}"
        values = [value for row in values for value in row]
    elif step in ("INDEX", "UNIQUE"):
        sql = "CREATE INDEX i ON t (backendkit_items(a))"
        if step == "UNIQUE":
            sql = 'CREATE UNIQUE INDEX u ON "t" (backendkit_items("A"))'
    else:
        sql = step.format(a=column)
    if sql in ("ROLLBACK TO s", "RELEASE s", "SAVEPOINT s") and (
        not connection.in_transaction
    ):
        return
    try:
        connection.execute(sql, values)
    except DatabaseError:
        return


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(
    "store", [pytest.param("memory", marks=pytest.mark.check), "lmdb"]
)
@settings(
    max_examples=examples(test=6, check=25, soak=1000),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(program=st.lists(STEPS, max_size=12))
def test_programs(tmp_path_factory, store, name, program):
    """After any statements, failed ones and undone ones among them."""
    connection = dbapi.connect(open_store(store, tmp_path_factory.mktemp("items")))
    connection.execute(TABLES[name])
    connection.execute("CREATE INDEX i ON t (backendkit_items(a))")
    for step, values in program:
        run(connection, name, step, values)
        if not connection.in_transaction:
            assert_right(connection)
    if connection.in_transaction:
        connection.commit()
    assert_right(connection)
    connection.close()


def test_cascades(any_connection):
    one = any_connection
    one.execute("PRAGMA foreign_keys = ON")
    one.execute("CREATE TABLE p (id integer PRIMARY KEY, a json text)")
    one.execute(
        "CREATE TABLE c (id integer PRIMARY KEY, a json text,"
        " p integer REFERENCES p (id) ON DELETE CASCADE)"
    )
    for table in "pc":
        one.execute(f"CREATE INDEX i{table} ON {table} (backendkit_items(a))")
    one.execute("""INSERT INTO p VALUES (1, '["a"]'), (2, '["a", "b"]')""")
    one.execute("""INSERT INTO c VALUES (1, '["a"]', 1), (2, '["c"]', 2)""")
    one.execute("DELETE FROM p WHERE id = 1")
    assert_right(one)
    assert sum(len(contents(one, index)) for index in indexes(one)) == 3


DDL = [
    "ALTER TABLE t RENAME TO other",
    "ALTER TABLE other RENAME COLUMN a TO labels",
    "ALTER TABLE other RENAME COLUMN id TO ident",
    "ALTER TABLE other ADD COLUMN more json text DEFAULT '[7]'",
    "CREATE INDEX j ON other (backendkit_items(more))",
    "CREATE INDEX plain ON other (n)",
    "DROP INDEX i",
    "ALTER TABLE other DROP COLUMN labels",
    "CREATE INDEX i ON other (n)",
    "DROP TABLE other",
]


def test_ddl(any_connection):
    """An index follows its table, and goes with it; another connection sees it."""
    one = any_connection
    one.execute(TABLES["numbered"])
    one.execute("""INSERT INTO t VALUES (1, '["a", 1]', 1), (2, '["a"]', 2)""")
    one.execute("CREATE INDEX i ON t (backendkit_items(a))")
    for number, sql in enumerate(DDL):
        one.execute("BEGIN")
        one.execute(sql)
        one.execute("ROLLBACK")
        one.execute(sql)
        labels = "a" if number < 1 else "labels"
        column = {"i": labels, "j": "more"}
        catalog = one.catalog()
        for index in indexes(one):
            assert column[index.name] in index.sql
        assert_right(one, column)
        names = {row[0] for row in one.execute("SELECT name FROM sqlite_master")}
        assert names == {
            name
            for table in catalog.tables.values()
            for name in (table.name, *(index.name for index in table.indexes))
        }
        if number < len(DDL) - 1:
            name = "t" if catalog.tables.get("t") else "other"
            one.execute(f"INSERT INTO {name} (n) VALUES (5)")
            one.execute(f"UPDATE {name} SET n = n + 1")
    assert not one.catalog().tables


def test_a_build_fails_as_a_whole(any_connection):
    one = any_connection
    one.execute(TABLES["numbered"])
    one.execute("""INSERT INTO t VALUES (1, '["a", 1]', 1), (2, '[1.0]', 2)""")
    with pytest.raises(IntegrityError, match="UNIQUE constraint failed: index 'u'"):
        one.execute("CREATE UNIQUE INDEX u ON t (backendkit_items(a))")
    assert not indexes(one)
    one.execute("UPDATE t SET a = '[null, 2, 2]' WHERE id = 2")
    one.execute("CREATE UNIQUE INDEX u ON t (backendkit_items(a))")
    assert_right(one)
    with pytest.raises(IntegrityError, match="UNIQUE constraint failed: index 'u'"):
        one.execute("INSERT INTO t (a) VALUES ('[3]'), ('[null]'), ('[2]')")
    assert_right(one)


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("CREATE INDEX i ON t (backendkit_items(a), n)", NotSupportedError),
        ("CREATE INDEX i ON t (n, backendkit_items(a))", NotSupportedError),
        ("CREATE INDEX i ON t (backendkit_items(a)) WHERE n > 1", NotSupportedError),
        ("CREATE INDEX i ON t (lower(backendkit_items(a)))", NotSupportedError),
        ("CREATE INDEX i ON t (backendkit_items(a || n))", NotSupportedError),
        ("CREATE INDEX i ON t (backendkit_items(none))", OperationalError),
        ('CREATE INDEX i ON t (backendkit_items("none"))', OperationalError),
        ("CREATE INDEX i ON t (backendkit_items(a, n))", OperationalError),
        ("CREATE INDEX t ON t (backendkit_items(a))", OperationalError),
    ],
)
def test_what_is_no_item_index(any_connection, sql, error):
    one = any_connection
    one.execute(TABLES["numbered"])
    before = one.catalog().tables
    with pytest.raises(error):
        one.execute(sql)
    assert one.catalog().tables == before


def test_a_column_of_the_same_name(any_connection):
    one = any_connection
    one.execute("CREATE TABLE t (id integer PRIMARY KEY, backendkit_items integer)")
    one.execute("CREATE INDEX backendkit_items_i ON t (backendkit_items, id)")
    assert not indexes(one)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM i",
        "INSERT INTO i VALUES (x'00', 1)",
        "INSERT INTO i VALUES (x'00', 1) RETURNING key0",
        "DELETE FROM i",
        "DROP TABLE i",
        "ALTER TABLE i RENAME TO j",
        "CREATE INDEX j ON i (key0)",
        "CREATE TABLE I (id integer PRIMARY KEY)",
        "CREATE VIEW v AS SELECT * FROM i; SELECT * FROM v",
    ],
)
def test_sql_cannot_name_it(any_connection, sql):
    one = any_connection
    one.execute(TABLES["numbered"])
    one.execute("""INSERT INTO t VALUES (1, '["a", 1]', 1)""")
    one.execute("CREATE INDEX i ON t (backendkit_items(a))")
    before = indexes(one)
    with pytest.raises(DatabaseError):
        for statement in sql.split("; "):
            one.execute(statement)
    assert indexes(one) == before
    assert_right(one)


def test_an_old_connection_notices(two):
    """A connection that has written before keeps an index that another one made."""
    first, second = two
    first.execute(TABLES["numbered"])
    second.execute("INSERT INTO t (a) VALUES ('[1]')")
    first.execute("CREATE INDEX i ON t (backendkit_items(a))")
    second.execute("INSERT INTO t (a) VALUES ('[1, 2]')")
    assert_right(second)
    first.execute("DROP INDEX i")
    second.execute("INSERT INTO t (a) VALUES ('[1, 2]')")
    first.execute("CREATE UNIQUE INDEX i ON t (backendkit_items(n))")
    with pytest.raises(IntegrityError):
        second.execute("INSERT INTO t (n) VALUES (1), (1)")


def test_what_an_earlier_release_reads():
    """It refuses an index, which it wouldn't keep, and nothing else."""
    connection = dbapi.connect(MemoryStore())
    connection.execute(TABLES["numbered"])
    connection.execute("CREATE INDEX i ON t (backendkit_items(a))")
    tables = connection.catalog().tables
    assert "items_of" not in tables["t"].document()
    assert tables["i"].document()["items_of"] == "t"
    connection.close()


@pytest.mark.parametrize(
    "change",
    [
        {"items_of": "none"},
        {"items_of": "i"},
        {"items_of": "v"},
        {"items_of": "T"},
        {"sql": ""},
        {"sql": "CREATE INDEX i ON t (n)"},
        {"sql": "CREATE INDEX i ON t (backendkit_items(none))"},
        {"sql": "CREATE UNIQUE INDEX i ON t (backendkit_items(a))"},
        {"sql": "CREATE INDEX i ON t (backendkit_items(a), n)"},
        {"primary_key": ("key0",)},
        {"columns": ()},
    ],
)
def test_a_catalog_of_somebody_else(change):
    """Whatever it says of an index, the database is refused, and nothing is changed."""
    store = MemoryStore()
    connection = dbapi.connect(store)
    connection.execute(TABLES["numbered"])
    connection.execute("CREATE VIEW v AS SELECT id, a FROM t")
    connection.execute("CREATE INDEX i ON t (backendkit_items(a))")
    connection.execute("INSERT INTO t (a) VALUES ('[1]')")
    connection.close()
    tables = dict(store.committed["", "schema"]["catalog"].tables)
    tables["i"] = replace(tables["i"], **change)
    store.committed = {
        **store.committed,
        ("", "schema"): {"catalog": Catalog(object(), tables)},
    }
    before = dict(store.committed)
    for sql in (
        "SELECT * FROM t",
        "INSERT INTO t (a) VALUES ('[1]')",
        "CREATE TABLE c (id integer PRIMARY KEY)",
        "DROP INDEX i",
    ):
        connection = dbapi.connect(store)
        with pytest.raises(DatabaseError):
            connection.execute(sql)
        connection.close()
    assert store.committed == before


def test_a_store_without_transactions():
    class Plain(MemoryStore):
        capabilities = replace(MemoryStore.capabilities, transactions=False)

    connection = dbapi.connect(Plain())
    connection.execute(TABLES["numbered"])
    with pytest.raises(NotSupportedError, match="without transactions"):
        connection.execute("CREATE INDEX i ON t (backendkit_items(a))")
    connection.close()


def test_many_rows(any_connection):
    """More than are read, inserted, changed and deleted at a time."""
    one = any_connection
    one.execute(TABLES["numbered"])
    many = effort(test=1100, soak=20_000)
    one.cursor().executemany(
        "INSERT INTO t VALUES (?, ?, ?)",
        [(n, json.dumps([n % 7, f"t{n % 50}"]), n) for n in range(1, many)],
    )
    one.execute("CREATE INDEX i ON t (backendkit_items(a))")
    assert_right(one)
    one.execute("UPDATE t SET a = json_array(n % 3) WHERE n > 100")
    assert_right(one)
    one.execute("DELETE FROM t WHERE n % 2")
    assert_right(one)
