"""Encodings order like the values that they encode."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendkit.kv.keys import (
    AFTER,
    NOT_NULL,
    SIZES,
    decode_int,
    decode_values,
    encode,
    encode_int,
    encode_values,
)
from backendkit.stores import ValueType, sort_key

from .values import VALUES

ALL_TYPES = pytest.mark.parametrize("value_type", list(ValueType))


def sign(left, right):
    return (left > right) - (left < right)


@ALL_TYPES
@given(data=st.data())
def test_encodings_order_like_values(value_type, data):
    """None comes first, and equal values have one encoding."""
    nullable = st.none() | VALUES[value_type]
    left, right = data.draw(nullable), data.draw(nullable)
    assert sign(encode(value_type, left), encode(value_type, right)) == sign(
        sort_key(left), sort_key(right)
    )


@ALL_TYPES
@given(data=st.data())
def test_values_come_back(value_type, data):
    """Decoding returns the value, and where it ends."""
    value = data.draw(st.none() | VALUES[value_type])
    encoded = encode(value_type, value)
    assert decode_values([value_type], b"x" + encoded + b"\x00more", 1) == (
        (value,),
        1 + len(encoded),
    )


@given(data=st.data())
def test_concatenated_encodings_order_like_tuples(data):
    """No encoding is the beginning of another one."""
    types = data.draw(
        st.lists(st.sampled_from(list(ValueType)), min_size=2, max_size=4)
    )
    rows = st.tuples(*(st.none() | VALUES[value_type] for value_type in types))
    left, right = data.draw(rows), data.draw(rows)
    if data.draw(st.booleans()):
        right = (left[0], *right[1:])
    assert sign(encode_values(types, left), encode_values(types, right)) == sign(
        tuple(map(sort_key, left)), tuple(map(sort_key, right))
    )
    assert decode_values(types, encode_values(types, left))[0] == left


@ALL_TYPES
@given(data=st.data())
def test_a_bound_lies_behind_all_keys_that_begin_with_a_value(value_type, data):
    """So that a range can be left with AFTER, and NULL be left out."""
    value, other = data.draw(VALUES[value_type]), data.draw(VALUES[value_type])
    encoded = encode(value_type, value)
    for following in (b"", encode(value_type, other), encode(value_type, None)):
        assert NOT_NULL <= encoded <= encoded + following < encoded + AFTER < AFTER
    if value < other:
        assert encoded + AFTER <= encode(value_type, other)


@given(st.integers(), st.integers())
def test_integers_of_any_size(left, right):
    """Beyond 64 bits too."""
    left, right = left**9, right**9
    assert sign(encode_int(left), encode_int(right)) == sign(left, right)
    assert decode_int(encode_int(left)) == (left, len(encode_int(left)))


def test_small_integers_are_short():
    assert [len(encode_int(number)) for number in (0, 255, 256, -255, -256)] == [
        1, 2, 3, 2, 3,
    ]  # fmt: skip


def test_zeros_are_equal():
    assert encode(ValueType.FLOAT, -0.0) == encode(ValueType.FLOAT, 0.0)


def test_nan_has_no_place():
    with pytest.raises(ValueError, match="NaN"):
        encode(ValueType.FLOAT, math.nan)


@ALL_TYPES
@given(data=st.data())
def test_no_encoding_is_larger_than_its_type_allows(value_type, data):
    """What is known of the size of a type's keys holds for each of its values."""
    most = SIZES[value_type]
    size = len(encode(value_type, data.draw(VALUES[value_type])))
    assert most is None or size <= most
