"""What a store can do, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from ._schema import ValueType

#: Lookups with SQL's meaning: NULL matches none of them but ``isnull``.
COMPARISONS = frozenset({"exact", "gt", "gte", "in", "isnull", "lt", "lte"})

#: Lookups on text with the meaning of SQLite's LIKE (of ASCII letters, case is
#: ignored in all of them: https://www.sqlite.org/lang_expr.html#like) and of
#: Python's :func:`re.search` for ``regex`` and ``iregex``. The value is plain text
#: with no wildcards. NUL is a character like others, which it isn't to LIKE.
PATTERNS = frozenset(
    {
        "contains",
        "endswith",
        "icontains",
        "iendswith",
        "iexact",
        "iregex",
        "istartswith",
        "regex",
        "startswith",
    }
)


class Precision(Enum):
    """How well a filter is applied by the store."""

    #: Not at all: it is never handed over.
    NONE = 0
    #: Every row that matches is returned, and maybe others. SQLite re-checks.
    COARSE = 1
    #: Exactly the rows that match are returned.
    EXACT = 2


class Order(Enum):
    """Which orders a store can return rows in."""

    #: None: rows come in any order.
    NONE = 0
    #: That of the primary key or of the index that the access uses.
    INDEX = 1
    #: Any combination of columns, each ascending or descending.
    ANY = 2


@dataclass(frozen=True)
class Capabilities:
    """
    What a store can do. The engine relies on it without trying.

    :param filters: the precision of each lookup, by name, for all column types. Those
        of :data:`PATTERNS` apply to STRING only, because each database writes other
        types as different text.
    :param filters_by_type: exceptions from ``filters`` for a column type.
    :param negations: lookups that the store can also apply negated. A negated filter
        has SQL's meaning, too: NULL doesn't match.
    :param indexed: whether secondary indexes make filters fast. The engine assumes that
        the primary key and unique indexes always do.
    :param order: the orders in which the store can return rows. NULL is smaller than
        all other values.
    :param limit: whether ``fetch`` applies its marks in the store. Otherwise the engine
        does.
    :param count: whether ``count`` is cheaper than fetching all rows.
    :param update: whether the store implements ``NonrelQuery.update``.
    :param transactions: whether begin, commit and rollback have an effect.
    :param snapshots: whether a transaction sees the data that were committed when it
        began. If not, each read sees the data that are committed at that moment.
    :param locks: whether ``Session.lock`` excludes other writers until the end
        of the transaction (``select_for_update``). Without ``locks``,
        ``serializable`` and ``preconditions`` Django ignores ``select_for_update``.
    :param serializable: whether a transaction that writes can't commit if another one
        has changed the rows that it has read, or added rows to them. Then
        ``select_for_update`` needs no lock: its rows are unchanged, or the commit
        fails.
    :param preconditions: whether a :class:`BufferedSession`'s ``_apply`` can compare
        rows that don't change (a :class:`RowChange` whose ``new`` equals its ``old``).
        Without ``locks`` and ``serializable``, those are the rows that were read for
        ``select_for_update``.
    :param multiple_processes: whether other processes see the same data.
    :param remote: whether a call crosses a network. If so, threads make calls at the
        same time. Otherwise they take turns (``Turns``).
    """

    filters: Mapping[str, Precision] = field(default_factory=dict)
    filters_by_type: Mapping[ValueType, Mapping[str, Precision]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    negations: frozenset[str] = frozenset()
    indexed: bool = False
    order: Order = Order.NONE
    limit: bool = False
    count: bool = False
    update: bool = False
    transactions: bool = True
    snapshots: bool = True
    locks: bool = False
    serializable: bool = False
    preconditions: bool = False
    multiple_processes: bool = False
    remote: bool = False

    @property
    def for_update(self) -> bool:
        """Whether ``select_for_update`` does something, and :meth:`Session.lock`."""
        return self.locks or self.serializable or self.preconditions

    def precision(
        self, value_type: ValueType, lookup: str, negated: bool = False
    ) -> Precision:
        """Return the precision of a filter on a column of this type."""
        if negated and lookup not in self.negations:
            return Precision.NONE
        by_type = self.filters_by_type.get(value_type)
        if by_type is not None and lookup in by_type:
            return by_type[lookup]
        if lookup in PATTERNS and value_type is not ValueType.STRING:
            return Precision.NONE
        return self.filters.get(lookup, Precision.NONE)
