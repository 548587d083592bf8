"""Bytes that are no row of their table: an error that names the table, on each way."""

import datetime
import pickle
from decimal import Decimal

import pytest

from backendkit.kv import RecordStore
from backendkit.kv.codec import DamagedRowError
from backendkit.kv.layout import rows_prefix
from backendkit.stores import Access, Column, Index, InternalError, Table, ValueType
from tests.effort import chance, effort

from .memory import MemoryEngine

TABLE = Table(
    "shelf",
    (
        Column("id", ValueType.INTEGER, nullable=False),
        Column("code", ValueType.STRING),
        Column("text", ValueType.STRING),
        Column("at", ValueType.DATETIME),
        Column("price", ValueType.DECIMAL),
        Column("mark", ValueType.UUID),
    ),
    ("id",),
    indexes=(Index("by_code", ("code",)),),
)


def filled():
    """Return a store with a few rows, all of one layout or of two."""
    store = RecordStore(MemoryEngine())
    session = store.session()
    session.begin(write=True)
    session.create_table(TABLE)
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5)
    rows = [(n, f"c{n}", "é" * n, moment, Decimal("1.50"), None) for n in range(1, 6)]
    session.insert(TABLE, rows)
    session.commit()
    session.close()
    return store


def query(session, table, *filters, columns=None, index=""):
    """Return a query on all columns or some, by the rows' keys or an index."""
    access = Access(index, equalities=bool(index))
    made = session.query(table, columns or [c.name for c in table.columns], access)
    for name, lookup, value in filters:
        made.add_filter(name, lookup, False, table.column(name).type, value)
    return made


WAYS = {
    "all": lambda s, t: list(query(s, t).fetch()),
    "a row": lambda s, t: list(query(s, t, ("id", "exact", 3)).fetch()),
    "get": lambda s, t: s.get(t, (3,)),
    "a column": lambda s, t: list(query(s, t, columns=["price"]).fetch()),
    "two columns": lambda s, t: list(query(s, t, columns=["text", "price"]).fetch()),
    "an index": lambda s, t: list(
        query(s, t, ("code", "exact", "c3"), index="by_code").fetch()
    ),
    "a filter": lambda s, t: list(query(s, t, ("price", "gt", Decimal(1))).fetch()),
    "count": lambda s, t: query(s, t, ("price", "gt", Decimal(1))).count(),
}
WRITES = {
    "update by filter": lambda s, t: query(s, t, ("price", "gt", Decimal(1))).update(
        {"code": "d"}
    ),
    "update": lambda s, t: s.update(t, (3,), (3, "d", "", None, None, None)),
    "delete": lambda s, t: s.delete(t, [(3,)]),
    "an index is made": lambda s, t: s.create_index(
        t.name, Index("by_price", ("price",))
    ),
}


def damage(engine, change):
    """Change the bytes of the third row."""
    (key,) = (k for k in engine.pairs if k.startswith(rows_prefix(1)) and k[-1] == 3)
    engine.pairs[key] = change(engine.pairs[key])


@pytest.mark.parametrize("name", [*WAYS, *WRITES])
def test_a_row_that_cant_be_read_is_named(name):
    """Whatever bytes are there: the error, or values of the columns' types."""
    generator = chance(name)
    named = 0
    for _ in range(effort(test=40, check=200, soak=2000)):
        store = filled()

        def change(data):
            found = bytearray(data)
            for _ in range(generator.choice((1, 1, 2, 5))):
                place = generator.randrange(len(found) + 1)
                byte = generator.randbytes(1)
                kind = generator.randrange(3)
                found[place : place + (kind != 0)] = byte if kind < 2 else b""
                if generator.randrange(4) == 0:
                    del found[place:]
            return bytes(found)

        damage(store.engine, change)
        before = dict(store.engine.pairs)
        session = store.session()
        session.begin(write=name in WRITES)
        (table,) = session.catalog().tables.values()
        error = None
        try:
            (WAYS | WRITES)[name](session, table)
        except InternalError as raised:
            error = raised
        if error is not None:
            named += 1
            assert isinstance(error, DamagedRowError), error
            assert "a row can't be read" in str(error)
            assert "restore a backup" in str(error)
            if name in WAYS and name != "get":
                assert str(error).startswith("shelf: ")
        session.rollback()
        session.close()
        assert store.engine.pairs == before
    assert named or name in {"update", "delete"}


def test_a_layout_that_nobody_knows():
    """A table whose columns have changed has rows of several layouts."""
    store = filled()
    session = store.session()
    session.begin(write=True)
    (table,) = session.catalog().tables.values()
    wider = Table(
        table.name,
        (*table.columns, Column("more", ValueType.INTEGER)),
        ("id",),
        indexes=table.indexes,
    )
    session.alter_table(table.name, wider, fill={"more": 7})
    session.commit()
    damage(store.engine, lambda data: data[:-1] + b"\x7d")
    session.begin(write=False)
    (table,) = session.catalog().tables.values()
    with pytest.raises(DamagedRowError, match=r"shelf: .*no such layout"):
        list(query(session, table).fetch())
    session.close()


def test_it_can_be_pickled():
    error = DamagedRowError("why", "shelf")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # our own
