"""``NonrelQuery.operator()`` applies the maps of operators that a class declares."""

import re

import pytest

from backendkit.stores import NonrelQuery, NotSupportedError


class Query(NonrelQuery):
    OPERATORS_MAP = {
        "exact": "=",
        "isnull": lambda lookup_type, value: ("=" if value else "!=", None),
        "startswith": lambda lookup_type, value: (lookup_type, f"{value}*"),
    }
    NEGATION_MAP = {
        "exact": "!=",
        "isnull": lambda lookup_type, value: ("!=" if value else "=", None),
    }

    def __init__(self):
        pass

    def add_filter(self, column, lookup_type, negated, db_type, value):
        raise NotImplementedError

    def fetch(self, low_mark=0, high_mark=None):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("lookup", "negated", "value", "expected"),
    [
        ("exact", False, 7, ("=", 7)),
        ("exact", True, 7, ("!=", 7)),
        ("isnull", False, True, ("=", None)),
        ("isnull", False, False, ("!=", None)),
        ("isnull", True, True, ("!=", None)),
        ("startswith", False, "a", ("startswith", "a*")),
    ],
)
def test_operators(lookup, negated, value, expected):
    assert Query().operator(lookup, negated, value) == expected


@pytest.mark.parametrize(
    ("lookup", "negated", "message"),
    [
        ("gt", False, "the lookup 'gt' isn't supported: it isn't in the OPERATORS_MAP"),
        ("startswith", True, "'startswith' can't be negated: it isn't in the NEGATION"),
    ],
)
def test_what_the_map_lacks_is_named(lookup, negated, message):
    with pytest.raises(NotSupportedError, match=re.escape(message)) as caught:
        Query().operator(lookup, negated, 7)
    assert "Query" in str(caught.value)
    assert caught.value.__suppress_context__


def test_an_error_within_a_callable_is_its_own():
    class Wrong(Query):
        OPERATORS_MAP = {"exact": lambda lookup_type, value: {}[value]}

    with pytest.raises(KeyError, match="7"):
        Wrong().operator("exact", False, 7)
