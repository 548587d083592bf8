"""GROUP BY and DISTINCT without SQL: groups and their totals, from rows as they are read."""

from __future__ import annotations

import itertools
import operator
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from backendkit.stores import (
    BATCH_BYTES,
    Column,
    Row,
    ValueType,
    batches,
    sort_by,
    sort_key,
    weigher,
)

from .numbers import INT64
from .parameters import InexactError
from .values import TO_SQLITE, orders_alike

#: Rows that are added together: a step in Python for each total, not for each row.
_BATCH = 1000
#: Bytes of long text in the keys of all groups.
_MEMORY = 16 * BATCH_BYTES


@dataclass(frozen=True)
class Total:
    """
    What is made of the rows of a group.

    :param kind: ``count``, ``sum``, ``avg``, ``min`` or ``max``.
    :param place: of the value in a row; None to count rows.
    """

    kind: str
    place: int | None


@dataclass(frozen=True)
class Grouping:
    """
    How rows become groups.

    :param keys: places of the values in a row that are the same in a group.
    :param totals: of each group; without any it is DISTINCT.
    :param pick: what is wanted of a group: places in its key and the totals behind.
    :param ordering: pairs of such a place and *descending*, outermost first. Groups
        that it doesn't tell apart come as from SQLite: in the order of their keys; if
        it is DISTINCT, of their first rows.
    """

    keys: tuple[int, ...]
    totals: tuple[Total, ...]
    pick: tuple[int, ...]
    ordering: tuple[tuple[int, bool], ...] = ()


class _Totals(ABC):
    """The totals of one kind of all groups."""

    def __init__(self) -> None:
        #: By the group's key; for a group without values, nothing.
        self.found: dict[Any, Any] = {}

    @abstractmethod
    def add(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        """Add rows, given as the keys of their groups and values, none of them None."""

    def of(self, key: Any) -> Any:
        """Return a group's total, None without values."""
        return self.found.get(key)


class _Count(_Totals):
    def __init__(self) -> None:
        self.found: Counter[Any] = Counter()

    def add(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        self.found.update(keys)

    def of(self, key: Any) -> int:
        return self.found[key]


class _Sum(_Totals):
    def __init__(self) -> None:
        self.found: defaultdict[Any, int] = defaultdict(int)

    def add(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        found = self.found
        for key, value in zip(keys, values, strict=True):
            found[key] += value

    def of(self, key: Any) -> Any:
        total = self.found.get(key)
        if total is not None and total not in INT64:
            raise InexactError  # SQLite's error, or a float, depends on the order
        return total


class _Mean(_Sum):
    def __init__(self) -> None:
        super().__init__()
        self._counts = _Count()

    def add(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        super().add(keys, values)
        self._counts.add(keys, values)

    def of(self, key: Any) -> Any:
        total = super().of(key)
        return None if total is None else float(total) / self._counts.of(key)


class _Extreme(_Totals):
    """
    The least or greatest value.

    :param better: whether a value takes the place of another one.
    """

    def __init__(self, better: Callable[[Any, Any], bool]) -> None:
        super().__init__()
        self._better = better

    def add(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        found, better = self.found, self._better
        for key, value in zip(keys, values, strict=True):
            if key not in found or better(value, found[key]):
                found[key] = value


_KINDS: dict[str, Callable[[], _Totals]] = {
    "count": _Count,
    "sum": _Sum,
    "avg": _Mean,
    "min": partial(_Extreme, operator.lt),
    "max": partial(_Extreme, operator.gt),
}


class Groups:
    """
    A :class:`Grouping` of rows whose columns are known.

    :param columns: of the rows.
    :param unsure: places of columns whose names sort in another order than their
        values, in SQLite: a collation.
    :param outer: places of what is NULL if an outer join finds nothing.
    :raises InexactError: SQLite has to be asked.
    """

    def __init__(
        self,
        grouping: Grouping,
        columns: Sequence[Column],
        unsure: frozenset[int],
        outer: frozenset[int],
    ) -> None:
        self._grouping = grouping
        self._weigh = weigher(columns)
        self._weigh_key = weigher([columns[place] for place in grouping.keys])
        converters = []
        for place in grouping.keys:
            # Of equal floats, 0.0 and -0.0, SQLite may show either.
            _check(columns[place], place not in unsure, not_of={ValueType.FLOAT})
            converters.append(TO_SQLITE.get(columns[place].type))
        for total in grouping.totals:
            convert = None
            if total.place is not None:
                column = columns[total.place]
                if total.kind in ("sum", "avg"):
                    # SQLite adds floats in a way of its own.
                    _check(column, column.type is ValueType.INTEGER)
                elif total.kind in ("min", "max"):
                    # One for each group might be more than memory has.
                    short = weigher([column]) is None
                    sure = short and total.place not in unsure
                    _check(column, sure, not_of={ValueType.FLOAT})
                    convert = TO_SQLITE.get(column.type)
            converters.append(convert)
        self._convert = [(at, _converter(converters[at])) for at in grouping.pick]
        self._nullable = {
            total.place
            for total in grouping.totals
            if total.place is not None
            and (columns[total.place].nullable or total.place in outer)
        }

    def run(self, rows: Iterable[Row]) -> list[Row]:
        """
        Return a row for each group, in SQLite's terms.

        :raises InexactError: SQLite has to be asked.
        """
        grouping = self._grouping
        totals = [(one, _KINDS[one.kind]()) for one in grouping.totals]
        known: dict[Any, None] = {}
        weight = 0
        for some in batches(rows, _BATCH, self._weigh):
            columns: list[tuple[Any, ...]] = list(zip(*some, strict=True))
            keys: Sequence[Any] = columns[grouping.keys[0]]
            if len(grouping.keys) > 1:
                keys = list(zip(*(columns[at] for at in grouping.keys), strict=True))
            before = len(known)
            known.update(dict.fromkeys(keys))
            if self._weigh_key is not None and len(known) > before:
                new = itertools.islice(reversed(known), len(known) - before)
                whole = len(grouping.keys) > 1
                weight += sum(self._weigh_key(key if whole else (key,)) for key in new)
                if weight > _MEMORY:
                    raise InexactError  # SQLite has files for them
            for one, found in totals:
                values = keys if one.place is None else columns[one.place]
                if one.place in self._nullable and None in values:
                    there = [value is not None for value in values]
                    found.add(
                        list(itertools.compress(keys, there)),
                        list(itertools.compress(values, there)),
                    )
                else:
                    found.add(keys, values)
        groups = self._sorted(known, [found for _, found in totals])
        return [
            tuple(convert(group[at]) for at, convert in self._convert)
            for group in groups
        ]

    def _sorted(
        self, known: Iterable[Any], totals: Sequence[_Totals]
    ) -> Iterator[tuple[Any, ...]]:
        groups = []
        alone = len(self._grouping.keys) == 1
        for key in known:
            values = [one.of(key) for one in totals]
            groups.append((key, *values) if alone else (*key, *values))
        width = len(self._grouping.keys)
        if totals:
            groups.sort(key=lambda group: [sort_key(value) for value in group[:width]])
        return iter(sort_by(groups, self._grouping.ordering))


def _converter(convert: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    if convert is None:
        return lambda value: value
    return lambda value: None if value is None else convert(value)


def _check(
    column: Column, known: bool, not_of: Iterable[ValueType] = frozenset()
) -> None:
    if not known or column.type in not_of or not orders_alike(column):
        raise InexactError
