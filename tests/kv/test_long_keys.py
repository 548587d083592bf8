"""Values that are too long for a key: indexed, unique, in order, found again."""

import json
import tempfile
from decimal import Decimal
from hashlib import blake2b

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backendkit.backends.lmdb.store import LMDBStore
from backendkit.kv import RecordStore, indexes
from backendkit.kv.checking import Checker, Problem
from backendkit.kv.codec import pack
from backendkit.kv.layout import FORMAT_KEY
from backendkit.stores import (
    Column,
    DataError,
    FilterShape,
    Index,
    Table,
    UniqueViolation,
    ValueType,
    choose_access,
    matcher,
    sort_key,
)
from tests.effort import examples

from .memory import MemoryEngine

KINDS = {
    "a": ValueType.STRING,
    "b": ValueType.STRING,
    "c": ValueType.BYTES,
    "d": ValueType.DECIMAL,
    "e": ValueType.INTEGER,
}
INDEXES = [("a",), ("a", "b"), ("b", "e"), ("c",), ("d", "a"), ("e", "a", "c")]
#: Letters of every script, and what is awkward in keys.
LETTERS = "aZ\0\x01\x7f\x80éßΩжאعहไ漢字가\ud7ff\ue000\ufffe\uffff😀\U00010000\U0010ffff"


@st.composite
def texts(draw):
    """Short or long, with a beginning, an end or a middle that others have, too."""
    head = draw(st.sampled_from(["", "x" * 40, "漢" * 200, "😀" * 130, "\0" * 300]))
    middle = draw(st.text(LETTERS, max_size=2))
    tail = draw(st.sampled_from(["", "", "y" * 40, "é" * 300]))
    return head + middle + tail


@st.composite
def decimals(draw):
    digits = draw(st.sampled_from(["", "0" * 100, "9" * 1200]))
    return Decimal(f"{draw(st.integers(-2, 2))}.{digits}{draw(st.integers(0, 2))}")


VALUES = {
    ValueType.STRING: texts(),
    ValueType.BYTES: texts().map(lambda text: text.encode("utf-16", "surrogatepass")),
    ValueType.DECIMAL: decimals(),
    ValueType.INTEGER: st.integers(-1, 1),
}
BOUNDS = ("gt", "gte", "lt", "lte")


@st.composite
def cases(draw):
    columns = draw(st.sampled_from(INDEXES))
    pools = {
        name: draw(st.lists(VALUES[kind], min_size=2, max_size=4))
        for name, kind in KINDS.items()
    }
    row = st.tuples(*(st.none() | st.sampled_from(pools[name]) for name in KINDS))
    rows = draw(st.lists(row, max_size=14))
    filters = []
    for name in columns:
        value = st.sampled_from(pools[name]) | VALUES[KINDS[name]]
        lookup = draw(st.sampled_from(["exact", "exact", "in", "isnull", *BOUNDS, ""]))
        if not lookup:
            break
        if lookup == "in":
            filters.append((name, lookup, draw(st.lists(value, max_size=3))))
        elif lookup == "isnull":
            filters.append((name, lookup, True))
        else:
            filters.append((name, lookup, draw(value)))
    descending = draw(st.booleans())
    order = [(name, descending) for name in (*columns, "id")]
    order = order[: draw(st.integers(0, len(order)))]
    marks = draw(st.sampled_from([(0, None), (0, 1), (1, 3), (2, None), (0, 2)]))
    return columns, draw(st.booleans()), rows, filters, order, marks


def table_of(columns, *, unique):
    others = tuple(Column(name, kind) for name, kind in KINDS.items())
    return Table(
        "t",
        (Column("id", ValueType.INTEGER, False, True), *others),
        ("id",),
        (Index("i", columns, unique),),
    )


def stored(session, table, rows, unique):
    """Insert rows one by one; return those that a unique index lets in."""
    kept, taken = [], set()
    at = [table.positions[name] for name in table.indexes[0].columns]
    for number, one in enumerate(rows, 1):
        row = (number, *one)
        values = tuple(row[place] for place in at)
        if unique and None not in values and values in taken:
            with pytest.raises(UniqueViolation):
                session.insert(table, [row])
            continue
        session.insert(table, [row])
        taken.add(values)
        kept.append(row)
    return kept


