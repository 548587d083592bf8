"""``RecordSession``: the contract's session on a key-value transaction."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from backendkit.stores import (
    Access,
    Catalog,
    ConflictError,
    DataError,
    Index,
    InterfaceError,
    Key,
    NonrelQuery,
    OperationalError,
    ProgrammingError,
    Row,
    Session,
    Table,
    UniqueViolation,
    safe_call,
)

from .catalog import CatalogState, TableRecord
from .codec import MAX_LAYOUTS, pack
from .indexes import IndexMaintainer
from .keys import AFTER
from .layout import NEXT_ID_KEY, VERSION_KEY, catalog_key, index_prefix, rows_prefix
from .numbers import Numbers
from .query import RecordQuery
from .undo import UndoLog

if TYPE_CHECKING:
    from .engine import KeyValueTransaction
    from .query import Scan
    from .store import RecordStore

_MAX_NUMBER = (1 << 63) - 1
#: Rows read at a time while an index is built.
_BATCH = 1000


class RecordSession(Session):
    """
    Transactions over tables kept in a key-value engine.

    Row counts and numberings are kept in memory and written at commit. With a
    savepoint set, the previous value of each key written goes to an undo log:
    engines needn't have nested transactions.
    """

    store: RecordStore

    def __init__(self, store: RecordStore) -> None:
        super().__init__(store)
        self.engine = store.engine
        self.driver_errors = store.engine.driver_errors  # type: ignore[misc]
        self.max_key = store.engine.max_key_bytes
        self._closed = False
        #: The transaction, None outside of one.
        self.transaction: KeyValueTransaction | None = None
        self.writing = False
        #: Queries that are being read in a transaction that writes.
        self.scans: list[Scan] = []
        self._state: CatalogState | None = None
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
            raise InterfaceError("a transaction has begun already")
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
        self.writing = False
        self._state = None
        self._numbers.clear()
        self._dropped.clear()
        self._undo.clear()
        self.scans.clear()

    def _flush(self, transaction: KeyValueTransaction) -> None:
        for prefix in self._dropped:
            transaction.clear(prefix, prefix + AFTER)
        ids = self._catalog_state().ids
        for table_id, numbers in self._numbers.items():
            if numbers.changed and table_id in ids:
                numbers.save(transaction, table_id)

    def savepoint(self) -> int:
        return self._undo.mark()

    def release(self, mark: Any) -> None:  # noqa: ANN401  # a mark of ours
        self._undo.release(mark)

    @safe_call
    def rollback_to(self, mark: Any) -> None:  # noqa: ANN401  # a mark of ours
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
            raise ProgrammingError(f"{table.name}: its definition has changed since")
        return record

    def _named(self, name: str) -> TableRecord:
        record = self._catalog_state().records.get(name)
        if record is None:
            raise ProgrammingError(f"no such table: {name}")
        return record

    def _writer(self) -> KeyValueTransaction:
        if not self.writing:
            self.active()
            raise InterfaceError("the transaction was begun for reading only")
        assert self.transaction is not None
        return self.transaction

    def _new_ids(self, count: int) -> range:
        transaction = self._writer()
        stored = transaction.get(NEXT_ID_KEY)
        first = int.from_bytes(stored, "big") if stored else 1
        self._put(NEXT_ID_KEY, (first + count).to_bytes(8, "big"))
        return range(first, first + count)

    def _put(self, key: bytes, value: bytes) -> None:
        """Write a pair that isn't a row's or an index's."""
        transaction = self._writer()
        if self._undo.active:
            self._undo.log((key, transaction.get(key)))
        transaction.put(key, value)

    def _change_catalog(self, old: TableRecord | None, new: TableRecord | None) -> None:
        """Replace one record, None for no table, and store it."""
        transaction = self._writer()
        state = self._catalog_state()
        records = dict(state.records)
        sources = dict(state.sources)
        if old is not None:
            del records[old.table.name]
        if new is not None:
            source = new.to_json()
            self._put(catalog_key(new.id), source)
            records[new.table.name] = new
            sources[source] = new
        elif old is not None:
            key = catalog_key(old.id)
            if self._undo.active:
                self._undo.log((key, transaction.get(key)))
            transaction.delete(key)
        # Random: a version that was rolled back never comes again.
        version = os.urandom(16)
        self._put(VERSION_KEY, version)
        self._state = CatalogState(version, records, sources)

    @safe_call
    def create_table(self, table: Table) -> None:
        self._writer()
        if table.name in self._catalog_state().records:
            raise ProgrammingError(f"table {table.name} already exists")
        table_id, *index_ids = self._new_ids(1 + len(table.indexes))
        names = (index.name for index in table.indexes)
        ids = dict(zip(names, index_ids, strict=True))
        self._change_catalog(None, TableRecord.new(table_id, table, ids))

    @safe_call
    def drop_table(self, name: str) -> None:
        self._writer()
        record = self._named(name)
        self._change_catalog(record, None)
        self._drop(rows_prefix(record.id))
        for index_id in record.index_ids.values():
            self._drop(index_prefix(index_id))

    def _drop(self, prefix: bytes) -> None:
        """Remove all keys with this prefix when the transaction commits."""
        if self._undo.active:
            count = len(self._dropped)
            self._undo.log(
                (None, lambda: self._dropped.__delitem__(slice(count, None)))
            )
        self._dropped.append(prefix)

    @safe_call
    def alter_table(
        self,
        name: str,
        table: Table,
        renames: Mapping[str, str] | None = None,
        fill: Mapping[str, Any] | None = None,
    ) -> None:
        self._writer()
        old = self._named(name)
        if table.name != name and table.name in self._catalog_state().records:
            raise ProgrammingError(f"table {table.name} already exists")
        new = old.altered(table, renames or {}, fill or {})
        if new.layouts != old.layouts:
            if not self.numbers(old).rows:
                new = new.only_layout()
            elif len(new.layouts) > MAX_LAYOUTS:
                new = self._rewrite(new)
        self._change_catalog(old, new)
        auto = new.table.auto_increment
        if auto is not None and auto != old.table.auto_increment:
            self._start_numbering(new, auto)

    def _start_numbering(self, record: TableRecord, auto: int) -> None:
        """Move the numbering behind the rows that exist."""
        transaction = self.active()
        numbers = self.numbers(record)
        pairs = transaction.range(record.prefix, record.prefix + AFTER)
        last = max((record.read(data)[auto] or 0 for _, data in pairs), default=0)
        if last > numbers.last:
            self._undo_numbers(numbers)
            numbers.last = last
            numbers.changed = True

    def _rewrite(self, record: TableRecord) -> TableRecord:
        """Write all rows in the present layout, as layout numbers are used up."""
        transaction = self._writer()
        new = record.only_layout()
        start, stop = record.prefix, record.prefix + AFTER
        while batch := _first(transaction, start, stop):
            for key, data in batch:
                row = record.read(data)[: record.width]
                if self._undo.active:
                    self._undo.log((key, data))
                transaction.put(key, pack((*row, 0)))
            start = batch[-1][0] + b"\x00"
        return new

    @safe_call
    def create_index(self, table: str, index: Index) -> None:
        self._writer()
        old = self._named(table)
        if index.name in old.index_ids:
            raise ProgrammingError(f"index {index.name} already exists")
        (index_id,) = self._new_ids(1)
        new = old.with_index(index, index_id)
        prefix = index_prefix(index_id)
        if self._undo.active:
            self._undo.log((prefix, UndoLog.CLEAR))
        try:
            self._build(new, new.maintainer[index.name])
        except (UniqueViolation, DataError):
            self._writer().clear(prefix, prefix + AFTER)
            raise
        self._change_catalog(old, new)

    def _build(self, record: TableRecord, maintainer: IndexMaintainer) -> None:
        transaction = self._writer()
        skip = len(record.prefix)
        start, stop = record.prefix, record.prefix + AFTER
        while batch := _first(transaction, start, stop):
            for key, data in batch:
                row = record.read(data)
                entry, _ = maintainer.entry(row, key[skip:])
                if len(entry) > self.max_key:
                    raise self._too_long(record, maintainer, len(entry))
                if not transaction.add(entry, key[skip:]):
                    raise UniqueViolation(record.table.name, maintainer.index.columns)
            start = batch[-1][0] + b"\x00"

    @safe_call
    def drop_index(self, table: str, name: str) -> None:
        self._writer()
        old = self._named(table)
        if name not in old.index_ids:
            raise ProgrammingError(f"no such index: {name}")
        self._change_catalog(old, old.without_index(name))
        self._drop(index_prefix(old.index_ids[name]))

    # Reading

    def query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> NonrelQuery:
        return RecordQuery(self, table, columns, access)

    def numbers(self, record: TableRecord) -> Numbers:
        """Return the row count and numbering of a table."""
        numbers = self._numbers.get(record.id)
        if numbers is None:
            numbers = Numbers.load(self.active(), record.id)
            self._numbers[record.id] = numbers
        return numbers

    @safe_call
    def estimated_rows(self, table: Table) -> int:
        return self.numbers(self.record(table)).rows

    @safe_call
    def get(self, table: Table, key: Key) -> Row | None:
        record = self.record(table)
        row_key = self._row_key(record, key)
        if len(row_key) > self.max_key:
            return None
        data = self.active().get(row_key)
        return None if data is None else record.read(data)[: record.width]

    def _row_key(self, record: TableRecord, key: Key) -> bytes:
        try:
            return record.prefix + record.primary_key.of_values(key)
        except (TypeError, AttributeError, ValueError, OverflowError):
            columns = [record.table.column(name) for name in record.table.primary_key]
            converted = [
                record.check.convert(column, value)
                for column, value in zip(columns, key, strict=True)
            ]
            return record.prefix + record.primary_key.of_values(converted)

    # Writing

    @safe_call
    def insert(self, table: Table, rows: Sequence[Row]) -> list[Key]:
        transaction = self._writer()
        record = self.record(table)
        numbers = self.numbers(record)
        undo = self._undo
        log = undo.log if undo.active else None
        self._undo_numbers(numbers)
        check = record.check
        prefix = record.prefix
        encode_key = record.primary_key.key
        key_of = record.table.key_of
        maintainers = record.maintainers
        auto = record.table.auto_increment
        add = transaction.add
        tag = (record.layout,)
        scans = self.scans
        max_key = self.max_key
        last = numbers.last
        keys: list[Key] = []
        try:
            for given in rows:
                row = check(given)
                if auto is not None:
                    number = row[auto]
                    if number is None:
                        if last >= _MAX_NUMBER:
                            raise OperationalError(
                                f"{table.name}.{table.columns[auto].name}: the"
                                " numbers are used up"
                            )
                        last += 1
                        row = (*row[:auto], last, *row[auto + 1 :])
                    elif number > last:
                        last = number
                primary_key = encode_key(row)
                key = prefix + primary_key
                if len(key) > max_key:
                    raise self._too_long(record, None, len(key))
                if not add(key, pack(row + tag)):
                    raise UniqueViolation(table.name, table.primary_key)
                if log is not None:
                    log((key, None))
                for maintainer in maintainers:
                    entry, _ = maintainer.entry(row, primary_key)
                    if len(entry) <= max_key and add(entry, primary_key):
                        if log is not None:
                            log((entry, None))
                        if scans:
                            self._added(entry)
                        continue
                    self._take_back(record, row, primary_key, maintainer)
                    if len(entry) > max_key:
                        raise self._too_long(record, maintainer, len(entry))
                    raise UniqueViolation(table.name, maintainer.index.columns)
                if scans:
                    self._added(key)
                keys.append(key_of(row))
        finally:
            numbers.rows += len(keys)
            numbers.last = last
            numbers.changed = True
        return keys

    def _take_back(
        self, record: TableRecord, row: Row, primary_key: bytes, failed: IndexMaintainer
    ) -> None:
        """Remove the parts of a row that were written before an index refused it."""
        transaction = self._writer()
        transaction.delete(record.prefix + primary_key)
        for maintainer in record.maintainers:
            if maintainer is failed:
                break
            transaction.delete(maintainer.entry(row, primary_key)[0])

    def _undo_numbers(self, numbers: Numbers) -> None:
        if self._undo.active:
            self._undo.log((None, numbers.restorer()))

    def _added(self, key: bytes) -> None:
        """Keep queries that are being read from meeting what they caused."""
        for scan in self.scans:
            scan.added(key)

    @safe_call
    def update(self, table: Table, key: Key, row: Row) -> None:
        transaction = self._writer()
        record = self.record(table)
        row = record.check(row)
        skip = len(record.prefix)
        old_key = self._row_key(record, key)
        old_data = transaction.get(old_key) if len(old_key) <= self.max_key else None
        if old_data is None:
            return
        old_row = record.read(old_data)
        new_primary_key = record.primary_key.key(row)
        new_key = record.prefix + new_primary_key
        moved = new_key != old_key
        if moved:
            if len(new_key) > self.max_key:
                raise self._too_long(record, None, len(new_key))
            if transaction.get(new_key) is not None:
                raise UniqueViolation(table.name, table.primary_key)
        # First look, then write: a violation changes nothing.
        entries: list[tuple[bytes, bytes]] = []
        for maintainer in record.maintainers:
            for position in maintainer.expression.positions:
                if old_row[position] != row[position]:
                    break
            else:
                if not moved:
                    continue
            new_entry, exclusive = maintainer.entry(row, new_primary_key)
            if len(new_entry) > self.max_key:
                raise self._too_long(record, maintainer, len(new_entry))
            old_entry, _ = maintainer.entry(old_row, old_key[skip:])
            if exclusive and new_entry != old_entry and transaction.get(new_entry):
                raise UniqueViolation(table.name, maintainer.index.columns)
            entries.append((old_entry, new_entry))
        log = self._undo.log if self._undo.active else None
        if moved:
            transaction.delete(old_key)
            if log is not None:
                log((old_key, old_data))
                log((new_key, None))
        elif log is not None:
            log((new_key, old_data))
        transaction.put(new_key, pack((*row, record.layout)))
        for old_entry, new_entry in entries:
            if log is not None:
                log((old_entry, old_key[skip:]))
            if old_entry != new_entry:
                transaction.delete(old_entry)
                if log is not None:
                    log((new_entry, None))
                if self.scans:
                    self._added(new_entry)
            transaction.put(new_entry, new_primary_key)
        if moved and self.scans:
            self._added(new_key)
        auto = record.table.auto_increment
        if auto is not None and row[auto] is not None:
            numbers = self.numbers(record)
            if row[auto] > numbers.last:
                self._undo_numbers(numbers)
                numbers.last = row[auto]
                numbers.changed = True

    @safe_call
    def delete(self, table: Table, keys: Sequence[Key]) -> int:
        transaction = self._writer()
        record = self.record(table)
        numbers = self.numbers(record)
        self._undo_numbers(numbers)
        log = self._undo.log if self._undo.active else None
        skip = len(record.prefix)
        count = 0
        try:
            for values in keys:
                key = self._row_key(record, values)
                data = transaction.get(key) if len(key) <= self.max_key else None
                if data is None:
                    continue
                transaction.delete(key)
                count += 1
                if log is not None:
                    log((key, data))
                if record.maintainers:
                    row = record.read(data)
                    for maintainer in record.maintainers:
                        entry, _ = maintainer.entry(row, key[skip:])
                        transaction.delete(entry)
                        if log is not None:
                            log((entry, key[skip:]))
        finally:
            numbers.rows -= count
            numbers.changed = True
        return count

    @safe_call
    def reset_sequence(self, table: Table, value: int = 0) -> None:
        self._writer()
        numbers = self.numbers(self.record(table))
        self._undo_numbers(numbers)
        numbers.last = value
        numbers.changed = True

    def _too_long(
        self, record: TableRecord, maintainer: IndexMaintainer | None, size: int
    ) -> DataError:
        name = record.table.name
        if maintainer is None:
            columns, what = record.table.primary_key, "the primary key"
            remedy = "Shorten the value"
        else:
            columns, what = maintainer.index.columns, f"index {maintainer.index.name}"
            remedy = "Shorten the value or remove the index"
        named = ", ".join(f"{name}.{column}" for column in columns)
        return DataError(
            f"{named}: too long for {what}: its key would have {size} bytes,"
            f" the limit is {self.max_key}. {remedy}."
        )


def _first(
    transaction: KeyValueTransaction, start: bytes, stop: bytes
) -> list[tuple[bytes, bytes]]:
    """Return the first pairs of a range: memory stays bounded."""
    pairs = []
    for pair in transaction.range(start, stop):
        pairs.append(pair)
        if len(pairs) == _BATCH:
            break
    return pairs
