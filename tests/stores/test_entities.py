"""
A store of documents, as its author writes one: maps of operators, conversions, dicts.

The base class's ``add_filter`` looks up the operator and converts the value; ``fetch``
yields dicts as they are stored.
"""

import datetime
from dataclasses import replace
from decimal import Decimal

import pytest

from backendkit.backends.memory.store import MemoryQuery, MemorySession, MemoryStore
from backendkit.engine import dbapi
from backendkit.stores import (
    COMPARISONS,
    Access,
    Column,
    DataError,
    IntegrityError,
    InternalError,
    NonrelQuery,
    NotSupportedError,
    Order,
    Table,
    ValueType,
)
from backendkit.stores.testing import StoreContract
from tests.stores import documents as documents_of_the_guide
from tests.stores.buffered import BufferedStore

LOOKUPS = sorted(COMPARISONS)


class Stored:
    """A value as this store has it: of no type that Django knows."""

    def __init__(self, db_type, value):
        assert isinstance(db_type, ValueType)
        assert value is not None
        self.db_type, self.value = db_type, value


def plain(value):
    if isinstance(value, list):
        return [*map(plain, value)]
    return value.value if isinstance(value, Stored) else value


class DocumentStore(MemoryStore):
    capabilities = replace(
        MemoryStore.capabilities,
        filters=dict.fromkeys(LOOKUPS, MemoryStore.capabilities.filters["exact"]),
        negations=frozenset(LOOKUPS),
        order=Order.ANY,
    )

    def session(self):
        return DocumentSession(self)

    def convert_value_for_db(self, db_type, value):
        return Stored(db_type, value)

    def convert_value_from_db(self, db_type, value):
        assert value.db_type is db_type
        return value.value


class DocumentSession(MemorySession):
    def query(self, table, columns, access):
        return DocumentQuery(self, table, columns, access)


class DocumentQuery(NonrelQuery):
    OPERATORS_MAP = {
        **{lookup: (lookup, False) for lookup in LOOKUPS},
        "isnull": lambda lookup_type, value: (("exact", "null"), None),
        "gt": lambda lookup_type, value: (("gt", False), value),
    }
    NEGATION_MAP = {
        **{lookup: (lookup, True) for lookup in LOOKUPS},
        "isnull": lambda lookup_type, value: (("exact", "not null"), None),
    }

    def __init__(self, session, table, columns, access):
        super().__init__(session, table, columns, access)
        names = [*table.positions]
        self.inner = MemoryQuery(session, table, names, access)

    def filter(self, column, operator, value):
        lookup, negated = operator
        db_type = self.table.column(column).type
        if isinstance(negated, str):
            assert value is None
            lookup, negated, value = "isnull", negated == "not null", True
        elif lookup == "in":
            assert all(one is None or isinstance(one, Stored) for one in value)
        else:
            assert value is None or isinstance(value, Stored)
        self.inner.add_filter(column, lookup, negated, db_type, plain(value))

    def order_by(self, ordering):
        self.inner.order_by(ordering)

    def fetch(self, low_mark=0, high_mark=None):
        for row in self.inner.fetch(low_mark, high_mark):
            entity = self.session.store.entity(self.table, row)
            assert self.session.store.row(self.table, entity) == row
            # NULL may be left out; what wasn't asked for does no harm.
            yield {name: one for name, one in entity.items() if one is not None}


def documents():
    connection = dbapi.connect(DocumentStore())
    connection.execute(
        "CREATE TABLE t (id integer PRIMARY KEY, s text, d decimal(9, 2), at datetime)"
    )
    for values in (
        (1, "a", Decimal("1.5"), datetime.datetime(2010, 4, 1)),
        (2, "b", Decimal(10), None),
        (3, None, None, datetime.datetime(2011, 4, 1)),
    ):
        connection.execute("INSERT INTO t VALUES (?, ?, ?, ?)", values)
    return connection


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("s = 'a'", [1]),
        ("s IN ('a', 'b', 'z')", [1, 2]),
        ("s IS NULL", [3]),
        ("s IS NOT NULL", [1, 2]),
        ("id > 1 AND id <= 3", [2, 3]),
        ("d > 2", [2]),
        ("at < '2011-01-01 00:00:00'", [1]),
    ],
)
def test_filters(where, ids):
    """By the maps, callables included, with values as they are stored."""
    found = documents().execute(f"SELECT id FROM t WHERE {where} ORDER BY id")
    assert [number for (number,) in found.fetchall()] == ids


