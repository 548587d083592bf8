"""``TransactionSession``: how transactions and savepoints run on an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backendkit.stores import (
    Catalog,
    ConflictError,
    DataError,
    InterfaceError,
    ProgrammingError,
    Session,
    Table,
    safe_call,
)

from .catalog import CatalogState, TableRecord
from .keys import AFTER
from .layout import catalog_key
from .numbers import Numbers
from .undo import UndoLog

if TYPE_CHECKING:
    from .engine import KeyValueTransaction
    from .query import Scan
    from .store import RecordStore


class TransactionSession(Session):
    """
    A transaction, its savepoints, and what it knows of tables and numbers.

    Row counts and numberings are kept in memory and written at commit. With a
    savepoint set, the previous value of each key written goes to an undo log:
    engines needn't have nested transactions.
    """

    store: RecordStore

    def __init__(self, store: RecordStore) -> None:
        super().__init__(store)
        self.engine = store.engine
        self.driver_errors = store.driver_errors  # type: ignore[misc]  # known when it is opened
        self.max_key = store.engine.max_key_bytes
        self._closed = False
        #: The transaction, None outside of one.
        self.transaction: KeyValueTransaction | None = None
        self.writing = False
        #: Queries that are being read in a transaction that writes.
        self.scans: list[Scan] = []
        self._state: CatalogState | None = None
        #: Whether the catalog may have been changed by this transaction.
        self._schema_changed = False
        self._numbers: dict[int, Numbers] = {}
        #: Prefixes of dropped tables and indexes, cleared at commit.
        self._dropped: list[bytes] = []
        self._undo = UndoLog()

    # Transactions

    @safe_call
    def begin(self, *, write: bool) -> None:
        if self._closed:
            raise InterfaceError("the session is closed")
        if self.transaction is not None:
            raise InterfaceError("a transaction has already begun")
        self.transaction = self.engine.begin(write)
        self.writing = write

    @safe_call
    def upgrade(self) -> None:
        if self.writing:
            return
        try:
            self.active().upgrade()
        except ConflictError:
            # The contract: the transaction is over then.
            self.rollback()
            raise
        self.writing = True

    @safe_call
    def commit(self) -> None:
        transaction = self.active()
        if not self.writing:
            self.rollback()
            return
        try:
            self._flush(transaction)
            transaction.commit()
        except InterfaceError:
            raise  # e.g. the wrong thread: the transaction goes on
        except BaseException:
            self.rollback()
            raise
        if self._state is not None and self._schema_changed:
            self.store.remember(self._state)
        self._end()

    @safe_call
    def rollback(self) -> None:
        transaction = self.transaction
        if transaction is not None:
            transaction.abort()
            self._end()

    def close(self) -> None:
        self.rollback()
        self._closed = True

    def active(self) -> KeyValueTransaction:
        """Return the transaction. :raises InterfaceError: there is none."""
        if self.transaction is None:
            raise InterfaceError("there is no transaction")
        return self.transaction

    def _end(self) -> None:
        self.transaction = None
        self.writing = self._schema_changed = False
        self._state = None
        self._numbers.clear()
        self._dropped.clear()
        self._undo.clear()
        self.scans.clear()

    def _flush(self, transaction: KeyValueTransaction) -> None:
        for prefix in self._dropped:
            transaction.clear(prefix, prefix + AFTER)
        sources = self._catalog_state().sources
        for table_id, numbers in self._numbers.items():
            if numbers.changed and catalog_key(table_id) in sources:
                numbers.save(transaction, table_id)

    def savepoint(self) -> int:
        return self._undo.mark()

    def release(self, mark: Any) -> None:  # a mark of ours
        self._undo.release(mark)

    @safe_call
    def rollback_to(self, mark: Any) -> None:  # a mark of ours
        if self._undo.undo(mark, self.active()):
            self._state = None

    # Schema

    def catalog(self) -> Catalog:
        state = self._state
        if state is None:
            state = self._catalog_state()
        return state.catalog

    @safe_call
    def _catalog_state(self) -> CatalogState:
        state = self._state
        if state is None:
            state = self._state = self.store.catalog_state(self.active())
        return state

    def record(self, table: Table) -> TableRecord:
        """
        Return the record of a table of the present catalog.

        :raises ProgrammingError: there is none, or its columns have changed.
        """
        record = (self._state or self._catalog_state()).records.get(table.name)
        if record is None:
            raise ProgrammingError(f"no such table: {table.name}")
        if record.table is not table and record.table.columns != table.columns:
            raise ProgrammingError(
                f"the definition of table {table.name} has changed since the"
                " transaction began"
            )
        return record

    def _named(self, name: str) -> TableRecord:
        record = self._catalog_state().records.get(name)
        if record is None:
            raise ProgrammingError(f"no such table: {name}")
        return record

    def writer(self) -> KeyValueTransaction:
        if not self.writing:
            self.active()
            raise InterfaceError("the transaction was begun for reading only")
        assert self.transaction is not None
        return self.transaction

    def numbers(self, record: TableRecord) -> Numbers:
        """Return the row count and numbering of a table."""
        numbers = self._numbers.get(record.id)
        if numbers is None:
            numbers = Numbers.load(self.active(), record.id)
            self._numbers[record.id] = numbers
        return numbers

    def _undo_numbers(self, numbers: Numbers) -> None:
        if self._undo.active:
            self._undo.log((None, numbers.restorer()))

    def _too_long(self, record: TableRecord, size: int) -> DataError:
        name = record.table.name
        named = ", ".join(f"{name}.{column}" for column in record.table.primary_key)
        return DataError(
            f"{named} is too long for the primary key: its key would have {size}"
            f" bytes, but the limit is {self.max_key}. Shorten the value."
        )
