"""Values and comparisons against a real SQLite table of the same declared type."""

import datetime
import uuid
from decimal import Decimal

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backendkit.engine import vtab
from backendkit.engine.comparing import Bound, comparison
from backendkit.engine.values import (
    CONVERSION_ERRORS,
    DECLARATIONS,
    TO_SQLITE,
    adapt,
    adapt_all,
    all_to_store,
    row_converter,
    size_of,
    to_store,
    value_type,
)
from backendkit.stores import Column, DataError, ValueType, matcher
from tests.effort import examples

#: But for ANY, which test_declared_types.py is about.
TYPES = sorted(set(ValueType) - {ValueType.ANY})
#: Types whose comparisons SQLite leaves to the store alone.
CHECKED_ONCE = vtab._SAME_ANSWER
OPERATORS = {"exact": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

_EDGES = [0, 1, -1, 2, 5, 10, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**62 + 1]
INTEGERS = st.sampled_from(_EDGES) | st.integers(-(2**63), 2**63 - 1)
FLOATS = st.sampled_from(
    [
        0.0,
        -0.0,
        0.1,
        0.5,
        1.0,
        1.5,
        2.0**53,
        2.0**60,
        2.0**63,
        -(2.0**63),
        1e30,
        float("inf"),
        float("-inf"),
        0.1 + 0.2,
    ]
) | st.floats(allow_nan=False)
DECIMALS = st.sampled_from(
    [Decimal(text) for text in ("0", "0.1", "1", "1.50", "2", "9007199254740993")]
    + [Decimal(2**60), Decimal("1e30"), Decimal("0.30000000000000004")]
) | st.decimals(allow_nan=False, allow_infinity=False, places=2)
DATES = st.dates() | st.dates(datetime.date(2024, 1, 1), datetime.date(2024, 1, 9))
TIMES = st.times() | st.sampled_from(
    [datetime.time(12), datetime.time(12, 30), datetime.time(12, 30, 1, 500000)]
)
DATETIMES = st.datetimes() | st.builds(datetime.datetime.combine, DATES, TIMES)
DURATIONS = st.timedeltas(
    datetime.timedelta(days=-50_000_000), datetime.timedelta(days=50_000_000)
) | st.integers(-5, 5).map(lambda n: datetime.timedelta(microseconds=n))
UUIDS = st.uuids() | st.integers(0, 9).map(lambda n: uuid.UUID(int=n))
NUMBER_LIKE = st.sampled_from(
    [
        "5",
        " 5",
        "5 ",
        "05",
        "5.0",
        "5e0",
        ".5",
        "5.",
        "-1",
        "+1",
        "1e3",
        "1e",
        "e1",
        "0x5",
        "5\x00",
        "5\x00a",
        "\x005",
        "5a",
        "",
        " ",
        "inf",
        "nan",
        "1_0",
        "\u0665",
        "\x0b5",
        "\xa05",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "9007199254740993.0",
        "0.1",
        "0.10000000000000000001",
        "1e400",
        "-1e400",
    ]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | NUMBER_LIKE

STORED = {
    ValueType.BOOL: st.booleans(),
    ValueType.INTEGER: INTEGERS,
    ValueType.FLOAT: FLOATS,
    ValueType.DECIMAL: DECIMALS,
    ValueType.STRING: TEXTS,
    ValueType.BYTES: st.binary(max_size=3),
    ValueType.DATE: DATES,
    ValueType.TIME: TIMES,
    ValueType.DATETIME: DATETIMES,
    ValueType.DURATION: DURATIONS,
    ValueType.UUID: UUIDS,
    ValueType.JSON: st.sampled_from(["null", "1", "[]", '{"a": "b"}', '"x"', "1.50"]),
}


def to_sqlite(kind, value):
    """What the virtual table hands to SQLite."""
    convert = TO_SQLITE.get(kind)
    return value if value is None or convert is None else convert(value)


@st.composite
def moments(draw):
    """Texts that are, nearly are, or begin like dates and times."""
    moment = draw(DATES | TIMES | DATETIMES)
    text = str(moment)
    if draw(st.booleans()):
        text = moment.isoformat()
    if draw(st.booleans()):
        text = text[: draw(st.integers(0, len(text)))]
    return text + draw(st.sampled_from(["", "", " ", ".0", ":00", "Z", "+01:00", "0"]))


SIDES = st.one_of(
    st.none(),
    INTEGERS,
    FLOATS,
    TEXTS,
    moments(),
    DECIMALS.map(str),
    UUIDS.map(lambda value: value.hex),
    UUIDS.map(str),
    UUIDS.map(lambda value: value.hex.upper()),
    st.binary(max_size=3),
)


@pytest.fixture(scope="module")
def database():
    connection = apsw.Connection(":memory:")
    yield connection
    connection.close()


# Round trips


@pytest.mark.parametrize("kind", TYPES)
@given(data=st.data())
def test_what_sqlite_is_given_comes_back(kind, data):
    """A value that went to SQLite comes back to the store as it was."""
    column = Column("c", kind)
    value = data.draw(STORED[kind] | st.none())
    there = to_sqlite(kind, value)
    assert there is None or type(there) in {int, float, str, bytes}
    back = to_store("t", column, there)
    if kind is ValueType.DECIMAL and value is not None:
        # SQLite has no decimals: what a float or 64 bits distinguish is kept.
        assert to_sqlite(kind, back) == there
    else:
        assert back == value
        assert type(back) is type(value)


@pytest.mark.parametrize("kind", TYPES)
@given(data=st.data())
def test_a_columns_affinity_changes_nothing(database, kind, data):
    """A real column of the declared type keeps what the virtual one answers."""
    there = to_sqlite(kind, data.draw(STORED[kind]))
    database.execute("DROP TABLE IF EXISTS t")
    database.execute(f"CREATE TABLE t (c {DECLARATIONS[kind]})")
    database.execute("INSERT INTO t VALUES (?)", (there,))
    kept, storage = database.execute("SELECT c, typeof(c) FROM t").fetchone()
    assert kept == there
    if not isinstance(there, float) or storage == "real":
        assert type(kept) is type(there)


@pytest.mark.parametrize("kind", TYPES)
@given(data=st.data())
def test_parameters_in_pythons_types_are_stored(kind, data):
    """What a column holds may be given as a parameter, and is kept exactly."""
    column = Column("c", kind)
    value = data.draw(STORED[kind])
    back = to_store("t", column, value)
    assert back == value
    assert type(back) is type(value)
    assert to_store("t", column, adapt(value)) == value


@pytest.mark.parametrize("kind", TYPES)
@given(data=st.data())
def test_many_values_are_stored_as_one_by_one(kind, data):
    column = Column("c", kind, max_digits=5 if data.draw(st.booleans()) else None)
    given_ = STORED[kind] | STORED[kind].map(lambda value: to_sqlite(kind, value))
    if data.draw(st.booleans()):
        given_ |= SIDES | st.sampled_from([True, 2**63, "\ud800", float("nan")])
    few = data.draw(st.lists(given_, min_size=1, max_size=4), "few")
    value = st.none() | st.sampled_from(few)
    values = data.draw(st.lists(value, max_size=9))
    try:
        one_by_one = [to_store("t", column, value) for value in values]
    except DataError:
        with pytest.raises(CONVERSION_ERRORS):
            all_to_store(column, values)
    else:
        at_once = all_to_store(column, values)
        assert list(map(repr, at_once)) == list(map(repr, one_by_one))


@given(st.data())
def test_rows_are_converted_column_by_column(data):
    """A row's converter does for each column what the column's type does."""
    kinds = data.draw(st.lists(st.sampled_from(TYPES), max_size=6))
    row = tuple(data.draw(STORED[kind] | st.none()) for kind in kinds)
    convert = row_converter([Column(f"c{n}", kind) for n, kind in enumerate(kinds)])
    wanted = [to_sqlite(kind, value) for kind, value in zip(kinds, row, strict=True)]
    assert list(row if convert is None else convert(row)) == wanted


@given(st.lists(st.one_of(*STORED.values(), st.none()), max_size=5))
def test_adapted_parameters_are_sqlites(values):
    """Every Python type of the contract becomes one that SQLite takes."""
    adapted = adapt_all(values)
    assert list(adapted) == [adapt(value) for value in values]
    for value in adapted:
        assert value is None or type(value) in {int, float, str, bytes, bool}


@pytest.mark.parametrize("kind", TYPES)
@given(side=SIDES)
def test_what_does_not_fit_is_refused_by_name(kind, side):
    """Any SQL value is stored in the column's own type or refused by DataError."""
    try:
        value = to_store("t", Column("c", kind), side)
    except DataError as error:
        message = str(error)
        value = None
    else:
        message = "t.c"
    assert "t.c" in message
    assert len(message) < 400
    assert value is None or to_sqlite(kind, value) is not None
    # What is stored must be readable as the same again.
    again = to_store("t", Column("c", kind), to_sqlite(kind, value))
    assert to_sqlite(kind, again) == to_sqlite(kind, value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ValueType.BOOL, 2),
        (ValueType.BOOL, "yes"),
        (ValueType.INTEGER, 2**63),
        (ValueType.INTEGER, "five"),
        (ValueType.INTEGER, float("inf")),
        (ValueType.INTEGER, b"5"),
        (ValueType.FLOAT, "1.2.3"),
        (ValueType.DECIMAL, "NaN"),
        (ValueType.DECIMAL, float("inf")),
        (ValueType.STRING, b"text"),
        (ValueType.STRING, "\ud800"),
        (ValueType.BYTES, 5),
        (ValueType.DATE, "2024-13-01"),
        (ValueType.DATE, 20240101),
        (ValueType.TIME, "25:00"),
        (ValueType.DATETIME, "yesterday"),
        (ValueType.DURATION, 2**63),
        (ValueType.UUID, "123"),
        (ValueType.JSON, b"{}"),
    ],
)
def test_wrong_values_are_refused(kind, value):
    """A value that the column can't hold is a DataError, not another value."""
    with pytest.raises(DataError, match=r"doesn't fit into column t\.c"):
        to_store("t", Column("c", kind), value)


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        (ValueType.BOOL, "1", True),
        (ValueType.BOOL, 0.0, False),
        (ValueType.INTEGER, " 12 ", 12),
        (ValueType.INTEGER, "1e2", 100),
        (ValueType.FLOAT, "1.5", 1.5),
        (ValueType.FLOAT, float("nan"), None),
        (ValueType.DECIMAL, 0.1, Decimal("0.1")),
        (ValueType.DECIMAL, "1.50", Decimal("1.50")),
        (ValueType.STRING, 5, "5"),
        (ValueType.STRING, 1.5, "1.5"),
        (ValueType.BYTES, "é", "é".encode()),
        (ValueType.BYTES, memoryview(b"x"), b"x"),
        (ValueType.DATE, "2024-01-02 03:04:05", datetime.date(2024, 1, 2)),
        (ValueType.TIME, "2024-01-02 03:04:05", datetime.time(3, 4, 5)),
        (ValueType.TIME, "3:04", datetime.time(3, 4)),
        (ValueType.DATETIME, "2024-01-02", datetime.datetime(2024, 1, 2)),
        (
            ValueType.DATETIME,
            "2024-01-02T03:04:05+01:00",
            datetime.datetime(2024, 1, 2, 2, 4, 5),
        ),
        (ValueType.DURATION, 1_500_000, datetime.timedelta(seconds=1.5)),
        (ValueType.UUID, str(uuid.UUID(int=7)), uuid.UUID(int=7)),
    ],
)
def test_near_values_are_converted(kind, value, stored):
    """A column's affinity, and its type's usual spellings, are applied on write."""
    assert to_store("t", Column("c", kind), value) == stored


