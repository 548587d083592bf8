"""Rows as JSON, and keys as text."""

import itertools
import json
import math
from decimal import Decimal

import pytest

from backendkit.stores import (
    Column,
    DataError,
    Table,
    ValueType,
    key_to_text,
    row_from_json,
    row_to_json,
)
from backendkit.stores.testing._data import NUMBERS, VALUES


def table_of(value_type):
    return Table("t", (Column("a", value_type),), ("a",))


@pytest.mark.parametrize("value_type", ValueType)
def test_rows_come_back(value_type):
    """By way of a text: equal, of the same type, and with their sign."""
    table = table_of(value_type)
    for value in [None, *VALUES[value_type]]:
        text = json.dumps(row_to_json(table, (value,)), allow_nan=False)
        (found,) = row_from_json(table, json.loads(text))
        assert (type(found), found) == (type(value), value)
        assert row_from_json(table, text) == row_from_json(table, text.encode())
        if isinstance(value, float):
            assert math.copysign(1, found) == math.copysign(1, value)


@pytest.mark.parametrize("value_type", ValueType)
def test_equal_values_have_equal_texts(value_type):
    """And others have others, whatever type a number has."""
    table = table_of(value_type)
    values = list(VALUES[value_type])
    if value_type in {ValueType.INTEGER, ValueType.FLOAT, ValueType.DECIMAL}:
        values += NUMBERS
    texts = [key_to_text(table, ["a"], [value]) for value in values]
    for one, other in itertools.combinations(range(len(values)), 2):
        same = values[one] == values[other]
        assert (texts[one] == texts[other]) == same, (values[one], values[other])


@pytest.mark.parametrize(
    ("value_type", "documents"),
    [
        (ValueType.INTEGER, [1.0, "1", True, 2**63, [], {}]),
        (ValueType.BOOL, [1, "true"]),
        (ValueType.STRING, [1, ["a"]]),
        (ValueType.FLOAT, ["nan", "x", None.__class__, [1]]),
        (ValueType.DECIMAL, ["NaN", "sNaN", "Infinity", "x", [1]]),
        (ValueType.BYTES, ["0", "xx", 7]),
        (ValueType.DATE, ["2023-02-30", 7]),
        (ValueType.DATETIME, ["2024-01-01T00:00:00+00:00", "x"]),
        (ValueType.TIME, ["12:00+01:00", "x"]),
        (ValueType.DURATION, ["x", 1e300]),
        (ValueType.UUID, ["x", 7]),
    ],
)
def test_what_is_no_value(value_type, documents):
    """Others may have written it: it is an error that names the column."""
    for value in documents:
        with pytest.raises(DataError, match=r"t\.a: .* isn't of type"):
            row_from_json(table_of(value_type), {"a": value})
    with pytest.raises(DataError, match=r"t\.a: 'nothing' isn't"):
        row_from_json(table_of(value_type), {})
    with pytest.raises(DataError, match=r"t: \[1\] isn't a row"):
        row_from_json(table_of(value_type), [1])


@pytest.mark.parametrize("text", [b"\xff", "{", "[" * 100_000, "7", "[]", ""])
def test_what_is_no_row(text):
    with pytest.raises(DataError, match=r"^t: "):
        row_from_json(table_of(ValueType.STRING), text)


def test_keys_of_several_columns():
    """No value can be taken for the beginning of another one."""
    columns = (Column("a", ValueType.STRING), Column("b", ValueType.DECIMAL))
    table = Table("t", columns, ("a", "b"))
    pairs = [('a","1', 1), ("a", 1), ("a", Decimal("1.5")), ("a,1", 5), ("", None)]
    texts = {key_to_text(table, ["a", "b"], pair) for pair in pairs}
    assert len(texts) == len(pairs)
    assert key_to_text(table, ["b"], [Decimal("1.50")]) == '["3/2"]'
