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

    Opened by the backend's ``DatabaseWrapper``; closed when the last
    connection is.
    """

    #: What it can do.
    capabilities: ClassVar[Capabilities]
    #: The driver's exceptions for :func:`safe_call`, most specific first.
    driver_errors: ClassVar[Mapping[type[Exception], type[Error]]] = {}

    @abstractmethod
    def session(self) -> Session:
        """Return a new session, in no transaction."""

    def reader(self) -> Session:
        """
        Return a new session that will never write, :meth:`Session.upgrade` included.

        For statements outside of transactions. Override it where that is cheaper.
        """
        return self.session()

    def close(self) -> None:
        """Release what the store holds. Sessions must be closed before."""

    def version(self) -> tuple[int, ...]:
        """Return the version of the database software."""
        return (0,)

    # Conversions

    def convert_value_for_db(self, db_type: ValueType, value: Any) -> Any:
        """
        Return a value as it is stored. By default it stays as it is.

        Called for values of filters, by :meth:`NonrelQuery.add_filter`, and by
        :meth:`entity`. For a numeric column a filter's value may be any of int, float,
        Decimal and bool.

        :param value: in the Python type of the column; never None.
        """
        return value

    def convert_value_from_db(self, db_type: ValueType, value: Any) -> Any:
        """
        Return the value of which :meth:`convert_value_for_db` made this one.

        Called for values of dicts that :meth:`NonrelQuery.fetch` yields; never for None.
        """
        return value

    def entity(self, table: Table, row: Row) -> dict[str, Any]:
        """Return a whole row as a dict by column, its values as they are stored."""
        convert = self.convert_value_for_db
        return {
            column.name: None if value is None else convert(column.type, value)
            for column, value in zip(table.columns, row, strict=True)
        }

    def row(self, table: Table, entity: Mapping[str, Any]) -> Row:
        """Return a whole row of a dict as :meth:`entity` gives it."""
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

    **Transactions.** Outside of a transaction nothing may be read or written.
    A transaction sees a snapshot of what was committed when it began (but see
    ``Capabilities.snapshots``), and its own writes. ``begin(write=False)`` promises not to write until
    :meth:`upgrade` is called. What ``commit`` acknowledged is durable, in so far as
    the store is. Calls in the wrong state (no transaction, no right to write, a
    second ``begin``, a closed session) raise :class:`InterfaceError`.

    **Errors.** A method that raises may have done a part of its work: the
    engine then rolls back to the savepoint that it set before. The session
    stays usable, but for :class:`ConflictError`: then the transaction is over.
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
        Begin a transaction; ``write``: take the right to write now.

        :raises OperationalError: the right to write couldn't be had in time, be
            it held by another session of the same thread; no transaction began.
        """

    @abstractmethod
    def upgrade(self) -> None:
        """
        Take the right to write, in a transaction begun without it.

        No effect if it was taken already.

        :raises ConflictError: another transaction committed since this one began. A
            store whose writers don't wait for each other finds conflicts in
            :meth:`commit` instead.
        :raises OperationalError: the right couldn't be had in time; the transaction
            goes on without it.
        """

    @abstractmethod
    def commit(self) -> None:
        """
        Make the transaction's writes durable and visible, and end it.

        :raises ConflictError: another transaction committed a change to what this
            one had read or written. Nothing was kept, and the transaction is over.
        :raises UniqueViolation: the same, of a unique value or a primary key.
        """

    @abstractmethod
    def rollback(self) -> None:
        """Undo the transaction's writes and end it. No effect outside of one."""

    @abstractmethod
    def savepoint(self) -> Hashable:
        """Return a mark to roll back to. Marks nest. Called often: cheap."""

    @abstractmethod
    def rollback_to(self, mark: Hashable) -> None:
        """
        Undo all writes since the mark, DDL and numbering too.

        The mark stays usable; marks set after it are forgotten.
        """

    def release(self, mark: Hashable) -> None:  # optional, not abstract
        """Forget a mark and those set after it; their writes are kept."""

    def lock(self) -> None:
        """
        Exclude other writers until the end of the transaction.

        A store that has no locks and is serializable excludes nobody: what is read
        and has changed by then is a conflict. One with ``preconditions`` doesn't
        either: there the rows of :meth:`query_for_update` are those that mustn't have
        changed.

        :raises NotSupportedError: the store is none of these.
        """
        if not self.store.capabilities.for_update:
            raise NotSupportedError("this store has no locks: no select_for_update()")
        self.upgrade()

    def close(self) -> None:
        """Roll back and release everything. The session is unusable then."""
        self.rollback()
        self._closed = True

    # Schema

    @abstractmethod
    def catalog(self) -> Catalog:
        """Return the tables as this transaction sees them. Called often: cheap."""

    @abstractmethod
    def create_table(self, table: Table) -> None:
        """Create a table and its indexes. The engine checked that it is new."""

    @abstractmethod
    def drop_table(self, name: str) -> None:
        """Drop a table with its rows, its indexes and its numbering."""

    @abstractmethod
    def alter_table(
        self,
        name: str,
        table: Table,
        renames: Mapping[str, str] | None = None,
        fill: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Replace the definition of a table, rows and indexes kept.

        What may differ: the table's name; names of columns; added and removed
        columns; nullability, declared type, ``auto_increment``, foreign keys
        and ``sql``. Types and the primary key's columns stay, and ``indexes``
        hold the same indexes, but for names of renamed columns; see
        :meth:`create_index` and :meth:`drop_index`.

        :param name: the table's present name.
        :param renames: new names of columns by their old ones.
        :param fill: values for added columns in the rows that exist, by the
            new name; None if not given.
        """

    def create_index(self, table: str, index: Index) -> None:
        """
        Build an index over the rows that exist.

        Unless overridden, :meth:`alter_table` is called with one index more: for
        stores that build all indexes anew there.

        :raises UniqueViolation: they violate it.
        """
        old = self.catalog().tables[table]
        self.alter_table(table, replace(old, indexes=(*old.indexes, index)))

    def drop_index(self, table: str, name: str) -> None:
        """
        Drop an index of a table.

        Unless overridden, :meth:`alter_table` is called with one index less.
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

        :param columns: what ``fetch`` returns, in this order.
        :param access: how to read, as answered by :meth:`access`.
        """

    def query_for_update(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> NonrelQuery:
        """
        Return a query of a statement that selects FOR UPDATE, after :meth:`lock`.

        Unless overridden that is :meth:`query`, since the lock is for all rows.
        """
        return self.query(table, columns, access)

    @abstractmethod
    def estimated_rows(self, table: Table) -> int:
        """Return about how many rows a table has. Called often: cheap."""

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

        :param rows: complete, hidden columns included. Where the
            ``auto_increment`` column is None the store numbers the row, with a
            number that no row of this table ever had; a larger explicit number
            moves the numbering on.
        :raises UniqueViolation: a row violates a unique index or the primary key.
        :raises DataError: a value can't be stored; names the column.
        :raises OperationalError: there is no number left below 2 ** 63.
        """

    @abstractmethod
    def update(self, table: Table, key: Key, row: Row) -> None:
        """
        Replace the row of this primary key. The new row's key may differ.

        No effect if there is none, as in SQL: never an insert. A larger number in
        the ``auto_increment`` column moves the numbering on.

        :raises UniqueViolation: the new row violates a unique index or, with a
            new key, the primary key.
        :raises DataError: a value can't be stored; names the column.
        """

    def set_columns(
        self, table: Table, names: Sequence[str], changes: Mapping[Key, Sequence[Any]]
    ) -> None:
        """
        Set columns of the rows of these primary keys, one after another.

        Unless overridden, :meth:`get` and :meth:`update` are called for each. No
        effect where there is no row. Raises as :meth:`update`.

        :param names: of the columns; none of them is the ``auto_increment`` column
            or one of the primary key.
        :param changes: their values, in the same order, by primary key.
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
        Set the numbering: the next number is ``value + 1``.

        Called when no row has a larger number.
        """
