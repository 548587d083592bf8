"""Messages about values show no more than their beginning: they reach logs."""

import datetime
import math

import pytest

from backendkit.stores import Column, DataError, ValueType, shown

pytest.importorskip(
    "backendkit.backends.immudb.driver",
    reason="needs the extra immudb",
    exc_type=ImportError,
)
from backendkit.backends.immudb.conditions import condition
from backendkit.backends.immudb.driver._rows import _uuid
from backendkit.backends.immudb.driver._values import bind_value

LONG = "secret " * 1000 + "the end"
EARLY = datetime.datetime.min.replace(
    tzinfo=datetime.timezone(datetime.timedelta(hours=1))
)


@pytest.mark.parametrize(
    "value",
    [10**400, -(10**5000), EARLY, {"a": math.nan}, [LONG, math.inf], LONG + "\ud800"],
    ids=["large", "too large to write", "early", "nan", "infinite", "surrogate"],
)
def test_what_cant_be_bound(value):
    with pytest.raises(DataError) as caught:
        bind_value(value)
    assert len(str(caught.value)) < 150
    assert "the end" not in str(caught.value)


@pytest.mark.parametrize("kind", [ValueType.INTEGER, ValueType.DECIMAL, ValueType.BOOL])
def test_what_cant_be_compared(kind):
    with pytest.raises(DataError) as caught:
        condition(Column("a", kind), "exact", negated=False, value=LONG, length=None)
    assert "isn't a number" in str(caught.value)
    assert "the end" not in str(caught.value)


def test_integers_of_any_size_are_shown():
    assert shown(-(10**5000)).startswith("-0x")
    assert len(shown(10**5000)) <= 60


def test_what_isnt_a_uuid():
    with pytest.raises(DataError) as caught:
        _uuid(LONG)
    assert "the end" not in str(caught.value)
