"""Stores and sessions: what an author of a store implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from ._access import Access, FilterShape, choose_access, distinct_values
from ._capabilities import Capabilities
from ._errors import Error, NotSupportedError
from ._query import NonrelQuery
from ._schema import Catalog, Index, Table, ValueType

#: A row: values in the order of the table's columns.
Row = tuple[Any, ...]
#: A primary key: values in the order of ``Table.primary_key``.
Key = tuple[Any, ...]


class Store(ABC):
    """
    A database, shared by all connections of this process to it. Thread-safe.

    The backend's ``DatabaseWrapper`` opens the store, and closes it together with the
    last connection.
    """

    #: What it can do.
    capabilities: ClassVar[Capabilities]
    #: The driver's exceptions for :func:`safe_call`, most specific first.
    driver_errors: ClassVar[Mapping[type[Exception], type[Error]]] = {}
    #: Seconds for which a statement outside of a transaction is run again after a
    #: :class:`ConflictError`; None for ever. No run begins after them.
    patience: float | None = 30.0

    @abstractmethod
    def session(self) -> Session:
        """Return a new session, in no transaction."""

    def reader(self) -> Session:
        """
        Return a new session that never writes, even after :meth:`Session.upgrade`.

        The engine uses it for statements outside of transactions. Override it if such a
        session is cheaper.
        """
        return self.session()

    def close(self) -> None:
        """Release the store's resources. All sessions must have been closed."""

    def version(self) -> tuple[int, ...]:
        """Return the version of the database software."""
        return (0,)

    # Conversions

    def convert_value_for_db(self, db_type: ValueType, value: Any) -> Any:
        """
        Return the value to store. By default, it is the value itself.

        :meth:`NonrelQuery.add_filter` calls this for the values of filters, and
        :meth:`entity` for the values of a row. For a numeric column, a filter's value
        may be an int, a float, a Decimal or a bool.

        :param value: in the Python type of the column; never None.
        """
        return value

    def convert_value_from_db(self, db_type: ValueType, value: Any) -> Any:
        """
        Return the value that :meth:`convert_value_for_db` has converted to this one.

        The engine calls this for the values of dicts that :meth:`NonrelQuery.fetch`
        yields, but never for None.
        """
        return value

    def entity(self, table: Table, row: Row) -> dict[str, Any]:
        """Return a whole row as a dict of stored values, by column."""
        convert = self.convert_value_for_db
        return {
            column.name: None if value is None else convert(column.type, value)
            for column, value in zip(table.columns, row, strict=True)
        }

    def row(self, table: Table, entity: Mapping[str, Any]) -> Row:
        """Return a whole row from a dict that :meth:`entity` has returned."""
        convert = self.convert_value_from_db
        values = [(column, entity.get(column.name)) for column in table.columns]
        return tuple(
            [
                None if value is None else convert(column.type, value)
                for column, value in values
            ]
        )


