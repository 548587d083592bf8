"""``RecordSession``: the contract's session on a key-value transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backendkit.stores import (
    BATCH_BYTES,
    Access,
    Key,
    NonrelQuery,
    OperationalError,
    Row,
    Table,
    UniqueViolation,
    batches,
    safe_call,
    turns,
    weigher,
)

from .batches import batch_of
from .catalog import TableRecord
from .codec import pack, replaced, replacer
from .indexes import IndexMaintainer
from .keys import AFTER
from .query import RecordQuery
from .schema import SchemaSession

_MAX_NUMBER = (1 << 63) - 1
#: Fewer rows are inserted one by one; of more, so many at once.
_FEW, _BATCH = 4, 1000


class RecordSession(SchemaSession):
    """Rows, read and written together with their index entries."""

    # Reading

    def query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> NonrelQuery:
        return RecordQuery(self, table, columns, access)

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
        self.writer()
        record = self.record(table)
        if len(rows) < _FEW or self.scans:
            return self._insert_each(record, rows)
        keys: list[Key] = []
        for some in batches(rows, _BATCH, weigher(table.columns)):
            done = self._insert_batch(record, some)
            # One that can't be inserted is found, and named, row by row.
            keys += self._insert_each(record, some) if done is None else done
        return keys

    def _insert_batch(
        self, record: TableRecord, rows: Sequence[Row]
    ) -> list[Key] | None:
        """Insert rows and return their primary keys; None if that can't be done."""
        transaction = self.writer()
        numbers = self.numbers(record)
        batch = batch_of(record, rows, numbers.last, self.max_key)
        if batch is None:
            return None
        undo = self._undo
        numbered = batch.numbered
        if numbered and transaction.first(batch.rows[0][0], record.prefix + AFTER, 1):
            numbered = False
        self._undo_numbers(numbers)
        written: list[bytes] = []
        for pairs, known in ((batch.rows, not numbered), *batch.entries):
            if known:
                add = transaction.add
                for key, value in pairs:
                    if not add(key, value):
                        for one in written:
                            transaction.delete(one)
                        return None
                    written.append(key)
                    if undo.active:
                        undo.log((key, None))
            else:
                # With a new number in their keys they can't be there.
                keys = [key for key, _ in pairs]
                written += keys
                if undo.active:
                    undo.log_all([(key, None) for key in keys])
                if pairs is batch.rows:
                    transaction.append(pairs, record.prefix + AFTER)
                else:
                    transaction.put_all(pairs)
        numbers.rows += len(rows)
        numbers.last = batch.last
        numbers.changed = True
        return batch.keys

    def _insert_each(self, record: TableRecord, rows: Sequence[Row]) -> list[Key]:
        transaction = self.writer()
        table = record.table
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
                                f"{table.name}.{table.columns[auto].name}: all"
                                " automatic numbers are used up"
                            )
                        last += 1
                        row = (*row[:auto], last, *row[auto + 1 :])
                    elif number > last:
                        last = number
                primary_key = encode_key(row)
                key = prefix + primary_key
                if len(key) > max_key:
                    raise self._too_long(record, len(key))
                if not add(key, pack(row + tag)):
                    raise UniqueViolation(table.name, table.primary_key)
                if log is not None:
                    log((key, None))
                for maintainer in maintainers:
                    entry, value, exclusive = maintainer.entry(
                        row, primary_key, max_key
                    )
                    taken = value is not primary_key and self._shortened(
                        record, maintainer, entry, row, exclusive, primary_key
                    )
                    if not taken and add(entry, value):
                        if log is not None:
                            log((entry, None))
                        if scans:
                            self._added(entry)
                        continue
                    self._take_back(record, row, primary_key, maintainer)
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
        transaction = self.writer()
        transaction.delete(record.prefix + primary_key)
        for maintainer in record.maintainers:
            if maintainer is failed:
                break
            transaction.delete(maintainer.entry(row, primary_key, self.max_key)[0])

    def _added(self, key: bytes) -> None:
        """Keep queries that are being read from meeting what they caused."""
        for scan in self.scans:
            scan.added(key)

    @safe_call
    def update(self, table: Table, key: Key, row: Row) -> None:
        transaction = self.writer()
        record = self.record(table)
        row = record.check(row)
        old_key = self._row_key(record, key)
        old_data = transaction.get(old_key) if len(old_key) <= self.max_key else None
        if old_data is not None:
            self._replace(record, old_key, old_data, record.read(old_data), row)

    def _replace(
        self,
        record: TableRecord,
        old_key: bytes,
        old_data: bytes,
        old_row: Row,
        row: Row,
    ) -> None:
        """Write a row in the place of another one."""
        transaction = self.writer()
        table = record.table
        skip = len(record.prefix)
        new_primary_key = record.primary_key.key(row)
        new_key = record.prefix + new_primary_key
        moved = new_key != old_key
        if moved:
            if len(new_key) > self.max_key:
                raise self._too_long(record, len(new_key))
            if transaction.get(new_key) is not None:
                raise UniqueViolation(table.name, table.primary_key)
        # First look, then write: a violation changes nothing.
        entries: list[tuple[bytes, bytes, bytes, bytes]] = []
        max_key = self.max_key
        old_primary_key = old_key[skip:]
        for maintainer in record.maintainers:
            for position in maintainer.expression.positions:
                if old_row[position] != row[position]:
                    break
            else:
                if not moved:
                    continue
            new_entry, value, exclusive = maintainer.entry(
                row, new_primary_key, max_key
            )
            old_entry, old_value, _ = maintainer.entry(
                old_row, old_primary_key, max_key
            )
            if value is not new_primary_key:
                taken = self._shortened(
                    record, maintainer, new_entry, row, exclusive, old_primary_key
                )
            else:
                taken = (
                    exclusive
                    and new_entry != old_entry
                    and transaction.get(new_entry) is not None
                )
            if taken:
                raise UniqueViolation(table.name, maintainer.index.columns)
            entries.append((old_entry, old_value, new_entry, value))
        data = pack((*row, record.layout))
        if data == old_data and not moved:
            return  # and a transaction without a change has nothing to sync
        log = self._undo.log if self._undo.active else None
        if moved:
            transaction.delete(old_key)
            if log is not None:
                log((old_key, old_data))
                log((new_key, None))
        elif log is not None:
            log((new_key, old_data))
        transaction.put(new_key, data)
        for old_entry, old_value, new_entry, value in entries:
            if log is not None:
                log((old_entry, old_value))
            if old_entry != new_entry:
                transaction.delete(old_entry)
                if log is not None:
                    log((new_entry, None))
                if self.scans:
                    self._added(new_entry)
            transaction.put(new_entry, value)
        if moved and self.scans:
            self._added(new_key)
        auto = record.table.auto_increment
        if auto is not None and row[auto] is not None:
            numbers = self.numbers(record)
            if row[auto] > numbers.last:
                self._undo_numbers(numbers)
                numbers.last = row[auto]
                numbers.changed = True

    def change(
        self,
        record: TableRecord,
        values: Mapping[int, Any],
        rows: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """
        Set columns of rows that are there.

        :param values: right ones, by the columns' positions, none of which is in
            the primary key.
        :param rows: keys, complete, and the rows as they are stored.
        """
        if not record.plain(values):
            for key, data in rows:
                old = record.read(data)
                row = list(old[: record.width])
                for position, value in values.items():
                    row[position] = value
                self._replace(record, key, data, old, tuple(row))
            return
        replace = replacer(values)
        changed = []
        log = self._undo.log if self._undo.active else None
        for key, data in rows:
            new = replace(data)
            # A transaction without a change has nothing to sync.
            if new != data:
                changed.append((key, new))
                if log is not None:
                    log((key, data))
        self.writer().put_all(changed)

    @safe_call
    def set_columns(
        self, table: Table, names: Sequence[str], changes: Mapping[Key, Sequence[Any]]
    ) -> None:
        transaction = self.writer()
        record = self.record(table)
        positions = [record.table.positions[name] for name in names]
        plain = record.plain(positions)
        convert = record.check.convert
        columns = [record.table.columns[position] for position in positions]
        log = self._undo.log if self._undo.active else None
        changed: list[tuple[bytes, bytes]] = []
        size = 0
        for key, given in changes.items():
            values = [
                None if value is None else convert(column, value)
                for column, value in zip(columns, given, strict=True)
            ]
            row_key = self._row_key(record, key)
            data = transaction.get(row_key) if len(row_key) <= self.max_key else None
            if data is None:
                continue
            if plain:
                new = replaced(data, positions, values)
                if new != data:
                    changed.append((row_key, new))
                    size += len(new)
                    if log is not None:
                        log((row_key, data))
                    if size >= BATCH_BYTES:
                        transaction.put_all(changed)
                        changed.clear()
                        size = 0
                continue
            old = record.read(data)
            row = list(old[: record.width])
            for position, value in zip(positions, values, strict=True):
                row[position] = value
            self._replace(record, row_key, data, old, tuple(row))
        if changed:
            transaction.put_all(changed)

    @safe_call
    def delete(self, table: Table, keys: Sequence[Key]) -> int:
        transaction = self.writer()
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
                turns.pause()
                count += 1
                if log is not None:
                    log((key, data))
                if record.maintainers:
                    row = record.read(data)
                    for maintainer in record.maintainers:
                        entry, value, _ = maintainer.entry(
                            row, key[skip:], self.max_key
                        )
                        transaction.delete(entry)
                        if log is not None:
                            log((entry, value))
        finally:
            numbers.rows -= count
            numbers.changed = True
        return count

    @safe_call
    def reset_sequence(self, table: Table, value: int = 0) -> None:
        self.writer()
        numbers = self.numbers(self.record(table))
        self._undo_numbers(numbers)
        numbers.last = value
        numbers.changed = True
