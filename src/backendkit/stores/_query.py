"""``NonrelQuery``: one table's filters, order and limits, and its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ._capabilities import PATTERNS
from ._errors import Error, NotSupportedError
from ._schema import ValueType

if TYPE_CHECKING:
    from ._access import Access
    from ._schema import Table
    from ._session import Session


class NonrelQuery(ABC):
    """
    A query on one table. The engine adds filters and an order, and then runs it.

    The engine adds only filters and orders that the store's :class:`Capabilities`
    declare. A row has to match all filters (AND). Each filter has SQL's meaning: a NULL
    matches no lookup but ``isnull``, whether it is negated or not.

    :param session: a session that is in a transaction.
    :param table: the table to read.
    :param columns: the columns that :meth:`fetch` returns, in this order.
    :param access: how to read it.
    """

    #: Operators by lookup name: a string, or a callable that is given lookup
    #: name and value and returns operator and value.
    OPERATORS_MAP: ClassVar[Mapping[str, str | Callable[[str, Any], Any]]] = {}
    #: The same for negated filters.
    NEGATION_MAP: ClassVar[Mapping[str, str | Callable[[str, Any], Any]]] = {}
    #: The driver's exceptions for :func:`safe_call`, most specific first.
    driver_errors: ClassVar[Mapping[type[Exception], type[Error]]] = {}
    #: If set, a store that leaves out rows by itself lets what it reads pass through:
    #: called with an iterator of one item for each row, before :meth:`fetch` or
    #: :meth:`count` returns; gives the same items, or raises. A store that can't
    #: tell may ignore it.
    looked_at: Callable[[Iterable[Any]], Iterator[Any]] | None = None
    #: Whether all rows are fetched before the session writes: a store may read ahead.
    at_once: bool = False

    def __init__(
        self,
        session: Session,
        table: Table,
        columns: Sequence[str],
        access: Access,
    ) -> None:
        self.session = session
        self.table = table
        self.columns = tuple(columns)
        self.access = access

    # Filters

    def add_filters(self, filters: Iterable[tuple[str, str, bool, str, Any]]) -> None:
        """Add several filters: the arguments of :meth:`add_filter`, as tuples."""
        for column, lookup_type, negated, db_type, value in filters:
            self.add_filter(column, lookup_type, negated, db_type, value)

    def add_filter(
        self, column: str, lookup_type: str, negated: bool, db_type: str, value: Any
    ) -> None:
        """
        Add one filter.

        By default, this looks up the operator in ``OPERATORS_MAP`` or ``NEGATION_MAP``,
        converts the value, and calls :meth:`filter`.

        :param column: name of a column of the table.
        :param lookup_type: e.g. ``exact``, ``in``, ``isnull``.
        :param negated: whether the rows that don't match are wanted.
        :param db_type: the column's :class:`ValueType`.
        :param value: a value of the column's Python type; for ``in`` a list of them;
            for ``isnull`` True (IS NOT NULL is negated); for patterns a str. For a
            numeric column, it may be an int, a float, a Decimal or a bool. None and NaN
            are unknown, also in the list of a negated ``in``, so no row matches. The
            list of a negated ``in`` is never empty, because that would match NULL, too.
        """
        operator, value = self.operator(lookup_type, negated, value)
        if lookup_type != "isnull" and lookup_type not in PATTERNS:
            value = self.convert_value_for_db(db_type, value)
        self.filter(column, operator, value)

    def filter(self, column: str, operator: Any, value: Any) -> None:
        """
        Add one filter in the store's terms. :meth:`add_filter` calls this.

        :param operator: from ``OPERATORS_MAP`` or ``NEGATION_MAP``.
        :param value: converted by :meth:`convert_value_for_db`, except for the values
            of ``isnull`` and of patterns.
        """
        raise NotSupportedError(
            f"{type(self).__qualname__} has to implement filter() or add_filter(),"
            " because the store's capabilities name filters"
        )

    def operator(self, lookup_type: str, negated: bool, value: Any) -> tuple[Any, Any]:
        """
        Return the operator for a filter, and the value to compare with.

        Both come from the maps. Call this if you override :meth:`add_filter`.

        :raises NotSupportedError: the map doesn't contain the lookup.
        """
        name = "NEGATION_MAP" if negated else "OPERATORS_MAP"
        try:
            found = getattr(self, name)[lookup_type]
        except KeyError:
            can_not = "can't be negated" if negated else "isn't supported"
            raise NotSupportedError(
                f"the lookup {lookup_type!r} {can_not}: it isn't in the {name} of"
                f" {type(self).__name__}"
            ) from None
        if callable(found):
            operator, value = found(lookup_type, value)
            return operator, value
        return found, value

    def convert_value_for_db(self, db_type: str, value: Any) -> Any:
        """
        Return the value to store, converted by :meth:`Store.convert_value_for_db`.

        None stays None. If the value is a list, this converts each item.
        """
        if isinstance(value, (list, tuple)):
            return [self.convert_value_for_db(db_type, item) for item in value]
        if value is None:
            return None
        return self.session.store.convert_value_for_db(ValueType(db_type), value)

    def convert_value_from_db(self, db_type: str, value: Any) -> Any:
        """Return a stored value as Django expects it, converted by
        :meth:`Store.convert_value_from_db`.
        """
        if value is None:
            return None
        return self.session.store.convert_value_from_db(ValueType(db_type), value)

    # Order, and rows

    def order_by(self, ordering: Sequence[tuple[str, bool]]) -> None:
        """
        Set the order: pairs of column and *descending*, outermost first.

        NULL is smaller than everything, strings order by code point, False
        before True.
        """
        raise NotSupportedError("this store can't sort rows")

    @abstractmethod
    def fetch(self, low_mark: int = 0, high_mark: int | None = None) -> Iterator[Any]:
        """
        Run the query and return an iterator of rows.

        A row is a tuple of values in the order of ``columns``, or a dict by column, as
        the store has it: of a dict the values are converted by
        :meth:`convert_value_from_db`, and a column that it doesn't have is NULL.

        Rows are read as they are asked for, not all at once. The session may
        write in the meantime: then rows that it inserts, changes or deletes may
        be returned as they were or as they are, each once or, if its key changes,
        maybe twice; all others are returned once. The iterator is good until the
        transaction ends or is rolled back to a mark; after that it goes on as if
        nothing had happened or raises :class:`InterfaceError`.

        :param low_mark: number of rows to leave out at the start.
        :param high_mark: number of the row to stop before; None for all.
            Both only where ``Capabilities.limit`` is true.
        """

    def count(self) -> int:
        """Return how many rows match."""
        return sum(1 for _ in self.fetch())

    def update(self, changes: Mapping[str, Any]) -> int:
        """
        Set columns of all rows that match; return how many match.

        The engine calls this only if ``Capabilities.update`` is true, and without an
        order. It raises the same errors as :meth:`Session.update`, and may then have
        done a part of its work.

        :param changes: values of the columns' types, or None, by name. None of the
            columns is the ``auto_increment`` column or one of the primary key.
        """
        raise NotSupportedError("this store can only update single rows")