def check(store, session, case):
    columns, unique, rows, filters, order, marks = case
    table = table_of(columns, unique=unique)
    session.begin(write=True)
    session.create_table(table)
    kept = stored(session, table, rows, unique)
    at = table.positions
    tests = [(at[name], matcher(lookup, value)) for name, lookup, value in filters]
    found = [row for row in kept if all(test(row[place]) for place, test in tests)]
    wanted = list(found)
    for name, descending in reversed(order):
        wanted.sort(key=lambda row: sort_key(row[at[name]]), reverse=descending)
    shapes = [FilterShape(name, lookup) for name, lookup, _ in filters]

    def query(ordering=()):
        # As of a table so large that its index is used.
        access = choose_access(
            table, store.capabilities, 10**6, shapes, ordering, few=bool(ordering)
        )
        made = session.query(table, [*at], access)
        for name, lookup, value in filters:
            made.add_filter(name, lookup, False, KINDS[name], value)
        if ordering and access.ordered:
            made.order_by(ordering)
        return made, access.ordered

    made, ordered = query(order)
    if order and ordered:
        places = [at[name] for name, _ in order]
        assert [[row[place] for place in places] for row in made.fetch(*marks)] == [
            [row[place] for place in places] for row in wanted[slice(*marks)]
        ]
    assert sorted(query()[0].fetch(), key=repr) == sorted(found, key=repr)
    assert query()[0].count() == len(found)
    assert_nothing_wrong(session)
    # Updates and deletions find the entries that they have to move.
    if not unique:
        assert query()[0].update({"e": 5}) == len(found)
    assert_nothing_wrong(session)
    session.delete(table, [row[:1] for row in kept[::2]])
    assert_nothing_wrong(session)
    session.rollback()


def assert_nothing_wrong(session):
    numbers = list(session._numbers.items())
    for table_id, one in numbers:
        one.save(session.transaction, table_id)
    checker = Checker(session.transaction, session.max_key)
    assert [str(one) for one in checker.findings()] == []


@settings(
    max_examples=examples(test=40, check=150, soak=20_000),
    suppress_health_check=list(HealthCheck),
)
@given(case=cases())
@example(
    case=(
        ("a", "b"),
        False,
        [("x" * 99 + end, None, None, None, None) for end in "bac"],
        [],
        [("a", True)],
        (0, 2),
    )
)
def test_queries_by_an_index_with_shortened_entries(case):
    """Filters, order, limits, counts and updates are as if nothing were shortened."""
    store = RecordStore(MemoryEngine(max_key_bytes=64))
    session = store.session()
    check(store, session, case)
    session.close()


