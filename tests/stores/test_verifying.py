"""A store that does something against its contract is told so by name."""

import pytest

from backendkit.backends.memory.store import MemoryQuery, MemorySession, MemoryStore
from backendkit.engine import dbapi
from backendkit.stores import InternalError, VerifiedStore, guarded

from .variants import Variant


def test_a_mistake_in_a_later_row():
    """The number of values is checked in each row, not in the first alone."""

    def fetch(self, low=0, high=None):
        rows = [*true(self)]
        yield from rows[:2]
        yield rows[2][:2]

    store = lying(wrapper=guarded)
    connection = connected(store)
    broken = lying(fetch=fetch, wrapper=guarded)
    broken.inner.committed = store.inner.committed
    cursor = dbapi.connect(broken).execute("SELECT * FROM t")
    with pytest.raises(InternalError, match="a row has 2 values, but there are 3"):
        cursor.fetchall()
    connection.close()


class TestNoFalseAlarm(Variant):
    """A store that keeps to its contract isn't accused."""

    def make_store(self):
        return VerifiedStore(MemoryStore(timeout=0.1))


def lying(*, wrapper=VerifiedStore, **methods):
    """Return a store whose query or session has other methods, checked."""

    class Query(MemoryQuery):
        pass

    class Session(MemorySession):
        def query(self, table, columns, access):
            return Query(self, table, columns, access)

    class Store(MemoryStore):
        def session(self):
            return Session(self)

    for name, method in methods.items():
        owner = Query if name in {"add_filter", "fetch", "order_by"} else Session
        setattr(owner, name, method)
    return wrapper(Store())


def true(self, low=0, high=None):
    return MemoryQuery.fetch(self, low, high)


def fails(*_, **__):
    raise KeyError("boom")


def fails_later(self, low=0, high=None):
    yield from []
    raise KeyError("boom")


def each(change):
    """Return a fetch() that gives other rows."""
    return lambda self, low=0, high=None: iter(change([*true(self, low, high)]))


FETCHES = {
    "dicts": (each(lambda rows: [{"s": "a"}]), "a dict has no value for 'id'"),
    "strings": (each(lambda rows: ["abc"]), "type str, neither a tuple nor a dict"),
    "lists": (each(lambda rows: map(list, rows)), "a row is a value of type list"),
    "short": (
        each(lambda rows: [r[:1] for r in rows]),
        "has 1 values, but there are 3",
    ),
    "long": (each(lambda rows: [(*r, 1) for r in rows]), "a row has 4 values"),
    "type": (each(lambda rows: [("x", *r[1:]) for r in rows]), "'id': a value of type"),
    "bool": (each(lambda rows: [(True, *r[1:]) for r in rows]), "type bool, but its"),
    "none": (each(lambda rows: [(None, *r[1:]) for r in rows]), "it isn't nullable"),
    "nan": (each(lambda rows: [(*r[:2], float("nan")) for r in rows]), "NaN"),
    "twice": (each(lambda rows: rows + rows[:1]), "it yielded a row twice"),
    "a list": (
        lambda self, low=0, high=None: [*true(self)],
        "type list, not an iterator",
    ),
    "nothing": (lambda self, low=0, high=None: None, "returned None, not an iterator"),
    "an error": (fails, "raised KeyError: \"'boom'\""),
    "an error later": (fails_later, "raised KeyError: \"'boom'\""),
}


def connected(store):
    connection = dbapi.connect(store)
    connection.execute("CREATE TABLE t (id integer PRIMARY KEY, s text, f real)")
    connection.execute("INSERT INTO t VALUES (1, 'a', 1.5), (2, 'b', 0.5), (3, 'a', 2)")
    return connection


#: What only a scan of the whole table shows.
ONLY_VERIFIED = {"twice"}