def test_values():
    """Each is converted back; what a dict leaves out is NULL."""
    found = documents().execute("SELECT s, d, at FROM t WHERE id IN (1, 3)")
    assert found.fetchall() == [
        ("a", Decimal("1.5"), datetime.datetime(2010, 4, 1)),
        (None, None, datetime.datetime(2011, 4, 1)),
    ]


def test_an_update_and_a_delete():
    """Rows that are read to be written are converted as well."""
    connection = documents()
    connection.execute("UPDATE t SET s = s || '!' WHERE s IS NOT NULL")
    connection.execute("DELETE FROM t WHERE s = 'b!'")
    found = connection.execute("SELECT id, s FROM t ORDER BY id").fetchall()
    assert found == [(1, "a!"), (3, None)]


@pytest.mark.parametrize(
    ("error", "wanted"),
    [(ValueError("no date"), InternalError), (DataError("no date"), DataError)],
)
def test_a_conversion_that_fails(error, wanted, monkeypatch):
    """The query is named, and where it happened."""
    connection = documents()

    def convert(self, db_type, value):
        raise error

    monkeypatch.setattr(DocumentStore, "convert_value_from_db", convert)
    with pytest.raises(wanted, match="no date") as caught:
        connection.execute("SELECT * FROM t").fetchall()
    if wanted is InternalError:
        assert "DocumentQuery.fetch() of table 't'" in str(caught.value)
        assert "convert (test_entities.py" in str(caught.value)


def test_neither_filter_nor_add_filter():
    """A store that names filters, and a query that takes none."""

    class Query(DocumentQuery):
        filter = NonrelQuery.filter

    table = Table("t", (Column("id", ValueType.INTEGER, nullable=False),), ("id",))
    query = Query(DocumentStore().session(), table, ["id"], Access())
    with pytest.raises(NotSupportedError, match=r"Query has to implement filter\(\)"):
        query.add_filter("id", "exact", False, ValueType.INTEGER, 1)


def test_buffered_changes_are_merged_into_dicts():
    """What is committed comes as dicts, what a transaction writes is merged with it."""
    connection = dbapi.connect(BufferedStore(DocumentStore()))
    connection.execute("CREATE TABLE t (id integer PRIMARY KEY, s text UNIQUE)")
    connection.execute("INSERT INTO t VALUES (1, 'a'), (2, NULL), (3, 'c')")
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET s = 'x' WHERE id = 2")
    connection.execute("INSERT INTO t VALUES (4, 'd')")
    with pytest.raises(IntegrityError, match="UNIQUE"):
        connection.execute("INSERT INTO t VALUES (5, 'c')")
    found = connection.execute("SELECT * FROM t ORDER BY id").fetchall()
    assert found == [(1, "a"), (2, "x"), (3, "c"), (4, "d")]
    connection.execute("COMMIT")
    assert connection.execute("SELECT s FROM t ORDER BY s").fetchall() == [
        ("a",),
        ("c",),
        ("d",),
        ("x",),
    ]


def test_the_guides_sample():
    """The maps, dicts and conversions as the page shows them."""
    connection = dbapi.connect(documents_of_the_guide.DocumentStore())
    connection.execute("CREATE TABLE t (id integer PRIMARY KEY, d decimal(9, 2))")
    connection.execute("INSERT INTO t VALUES (1, 9.5), (2, 10.25), (3, NULL)")

    def ids(where):
        found = connection.execute(f"SELECT id FROM t WHERE {where} ORDER BY id")
        return [number for (number,) in found.fetchall()]

    assert ids("d > 9.75") == [2]
    assert ids("d = 9.50") == ids("d IN (9.5, 7)") == ids("d < 10") == [1]
    assert (ids("d IS NULL"), ids("d IS NOT NULL")) == ([3], [1, 2])
    assert ids("id > 1 AND id <> 3") == ids("id IN (2, 7)") == ids("d = 10.250") == [2]
    found = connection.execute("SELECT d FROM t WHERE id = 2").fetchall()
    assert found == [(Decimal("10.25"),)]


@pytest.mark.check
class TestDocuments(StoreContract):
    """All of the contract."""

    def make_store(self):
        return DocumentStore(timeout=0.1)


@pytest.mark.soak
class TestBufferedDocuments(StoreContract):
    """The same, where changes are merged into what the store gives."""

    def make_store(self):
        return BufferedStore(DocumentStore(timeout=0.1))