@settings(
    max_examples=examples(test=20, check=80, soak=10_000),
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_the_same_on_lmdb(data, lmdb):
    """LMDB's keys have 511 bytes."""
    session = lmdb.session()
    try:
        check(lmdb, session, data.draw(cases()))
    finally:
        session.close()


@pytest.fixture(scope="module")
def lmdb():
    with tempfile.TemporaryDirectory() as folder:
        store = LMDBStore.open(folder + "/db", {"sync": False})
        yield store
        store.close()


def begun(engine):
    session = RecordStore(engine).session()
    session.begin(write=True)
    return session


TABLE = table_of(("a",), unique=True)


def row(number, text):
    return (number, text, None, None, None, None)


def test_equal_digests(monkeypatch):
    """Unique values are compared, not their digests."""
    monkeypatch.setattr(
        indexes,
        "_digest",
        lambda key: (
            b"\x07" * 16 if len(key) > 40 else blake2b(key, digest_size=16).digest()
        ),
    )
    session = begun(MemoryEngine(max_key_bytes=64))
    session.create_table(TABLE)
    long = "x" * 60
    rows = [row(number, long + end) for number, end in enumerate("abcd", 1)]
    for one in rows:
        session.insert(TABLE, [one])
    for one in rows:
        with pytest.raises(UniqueViolation):
            session.insert(TABLE, [row(None, one[1])])
        query = session.query(
            TABLE, ["id"], session.access(TABLE, [FilterShape("a", "exact")])
        )
        query.add_filter("a", "exact", False, "string", one[1])
        assert list(query.fetch()) == [one[:1]]
        assert query.count() == 1
        session.update(TABLE, one[:1], one)
    with pytest.raises(UniqueViolation):
        session.update(TABLE, (1,), row(1, long + "b"))
    # To another primary key, with the same value.
    session.update(TABLE, (1,), row(9, long + "a"))
    assert session.get(TABLE, (9,)) == row(9, long + "a")
    session.close()


def test_an_index_over_rows_that_exist():
    """It is built, or refused for equal values alone."""
    session = begun(MemoryEngine(max_key_bytes=64))
    plain = table_of((), unique=False)
    plain = Table(plain.name, plain.columns, plain.primary_key)
    session.create_table(plain)
    session.insert(plain, [row(n, "x" * n) for n in range(1, 90)])
    session.create_index("t", Index("i", ("a",), unique=True))
    session.create_index("t", Index("j", ("a", "b", "c")))
    session.insert(session.catalog().tables["t"], [row(None, "y" * 99)])
    session.drop_index("t", "i")
    session.insert(session.catalog().tables["t"], [row(None, "y" * 99)])
    with pytest.raises(UniqueViolation):
        session.create_index("t", Index("i", ("a",), unique=True))
    session.commit()
    session.begin(write=True)
    assert_nothing_wrong(session)
    session.close()


def test_the_format_is_raised_by_the_first_shortened_entry():
    """A store without one can still be opened by older releases."""
    engine = MemoryEngine(max_key_bytes=64)

    def number():
        return json.loads(engine.pairs[FORMAT_KEY])["format"]

    session = begun(engine)
    session.create_table(TABLE)
    session.insert(TABLE, [row(None, "short")])
    session.commit()
    assert number() == 1
    session.begin(write=True)
    mark = session.savepoint()
    session.insert(TABLE, [row(None, "x" * 99)])
    session.rollback_to(mark)
    session.commit()
    assert number() == 1
    session.begin(write=True)
    session.update(TABLE, (1,), row(1, "x" * 99))
    session.commit()
    assert number() == 2


def test_a_primary_key_is_limited():
    """Its error names column, size and limit; nothing is written."""
    engine = MemoryEngine(max_key_bytes=64)
    session = begun(engine)
    table = Table("t", (Column("k", ValueType.STRING, nullable=False),), ("k",))
    session.create_table(table)
    with pytest.raises(DataError, match=r"t\.k is .* primary key.*limit is 64"):
        session.insert(table, [("x" * 99,)])
    assert session.get(table, ("x" * 99,)) is None
    session.close()


def test_duplicates_are_found():
    """The checker compares rows of shortened entries, whose keys differ, too."""
    engine = MemoryEngine(max_key_bytes=64)
    session = begun(engine)
    session.create_table(TABLE)
    session.insert(TABLE, [row(n, "x" * 99 + str(n)) for n in (1, 2, 3)])
    session.commit()
    session.begin(write=True)
    record = session.record(TABLE)
    key, data = next(session.transaction.range(record.prefix, record.prefix + b"\xff"))
    (maintainer,) = record.maintainers
    primary_key = key[len(record.prefix) :]
    entry, _, _ = maintainer.entry(record.read(data), primary_key, 64)
    session.transaction.delete(entry)
    equal = row(1, "x" * 99 + "2")
    entry, value, _ = maintainer.entry(equal, primary_key, 64)
    session.transaction.put(entry, value)
    session.transaction.put(key, pack((*equal, 0)))
    (found,) = Checker(session.transaction, 64).findings()
    assert found.problem is Problem.DUPLICATE
    assert "has the same values" in str(found)
    session.close()
