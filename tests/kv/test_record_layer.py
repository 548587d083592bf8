"""What the stateful test doesn't reach: faults, many layouts, wrong filters."""

from dataclasses import replace
from decimal import Decimal

import pytest

from backendkit.kv import RecordStore
from backendkit.kv.codec import MAX_LAYOUTS
from backendkit.stores import (
    Access,
    Column,
    DataError,
    FilterShape,
    Index,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    Table,
    ValueType,
)

from .memory import MemoryEngine

ITEM = Table(
    "item",
    (
        Column("id", ValueType.INTEGER, False, True),
        Column("name", ValueType.STRING),
        Column("price", ValueType.DECIMAL),
        Column("weight", ValueType.FLOAT),
        Column("size", ValueType.INTEGER),
    ),
    ("id",),
    (
        Index("item_name", ("name",), unique=True),
        Index("item_price", ("price",)),
        Index("item_weight", ("weight",)),
        Index("item_size", ("size", "name")),
    ),
)
NAMES = tuple(column.name for column in ITEM.columns)


@pytest.fixture
def session():
    session = RecordStore(MemoryEngine()).session()
    session.begin(write=True)
    session.create_table(ITEM)
    rows = [(n, f"name {n}", Decimal(n) / 2, n / 2, n - 2**53 + 3) for n in range(1, 7)]
    session.insert(ITEM, [*rows, (None, None, None, None, None)])
    session.commit()
    session.begin(write=True)
    yield session
    session.engine.writes_left = None
    session.close()


def select(session, *filters, scan=False):
    shapes = [FilterShape(column, lookup, neg) for column, lookup, neg, _ in filters]
    access = Access() if scan else session.access(ITEM, shapes)
    query = session.query(ITEM, ["id"], access)
    query.add_filters((*one[:3], "", one[3]) for one in filters)
    found = [row[0] for row in query.fetch()]
    assert query.count() == len(found)
    return access.index, found


def everything(session):
    session.insert(ITEM, [(None, "a", None, None, None), (70, "b", None, 1.0, 2)])
    session.update(ITEM, (1,), (80, "c", Decimal(9), 1.0, 3))
    session.update(ITEM, (2,), (2, "d", Decimal(9), 1.0, 3))
    session.delete(ITEM, [(3,), (4,)])
    session.create_index("item", Index("item_both", ("weight", "size")))
    changed = session.catalog().tables["item"]
    more = replace(changed, columns=(*changed.columns, Column("more", ValueType.DATE)))
    session.alter_table("item", replace(more, name="thing"))
    session.drop_index("thing", "item_price")
    session.reset_sequence(session.catalog().tables["thing"], 100)
    session.drop_table("thing")
    session.create_table(ITEM)


@pytest.mark.parametrize("savepoint", [True, False])
def test_whatever_write_fails_a_rollback_leaves_nothing(session, savepoint):
    """Every single write of a transaction fails once; commit's writes, too."""
    engine = session.engine
    before = dict(engine.pairs)
    catalog = session.catalog()
    for failing in range(200):
        engine.writes_left = failing
        try:
            if savepoint:
                session.savepoint()
            everything(session)
            session.commit()
        except OperationalError:
            assert not engine.writes_left
        else:
            break
        engine.writes_left = None
        if session.transaction is not None:
            session.rollback()
        assert engine.pairs == before
        session.begin(write=True)
        assert session.catalog() == catalog
        assert session.estimated_rows(ITEM) == 7
    assert failing > 40
    session.begin(write=True)
    assert session.estimated_rows(ITEM) == 0


def test_a_savepoint_undoes_everything(session):
    """Key by key: nothing is left over, and nothing is missing."""
    engine = session.engine
    before = dict(session.transaction.pairs)
    outer = session.savepoint()
    everything(session)
    inner = session.savepoint()
    session.insert(ITEM, [(None, "x", None, None, None)])
    session.rollback_to(inner)
    session.rollback_to(outer)
    assert session.transaction.pairs == before
    with pytest.raises(InterfaceError):
        session.rollback_to(inner)
    everything(session)
    session.rollback_to(outer)
    session.release(outer)
    session.commit()
    numbers = {key for key in before if key.startswith(b"\x02")}
    assert {k: v for k, v in engine.pairs.items() if k not in numbers} == {
        k: v for k, v in before.items() if k not in numbers
    }


def test_dropped_tables_leave_no_keys(session):
    """Rows, entries and numbers of a dropped table are gone after commit."""
    empty = RecordStore(MemoryEngine()).engine.pairs
    session.drop_table("item")
    session.commit()
    left = {key for key in session.engine.pairs if not key.startswith(b"\x00")}
    assert left == set()
    assert empty.keys() <= session.engine.pairs.keys()