# Declared types


@pytest.mark.parametrize(
    ("declared", "kind", "size"),
    [
        ("integer", ValueType.INTEGER, ()),
        ("BIGINT UNSIGNED", ValueType.INTEGER, ()),
        ("varchar(10)", ValueType.STRING, (10,)),
        ("VARYING CHARACTER (70)", ValueType.STRING, (70,)),
        ("decimal(5, 2)", ValueType.DECIMAL, (5, 2)),
        ("NUMERIC", ValueType.DECIMAL, ()),
        ("uuid char(32)", ValueType.UUID, (32,)),
        ("json text", ValueType.JSON, ()),
        ("duration bigint", ValueType.DURATION, ()),
        ("bool", ValueType.BOOL, ()),
        ("datetime", ValueType.DATETIME, ()),
        ("timestamp with time zone", ValueType.ANY, ()),
        ("date", ValueType.DATE, ()),
        ("time", ValueType.TIME, ()),
        ("double precision", ValueType.FLOAT, ()),
        ("real", ValueType.FLOAT, ()),
        ("BLOB", ValueType.BYTES, ()),
        ("", ValueType.ANY, ()),
        ("money", ValueType.ANY, ()),
        ("point", ValueType.ANY, ()),
    ],
)
def test_declared_types(declared, kind, size):
    """Words that we know have a type, others have any."""
    assert value_type(declared) is kind
    assert size_of(declared) == size


