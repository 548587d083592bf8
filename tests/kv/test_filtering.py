"""Filters on rows give what ``matcher()`` says of each value, however they get there."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backendkit.kv import RecordStore
from backendkit.stores import (
    COMPARISONS,
    PATTERNS,
    Access,
    Column,
    Table,
    ValueType,
    matcher,
)
from backendkit.stores._matching import ascii_lower

from .memory import MemoryEngine
from .values import TEXT, VALUES

NUMBERS = {
    ValueType.BOOL,
    ValueType.DECIMAL,
    ValueType.FLOAT,
    ValueType.INTEGER,
}
NUMERIC = st.one_of(
    *(VALUES[one] for one in sorted(NUMBERS)),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([Decimal("NaN"), Decimal("Infinity"), 1.0, Decimal("1.0"), True]),
)
#: Runs of ASCII letters in either case, and what is about them.
WORDS = st.text("aAkK\u017f\u212aéÉzZ\0 %_", max_size=9)


def values_of(value_type):
    if value_type is ValueType.STRING:
        return TEXT | WORDS
    return VALUES[value_type]


@st.composite
def cases(draw):
    """Values of a column; and a filter on it, whose value often meets one of them."""
    value_type = draw(st.sampled_from(list(ValueType)))
    values = draw(st.lists(st.none() | values_of(value_type), max_size=40))
    lookup = draw(st.sampled_from(sorted((COMPARISONS | PATTERNS) - {"isnull"})))
    if lookup in PATTERNS:
        wanted = WORDS
        texts = [v for v in values if isinstance(v, str) and v]
        if texts and not lookup.endswith("regex"):
            part = draw(st.sampled_from(texts))
            start, stop = sorted(draw(st.tuples(*[st.integers(0, len(part))] * 2)))
            wanted |= st.sampled_from([part, part[start:stop], part.swapcase()])
        if lookup.endswith("regex"):
            wanted = st.text("ak.Z", max_size=4)
    else:
        wanted = NUMERIC if value_type in NUMBERS else values_of(value_type)
        if values:
            wanted |= st.sampled_from(values)
        if value_type is ValueType.STRING:
            wanted |= st.sampled_from(["\ud800", "a\udfff"])
        if lookup == "in":
            wanted = st.lists(wanted, max_size=4)
    return value_type, values, lookup, draw(wanted), draw(st.booleans())


def answers(session, table, filters):
    query = session.query(table, ["id"], Access())
    counted = session.query(table, [], Access())
    for one in filters:
        query.add_filter(*one)
        counted.add_filter(*one)
    found = [row[0] for row in query.fetch()]
    assert counted.count() == len(found)
    return found


def expected(rows, table, filters):
    tests = [
        (table.positions[column], matcher(lookup, unified(value), negated))
        for column, lookup, negated, _, value in filters
    ]
    return [row[0] for row in rows if all(test(row[at]) for at, test in tests)]


def unified(value):
    """Return None for NaN, as the contract has it."""
    if isinstance(value, list):
        return [unified(one) for one in value]
    number = isinstance(value, float | Decimal)
    return None if number and str(value).lower() == "nan" else value


def stored(values, value_type):
    columns = [
        Column("id", ValueType.INTEGER, False, True),
        Column("before", ValueType.STRING),
        Column("value", value_type),
        Column("behind", ValueType.INTEGER),
    ]
    table = Table("t", tuple(columns), ("id",))
    session = RecordStore(MemoryEngine()).session()
    session.begin(write=True)
    session.create_table(table)
    rows = [(n, f"a{n}", value, n % 3) for n, value in enumerate(values, 1)]
    session.insert(table, rows)
    return session, table, rows


@given(cases(), st.booleans())
@example((ValueType.STRING, ["abcK", "abc\u212a"], "icontains", "CK", False), False)
@example((ValueType.STRING, ["abcd", "xabcd"], "exact", "abcd", False), False)
@example((ValueType.STRING, ["abcd\0efgh"], "iendswith", "EFGH", False), False)
@example((ValueType.FLOAT, [-0.0, 0.0], "exact", 0, False), False)
@example((ValueType.DECIMAL, [Decimal("100.0")], "exact", Decimal(100), False), False)
@example((ValueType.INTEGER, [2**40], "exact", float(2**40), False), False)
@example((ValueType.INTEGER, [5], "exact", 2**70, False), False)
def test_one_filter(case, writing):
    value_type, values, lookup, value, negated = case
    session, table, rows = stored(values, value_type)
    if not writing:
        session.commit()
        session.begin(write=False)
    one = ("value", lookup, negated, "", value)
    assert answers(session, table, [one]) == expected(rows, table, [one])
    # With others on the same column and another one.
    for more in (
        [("value", "isnull", True, "", True)],
        [("behind", "gt", False, "", 0)],
        [("behind", "lt", False, "", 2), ("before", "icontains", False, "", "A1")],
    ):
        filters = [*more, one]
        assert answers(session, table, filters) == expected(rows, table, filters)


@given(cases())
def test_a_column_that_rows_lack(case):
    """Rows of an older layout have the column's default without its bytes."""
    value_type, values, lookup, value, negated = case
    session, table, rows = stored([], ValueType.INTEGER)
    session.insert(table, [(None, "old", None, 0)] * 2)
    fill = next((one for one in values if one is not None), None)
    added = replace(table, columns=(*table.columns, Column("more", value_type)))
    session.alter_table("t", added, fill={"more": fill})
    rows = [(number, "old", None, 0, fill) for number in (1, 2)]
    new = [(n, "new", None, 1, one) for n, one in enumerate(values, 3)]
    session.insert(added, new)
    session.commit()
    session.begin(write=False)
    one = ("more", lookup, negated, "", value)
    found = answers(session, added, [one])
    assert found == expected([*rows, *new], added, [one])


@given(st.text())
def test_only_ascii_letters_are_lowered(text):
    lowered = "".join(c.lower() if c.isascii() else c for c in text)
    assert ascii_lower(text) == lowered


@pytest.mark.parametrize("wanted", ["\ud800", "a\udfffB"])
def test_surrogates_are_lowered_like_text(wanted):
    assert ascii_lower(wanted + "É") == wanted.replace("B", "b") + "É"
