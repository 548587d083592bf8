"""Values of rows that were read without SQL, as Django's converters would make them."""

from decimal import Decimal

from django.db import models
from django.db.models.expressions import Col
from hypothesis import given
from hypothesis import strategies as st

from backendkit.backends.memory.base import DatabaseWrapper
from backendkit.nonrel import converters
from backendkit.stores import Column, ValueType

NUMBERS = st.decimals(allow_nan=False, allow_infinity=False) | st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places),
    st.integers(-(10**21), 10**21),
    st.integers(0, 18),
)


def outcome(convert, value):
    """Return what becomes of a value, its zeros at the end included, or which error."""
    try:
        return repr(convert(value))
    except ArithmeticError as error:
        return type(error)


@given(
    NUMBERS | st.none(),
    st.sampled_from([(8, 2), (15, 5), (20, 10), (30, 15), (5, 0), (5, 5), (16, 1)]),
)
def test_decimals_of_few_digits_are_what_sqlite_makes_of_them(value, sizes):
    digits, places = sizes
    field = models.DecimalField(max_digits=digits, decimal_places=places)
    field.set_attributes_from_name("price")
    wrapper = DatabaseWrapper({"ENGINE": "backendkit.backends.memory", "OPTIONS": {}})
    column = Column("price", ValueType.DECIMAL, declared="decimal")
    expression = Col("book", field)
    fast = converters._converter(column, expression, wrapper)
    slow = converters._by_sqlite(
        converters.TO_SQLITE[column.type],
        wrapper.ops.get_db_converters(expression),
        expression,
        wrapper,
    )
    assert outcome(fast, value) == outcome(slow, value)