# Comparisons


def included(column, lookup, side, values):
    """Which values the store would return for ``c <lookup> side``."""
    found = comparison(column, lookup, side)
    if found.value is Bound.NOTHING:
        return set()
    if found.value is Bound.ANYTHING:
        return set(range(len(values)))
    if found.lookup == "isnull":
        test = matcher("isnull", True, negated=True)
    elif found.lookup == "range":
        lower, upper = map(matcher, ("gte", "lte"), found.value)
        test = lambda value: lower(value) and upper(value)
    else:
        test = matcher(found.lookup, found.value)
    return {number for number, value in enumerate(values) if test(value)}


def matched(database, kind, lookup, other, side, values):
    """
    Return the other side as SQLite gives it, and which values it includes.

    :param other: type of the other side's column; None for a parameter.
    """
    database.execute("DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS r")
    database.execute(f"CREATE TABLE t (n integer, c {DECLARATIONS[kind]})")
    database.executemany(
        "INSERT INTO t VALUES (?, ?)",
        [(number, to_sqlite(kind, value)) for number, value in enumerate(values)],
    )
    if other is None:
        sql = f"SELECT n FROM t WHERE c {OPERATORS[lookup]} ?"
        rows = database.execute(sql, (side,))
    else:
        database.execute(f"CREATE TABLE r (v {DECLARATIONS[other]})")
        database.execute("INSERT INTO r VALUES (?)", (side,))
        rows = database.execute(f"SELECT n FROM t, r WHERE t.c {OPERATORS[lookup]} r.v")
    return {number for (number,) in rows}


