"""Filters that key ranges don't take: each row has to be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, compress, islice, repeat
from operator import contains
from typing import TYPE_CHECKING, Any

from backendkit.stores import PATTERNS, ValueType, batch, matcher

from .bounds import Filter, exact_value
from .codec import Holder, pack

if TYPE_CHECKING:
    from .catalog import TableRecord

#: Of these types equal values are equal bytes in a row.
_CANONICAL = frozenset(
    {
        ValueType.ANY,
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
Keep = Callable[[Iterable[bytes], Callable[[bytes], Holder], Any], Iterator[bytes]]
#: The rows for which :func:`matcher` says yes, without a call of it for each row.
_INLINE: dict[str, Keep] = {
    "exact": lambda datas, read, wanted: (
        data
        for data in datas
        if (value := read(data).value) is not None and value == wanted
    ),
    "gt": lambda datas, read, wanted: (
        data
        for data in datas
        if (value := read(data).value) is not None and value > wanted
    ),
    "gte": lambda datas, read, wanted: (
        data
        for data in datas
        if (value := read(data).value) is not None and value >= wanted
    ),
    "lt": lambda datas, read, wanted: (
        data
        for data in datas
        if (value := read(data).value) is not None and value < wanted
    ),
    "lte": lambda datas, read, wanted: (
        data
        for data in datas
        if (value := read(data).value) is not None and value <= wanted
    ),
}
#: Fewer bytes are in many rows that don't match.
_SHORTEST = 3
#: The most rows that are searched at once.
_CHUNK = 64
#: Types in the order of what it costs to read a value.
_CHEAP = (ValueType.BOOL, ValueType.INTEGER, ValueType.FLOAT, ValueType.STRING)
_DEAR = (ValueType.DECIMAL, ValueType.UUID)


class Residual:
    """
    Filters on columns of a table, all of which have to hold.

    :param record: of the table.
    :param filters: at least one.
    """

    def __init__(self, record: TableRecord, filters: Sequence[Filter]) -> None:
        self._record = record
        self._filters = sorted(filters, key=self._cost)

    def _cost(self, one: Filter) -> tuple[int, int]:
        """What comes first leaves fewer rows to the others, and costs little."""
        kind = self._record.table.column(one.column).type
        dear = 0 if kind in _CHEAP else 2 if kind in _DEAR else 1
        return dear, 0 if one.lookup == "exact" else 1

    def kept(self, datas: Iterator[bytes], *, ahead: bool) -> Iterator[bytes]:
        """
        Return the stored rows for which the filters hold.

        :param ahead: whether more rows may be read than are asked for.
        """
        if ahead:
            datas = self._likely(datas)
        for one in self._filters:
            datas = self._kept(one, datas)
        return datas

    def _kept(self, one: Filter, datas: Iterator[bytes]) -> Iterator[bytes]:
        """Return the stored rows for which a filter holds."""
        record = self._record
        place = record.table.positions[one.column]
        matches = matcher(one.lookup, one.value, one.negated)
        holder = record.holder(place)
        if holder is None:
            read = record.read
            return (data for data in datas if matches(read(data)[place]))
        inline = _INLINE.get(one.lookup)
        if inline is not None and not one.negated and one.value is not None:
            return inline(datas, holder, one.value)
        return (data for data in datas if matches(holder(data).value))

    # Rows in which the bytes of a value are missing needn't be taken apart.

    def _likely(self, datas: Iterator[bytes]) -> Iterator[bytes]:
        """Return the stored rows, less some for which the filters don't hold."""
        if len(self._record.layouts) > 1:
            return datas  # a row may lack the column, and have its default
        longest, lower = b"", False
        for one in self._filters:
            column = self._record.table.column(one.column)
            wanted = None if one.negated else _bytes_of(column.type, one)
            if wanted is not None and len(wanted) > len(longest):
                longest, lower = wanted, one.lookup in PATTERNS
        if len(longest) >= _SHORTEST:
            return chain.from_iterable(_chunks_with(longest, datas, lower=lower))
        if longest and not lower:
            return chain.from_iterable(_chunks_less(longest[-1], datas))
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
    while chunk := batch(datas, size, len):
        joined = b"".join(chunk)
        if (joined.lower() if lower else joined).find(wanted) >= 0:
            yield chunk
        size = min(size * 2, _CHUNK)


def _chunks_less(wanted: int, datas: Iterator[bytes]) -> Iterator[Iterable[bytes]]:
    """Return runs of rows, without those that don't have a byte."""
    size = 8
    while chunk := batch(datas, size, len):
        found = list(compress(chunk, map(contains, chunk, repeat(wanted))))
        yield found
        if 2 * len(found) > len(chunk) == _CHUNK:
            # It is everywhere, as a part of their keys maybe: not looked for a while.
            yield islice(datas, 16 * _CHUNK)
        size = min(size * 2, _CHUNK)
