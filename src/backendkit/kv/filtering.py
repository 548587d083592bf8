"""Filters that key ranges don't take: each row has to be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, compress, islice, tee
from typing import TYPE_CHECKING, Any

from backendkit.stores import PATTERNS, Matcher, ValueType, matcher

from .bounds import Filter, exact_value
from .codec import Holder, pack

if TYPE_CHECKING:
    from .catalog import TableRecord

#: Of these types equal values are equal bytes in a row.
_CANONICAL = frozenset(
    {
        ValueType.BYTES,
        ValueType.DATE,
        ValueType.DATETIME,
        ValueType.DURATION,
        ValueType.INTEGER,
        ValueType.STRING,
        ValueType.TIME,
        ValueType.UUID,
    }
)
_PLAIN_PATTERNS = PATTERNS - {"regex", "iregex"}
#: What :func:`matcher` makes of them, without a call for each row.
_INLINE: dict[str, Callable[[Iterable[Holder], Any], Iterator[bool]]] = {
    "exact": lambda rows, wanted: (
        (value := row.value) is not None and value == wanted for row in rows
    ),
    "gt": lambda rows, wanted: (
        (value := row.value) is not None and value > wanted for row in rows
    ),
    "gte": lambda rows, wanted: (
        (value := row.value) is not None and value >= wanted for row in rows
    ),
    "lt": lambda rows, wanted: (
        (value := row.value) is not None and value < wanted for row in rows
    ),
    "lte": lambda rows, wanted: (
        (value := row.value) is not None and value <= wanted for row in rows
    ),
}
#: Fewer bytes are in many rows that don't match.
_SHORTEST = 3
#: The most rows that are searched at once.
_CHUNK = 64


class Residual:
    """
    Filters on columns of a table, all of which have to hold.

    :param record: of the table.
    :param filters: at least one.
    """

    def __init__(self, record: TableRecord, filters: Sequence[Filter]) -> None:
        self._record = record
        self._filters = filters
        positions = record.table.positions
        #: Positions in a row, without repetition, and the tests for the values there.
        self._places = tuple(dict.fromkeys(positions[one.column] for one in filters))
        self._tests = [
            (
                self._places.index(positions[one.column]),
                matcher(one.lookup, one.value, one.negated),
            )
            for one in filters
        ]

    def kept(self, datas: Iterator[bytes], *, ahead: bool) -> Iterator[bytes]:
        """
        Return the stored rows for which the filters hold.

        :param ahead: whether more rows may be read than are asked for.
        """
        if ahead:
            datas = self._likely(datas)
        datas, looked_at = tee(datas)
        return compress(datas, self._holds(looked_at))

    def count(self, datas: Iterator[bytes]) -> int:
        """Return how many stored rows the filters hold for."""
        return sum(self._holds(self._likely(datas)))

    def _holds(self, datas: Iterable[bytes]) -> Iterator[bool]:
        """Return whether the filters hold for each row."""
        tests = self._tests
        if len(tests) == 1:
            (one,) = self._filters
            holder = self._record.holder(self._places[0])
            inline = _INLINE.get(one.lookup)
            if (
                holder is not None
                and inline is not None
                and not one.negated
                and one.value is not None
            ):
                return inline(map(holder, datas), one.value)
        values = self._record.part(self._places)(datas)
        if len(tests) == 1:
            return map(tests[0][1], values)
        if len(self._places) == 1:
            only = [test for _, test in tests]
            return map(_all_of(only), values)
        return map(_all_at(tests), values)

    # Rows in which the bytes of a value are missing needn't be taken apart.

    def _likely(self, datas: Iterator[bytes]) -> Iterator[bytes]:
        """Return the stored rows, less some for which the filters don't hold."""
        if len(self._record.layouts) > 1:
            return datas  # a row may lack the column, and have its default
        for one in self._filters:
            column = self._record.table.column(one.column)
            wanted = None if one.negated else _bytes_of(column.type, one)
            if wanted is not None and len(wanted) >= _SHORTEST:
                chunks = _chunks_with(wanted, datas, lower=one.lookup in PATTERNS)
                return chain.from_iterable(chunks)
        return datas


def _bytes_of(value_type: ValueType, one: Filter) -> bytes | None:
    """Return bytes that a row has if a filter holds; for patterns in lower case."""
    value = one.value
    if value is None:
        return None
    try:
        if one.lookup in _PLAIN_PATTERNS:
            if value_type is not ValueType.STRING or not isinstance(value, str):
                return None
            return value.encode().lower()  # of ASCII letters only
        if one.lookup == "exact" and value_type in _CANONICAL:
            exact = exact_value(value_type, value)
            return None if exact is None else pack(exact)
    except (OverflowError, ValueError):
        pass  # nothing of the column's type, or no text
    return None


def _chunks_with(
    wanted: bytes, datas: Iterator[bytes], *, lower: bool
) -> Iterator[Sequence[bytes]]:
    """Return runs of rows, less those that don't have some bytes."""
    size = 8
    while chunk := list(islice(datas, size)):
        joined = b"".join(chunk)
        if (joined.lower() if lower else joined).find(wanted) >= 0:
            yield chunk
        size = min(size * 2, _CHUNK)


def _all_of(tests: Sequence[Matcher]) -> Matcher:
    first, *others = tests
    second = _all_of(others) if len(others) > 1 else others[0]
    return lambda value: first(value) and second(value)


def _all_at(tests: Sequence[tuple[int, Matcher]]) -> Callable[[Sequence[Any]], bool]:
    """Return one test of several, each for one place in a tuple."""
    (at, first), *others = tests
    if len(others) > 1:
        rest = _all_at(others)
        return lambda values: first(values[at]) and rest(values)
    ((last, second),) = others
    return lambda values: first(values[at]) and second(values[last])