@st.composite
def comparisons(draw, kind):
    """A column's values, and what they are compared to."""
    values = draw(st.lists(STORED[kind] | st.none(), min_size=1, max_size=5))
    present = [value for value in values if value is not None]
    other = draw(st.none() | st.just(kind) | st.sampled_from(TYPES))
    if other is not None:
        sides = STORED[other] | st.none()
        if other is kind and present:
            sides |= st.sampled_from(present)
        return values, other, to_sqlite(other, draw(sides))
    if present and draw(st.booleans()):
        near = to_sqlite(kind, draw(st.sampled_from(present)))
        return values, None, draw(st.sampled_from([near, str(near)]))
    return values, None, draw(SIDES)


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=examples(test=25, check=200, soak=10_000))
@given(data=st.data(), lookup=st.sampled_from(sorted(OPERATORS)))
def test_a_comparison_never_excludes_what_sqlite_includes(database, kind, data, lookup):
    """
    The store returns at least the rows that SQLite would match.

    Of the types that SQLite doesn't check again, it returns no others.
    """
    values, other, side = data.draw(comparisons(kind))
    wanted = matched(database, kind, lookup, other, side, values)
    found = included(Column("c", kind), lookup, side, values)
    assert wanted <= found
    if kind in CHECKED_ONCE:
        assert wanted == found


@settings(max_examples=examples(test=25, check=200, soak=10_000))
@given(data=st.data(), lookup=st.sampled_from(sorted(OPERATORS)))
def test_a_short_decimal_is_compared_as_itself(database, data, lookup):
    """A DECIMAL column of up to 15 digits is compared exactly, and by one filter."""
    kind = ValueType.DECIMAL
    column = Column("c", kind, max_digits=15, decimal_places=2)
    values, other, side = data.draw(comparisons(kind))
    values = [to_store("t", column, value) for value in values]
    wanted = matched(database, kind, lookup, other, side, values)
    assert wanted <= included(column, lookup, side, values)
    assert comparison(column, lookup, side).lookup != "range"
