"""Tables as plain data."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendkit.stores import (
    Capabilities,
    Column,
    DatabaseError,
    ForeignKey,
    Index,
    OperationalError,
    Precision,
    Table,
    ValueType,
)

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20
)
COUNTS = st.none() | st.integers(0, 2**31)
COLUMNS = st.builds(
    Column,
    NAMES,
    st.sampled_from(ValueType),
    nullable=st.booleans(),
    auto_increment=st.booleans(),
    declared=NAMES,
    max_length=COUNTS,
    max_digits=COUNTS,
    decimal_places=COUNTS,
    hidden=st.booleans(),
)


@st.composite
def tables(draw):
    """Draw a table whose keys and indexes are of its columns."""
    unique = st.lists(COLUMNS, min_size=1, max_size=4, unique_by=lambda one: one.name)
    columns = draw(unique.map(tuple))
    some = st.lists(st.sampled_from([one.name for one in columns]), min_size=1)
    some = some.map(tuple)
    refers = st.builds(
        lambda own, table, action: ForeignKey(own, table, own[::-1], action),
        some,
        NAMES,
        NAMES,
    )
    return Table(
        draw(NAMES),
        columns,
        draw(some),
        tuple(draw(st.lists(st.builds(Index, NAMES, some, st.booleans(), NAMES)))),
        tuple(draw(st.lists(refers))),
        draw(NAMES),
    )


@given(tables())
def test_a_table_comes_back_from_json(table):
    """What to_json writes is JSON, and from_json makes an equal table of it."""
    document = table.to_json()
    json.loads(document)
    for text in (document, document.encode()):
        again = Table.from_json(text)
        assert again == table
        assert hash(again) == hash(table)
        assert again.to_json() == document
        assert all(isinstance(column.type, ValueType) for column in again.columns)


def test_unknown_keys_in_json_are_an_error():
    """A catalog that a later version wrote isn't misread."""
    data = json.loads(Table("t", (Column("a", ValueType.UUID),), ("a",)).to_json())
    with pytest.raises(DatabaseError, match="newer version"):
        Table.from_json(json.dumps({**data, "partitions": 3}))


def test_positions_and_keys():
    """Positions follow the columns, keys the primary key."""
    columns = [Column(name, ValueType.INTEGER) for name in "abc"]
    numbered = Column("n", ValueType.INTEGER, auto_increment=True)
    table = Table("t", (*columns, numbered), ("c", "a"))
    assert table.positions == {"a": 0, "b": 1, "c": 2, "n": 3}
    assert table.key_of((1, 2, 3, 4)) == (3, 1)
    assert table.auto_increment == 3
    assert table.column("b") is columns[1]
    with pytest.raises(KeyError):
        table.column("B")
    assert Table("t", tuple(columns), ("a",)).auto_increment is None


NUMBERED = Table(
    "t",
    (
        Column("n", ValueType.INTEGER, auto_increment=True),
        Column("a", ValueType.INTEGER),
        Column("b", ValueType.INTEGER),
    ),
    ("n",),
    (
        Index("plain", ("a",)),
        Index("b_a", ("b", "a"), unique=True),
        Index("a", ("a",), unique=True),
    ),
)


def test_unique_values():
    """They are those of the primary key and the unique indexes, but where NULL is."""
    assert NUMBERED.unique == {"": ("n",), "b_a": ("b", "a"), "a": ("a",)}
    values = NUMBERED.unique_values
    assert values((1, 2, 3)) == [("", (1,)), ("b_a", (3, 2)), ("a", (2,))]
    assert values((1, 2, None)) == [("", (1,)), ("a", (2,))]
    assert values((1, None, 3)) == values((1, None, None)) == [("", (1,))]


def test_rows_are_numbered():
    """A row without a number gets the next one; a larger one moves the numbering on."""
    numbered = NUMBERED.numbered
    assert numbered((None, 2, 3), 7) == ((8, 2, 3), 8)
    assert numbered((5, 2, 3), 7) == ((5, 2, 3), 7)
    assert numbered([9, 2, 3], 7) == ((9, 2, 3), 9)
    assert numbered((None, 2, 3), 2**63 - 2) == ((2**63 - 1, 2, 3), 2**63 - 1)
    with pytest.raises(OperationalError, match="t has no numbers left"):
        numbered((None, 2, 3), 2**63 - 1)
    plain = Table("t", (Column("a", ValueType.INTEGER),), ("a",))
    assert plain.numbered([None], 7) == ((None,), 7)


def test_precision_is_found_by_lookup_type_and_negation():
    """Exceptions by type win; patterns are for text, negations for those named."""
    capabilities = Capabilities(
        filters={"exact": Precision.EXACT, "contains": Precision.COARSE},
        filters_by_type={ValueType.FLOAT: {"exact": Precision.COARSE}},
        negations=frozenset({"exact"}),
    )
    precision = capabilities.precision
    assert precision(ValueType.INTEGER, "exact") is Precision.EXACT
    assert precision(ValueType.INTEGER, "exact", negated=True) is Precision.EXACT
    assert precision(ValueType.FLOAT, "exact") is Precision.COARSE
    assert precision(ValueType.STRING, "contains") is Precision.COARSE
    assert precision(ValueType.STRING, "contains", negated=True) is Precision.NONE
    assert precision(ValueType.INTEGER, "contains") is Precision.NONE
    assert precision(ValueType.STRING, "gt") is Precision.NONE
