"""
The database as it was: a connection that reads as of one transaction of the past.

Django has it under an alias of its own, ``default as of transaction 17``, so that all
that comes from it goes on reading there: joins, prefetches, related objects, fields that
were deferred. immudb reads any table ``UNTIL TX``, by any index, as it was then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from backendkit.backends.immudb.base import DatabaseWrapper
from backendkit.backends.immudb.catalog import TABLES, Schema, Stored
from backendkit.backends.immudb.driver import Connection
from backendkit.backends.immudb.query import ImmudbQuery
from backendkit.backends.immudb.session import ImmudbSession
from backendkit.backends.immudb.store import ImmudbStore
from backendkit.backends.immudb.times import time_columns
from backendkit.stores import (
    Access,
    FilterShape,
    NonrelQuery,
    NotSupportedError,
    Row,
    Session,
    Table,
)

from .rows import store_of, wrapper_of


class PastWrapper(DatabaseWrapper):
    """Django's connection to a database as it was; it uses those of the database."""

    def __init__(
        self, settings_dict: Mapping[str, Any], alias: str, *, present: str, tx: int
    ) -> None:
        super().__init__(settings_dict, alias)
        self.present = present
        self.tx = tx

    def open_store(self, name: str, options: Mapping[str, Any]) -> ImmudbStore:
        """Return the store that reads the past."""
        return PastStore(self.present, self.tx, {**options, "database": name})


class PastStore(ImmudbStore):
    """
    A database as of one transaction.

    :param present: the alias of the database itself, whose connections are lent.
    """

    def __init__(self, present: str, tx: int, options: Mapping[str, Any]) -> None:
        self._present = present
        self.tx = tx
        super().__init__(options)
        now = store_of(wrapper_of(present))
        self.place, self.shared, self.sizes = now.place, now.shared, now.sizes
        self._lent: dict[int, ImmudbStore] = {}
        self._looked_at: Schema | None = None
        self._copied: frozenset[str] = frozenset()

    def session(self) -> Session:
        return PastSession(self)

    def reader(self) -> Session:
        return PastSession(self)

    def acquire(self) -> Connection:
        store = store_of(wrapper_of(self._present))
        connection = store.acquire()
        self._lent[id(connection)] = store
        return connection

    def release(self, connection: Connection) -> None:
        self._lent.pop(id(connection)).release(connection)

    def check_table(self, connection: Connection, schema: Schema, table: Table) -> None:
        """
        Check that immudb has what a table was.

        :raises NotSupportedError: it was copied to a new one since.
        """
        if schema is not self._looked_at:
            self._copied = frozenset(self._copied_since(connection, schema))
            self._looked_at = schema
        if table.name in self._copied:
            raise NotSupportedError(
                f"A change of the schema after transaction {self.tx} copied"
                f" {table.name} to a new table, so immudb's SQL can't read the rows"
                " of that time. The server's log still has them."
            )

    def _copied_since(self, connection: Connection, schema: Schema) -> list[str]:
        copies = {
            one.origin: name for name, one in schema.stored.items() if one.is_copy
        }
        if not copies:
            return []
        sql = f"SELECT definition FROM {TABLES} UNTIL TX ?"
        rows = connection.query(sql, (self.tx,)).rows
        there = {Stored.from_json(definition).origin for (definition,) in rows}
        return [name for origin, name in copies.items() if origin not in there]


class PastQuery(ImmudbQuery):
    """A SELECT that goes by the primary key, whatever is asked for."""

    def add_filter(
        self, column: str, lookup_type: str, negated: bool, db_type: str, value: Any
    ) -> None:
        super().add_filter(column, lookup_type, negated, db_type, value)
        if column in self.table.primary_key:
            return
        name, one = self._conditions[-1]
        if one.sql is not None:
            # If a condition fixes what an index begins with, immudb takes that index,
            # also against USE INDEX. What is behind NOT isn't looked at.
            hidden = dataclasses.replace(one, sql=f"NOT (NOT ({one.sql}))")
            self._conditions[-1] = name, hidden


class PastSession(ImmudbSession):
    """Reads as of one transaction; writes nothing."""

    store: PastStore

    def __init__(self, store: PastStore) -> None:
        super().__init__(store, reading=True)

    def _begin(self, *, write: bool) -> None:
        if write:
            self._refuse()
        super()._begin(write=write)

    def _upgrade(self) -> None:
        self._refuse()

    def _refuse(self) -> None:
        raise NotSupportedError(
            f"This is the database as of transaction {self.store.tx}: nobody can"
            " write to the past. To write an object to the current database, call"
            " save(using=…)."
        )

    def until(self) -> int:
        """Return the transaction as of which is read."""
        return self.store.tx

    def far_times(self, table: Table) -> frozenset[str]:
        """Return all columns of times: the catalog tells of the present."""
        return time_columns(table)

    def _query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> NonrelQuery:
        self._check_past(table)
        return PastQuery(self, table, columns, access)

    def _access(
        self,
        table: Table,
        filters: Sequence[FilterShape],
        ordering: Sequence[tuple[str, bool]] = (),
        *,
        few: bool = False,
    ) -> Access:
        if table.items_of:
            # An index on items may be younger than the rows that are read. For one that
            # has to be scanned, the engine scans the rows.
            filters = ()
        by_key = dataclasses.replace(table, indexes=())
        return super()._access(by_key, filters, ordering, few=few)

    def _find(
        self, table: Table, index: str, values: Sequence[tuple[Any, ...]]
    ) -> Iterable[Row]:
        self._check_past(table)
        return super()._find(table, index, values)

    def _check_past(self, table: Table) -> None:
        assert self._schema is not None
        self.store.check_table(self._used(), self._schema, table)
