"""``SchemaSession``: tables and indexes, made, changed and dropped."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backendkit.stores import (
    Index,
    ProgrammingError,
    Row,
    Table,
    UniqueViolation,
    safe_call,
)

from .catalog import TableRecord
from .codec import MAX_LAYOUTS, pack
from .formats import SHORTENED_ENTRIES, raised
from .indexes import ANY_DIGEST, IndexMaintainer, is_shortened, primary_key_of
from .keys import AFTER
from .layout import (
    FORMAT_KEY,
    NEXT_ID_KEY,
    VERSION_KEY,
    catalog_key,
    index_prefix,
    numbers_key,
    rows_prefix,
)
from .transactions import TransactionSession
from .undo import UndoLog

if TYPE_CHECKING:
    pass

#: Rows read at a time while an index is built.
_BATCH = 1000


class SchemaSession(TransactionSession):
    """
    Changes of the catalog.

    A dropped table or index only leaves the catalog; what it held is cleared
    when the transaction commits, so that a savepoint can bring it back.
    """

    def _new_ids(self, count: int) -> range:
        transaction = self.writer()
        stored = transaction.get(NEXT_ID_KEY)
        first = int.from_bytes(stored, "big") if stored else 1
        self._put(NEXT_ID_KEY, (first + count).to_bytes(8, "big"))
        return range(first, first + count)

    def _put(self, key: bytes, value: bytes) -> None:
        """Write a pair that isn't a row's or an index's."""
        transaction = self.writer()
        if self._undo.active:
            self._undo.log((key, transaction.get(key)))
        transaction.put(key, value)

    def _change_catalog(self, old: TableRecord | None, new: TableRecord | None) -> None:
        """Replace one record, None for no table, and store it."""
        transaction = self.writer()
        state = self._catalog_state()
        source = None
        if new is not None:
            source = new.to_json()
            self._put(catalog_key(new.id), source)
        elif old is not None:
            key = catalog_key(old.id)
            if self._undo.active:
                self._undo.log((key, transaction.get(key)))
            transaction.delete(key)
        # Random: a version that was rolled back never comes again.
        version = os.urandom(16)
        self._put(VERSION_KEY, version)
        self._schema_changed = True
        self._state = state.changed(version, old, new, source)

    @safe_call
    def create_table(self, table: Table) -> None:
        self.writer()
        if table.name in self._catalog_state().records:
            raise ProgrammingError(f"table {table.name} already exists")
        table_id, *index_ids = self._new_ids(1 + len(table.indexes))
        names = (index.name for index in table.indexes)
        ids = dict(zip(names, index_ids, strict=True))
        self._change_catalog(None, TableRecord.new(table_id, table, ids))

    @safe_call
    def drop_table(self, name: str) -> None:
        self.writer()
        record = self._named(name)
        self._change_catalog(record, None)
        self._drop(rows_prefix(record.id))
        self._drop(numbers_key(record.id))
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
        self.writer()
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
        transaction = self.writer()
        new = record.only_layout()
        start, stop = record.prefix, record.prefix + AFTER
        while pairs := transaction.first(start, stop, _BATCH):
            for key, data in pairs:
                row = record.read(data)[: record.width]
                if self._undo.active:
                    self._undo.log((key, data))
                transaction.put(key, pack((*row, 0)))
            start = pairs[-1][0] + b"\x00"
        return new

    @safe_call
    def create_index(self, table: str, index: Index) -> None:
        self.writer()
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
        except UniqueViolation:
            self.writer().clear(prefix, prefix + AFTER)
            raise
        self._change_catalog(old, new)

    def _build(self, record: TableRecord, maintainer: IndexMaintainer) -> None:
        transaction = self.writer()
        max_key = self.max_key
        skip = len(record.prefix)
        start, stop = record.prefix, record.prefix + AFTER
        while pairs := transaction.first(start, stop, _BATCH):
            for key, data in pairs:
                row = record.read(data)
                entry, value, exclusive = maintainer.entry(row, key[skip:], max_key)
                if is_shortened(value):
                    taken = self._shortened(record, maintainer, entry, row, exclusive)
                else:
                    taken = False
                if taken or not transaction.add(entry, value):
                    raise UniqueViolation(record.table.name, maintainer.index.columns)
            start = pairs[-1][0] + b"\x00"

    def _shortened(
        self,
        record: TableRecord,
        maintainer: IndexMaintainer,
        entry: bytes,
        row: Row,
        exclusive: bool,
        but: bytes | None = None,
    ) -> bool:
        """
        Prepare to write a shortened entry; return whether another row excludes it.

        :param row: the one that the entry is of.
        :param exclusive: whether it excludes rows of equal values.
        :param but: the encoded primary key of the row that may have these values.
        """
        transaction = self.writer()
        marker = raised(transaction.get(FORMAT_KEY), SHORTENED_ENTRIES)
        if marker is not None:
            self._put(FORMAT_KEY, marker)
        if not exclusive:
            return False
        key, _ = maintainer.expression(row)
        stem = maintainer.stem(key, self.max_key)
        for _, value in transaction.range(stem, stem + ANY_DIGEST):
            primary_key = primary_key_of(value)
            if primary_key == but:
                continue
            data = transaction.get(record.prefix + primary_key)
            if data is not None and maintainer.expression(record.read(data))[0] == key:
                return True
        return False

    @safe_call
    def drop_index(self, table: str, name: str) -> None:
        self.writer()
        old = self._named(table)
        if name not in old.index_ids:
            raise ProgrammingError(f"no such index: {name}")
        self._change_catalog(old, old.without_index(name))
        self._drop(index_prefix(old.index_ids[name]))
