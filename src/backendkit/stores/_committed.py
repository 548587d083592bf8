"""What a transaction reads of what is committed, and remembers of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ._access import Access, FilterShape, choose_access, distinct_values
from ._batches import BATCH_BYTES, weight
from ._capabilities import Precision
from ._changes import TableChange
from ._matching import row_getter
from ._query import NonrelQuery
from ._rows import rows_of
from ._schema import Catalog, Table
from ._session import Key, Row, Session, Store

#: Values of one look-up.
_CHUNK = 200
#: Rows of one table that are remembered, where a snapshot makes that a mere saving.
_REMEMBERED = 10_000
#: Bytes of all tables' rows.
_REMEMBERED_BYTES = 4 * BATCH_BYTES


class CommittedReader(Session):
    """
    The part of :class:`BufferedSession` that knows committed data alone.

    Here are the methods that a store's author writes, and look-ups made of them.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._clear()

    def _clear(self) -> None:
        """Begin with nothing, before and after each transaction."""
        #: Whether queries have to read whole rows, for :meth:`remembered`.
        self.remembering = False
        #: Committed rows by table and key, as they were read first.
        self._seen: dict[str, dict[Key, Row]] = {}
        #: Bytes of text in them, about.
        self._seen_bytes = 0

    # What the store's author implements

    @abstractmethod
    def _begin(self, *, write: bool) -> None:
        """
        Begin to read committed data, from a snapshot if the store has snapshots.

        :param write: whether the transaction is going to write. If not, it may still
            write after :meth:`_upgrade`.
        """

    def _upgrade(self) -> None:
        """
        Prepare to write, in a transaction that began only to read.

        Does nothing by default.

        :raises ConflictError: another transaction has committed since this one began,
            and the store can't continue from there. The transaction is then over.
        """

    @abstractmethod
    def _end(self) -> None:
        """
        End the transaction that :meth:`_begin` began, and keep nothing.

        The session calls this once for each ``_begin``, also after an ``_apply``,
        whether or not that succeeded.
        """

    @abstractmethod
    def _catalog(self) -> Catalog:
        """Return the committed tables. The session calls this often."""

    @abstractmethod
    def _query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> NonrelQuery:
        """Return a query on committed data: see :meth:`Session.query`."""

    @abstractmethod
    def _estimated_rows(self, table: Table) -> int:
        """Return an estimate of a table's row count. The session calls this often."""

    @abstractmethod
    def _allocate(self, table: Table, count: int, above: int) -> int:
        """
        Reserve numbers for an ``auto_increment`` column.

        They are reserved at once and permanently, as by the sequences of other
        databases: no other session gets them, and a rollback doesn't return them.

        :param count: how many consecutive numbers to reserve.
        :param above: the numbers have to be larger than this, and larger than any
            number that was reserved before or is committed.
        :returns: the first number.
        :raises OperationalError: there are no such numbers below 2 ** 63.
        """

    @abstractmethod
    def _apply(self, changes: Sequence[TableChange]) -> None:
        """
        Commit changes, all or nothing.

        Dropped tables come first, then changed ones, then new ones. For a changed
        table, apply first the definition, then the rows, and then new unique indexes,
        because the rows may have been changed to make an index possible. Apply names of
        tables and unique values together, because they may be exchanged.

        **What you have to guarantee** while others commit: when the changes take effect,

        * each changed row still equals its ``old``, and no row has the key of an
          inserted one;
        * no other row has one of the unique values in the changes
          (:meth:`TableChange.claims`). They were free when the session looked for them,
          but there was no row to lock. So if the store has no unique indexes, and its
          transactions don't notice phantoms, it needs a separate item for each unique
          value, which it writes with the precondition that the item doesn't exist;
        * each table that is written still has the definition ``before``.

        If the store's transactions notice at commit that data which they have *read*
        were changed, including look-ups that found nothing, all of this is already
        guaranteed. So are foreign keys, which the transaction looks up as well.

        :raises ConflictError: one of these conditions doesn't hold, and nothing was
            kept. The session then checks whether a unique value or a primary key is no
            longer free, and if so, raises :exc:`UniqueViolation`.
        """

    def _find(
        self, table: Table, index: str, values: Sequence[tuple[Any, ...]]
    ) -> Iterable[Row]:
        """
        Return the committed rows that have one of these values in a unique index.

        By default, this runs queries for up to 200 values each.

        :param index: the name of the index; "" for the primary key.
        :param values: values of the index's columns, none of them None.
        """
        names = table.unique[index]
        values_of = row_getter([table.positions[name] for name in names])
        wanted = set(values)
        rows = self._select(table, names, values)
        return (row for row in rows if values_of(row) in wanted)

    def _access(
        self,
        table: Table,
        filters: Sequence[FilterShape],
        ordering: Sequence[tuple[str, bool]] = (),
        *,
        few: bool = False,
    ) -> Access:
        """
        Choose how to read committed data: see :meth:`Session.access`.

        :param table: the committed table, even if the transaction has changed it.
        """
        return choose_access(
            table,
            self.store.capabilities,
            self._expected_rows(table),
            filters,
            ordering,
            few=few,
            different=distinct_values(
                table, filters, self._catalog().tables, self._expected_rows
            ),
        )

    def _expected_rows(self, table: Table) -> int:
        """Return about how many rows a committed table has, for a choice of access."""
        return self._estimated_rows(table)

    def _check(self, table: Table, rows: Sequence[Row]) -> Sequence[Row]:
        """
        Return rows as they will be read once they are committed.

        The session calls this before it buffers the rows. The ``auto_increment`` column
        may be None. By default, the rows are returned as they are. Raise an error for
        values that the store would refuse.

        :raises DataError: a value can't be stored. The message names the column.
        """
        return [*map(tuple, rows)]

    def _size(self, change: TableChange) -> int:
        """Return how much of ``max_changes`` a change takes. By default, its rows."""
        return len(change.rows)

    # Reading

    def _committed(self, table: Table, keys: Iterable[Key]) -> dict[Key, Row]:
        """Return the committed rows of these keys."""
        seen = self._seen.get(table.name, {}) if self.remembering else {}
        found = {key: seen[key] for key in keys if key in seen}
        missing = [key for key in keys if key not in found]
        if missing:
            rows = self._find(table, "", missing)
            if self.remembering:
                rows = self.remembered(table, rows)
            found.update((table.key_of(row), row) for row in rows)
        return found

    def remembered(self, table: Table, rows: Iterable[Row]) -> Iterator[Row]:
        """Let committed rows pass, and remember them as they were first."""
        seen = self._seen.setdefault(table.name, {})
        snapshots = self.store.capabilities.snapshots
        for row in rows:
            if snapshots:
                self._seen_bytes += weight(row)
                if len(seen) >= _REMEMBERED or self._seen_bytes > _REMEMBERED_BYTES:
                    for one in self._seen.values():
                        one.clear()
                    self._seen_bytes = 0
            seen.setdefault(table.key_of(row), row)
            yield row

    def _select(
        self, table: Table, names: Sequence[str], values: Sequence[tuple[Any, ...]]
    ) -> Iterator[Row]:
        """Return at least the committed rows that have these values in columns."""
        precision = self.store.capabilities.precision
        types = [table.column(name).type for name in names]

        def able(lookup: str) -> bool:
            return all(precision(one, lookup) is not Precision.NONE for one in types)

        size = len(values)
        if able("exact"):
            size = _CHUNK if able("in") else 1
        for start in range(0, len(values), size or 1):
            shapes, filters = [], []
            for number, (name, value_type) in enumerate(zip(names, types, strict=True)):
                part = values[start : start + size]
                choices = list(dict.fromkeys(one[number] for one in part))
                lookup = "exact" if len(choices) == 1 else "in"
                value = choices[0] if len(choices) == 1 else choices
                if precision(value_type, lookup) is not Precision.NONE:
                    shapes.append(FilterShape(name, lookup))
                    filters.append((name, lookup, False, value_type, value))
            access = self._access(table, shapes)
            query = self._query(table, [*table.positions], access)
            query.add_filters(filters)
            yield from rows_of(query, table, [*table.positions])
