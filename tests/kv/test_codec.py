"""Rows as bytes, and what is let into them."""

import datetime
import enum
import math
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendkit.kv.codec import RowChecker, pack, unpacker
from backendkit.stores import Column, DataError, ValueType

from .values import VALUES


class Colour(enum.IntEnum):
    RED = 1


class Safe(str):
    __slots__ = ()

    def __str__(self):
        return self


@pytest.mark.parametrize("value_type", list(ValueType))
@given(data=st.data())
def test_values_come_back_with_their_type(value_type, data):
    value = data.draw(st.none() | VALUES[value_type])
    row = RowChecker("t", [Column("c", value_type)])((value,))
    back = unpacker([value_type])(pack((*row, 7)))
    assert back == (value, 7)
    assert type(back[0]) is type(value)
    if value_type is ValueType.DECIMAL and value is not None:
        assert str(back[0]) == str(value)


@given(data=st.data())
def test_any_msgpack_library_reads_the_rows(data):
    """No type of the record layer's own is in them."""
    row = tuple(data.draw(VALUES[value_type]) for value_type in ValueType)
    plain = msgspec.msgpack.decode(pack((*row, 0)))
    assert {type(value) for value in plain} <= {bool, int, float, str, bytes}


def test_the_layout_number_is_the_last_byte():
    assert [pack(("x", number))[-1] for number in (0, 1, 127)] == [0, 1, 127]


@pytest.mark.parametrize(
    ("value_type", "value", "stored"),
    [
        (ValueType.FLOAT, 3, 3.0),
        (ValueType.FLOAT, Decimal("1.5"), 1.5),
        (ValueType.INTEGER, 3.0, 3),
        (ValueType.INTEGER, True, 1),
        (ValueType.INTEGER, Colour.RED, 1),
        (ValueType.BOOL, 1, True),
        (ValueType.STRING, Safe("x"), "x"),
        (ValueType.BYTES, memoryview(b"x"), b"x"),
        (ValueType.DECIMAL, 7, Decimal(7)),
    ],
)
def test_values_of_near_types_are_converted(value_type, value, stored):
    check = RowChecker("t", [Column("c", value_type)])
    for _ in range(2):
        (found,) = check((value,))
        assert found == stored
        assert type(found) is type(stored)


@pytest.mark.parametrize(
    ("value_type", "value"),
    [
        (ValueType.INTEGER, 2**63),
        (ValueType.INTEGER, -(2**63) - 1),
        (ValueType.INTEGER, 2.5),
        (ValueType.INTEGER, "1"),
        (ValueType.INTEGER, math.inf),
        (ValueType.FLOAT, math.nan),
        (ValueType.FLOAT, 10**400),
        (ValueType.DECIMAL, Decimal("NaN")),
        (ValueType.DECIMAL, Decimal("Infinity")),
        (ValueType.STRING, "\ud800"),
        (ValueType.STRING, b"bytes"),
        (ValueType.BYTES, "text"),
        (ValueType.BOOL, 2),
        (ValueType.DATE, datetime.datetime(2020, 1, 1)),
        (ValueType.DATETIME, datetime.date(2020, 1, 1)),
        (ValueType.DATETIME, datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)),
        (ValueType.TIME, datetime.time(1, tzinfo=datetime.UTC)),
        (ValueType.UUID, "2a4b3c5d-0001-4002-8003-00000000000f"),
        (ValueType.DURATION, 5),
        (ValueType.JSON, {}),
    ],
)
def test_a_value_that_does_not_fit_is_refused(value_type, value):
    """Also after a right one, whose types were remembered."""
    check = RowChecker("book", [Column("id", ValueType.BOOL), Column("c", value_type)])
    check((True, None))
    with pytest.raises(DataError, match=r"book\.c: "):
        check((True, value))


def test_a_long_value_is_not_quoted_in_full():
    check = RowChecker("t", [Column("c", ValueType.INTEGER)])
    with pytest.raises(DataError) as caught:
        check(("x" * 10_000,))
    assert len(str(caught.value)) < 200


def test_a_row_of_another_length_is_refused():
    with pytest.raises(DataError, match="has 2 values, but the table has 1 columns"):
        RowChecker("t", [Column("c", ValueType.INTEGER)])((1, 2))
