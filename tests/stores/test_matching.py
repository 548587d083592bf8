"""matcher, sort_key and sort_rows are what SQLite says, which is asked here."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendkit.stores import (
    COMPARISONS,
    PATTERNS,
    Column,
    DataError,
    Table,
    ValueType,
    matcher,
    sort_key,
    sort_rows,
)

VALUES = {
    "text": st.text(
        st.sampled_from("aAbB%_\\é\N{LATIN CAPITAL LETTER E WITH ACUTE}'"), max_size=3
    ),
    "numbers": st.integers(-3, 3) | st.sampled_from([-1.5, 0.5, 1.0, 2.0]),
    "bytes": st.binary(max_size=2),
}
OPERATORS = {"exact": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
LIKE = {
    "iexact": "{}",
    "contains": "%{}%",
    "icontains": "%{}%",
    "startswith": "{}%",
    "istartswith": "{}%",
    "endswith": "%{}",
    "iendswith": "%{}",
}


@pytest.fixture(scope="module")
def ask():
    connection = sqlite3.connect(":memory:")

    def ask(sql, *values, negated=False):
        sql = f"SELECT NOT ({sql})" if negated else f"SELECT ({sql})"
        return connection.execute(sql, values).fetchone()[0] == 1

    yield ask
    connection.close()


@given(data=st.data(), negated=st.booleans(), kind=st.sampled_from(sorted(VALUES)))
def test_comparisons_are_sqlites(ask, data, negated, kind):
    """Comparisons answer what SQLite answers, NULL on either side included."""
    values = st.none() | VALUES[kind]
    lookup = data.draw(st.sampled_from(sorted(COMPARISONS)))
    item = data.draw(values)
    if lookup == "isnull":
        found = matcher(lookup, True, negated)(item)
        assert found == ask("? IS NULL", item, negated=negated)
    elif lookup == "in":
        choices = data.draw(st.lists(values, min_size=1, max_size=4))
        sql = f"? IN ({', '.join('?' * len(choices))})"
        found = matcher(lookup, choices, negated)(item)
        assert found == ask(sql, item, *choices, negated=negated)
    else:
        value = data.draw(values)
        found = matcher(lookup, value, negated)(item)
        assert found == ask(f"? {OPERATORS[lookup]} ?", item, value, negated=negated)


@given(data=st.data(), negated=st.booleans(), lookup=st.sampled_from(sorted(LIKE)))
def test_patterns_are_sqlites_like(ask, data, negated, lookup):
    """Patterns answer what LIKE answers; wildcards in the value are plain text."""
    values = st.none() | VALUES["text"]
    item, value = data.draw(values), data.draw(values)
    pattern = value
    if value is not None:
        for character in "\\%_":
            pattern = pattern.replace(character, f"\\{character}")
        pattern = LIKE[lookup].format(pattern)
    found = matcher(lookup, value, negated)(item)
    assert found == ask("? LIKE ? ESCAPE '\\'", item, pattern, negated=negated)


def test_every_lookup_that_is_named_is_known():
    """The names of the contract are those of the matcher."""
    for lookup in COMPARISONS | PATTERNS:
        assert matcher(lookup, "" if lookup != "in" else [])(None) in (True, False)
    with pytest.raises(KeyError):
        matcher("soundex", "x")


def test_regular_expressions():
    """They are Python's, anywhere in the text; a wrong one is a DataError."""
    assert matcher("regex", "b.$")("abc")
    assert not matcher("regex", "B")("abc")
    assert matcher("iregex", "B")("abc")
    assert matcher("regex", "B", True)("abc")
    assert not matcher("regex", "B", True)(None)
    assert not matcher("regex", None)("abc")
    with pytest.raises(DataError):
        matcher("regex", "(")


def test_unhashable_choices():
    """A list of choices may hold what can't be hashed."""
    assert matcher("in", [bytearray(b"a"), b"b"])(b"a")


@given(st.lists(st.none() | st.text(max_size=2), max_size=6))
def test_sort_key_is_sqlites_order(values):
    """None comes first, text by code point."""
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE t (v)")
        rows = [(value,) for value in values if "\0" not in (value or "")]
        connection.executemany("INSERT INTO t VALUES (?)", rows)
        wanted = [v for (v,) in connection.execute("SELECT v FROM t ORDER BY v")]
    connection.close()
    assert sorted((value for (value,) in rows), key=sort_key) == wanted


SMALL = st.none() | st.integers(0, 2)


@given(
    st.lists(st.tuples(SMALL, SMALL, SMALL), max_size=8),
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=3),
)
def test_sort_rows_is_sqlites_order(rows, ordering):
    """The outermost column counts most; what is equal stays in its order."""
    table = Table("t", tuple(Column(n, ValueType.INTEGER) for n in "abc"), ("a",))
    terms = [f"{name} {'DESC' if down else 'ASC'}" for name, down in ordering]
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE t (a, b, c)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        by = ", ".join([*terms, "rowid"])
        wanted = connection.execute(f"SELECT * FROM t ORDER BY {by}").fetchall()
    connection.close()
    assert list(sort_rows(iter(rows), table, ordering)) == wanted


def test_rows_in_no_order_are_not_read():
    """A query without an order goes on reading rows as they are asked for."""
    table = Table("t", (Column("a", ValueType.INTEGER),), ("a",))
    rows = iter([(2,), (1,)])
    assert sort_rows(rows, table, []) is rows
