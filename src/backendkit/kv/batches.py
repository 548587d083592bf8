"""Many rows at once: what is written for them is computed column by column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from backendkit.stores import Key, Row

from .codec import pack
from .keys import ENCODERS, NULL, Encoder

if TYPE_CHECKING:
    from .catalog import TableRecord
    from .indexes import IndexMaintainer, KeyExpression

Pairs = list[tuple[bytes, bytes]]


class Batch(NamedTuple):
    """
    New rows, ready to be written.

    :param keys: their primary keys.
    :param rows: what is stored of them.
    :param numbered: whether all got numbers, greater than any before.
    :param entries: those of each index, and whether one might be there already.
    :param last: the greatest number, as of now.
    """

    keys: list[Key]
    rows: Pairs
    numbered: bool
    entries: list[tuple[Pairs, bool]]
    last: int


def batch_of(
    record: TableRecord, rows: Sequence[Row], last: int, max_key: int
) -> Batch | None:
    """
    Return a batch of rows; None if one of them may be wrong.

    :param last: the greatest number given so far.
    :param max_key: the most bytes of a key.
    """
    columns = record.check.columns_of(rows)
    if columns is None:
        return None
    table = record.table
    numbered = False
    auto = table.auto_increment
    if auto is not None:
        if set(columns[auto]) == {None}:
            first, last = last + 1, last + len(rows)
            columns[auto] = range(first, last + 1)
            numbered = record.primary_key.positions == (auto,)
        elif None in columns[auto]:
            return None
        else:
            last = max(last, *columns[auto])
        if last >= 1 << 63:
            return None
    if any(None in columns[position] for position in record.primary_key.positions):
        return None
    primary_keys = _keys(record.primary_key, columns)
    prefix = record.prefix
    datas = map(pack, zip(*columns, repeat(record.layout)))
    pairs = [
        (prefix + key, data) for key, data in zip(primary_keys, datas, strict=True)
    ]
    entries = [
        (_entries(maintainer, columns, primary_keys), maintainer.unique)
        for maintainer in record.maintainers
    ]
    for some in (pairs, *(found for found, _ in entries)):
        if max([len(key) for key, _ in some]) > max_key:
            return None
    keys = zip(
        *(columns[position] for position in record.primary_key.positions), strict=True
    )
    return Batch(list(keys), pairs, numbered, entries, last)


def _entries(
    maintainer: IndexMaintainer,
    columns: Sequence[Sequence[Any]],
    primary_keys: Sequence[bytes],
) -> Pairs:
    prefix = maintainer.prefix
    expression = maintainer.expression
    values = _keys(expression, columns)
    if not maintainer.unique:
        return [
            (prefix + value + key, key)
            for value, key in zip(values, primary_keys, strict=True)
        ]
    # Entries with a NULL exclude no others.
    nulls: Iterable[bool] = map(
        _has_null,
        zip(*(columns[position] for position in expression.positions), strict=True),
    )
    return [
        (prefix + value + key if null else prefix + value, key)
        for value, key, null in zip(values, primary_keys, nulls, strict=True)
    ]


def _has_null(values: tuple[Any, ...]) -> bool:
    return None in values


def _keys(
    expression: KeyExpression, columns: Sequence[Sequence[Any]]
) -> Sequence[bytes]:
    """Return the key of each row."""
    parts = [
        _encoded(ENCODERS[value_type], columns[position])
        for position, value_type in zip(
            expression.positions, expression.types, strict=True
        )
    ]
    return (
        parts[0] if len(parts) == 1 else list(map(b"".join, zip(*parts, strict=True)))
    )


def _encoded(encode: Encoder, values: Sequence[Any]) -> list[bytes]:
    distinct = set(values)
    if 2 * len(distinct) > len(values):
        return [NULL if value is None else encode(value) for value in values]
    known = {value: NULL if value is None else encode(value) for value in distinct}
    get: Callable[[Any], bytes] = known.__getitem__
    return list(map(get, values))
