"""
Rule 1 of the design: the same rows as plain SQLite, whatever the store can do.

Each statement runs on real tables of an SQLite, and on the engine over a store.
"""

from collections import Counter

import apsw
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from backendkit.engine import dbapi
from backendkit.engine.compiled import Select
from tests.effort import examples

from .conftest import STORES, open_store
from .sql import SCHEMA, TABLES, inserts, selects, writes


class Pair:
    """Plain SQLite and the engine, with the same tables and rows."""

    def __init__(self, name, path):
        self.plain = apsw.Connection(":memory:")
        self.engine = dbapi.connect(open_store(name, path))
        for sql in SCHEMA:
            self.plain.execute(sql)
            self.engine.execute(sql)
        self.engine.execute("BEGIN")
        for number, table in enumerate(TABLES):
            for sql, row in inserts(table, number, 25):
                self.plain.execute(sql, row)
                self.engine.execute(sql, row)
        self.engine.execute("COMMIT")

    def close(self):
        self.plain.close()
        self.engine.close()

    def query(self, sql):
        """Return the rows of both."""
        wanted = [typed(row) for row in self.plain.execute(sql)]
        # The compiler's class: the cursor doesn't make dates of text.
        found = [typed(row) for row in self.engine.execute(Select(sql))]
        return wanted, found

    def write(self, sql):
        """Run a statement on both; return what came of it."""
        try:
            self.plain.execute(sql)
            wanted = self.plain.changes()
        except apsw.ConstraintError:
            wanted = "refused"
        try:
            found = self.engine.execute(sql).rowcount
        except dbapi.IntegrityError:
            found = "refused"
        return wanted, found

    def contents(self):
        """Return all rows of all tables of both."""
        pairs = [self.query(f"SELECT * FROM {table}") for table in TABLES]
        return [Counter(w) for w, _ in pairs], [Counter(f) for _, f in pairs]


def typed(row):
    """Tell 1 from 1.0 and from True."""
    return tuple((type(value), value) for value in row)


@pytest.fixture(scope="module", params=STORES)
def pair(request, tmp_path_factory):
    pair = Pair(request.param, tmp_path_factory.mktemp("store"))
    yield pair
    pair.close()


def ordered_by(rows, keys):
    return [row[len(row) - keys :] for row in rows]


@settings(max_examples=examples(test=25, check=150, soak=10_000))
@given(select=selects())
def test_selects_return_what_sqlite_returns(pair, select):
    """A SELECT returns the same rows, in the order asked for."""
    sql, limit, keys = select
    wanted, found = pair.query(sql)
    assert Counter(found) == Counter(wanted)
    assert ordered_by(found, keys) == ordered_by(wanted, keys)
    if limit:
        event("limited")
        some, few = pair.query(sql + limit)
        assert len(few) == len(some)
        assert ordered_by(few, keys) == ordered_by(some, keys)
        assert Counter(few) <= Counter(wanted)
    event("rows" if wanted else "empty")


@settings(max_examples=examples(test=12, check=60, soak=3000))
@given(statements=st.lists(writes(), min_size=1, max_size=4), select=selects())
def test_writes_change_what_sqlite_changes(pair, statements, select):
    """
    INSERT, UPDATE and DELETE leave the same rows or fail alike, changing nothing.

    The transaction that they ran in sees them, and is undone as a whole.
    """
    before = pair.contents()
    pair.plain.execute("BEGIN")
    pair.engine.execute("BEGIN")
    try:
        for sql in statements:
            wanted, found = pair.write(sql)
            assert found == wanted, sql
            event(f"{sql.split()[0]} {'refused' if wanted == 'refused' else 'done'}")
            wanted, found = pair.contents()
            assert found == wanted, sql
        if "rowid" not in select[0]:  # SQLite gives a number again, stores don't
            wanted, found = pair.query(select[0])
            assert Counter(found) == Counter(wanted)
    finally:
        pair.plain.execute("ROLLBACK")
        pair.engine.execute("ROLLBACK")
    assert pair.contents() == before


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">="])
@pytest.mark.parametrize("direction", ["", " DESC"])
def test_pages_by_row_values(pair, operator, direction):
    """SQLite hands over a part of the comparison, and the LIMIT of the whole."""
    rows = ", ".join(f"({n // 5}, 's{n % 5}')" for n in range(45))
    order = f"a{direction}, b{direction}"
    sql = f"SELECT a, b FROM keys WHERE (a, b) {operator} (3, 's2') ORDER BY {order}"
    for database in (pair.plain, pair.engine):
        database.execute("CREATE TABLE keys (a integer, b text, PRIMARY KEY (a, b))")
        database.execute(f"INSERT INTO keys VALUES {rows}")
    try:
        for limit in ("", " LIMIT 7", " LIMIT 4 OFFSET 3"):
            wanted, found = pair.query(sql + limit)
            assert found == wanted
    finally:
        for database in (pair.plain, pair.engine):
            database.execute("DROP TABLE keys")
