"""``MatchedQuery``: filters, orders and limits in Python, over rows or look-ups."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ._capabilities import COMPARISONS, PATTERNS, Capabilities, Order, Precision
from ._matching import matcher, row_getter, sort_rows
from ._query import NonrelQuery
from ._session import Key, Row

#: What a store can do whose queries are :class:`MatchedQuery`, for
#: :func:`dataclasses.replace`.
MATCHED = Capabilities(
    filters=dict.fromkeys(COMPARISONS | PATTERNS, Precision.EXACT),
    negations=COMPARISONS | PATTERNS,
    order=Order.ANY,
    limit=True,
)


class MatchedQuery(NonrelQuery):
    """
    A query on a database that returns all rows of a table, or finds rows by unique
    values.

    A subclass implements :meth:`rows`. Filters that fix a whole primary key or unique
    index become look-ups. This class applies all other filters, orders and limits, with
    SQL's meaning. Set the store's capabilities to :data:`MATCHED`.
    """

    #: The most keys that are looked up; for more, the whole table is read.
    most_keys: ClassVar[int] = 1000

    _tests: tuple[Callable[[Row], bool], ...] = ()
    _choices: Mapping[str, Sequence[Any]] = {}  # values of a column, if limited
    _ordering: Sequence[tuple[str, bool]] = ()

    @abstractmethod
    def rows(self, index: str, keys: Sequence[Key] | None) -> Iterable[Row]:
        """
        Return whole rows, without duplicates.

        :param index: name of a unique index; "" for the primary key.
        :param keys: values of the index's columns, or None for all rows of the table.
            Return at least the rows that have one of these values. They are values of
            filters, so they may include None, numbers of any type, and duplicates.
        """

    def add_filter(
        self, column: str, lookup_type: str, negated: bool, db_type: str, value: Any
    ) -> None:
        at, matches = self.table.positions[column], matcher(lookup_type, value, negated)
        self._tests = (*self._tests, lambda row: matches(row[at]))
        if lookup_type in {"exact", "in"} and not negated:
            choices = [value] if lookup_type == "exact" else list(value)
            self._choices = {**self._choices, column: choices}

    def order_by(self, ordering: Sequence[tuple[str, bool]]) -> None:
        self._ordering = ordering

    def fetch(self, low_mark: int = 0, high_mark: int | None = None) -> Iterator[Row]:
        index = self.access.index
        choices = [self._choices.get(one, ()) for one in self.table.unique[index]]
        number = math.prod(map(len, choices))
        if self.access.equalities and 0 < number <= self.most_keys:
            rows = self.rows(index, [*itertools.product(*choices)])
        else:
            rows = self.rows("", None)
        if self.looked_at is not None:
            rows = self.looked_at(rows)
        for test in self._tests:
            rows = filter(test, rows)
        rows = sort_rows(rows, self.table, self._ordering)
        wanted = row_getter([self.table.positions[name] for name in self.columns])
        return map(wanted, itertools.islice(rows, low_mark, high_mark))
