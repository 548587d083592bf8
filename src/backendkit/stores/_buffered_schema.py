"""Changes of tables that are kept until the commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ._buffer import Numbering, TableBuffer
from ._buffered_reads import BufferedReads
from ._errors import ProgrammingError, UniqueViolation
from ._schema import Catalog, Index, Table
from ._session import Row


class BufferedSchema(BufferedReads):
    """The part of :class:`BufferedSession` that makes, alters and drops tables."""

    def create_table(self, table: Table) -> None:
        self._require_writing()
        if table.name in self.catalog().tables:
            raise ProgrammingError(f"table {table.name} already exists")
        self._define(None, TableBuffer(table, None))

    def drop_table(self, name: str) -> None:
        before = self._buffer(self._named(name)).before
        self._define(name, None)
        if before is not None:
            self._drops = (*self._drops, before)

    def alter_table(
        self,
        name: str,
        table: Table,
        renames: Mapping[str, str] | None = None,
        fill: Mapping[str, Any] | None = None,
    ) -> None:
        old = self._buffer(self._named(name))
        new = old.altered(table, renames or {}, fill or {})
        known = {index.name for index in old.table.indexes}
        self._define(name, new)
        for index in table.indexes:
            if index.unique and index.name not in known:
                self._check_index(table, index)
        numbered, former = table.auto_increment, old.table.auto_increment
        if numbered is not None and former is None:
            at = table.columns[numbered].name
            last = max((row[0] or 0 for row in self._read(table, [at])), default=0)
            last = max(last, old.numbering.last)
            new.numbering = Numbering(own=True, last=last)

    def _define(self, name: str | None, buffer: TableBuffer | None) -> None:
        """Replace a table, None for no table, so that it can be undone."""
        was = dict(self._buffers), self._drops, self._changed
        self._undo_by(self._redefine, *was)
        tables = dict(self.catalog().tables)
        if name is not None:
            del tables[name]
            self._buffers.pop(name, None)
        if buffer is not None:
            tables[buffer.table.name] = buffer.table
            self._buffers[buffer.table.name] = buffer
        # object() equals nothing else: no other catalog has this version.
        self._changed = Catalog(object(), tables)

    def _redefine(
        self,
        buffers: dict[str, TableBuffer],
        drops: tuple[Table, ...],
        changed: Catalog | None,
    ) -> None:
        for buffer in self._buffers.values():
            before = buffer.before
            if before is None or not buffer.kept:
                continue
            if all(other.before is not before for other in buffers.values()):
                # First used since: what was read FOR UPDATE stays a precondition.
                buffers[before.name] = again = TableBuffer(before, before)
                again.kept = buffer.kept
        self._buffers, self._drops, self._changed = buffers, drops, changed

    def _check_index(self, table: Table, index: Index) -> None:
        """Check that rows don't violate a new unique index."""
        found = set()
        for values in self._read(table, index.columns):
            if None not in values:
                if values in found:
                    raise UniqueViolation(table.name, index.columns)
                found.add(values)

    def _read(self, table: Table, columns: Sequence[str]) -> Iterator[Row]:
        """Read columns of all rows, those in the buffer included."""
        return self.query(table, columns, self.access(table, ())).fetch()
