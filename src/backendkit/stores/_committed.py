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
        Begin to read what is committed: a snapshot of it, if the store has that.

        :param write: whether the transaction is going to write. One that isn't may do
            so after :meth:`_upgrade`.
        """

    def _upgrade(self) -> None:
        """
        Prepare to write, in a transaction begun without. By default nothing.

        :raises ConflictError: another transaction committed since this one began, and
            the store can't go on from there. The transaction is over then.
        """

    @abstractmethod
    def _end(self) -> None:
        """
        End what :meth:`_begin` began, and keep nothing.

        Called once for each ``_begin``, also after ``_apply``, be it that it failed.
        """

    @abstractmethod
    def _catalog(self) -> Catalog:
        """Return the tables as committed. Called often: cheap."""

    @abstractmethod
    def _query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> NonrelQuery:
        """Return a query on what is committed: see :meth:`Session.query`."""

    @abstractmethod
    def _estimated_rows(self, table: Table) -> int:
        """Return about how many rows a table has. Called often: cheap."""

    @abstractmethod
    def _allocate(self, table: Table, count: int, above: int) -> int:
        """
        Take numbers for an ``auto_increment`` column out of the store's numbering.

        At once and for good, as the sequences of other databases: they aren't given to
        another session meanwhile, and a rollback doesn't bring them back.

        :param count: how many, one after the other.
        :param above: they have to be larger than this, and than any that was given
            before or is committed.
        :returns: the first of them.
        :raises OperationalError: there are no such numbers below 2 ** 63.
        """

    @abstractmethod
    def _apply(self, changes: Sequence[TableChange]) -> None:
        """
        Commit changes, all or nothing.

        Dropped tables come first, then changed ones, then new ones. Of a changed table
        take the definition first, the rows then, new unique indexes last: rows may have
        been changed to make them possible. Names of tables and unique values are to be
        taken together: they may be exchanged.

        **What has to be guaranteed**, while others commit: when the changes take effect

        * each changed row is still what its ``old`` says, and no row has the key of an
          inserted one;
        * no row but those in the changes has one of the unique values that they take
          (:meth:`TableChange.claims`). They were free when they were looked for, and
          there was no row that could have been locked: a store without unique indexes,
          and without transactions that notice what was read before (phantoms), needs
          an item of its own for each unique value, written with the precondition that
          it isn't there;
        * a table that is written has the definition ``before``.

        A store whose transactions notice at commit that something that was *read* in
        them has changed, a look-up that found nothing included, has all of that already
        (and foreign keys, which are looked up in the transaction as well).

        :raises ConflictError: one of these doesn't hold any more, and nothing was kept.
            The session then looks whether a unique value or a primary key has been
            taken, and makes it a :exc:`UniqueViolation`.
        """

    def _find(
        self, table: Table, index: str, values: Sequence[tuple[Any, ...]]
    ) -> Iterable[Row]:
        """
        Return the committed rows that have one of these values in a unique index.

        By default by queries of up to 200 values.

        :param index: its name; "" for the primary key.
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
        Choose how to read what is committed: see :meth:`Session.access`.

        :param table: as committed, whatever the transaction has made of it.
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

        Called before they get into the buffer; the ``auto_increment`` column may be
        None. By default they stay as they are. Refuse here what the store would refuse.

        :raises DataError: a value can't be stored; names the column.
        """
        return [*map(tuple, rows)]

    def _size(self, change: TableChange) -> int:
        """Return how much of ``max_changes`` a change takes: by default its rows."""
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
