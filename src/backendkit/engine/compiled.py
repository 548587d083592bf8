"""Statements of the compiler: what they mean is beside their text."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backendkit.stores import Access, Row

from .changing import Changes
from .native import Prepared
from .parameters import bindable
from .running import Filter, Running
from .values import to_store


class Select(str):
    """A SELECT by the compiler: its values are converted there, not by the cursor."""

    __slots__ = ()


class Insert(str):
    """
    An INSERT by the compiler, with what it means beside its text.

    Virtual tables have neither RETURNING nor ON CONFLICT, so it isn't run as
    SQL. The text is what logs and wrappers see.

    :param table: name of the table.
    :param columns: names of the columns given.
    :param rows: placeholders of each row, in SQL; plain parameters are ``%s``.
    :param on_conflict: None, ``ignore`` or ``update``.
    :param update_columns: what ON CONFLICT … DO UPDATE sets.
    :param unique_columns: the target of ON CONFLICT.
    :param returning: names of the columns to return, a row for each row kept.
    """

    table: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    on_conflict: str | None
    update_columns: tuple[str, ...]
    unique_columns: tuple[str, ...]
    returning: tuple[str, ...]


class NativeRead(str):
    """A SELECT that is run without SQL; its text is for people, and may say less."""

    __slots__ = ("filters", "high", "low", "prepared")

    prepared: Prepared
    filters: Sequence[Filter]
    low: int
    high: int | None

    def run(self, running: Running) -> Iterator[Row]:
        """Return an iterator of rows, in the store's terms."""
        return self.prepared.run(running, self.filters, self.low, self.high)


class NativeWrite(str):
    """An UPDATE or DELETE that is run without SQL; its text is for people."""

    __slots__ = ("changes", "filters", "prepared")

    #: Reads the primary keys of the rows.
    prepared: Prepared
    filters: Sequence[Filter]
    #: Values by column name, in SQLite's terms; None to delete.
    changes: dict[str, Any] | None

    def run(self, running: Running) -> Running:
        """Change or delete the rows; return the statement, which counts them."""
        self.prepared.check(running.session)
        if self.changes is None:
            self._delete(running)
        else:
            self._change(running, self.changes)
        return running

    def _delete(self, running: Running) -> None:
        table = self.prepared.table
        keys = self.prepared.keys(running, self.filters)
        writer = running.connection.tables.writer(running.session, table)
        with _noted(running, self.prepared, "delete"):
            running.changes += writer.delete_all(keys)

    def _change(self, running: Running, by_name: Mapping[str, Any]) -> None:
        session, table = running.session, self.prepared.table
        writer = running.connection.tables.writer(session, table)
        changes = {writer.number(name): v for name, v in by_name.items()}
        writer.refuse_generated(changes, "UPDATE")
        for number, value in changes.items():
            if not bindable(value):
                # An error as of SQL, whether there are rows or not.
                to_store(table.name, table.columns[number], value)
        values = writer.plain_changes(changes) if self.prepared.updates else None
        if values is not None:
            access = self.prepared.access(session)
            with _noted(running, self.prepared, "update", access) as entry:
                query = self.prepared.selected(running, self.filters, access, entry)
                running.changes += writer.change_all(query, values)
            return
        keys = self.prepared.keys(running, self.filters)
        with _noted(running, self.prepared, "update"):
            together = Changes(writer, tuple(changes))
            for key in keys:
                together.add(key, changes)
                running.changes += 1
            together.flush()


@contextlib.contextmanager
def _noted(
    running: Running, prepared: Prepared, call: str, access: Access | None = None
) -> Iterator[dict[str, Any] | None]:
    """
    Note a call that writes, with the rows that it changes and its seconds.

    :param access: how it finds them, if it does.
    """
    if running.trace is None:
        yield None
        return
    if access is not None:
        call = f"{call}, {prepared.describe(access)}"
    entry = running.trace_call(prepared.table.name, call)
    start = time.perf_counter()
    yield entry
    entry["rows"] = running.changes
    entry["time"] = time.perf_counter() - start
