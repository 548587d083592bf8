"""How many rows a statement may look at to find those it wants."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar

from backendkit.stores import (
    Access,
    Capabilities,
    FilterShape,
    OperationalError,
    Order,
    Table,
    ValueType,
)

from .sqltext import remembered
from .tokens import has_keyword

T = TypeVar("T")

_EQUALITIES = frozenset({"exact", "in", "isnull"})
_RANGES = frozenset({"gt", "gte", "lt", "lte"})

_first = itemgetter(0)


class ScanLimitError(OperationalError):
    """A statement looks at more rows of a table than it may."""


@dataclass(frozen=True)
class ScanLimits:
    """
    What a connection allows its statements, of each table.

    :param most: rows that may be looked at; None for any number.
    :param notable: rows from which on it is worth a warning; None for none.
    :param warn: called with the text of the warning, once a statement and table.
    :param index_text: names an index that isn't there, for people; called with the
        table's name and the columns.
    """

    most: int | None
    notable: int | None
    warn: Callable[[str], None]
    index_text: Callable[[str, Sequence[str]], str]


def index_columns(table: Table, name: str) -> tuple[str, ...]:
    """Return the columns of an index; "" is the primary key."""
    for index in table.indexes:
        if index.name == name:
            return index.columns
    return table.primary_key


def covered(table: Table, access: Access, shapes: Iterable[FilterShape]) -> bool:
    """Whether all rows that an access reads match filters of these shapes."""
    columns = index_columns(table, access.index)
    fixed = set(columns[: access.equalities])
    ranged = columns[access.equalities] if access.ranged else None
    for shape in shapes:
        if shape.negated:
            if shape.lookup != "isnull" or (
                shape.column != ranged and table.column(shape.column).nullable
            ):
                return False
        elif shape.lookup in _EQUALITIES and shape.column in fixed:
            # Of two on one column, the other one is left over.
            fixed.remove(shape.column)
        elif shape.lookup not in _RANGES or shape.column != ranged:
            return False
    return True


@remembered
def is_selective(sql: str) -> bool:
    """Whether a statement may leave out rows that it has read."""
    return has_keyword(sql, "WHERE", "LIMIT")


class Watch:
    """
    The rows of one table that one statement looks at.

    :param table: which.
    :param capabilities: of its store.
    """

    def __init__(
        self, limits: ScanLimits, table: Table, capabilities: Capabilities
    ) -> None:
        self._limits = limits
        self._table = table
        self._capabilities = capabilities
        #: What the last scan that began is for.
        self.filters: Sequence[FilterShape] = ()
        self.ordering: Sequence[tuple[str, bool]] = ()
        self.access = Access()
        #: Gives something for each row that may be looked at, then raises.
        self.budget: Iterator[None] = self._budget()

    def _budget(self) -> Iterator[None]:
        # What is gone when the statement is: it must not hold on to the watch.
        me = weakref.proxy(self)
        most, notable = self._limits.most, self._limits.notable
        parts: list[Iterable[None]] = []
        if notable is not None and (most is None or notable < most):
            parts += [itertools.repeat(None, notable), _warned(me, notable)]
        else:
            notable = 0
        if most is None:
            parts.append(itertools.repeat(None))
        else:
            parts += [itertools.repeat(None, most - notable), _exceeded(me, most)]
        # No step in Python for each row.
        return itertools.chain.from_iterable(parts)

    def _text(self, number: int) -> str:
        shapes = dict.fromkeys(self.filters)
        wanted = " AND ".join(
            f"{'NOT ' if one.negated else ''}{one.column} {one.lookup}"
            for one in shapes
        )
        names = [f"{name} DESC" if desc else name for name, desc in self.ordering]
        if wanted and names:
            wanted += f", in order of {', '.join(names)}"
        elif names:
            wanted = f"the first in order of {', '.join(names)}"
        access = self.access
        if access.equalities or access.ranged:
            how = f"in {access.index or 'the primary key'}"
        else:
            how = "in all of the table"
        return (
            f"the query read more than {number:,} rows of table {self._table.name},"
            f" {how}, to find: {wanted or 'rows that SQLite selects'}."
            f" {self._remedy()}"
        )

    def _remedy(self) -> str:
        columns = self._helpful()
        if not columns:
            return "No index helps. Add a filter on an indexed field."
        if not self._capabilities.indexed:
            return "This store only looks up rows by unique indexes."
        text = self._limits.index_text(self._table.name, columns)
        return f"This would help: {text}"

    def _helpful(self) -> list[str]:
        """Return the columns of an index that would leave fewer rows to look at."""
        equal: dict[str, None] = {}
        ranged: dict[str, None] = {}
        whole = True
        for one in self.filters:
            if self._table.column(one.column).type is ValueType.JSON:
                continue
            if not one.negated and one.lookup in _EQUALITIES:
                equal[one.column] = None
                whole = whole and one.lookup != "in"
            elif not one.negated and one.lookup in _RANGES:
                ranged[one.column] = None
        columns = list(equal)
        further = [name for name in ranged if name not in equal][:1]
        access = self.access
        by_index = access.ordered and self._capabilities.order is Order.INDEX
        directions = {descending for _, descending in self.ordering}
        if not further and whole and len(directions) == 1 and not by_index:
            further = [name for name, _ in self.ordering if name not in equal]
        columns += further
        used = index_columns(self._table, access.index)
        used = used[: access.equalities + access.ranged]
        if len(columns) <= len(used) and set(columns) <= set(used):
            return []
        return columns


class Look:
    """
    What one scan reads passes through here, an item for each row.

    :param watch: counts the rows; None if nothing limits them.
    :param entry: of the trace, to note their number as ``looked``; or None.
    """

    __slots__ = ("_entry", "_watch", "used")

    def __init__(self, watch: Watch | None, entry: dict[str, Any] | None) -> None:
        self._watch = watch
        self._entry = entry
        #: Whether the store lets rows pass before it leaves any out.
        self.used = False

    def __call__(self, rows: Iterable[T]) -> Iterator[T]:
        """Return the items, counted."""
        self.used = True
        passed = iter(rows)
        if self._watch is not None:
            # The row first: a budget that is used up is an error for a further row.
            passed = map(_first, zip(passed, self._watch.budget, strict=False))
        return passed if self._entry is None else self._noted(passed, self._entry)

    def rest(self, rows: Iterator[T]) -> Iterator[T]:
        """Return rows that come from the store: counted, if it hasn't done so."""
        return rows if self.used or self._watch is None else self(rows)

    @staticmethod
    def _noted(rows: Iterator[T], entry: dict[str, Any]) -> Iterator[T]:
        entry.setdefault("looked", 0)
        for row in rows:
            entry["looked"] += 1
            yield row


def _warned(watch: Watch, number: int) -> Iterator[None]:
    watch._limits.warn(f"warn_scan_rows: {watch._text(number)}")
    return
    yield


def _exceeded(watch: Watch, number: int) -> Iterator[None]:
    raise ScanLimitError(f"max_scan_rows: {watch._text(number)}")
    yield
