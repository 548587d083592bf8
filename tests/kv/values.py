"""Hypothesis strategies for the values of each type of column."""

from __future__ import annotations

import datetime
import decimal

from hypothesis import strategies as st

from backendkit.stores import ValueType

INT64 = st.one_of(
    st.integers(-300, 300),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(
        [sign * (1 << bits) - 1 for bits in range(0, 64, 8) for sign in (1, -1)]
    ),
)
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.text("\0\x01aé\uffff\U00010000", max_size=6),
)
DECIMALS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False),
    st.decimals(-1000, 1000, places=2),
    st.integers(-(10**40), 10**40).map(decimal.Decimal),
    st.sampled_from(
        [decimal.Decimal(text) for text in ("0", "-0", "1E+6000", "-1E-6000", "1.00")]
    ),
)

VALUES = {
    ValueType.BOOL: st.booleans(),
    ValueType.INTEGER: INT64,
    ValueType.FLOAT: st.floats(allow_nan=False),
    ValueType.DECIMAL: DECIMALS,
    ValueType.STRING: TEXT,
    ValueType.BYTES: st.one_of(
        st.binary(max_size=12),
        st.lists(st.sampled_from([0, 1, 255]), max_size=6).map(bytes),
    ),
    ValueType.DATE: st.dates(),
    ValueType.TIME: st.times(),
    ValueType.DATETIME: st.datetimes(),
    ValueType.DURATION: st.one_of(
        st.timedeltas(),
        st.sampled_from([datetime.timedelta.min, datetime.timedelta.max]),
        st.timedeltas(datetime.timedelta(-1), datetime.timedelta(1)),
    ),
    ValueType.UUID: st.uuids(),
    ValueType.JSON: TEXT,
    ValueType.ANY: TEXT,
}