class Session(ABC):
    """
    A sequence of transactions of one connection. Not thread-safe.

    **Transactions.** Nothing may be read or written outside of a transaction. A
    transaction sees a snapshot of the data that were committed when it began (but see
    ``Capabilities.snapshots``), and its own writes. ``begin(write=False)`` promises not
    to write until :meth:`upgrade` is called. After ``commit`` has returned, the writes
    are as durable as the store allows. Calls in the wrong state (no transaction, no
    right to write, a second ``begin``, a closed session) raise :class:`InterfaceError`.

    **Errors.** If a method raises, it may have done a part of its work. The engine then
    rolls back to the savepoint that it has set before. The session stays usable, except
    after :class:`ConflictError`, which ends the transaction.
    """

    #: The driver's exceptions for :func:`safe_call`, most specific first.
    driver_errors: ClassVar[Mapping[type[Exception], type[Error]]] = {}
    #: Whether one query is all that will be run, if the session is from
    #: :meth:`Store.reader`: it has no other one to agree with. Set after ``begin``.
    alone: bool = False

    def __init__(self, store: Store) -> None:
        self.store = store
        self._closed = False

    # Transactions

    @abstractmethod
    def begin(self, *, write: bool) -> None:
        """
        Begin a transaction. If ``write`` is true, take the right to write at once.

        :raises OperationalError: the session couldn't get the right to write in time,
            for example because another session of the same thread has it. No
            transaction has begun.
        """

    @abstractmethod
    def upgrade(self) -> None:
        """
        Take the right to write, in a transaction begun without it.

        This has no effect if the transaction already has it.

        :raises ConflictError: another transaction has committed since this one began.
            If a store's writers don't wait for each other, :meth:`commit` finds the
            conflicts instead.
        :raises OperationalError: the session couldn't get the right in time. The
            transaction continues without it.
        """

    @abstractmethod
    def commit(self) -> None:
        """
        Make the transaction's writes durable and visible, and end it.

        :raises ConflictError: another transaction has committed a change to rows that
            this one has read or written. Nothing was kept, and the transaction is over.
        :raises UniqueViolation: another transaction has committed the same unique value
            or primary key. Nothing was kept, and the transaction is over.
        """

    @abstractmethod
    def rollback(self) -> None:
        """Undo the transaction's writes and end it. No effect outside of one."""

    @abstractmethod
    def savepoint(self) -> Hashable:
        """Return a mark to roll back to. Marks nest. The engine calls this often."""

    @abstractmethod
    def rollback_to(self, mark: Hashable) -> None:
        """
        Undo all writes since the mark, including DDL and automatic numbers.

        The mark stays valid. Marks that were set after it become invalid.
        """

    def release(self, mark: Hashable) -> None:  # optional, not abstract
        """Discard a mark and those set after it, and keep their writes."""

    def lock(self) -> None:
        """
        Exclude other writers until the end of the transaction.

        A store that is serializable needs no locks: at the commit, a change to rows
        that were read is a conflict. A store with ``preconditions`` needs none either:
        at the commit, it compares the rows of :meth:`query_for_update`.

        :raises NotSupportedError: the store is none of these.
        """
        if not self.store.capabilities.for_update:
            raise NotSupportedError(
                "this store has no locks, so it doesn't support select_for_update()"
            )
        self.upgrade()

    def close(self) -> None:
        """Roll back and release everything. The session can't be used afterwards."""
        self.rollback()
        self._closed = True

    # Schema

    @abstractmethod
    def catalog(self) -> Catalog:
        """Return the tables as this transaction sees them. The engine often calls it."""

    @abstractmethod
    def create_table(self, table: Table) -> None:
        """Create a table and its indexes. The engine has checked that it is new."""

    @abstractmethod
    def drop_table(self, name: str) -> None:
        """Drop a table with its rows, its indexes and its sequence."""

    @abstractmethod
    def alter_table(
        self,
        name: str,
        table: Table,
        renames: Mapping[str, str] | None = None,
        fill: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Replace the definition of a table, and keep its rows and indexes.

        The new definition may have another table name, renamed, added and removed
        columns, and another nullability, declared type, ``auto_increment``, foreign
        keys and ``sql``. The types and the columns of the primary key don't change.
        ``indexes`` contains the same indexes, except for the names of renamed columns;
        see
        :meth:`create_index` and :meth:`drop_index`.

        :param name: the table's present name.
        :param renames: new names of columns by their old ones.
        :param fill: values for added columns in the rows that exist, by the
            new name; None if not given.
        """

    def create_index(self, table: str, index: Index) -> None:
        """
        Build an index over the existing rows.

        By default, this calls :meth:`alter_table` with one index more, for stores that
        rebuild all indexes there.

        :raises UniqueViolation: the rows violate it.
        """
        old = self.catalog().tables[table]
        self.alter_table(table, replace(old, indexes=(*old.indexes, index)))

    def drop_index(self, table: str, name: str) -> None:
        """
        Drop an index of a table.

        By default, this calls :meth:`alter_table` with one index less.
        """
        old = self.catalog().tables[table]
        indexes = tuple(index for index in old.indexes if index.name != name)
        self.alter_table(table, replace(old, indexes=indexes))

    # Reading

    @abstractmethod
    def query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> NonrelQuery:
        """
        Return a query on a table.

        :param columns: the columns that ``fetch`` returns, in this order.
        :param access: how to read, as returned by :meth:`access`.
        """

    def query_for_update(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> NonrelQuery:
        """
        Return a query for a statement with FOR UPDATE, after :meth:`lock`.

        By default, this returns :meth:`query`, because the lock covers all rows.
        """
        return self.query(table, columns, access)

    @abstractmethod
    def estimated_rows(self, table: Table) -> int:
        """Return an estimate of a table's row count. The engine calls this often."""

    def access(
        self,
        table: Table,
        filters: Sequence[FilterShape],
        ordering: Sequence[tuple[str, bool]] = (),
        *,
        few: bool = False,
    ) -> Access:
        """
        Choose how to read a table with filters of these shapes.

        :param few: whether only the first few rows are wanted.
        """
        return choose_access(
            table,
            self.store.capabilities,
            self.estimated_rows(table),
            filters,
            ordering,
            few=few,
            different=distinct_values(
                table, filters, self.catalog().tables, self.estimated_rows
            ),
        )

    # Writing

    @abstractmethod
    def insert(self, table: Table, rows: Sequence[Row]) -> list[Key]:
        """
        Insert rows and return their primary keys in the same order.

        :param rows: complete rows, including hidden columns. If the ``auto_increment``
            column is None, the store assigns a number that no row of this table has
            ever had. A larger explicit number advances the sequence.
        :raises UniqueViolation: a row violates a unique index or the primary key.
        :raises DataError: a value can't be stored. The message names the column.
        :raises OperationalError: no number below 2 ** 63 is left.
        """

    @abstractmethod
    def update(self, table: Table, key: Key, row: Row) -> None:
        """
        Replace the row of this primary key. The new row's key may differ.

        This has no effect if there is no such row, as in SQL; it never inserts one. A
        larger number in the ``auto_increment`` column advances the sequence.

        :raises UniqueViolation: the new row violates a unique index or, with a
            new key, the primary key.
        :raises DataError: a value can't be stored. The message names the column.
        """

    def set_columns(
        self, table: Table, names: Sequence[str], changes: Mapping[Key, Sequence[Any]]
    ) -> None:
        """
        Set columns of the rows of these primary keys, one after another.

        By default, this calls :meth:`get` and :meth:`update` for each row. It ignores
        keys without a row, and raises the same errors as :meth:`update`.

        :param names: of the columns; none of them is the ``auto_increment`` column
            or one of the primary key.
        :param changes: the values of these columns, in the same order, by primary key.
        """
        places = [table.positions[name] for name in names]
        for key, values in changes.items():
            old = self.get(table, key)
            if old is None:
                continue
            row = list(old)
            for place, value in zip(places, values, strict=True):
                row[place] = value
            self.update(table, key, tuple(row))

    @abstractmethod
    def delete(self, table: Table, keys: Sequence[Key]) -> int:
        """Delete the rows of these primary keys; return how many there were."""

    @abstractmethod
    def get(self, table: Table, key: Key) -> Row | None:
        """Return the whole row of this primary key, or None."""

    @abstractmethod
    def reset_sequence(self, table: Table, value: int = 0) -> None:
        """
        Set the table's sequence. The next number is ``value + 1``.

        The engine calls this only if no row has a larger number.
        """
