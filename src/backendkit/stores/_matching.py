"""
Filters and orders evaluated in Python, with SQL's meaning.

For stores that have to look at rows themselves: the reference store, the
record layer, and :class:`BufferedSession` over any store.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from math import isnan
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ._errors import DataError

if TYPE_CHECKING:
    from ._schema import Table
    from ._session import Row

Matcher = Callable[[Any], bool]


def ascii_lower(value: str) -> str:
    """Lower the ASCII letters only, as SQLite's LIKE and NOCASE do."""
    if value.isascii():
        return value.lower()
    # No byte of another character is an ASCII letter's in UTF-8.
    return value.encode(errors="surrogatepass").lower().decode(errors="surrogatepass")


def is_nan(value: Any) -> bool:
    """Whether a filter's value is NaN, which is NULL to SQLite."""
    return (isinstance(value, float) and isnan(value)) or (
        isinstance(value, Decimal) and value.is_nan()
    )


def matcher(lookup: str, value: Any, negated: bool = False) -> Matcher:
    """
    Return a function that tells whether a value of a column matches.

    :param lookup: one of :data:`COMPARISONS` or :data:`PATTERNS`.
    :param value: the value to compare with; see :meth:`NonrelQuery.add_filter`.
    :param negated: whether to match the values that the lookup doesn't match, except
        NULL.
    :raises KeyError: the lookup is unknown.
    :raises DataError: the regular expression is invalid.

    A comparison with NULL is unknown, and so is its negation. So ``None`` matches
    nothing, and neither does a negated ``in`` whose list contains ``None``. NaN counts
    as NULL, as in SQLite.
    """
    if lookup == "isnull":
        if bool(value) != negated:
            return lambda item: item is None
        return lambda item: item is not None
    make = _TESTS[lookup]
    if lookup == "in":
        values = list(value)
        value = [one for one in values if not (one is None or is_nan(one))]
        unknown = negated and len(value) < len(values)
    else:
        unknown = value is None or is_nan(value)
    if unknown:
        return lambda item: False
    test = make(value)
    if negated:
        return lambda item: item is not None and not test(item)
    return test


def sort_key(value: Any) -> tuple[bool, Any]:
    """Return a key that sorts values of one column as SQL does, None first."""
    return (value is not None, value)


def sort_rows(
    rows: Iterable[Row], table: Table, ordering: Sequence[tuple[str, bool]]
) -> Iterable[Row]:
    """
    Return rows in an order as given to :meth:`NonrelQuery.order_by`.

    Rows that it doesn't tell apart stay in the order that they came in. Without
    an order the rows are returned as they are: nothing is read.
    """
    positions = table.positions
    return sort_by(rows, [(positions[column], desc) for column, desc in ordering])


def sort_by(rows: Iterable[Row], ordering: Sequence[tuple[int, bool]]) -> Iterable[Row]:
    """
    Sort as :func:`sort_rows` does, by places in the rows instead of columns.

    :param ordering: pairs of a place and *descending*, outermost first.
    """
    # Sorting is stable, so the innermost one is sorted by first.
    for at, descending in reversed(ordering):
        rows = sorted(rows, key=lambda row: sort_key(row[at]), reverse=descending)
    return rows


def row_getter(positions: Sequence[int]) -> Callable[[Row], tuple[Any, ...]]:
    """Return a function that takes these values out of a row, as a tuple."""
    if len(positions) == 1:
        return itemgetter(slice(positions[0], positions[0] + 1))
    if not positions:
        return lambda row: ()
    take: Callable[[Row], tuple[Any, ...]] = itemgetter(*positions)
    return take


def _in(choices: list[Any]) -> Matcher:
    try:
        hashed = frozenset(choices)
    except TypeError:  # an unhashable choice: compare one by one
        return lambda item: item is not None and item in choices
    return hashed.__contains__  # None isn't in it


def _text(item: Any) -> str:
    """Return text as it is; see :data:`PATTERNS` for other types."""
    return item if isinstance(item, str) else str(item)


def _pattern(test: Callable[[str, str], bool]) -> Callable[[Any], Matcher]:
    def make(value: Any) -> Matcher:
        wanted = ascii_lower(_text(value))

        def matches(item: Any) -> bool:
            if item is None:
                return False
            text = item if item.__class__ is str else _text(item)
            if "\0" in text:  # which ends a text, to SQLite's LIKE
                text = text.partition("\0")[0]
            return test(text.lower() if text.isascii() else ascii_lower(text), wanted)

        return matches

    return make


def _startswith(value: Any) -> Matcher:
    wanted = ascii_lower(_text(value))
    size = len(wanted)
    if "\0" in wanted:
        return lambda item: False

    def matches(item: Any) -> bool:
        # With a NUL in it, the beginning is another one.
        return item is not None and ascii_lower(_text(item)[:size]) == wanted

    return matches


def _regex(flags: int) -> Callable[[Any], Matcher]:
    def make(value: Any) -> Matcher:
        try:
            search = re.compile(str(value), flags).search
        except re.error as error:
            raise DataError(f"invalid regular expression: {error}") from error
        return lambda item: item is not None and search(_text(item)) is not None

    return make


_contains = _pattern(lambda item, wanted: wanted in item)
_endswith = _pattern(lambda item, wanted: item.endswith(wanted))

#: By lookup: given a value that isn't None, the test; nothing holds for None.
_TESTS: dict[str, Callable[[Any], Matcher]] = {
    "exact": lambda value: lambda item: item is not None and item == value,
    "gt": lambda value: lambda item: item is not None and item > value,
    "gte": lambda value: lambda item: item is not None and item >= value,
    "lt": lambda value: lambda item: item is not None and item < value,
    "lte": lambda value: lambda item: item is not None and item <= value,
    "in": _in,
    "iexact": _pattern(lambda item, wanted: item == wanted),
    "contains": _contains,
    "icontains": _contains,
    "startswith": _startswith,
    "istartswith": _startswith,
    "endswith": _endswith,
    "iendswith": _endswith,
    "regex": _regex(0),
    "iregex": _regex(re.IGNORECASE),
}