def test_more_alterations_than_layout_numbers(session):
    """Rows are written anew when the numbers are used up."""
    table = ITEM
    for number in range(MAX_LAYOUTS + 10):
        old = table.columns[-1].name
        kept = table.columns if old == "size" else table.columns[:-1]
        column = Column(f"extra{number}", ValueType.INTEGER)
        table = replace(table, columns=(*kept, column))
        session.alter_table("item", table, fill={column.name: number})
        if number % 40 == 0:
            session.insert(table, [(None, f"new {number}", None, None, None, number)])
    names = [column.name for column in table.columns]
    rows = list(session.query(table, names, Access()).fetch())
    assert [row[-1] for row in rows] == [number] * 11
    assert rows[0][:2] == (1, "name 1")
    assert rows[-1][1] == "new 120"


def test_numbers_compare_by_value(session):
    """Whatever the type of the filter's value, with an index or without."""
    near = -(2**53) + 6  # the sizes lie around -2**53, where floats have gaps
    values = [2, 2.5, 2.6, Decimal("2.5"), Decimal("2.50001"), 10**30, -(10.0**300)]
    values += [float("inf"), float("-inf"), float("nan"), True, near, float(near)]
    values += [near + Decimal("0.5"), 2**70, 0.1, Decimal("0.1"), 10**400]
    for column in ("price", "weight", "size", "id"):
        for value in values:
            for lookup in ("exact", "gt", "gte", "lt", "lte"):
                for negated in (False, True):
                    one = (column, lookup, negated, value)
                    assert sorted(select(session, one)[1]) == sorted(
                        select(session, one, scan=True)[1]
                    ), one
            one = (column, "in", False, [value, None, 1, 1.0, value])
            assert sorted(select(session, one)[1]) == sorted(
                select(session, one, scan=True)[1]
            ), one


def test_two_bounds_and_all_filters_hold(session):
    bounds = [("price", "gt", False, 1), ("price", "lte", False, Decimal("2.5"))]
    both = Access("item_price", 0, True)
    for extra, wanted in (
        ([], [3, 4, 5]),
        ([("price", "gte", False, 2)], [4, 5]),
        ([("price", "lt", False, 1)], []),
        ([("price", "lt", False, None)], []),
        ([("name", "contains", True, "4")], [3, 5]),
    ):
        query = session.query(ITEM, ["id"], both)
        query.add_filters((*one[:3], "", one[3]) for one in bounds + extra)
        assert [row[0] for row in query.fetch()] == wanted
        assert query.count() == len(wanted)


def test_values_that_do_not_compare(session):
    """Nothing equals them; an order among them is an error that says so."""
    assert select(session, ("size", "exact", False, "x"))[1] == []
    with pytest.raises(DataError, match="can't be compared"):
        select(session, ("size", "gt", False, "x"))


def test_a_primary_key_is_never_null(session):
    keyed = Table("keyed", (Column("key", ValueType.STRING),), ("key",))
    session.create_table(keyed)
    with pytest.raises(IntegrityError, match=r"NOT NULL constraint failed: keyed\.key"):
        session.insert(keyed, [(None,)])


def test_stale_and_unknown_tables(session):
    """A definition from before a change isn't mixed up with the present one."""
    session.drop_index("item", "item_weight")
    present = session.catalog().tables["item"]
    columns = tuple(c for c in present.columns if c.name != "weight")
    session.alter_table("item", replace(present, columns=columns))
    with pytest.raises(ProgrammingError, match="has changed"):
        session.get(ITEM, (1,))
    with pytest.raises(ProgrammingError, match="no such table"):
        session.get(replace(ITEM, name="other"), (1,))
    present = session.catalog().tables["item"]
    with pytest.raises(ProgrammingError, match="no such index"):
        session.query(present, ["id"], Access("item_weight"))


@pytest.mark.parametrize(
    "change",
    [
        {"primary_key": ("name",)},
        {"indexes": ()},
        {
            "columns": (
                replace(ITEM.columns[0], type=ValueType.STRING),
                *ITEM.columns[1:],
            )
        },
    ],
)
def test_unsafe_alterations_are_refused(session, change):
    with pytest.raises(ProgrammingError):
        session.alter_table("item", replace(ITEM, **change))


def test_a_rolled_back_catalog_has_a_version_of_its_own(session):
    """Another change after a rollback isn't taken for the one rolled back."""
    session.create_table(replace(ITEM, name="first", indexes=()))
    first = session.catalog()
    session.rollback()
    session.begin(write=True)
    session.create_table(replace(ITEM, name="second", indexes=()))
    assert session.catalog().version != first.version
    assert set(session.catalog().tables) == {"item", "second"}


def test_a_row_that_stays_as_it_is_is_not_written(session):
    (row,) = session.query(ITEM, NAMES, Access()).fetch(0, 1)
    session.engine.writes_left = 0
    session.update(ITEM, (1,), row)
    session.engine.writes_left = None
    assert session.get(ITEM, (1,)) == row