@pytest.mark.parametrize("wrapper", [guarded, VerifiedStore])
@pytest.mark.parametrize("mistake", FETCHES)
def test_what_fetch_gives(mistake, wrapper):
    """Rows that aren't rows, or of other types; an error that isn't of the contract."""
    fetch, message = FETCHES[mistake]
    if wrapper is guarded and mistake in ONLY_VERIFIED:
        return
    store = lying(wrapper=wrapper)
    connection = connected(store)
    broken = lying(fetch=fetch, wrapper=wrapper)
    broken.inner.committed = store.inner.committed
    with pytest.raises(InternalError, match="breaks the contract") as caught:
        dbapi.connect(broken).execute("SELECT * FROM t").fetchall()
    assert "Query.fetch() of table 't'" in str(caught.value)
    assert message in str(caught.value)
    connection.close()


def no_filter(self, *_):
    pass


def half(self, column, lookup_type, negated, db_type, value):
    MemoryQuery.add_filter(self, column, lookup_type, negated, db_type, value)
    MemoryQuery.add_filter(self, "id", "gt", False, "integer", 1)


CLAIMS = {
    "a filter isn't applied": (
        {"add_filter": no_filter},
        "SELECT id FROM t WHERE s = 'b'",
    ),
    "a filter takes too much": ({"add_filter": half}, "SELECT id FROM t WHERE s = 'a'"),
    "no order": (
        {"order_by": lambda self, ordering: None},
        "SELECT id FROM t ORDER BY f, id",
    ),
    "a limit isn't kept": (
        {"fetch": lambda self, low=0, high=None: true(self)},
        "SELECT id FROM t LIMIT 1",
    ),
}


@pytest.mark.parametrize(("methods", "sql"), CLAIMS.values(), ids=CLAIMS)
def test_what_is_claimed(methods, sql):
    """EXACT filters, orders and limits are compared with a scan of the table."""
    honest = lying()
    connected(honest).close()
    broken = lying(**methods)
    broken.inner.committed = honest.inner.committed
    with pytest.raises(
        InternalError, match=r"fetch\(\) of table 't' breaks the contract"
    ):
        dbapi.connect(broken).execute(sql).fetchall()


def stale(self, low=0, high=None):
    """Give old values, where an index is used."""
    for row in true(self, low, high):
        yield (row[0], "old", *row[2:]) if self.access.equalities else row


def test_an_index_that_is_stale():
    """A row that comes by its key or an index has the values that a scan shows."""
    honest = lying()
    connected(honest).close()
    broken = lying(fetch=stale)
    broken.inner.committed = honest.inner.committed
    connection = dbapi.connect(broken)
    assert len(connection.execute("SELECT * FROM t").fetchall()) == 3
    with pytest.raises(InternalError, match="other values than in a scan"):
        connection.execute("SELECT * FROM t WHERE id = 2").fetchall()


WRITES = {
    "insert": (
        lambda self, table, rows: [(1,)] * len(rows),
        "INSERT INTO t VALUES (9, 'x', 0)",
    ),
    "update": (lambda self, table, key, row: None, "UPDATE t SET s = 'z' WHERE id = 1"),
    "delete": (lambda self, table, keys: len(keys), "DELETE FROM t WHERE id = 1"),
    "create_table": (
        lambda self, table: None,
        "CREATE TABLE u (id integer PRIMARY KEY)",
    ),
    "drop_table": (lambda self, name: None, "DROP TABLE t"),
    "get": (fails, "DELETE FROM t WHERE id = 1"),
    "begin": (fails, "SELECT * FROM t"),
}


@pytest.mark.parametrize("method", WRITES)
def test_what_is_written(method):
    """A row or a table that isn't there afterwards, or is still there."""
    does, sql = WRITES[method]
    honest = lying()
    connected(honest).close()
    broken = lying(**{method: does})
    broken.inner.committed = honest.inner.committed
    with pytest.raises(InternalError, match=r"\(\).* breaks the contract"):
        dbapi.connect(broken).execute(sql).fetchall()
