"""
Filters and orders evaluated in Python, with SQL's meaning.

For stores that have to look at rows themselves: the reference store, the
record layer, and :class:`BufferedSession` over any store.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

Matcher = Callable[[Any], bool]

_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def ascii_lower(value: str) -> str:
    """Lower the ASCII letters only, as SQLite's LIKE and NOCASE do."""
    return value.translate(_ASCII_LOWER)


def matcher(lookup: str, value: Any, negated: bool = False) -> Matcher:  # noqa: ANN401
    """
    Return a function that tells whether a value of a column matches.

    :param lookup: one of :data:`COMPARISONS` or :data:`PATTERNS`.
    :param value: what to compare to; see :meth:`NonrelQuery.add_filter`.
    :raises KeyError: the lookup isn't known.
    """
    if lookup == "isnull":
        if bool(value) != negated:
            return lambda item: item is None
        return lambda item: item is not None
    test = _TESTS[lookup](value)
    if negated:
        return lambda item: item is not None and not test(item)
    return lambda item: item is not None and test(item)


def sort_key(value: Any) -> tuple[bool, Any]:  # noqa: ANN401
    """Return a key that sorts values of one column as SQL does, None first."""
    return (value is not None, value)


def _never(_: object) -> Matcher:
    return lambda item: False


def _null_safe(make: Callable[[Any], Matcher]) -> Callable[[Any], Matcher]:
    """A comparison with NULL is never true."""
    return lambda value: _never(value) if value is None else make(value)


def _in(values: Any) -> Matcher:  # noqa: ANN401
    choices = [value for value in values if value is not None]
    try:
        hashed = frozenset(choices)
    except TypeError:  # an unhashable choice: compare one by one
        return lambda item: item in choices
    return lambda item: item in hashed


def _text(item: Any) -> str:  # noqa: ANN401
    """Patterns see numbers and dates as SQLite writes them."""
    if isinstance(item, datetime.datetime):
        return str(item)
    return item if isinstance(item, str) else str(item)


def _pattern(test: Callable[[str, str], bool]) -> Callable[[Any], Matcher]:
    def make(value: Any) -> Matcher:  # noqa: ANN401
        wanted = ascii_lower(_text(value))
        return lambda item: test(ascii_lower(_text(item)), wanted)

    return make


def _regex(flags: int) -> Callable[[Any], Matcher]:
    def make(value: Any) -> Matcher:  # noqa: ANN401
        search = re.compile(str(value), flags).search
        return lambda item: search(_text(item)) is not None

    return make


_contains = _pattern(lambda item, wanted: wanted in item)
_startswith = _pattern(lambda item, wanted: item.startswith(wanted))
_endswith = _pattern(lambda item, wanted: item.endswith(wanted))

_TESTS: dict[str, Callable[[Any], Matcher]] = {
    "exact": _null_safe(lambda value: lambda item: bool(item == value)),
    "gt": _null_safe(lambda value: lambda item: bool(item > value)),
    "gte": _null_safe(lambda value: lambda item: bool(item >= value)),
    "lt": _null_safe(lambda value: lambda item: bool(item < value)),
    "lte": _null_safe(lambda value: lambda item: bool(item <= value)),
    "in": _in,
    "iexact": _null_safe(_pattern(lambda item, wanted: item == wanted)),
    "contains": _null_safe(_contains),
    "icontains": _null_safe(_contains),
    "startswith": _null_safe(_startswith),
    "istartswith": _null_safe(_startswith),
    "endswith": _null_safe(_endswith),
    "iendswith": _null_safe(_endswith),
    "regex": _null_safe(_regex(0)),
    "iregex": _null_safe(_regex(re.IGNORECASE)),
}
