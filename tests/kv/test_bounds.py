"""What a query reads between bounds is what matches, of all types of columns."""

import datetime
from decimal import Decimal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from backendkit.kv import RecordStore
from backendkit.stores import (
    Access,
    Column,
    DataError,
    Index,
    Table,
    ValueType,
    matcher,
)
from tests.effort import examples

from .memory import MemoryEngine
from .values import VALUES

BOUNDS = ("gt", "gte", "lt", "lte")
#: Values that are nearly, or not at all, of a column's type.
FOREIGN = st.one_of(
    *VALUES.values(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(
        [
            *(Decimal("1E+999999"), Decimal("-1E+999999"), Decimal("1E-999999")),
            *(Decimal("NaN"), Decimal("-Infinity"), 10**400, "\ud800", "a\udfff"),
            *(datetime.datetime(2024, 1, 1), datetime.date(2024, 1, 1), None),
            datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
        ]
    ),
)


@st.composite
def cases(draw):
    value_type = draw(st.sampled_from(list(ValueType)))
    values = draw(st.lists(st.none() | VALUES[value_type], min_size=1, max_size=20))
    wanted = FOREIGN | st.sampled_from(values) | VALUES[value_type]
    lookups = draw(
        st.sampled_from(
            [("exact",), ("in",), *((one,) for one in BOUNDS)]
            + [(low, high) for low in BOUNDS[:2] for high in BOUNDS[2:]]
        )
    )
    filters = [
        (one, draw(st.lists(wanted, max_size=4) if one == "in" else wanted))
        for one in lookups
    ]
    return value_type, values, filters


def found(query):
    try:
        return sorted(query.fetch()), query.count()
    except DataError:
        return "can't be compared", None


@settings(max_examples=examples(test=60, check=400, soak=50_000))
@given(case=cases(), primary=st.booleans())
@example(
    case=(ValueType.BOOL, [False, True, None], [("gt", -0.5)]),
    primary=False,
)
@example(
    case=(ValueType.INTEGER, [1, -1], [("lt", Decimal("1E+999999999"))]),
    primary=False,
)
@example(
    case=(ValueType.INTEGER, [1, -1], [("exact", Decimal("1E+999999999"))]),
    primary=True,
)
def test_an_index_is_read_between_bounds(case, primary):
    """
    A query by an index returns the rows that match, whatever the bounds are.

    What can't be compared is an error, or nothing, but never other rows.
    """
    value_type, values, filters = case
    if primary:
        # In a primary key values are unique, and none is NULL.
        tests = {repr(one): one for one in values if one is not None}.values()
        values = [one for n, one in enumerate(tests) if one not in [*tests][:n]]
    number = Column("n", ValueType.INTEGER, nullable=False)
    table = Table(
        "t",
        (Column("value", value_type, nullable=not primary), number),
        ("value", "n") if primary else ("n",),
        () if primary else (Index("i", ("value",)),),
    )
    store = RecordStore(MemoryEngine(max_key_bytes=20_000))
    session = store.session()
    session.begin(write=True)
    session.create_table(table)
    session.insert(table, [(value, n) for n, value in enumerate(values)])
    equal = filters[0][0] in ("exact", "in")
    access = Access("" if primary else "i", equalities=int(equal), ranged=not equal)
    query = session.query(table, ["n"], access)
    for lookup, value in filters:
        query.add_filter("value", lookup, False, value_type, value)
    try:
        tests = [matcher(*one) for one in filters]
        wanted = sorted(
            (n,) for n, value in enumerate(values) if all(t(value) for t in tests)
        )
    except TypeError:
        assert found(query)[0] in ("can't be compared", [])
    else:
        assert found(query) == (wanted, len(wanted))
    session.close()
