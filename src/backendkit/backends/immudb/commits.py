"""One commit: what has changed becomes statements, and a new catalog."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from backendkit.stores import Catalog, Error, Row, Table, TableChange

from . import changes as statements
from .catalog import CREATE_OWN, META, NUMBERS, TABLES, Schema, Stored
from .changes import Statement
from .names import physical, quoted
from .times import far_times
from .types import check_rows, decoder

if TYPE_CHECKING:
    from .driver import Connection
    from .shared import Shared

#: Bytes and statements of one request, about. While the server runs it, we make the next.
_REQUEST, _STATEMENTS = 128_000, 500


class Commit:
    """
    One commit: the statements, and what the catalog is then.

    :param connection: in the transaction.
    :param schema: the tables as they are committed.
    """

    def __init__(self, shared: Shared, connection: Connection, schema: Schema) -> None:
        self._shared = shared
        self._connection = connection
        self._schema = schema
        self._stored = dict(schema.stored)
        self._waiting: list[Statement] = []
        self._changed = False
        #: Tables that are made anew, with all their rows.
        self._copied: set[str] = set()
        self._definitions: dict[str, Stored | None] = {}
        #: What is done after the commit. If it isn't, nobody misses it.
        self._later: list[Statement] = []

    def run(self, changes: Sequence[TableChange]) -> None:
        """Send all statements but the commit."""
        self._changed = any(
            change.before != change.after or self._brings_far_times(change)
            for change in changes
        )
        if self._changed:
            self._define(changes)
        self._number(changes)
        self._send(itertools.chain(self._waiting, self._rows(changes)))

    def _rows(self, changes: Sequence[TableChange]) -> Iterator[Statement]:
        """Return the statements that change rows."""
        for change in changes:
            after = change.after
            if after is None or not change.rows:
                continue
            if after.name in self._copied:
                rows = [row.new for row in change.rows if row.new is not None]
                yield from statements.insert(after, rows)
            else:
                yield from statements.write_rows(
                    self._stored[after.name], change.rows, same=change.before == after
                )

    def _define(self, changes: Sequence[TableChange]) -> None:
        if not self._schema.version:
            self._waiting += [(sql, ()) for sql in CREATE_OWN]
        stored, former = self._stored, self._schema.stored
        definitions = self._definitions
        altered: list[tuple[TableChange, str]] = []
        copies: dict[int, list[Row]] = {}
        for number, change in enumerate(changes):
            before, after = change.before, change.after
            if before is None or before == after:
                continue
            stored.pop(before.name, None)
            definitions[before.name] = None
            if after is None:
                if before.columns:
                    self._waiting.append((f"DROP TABLE {quoted(before.name)}", ()))
                continue
            if not before.columns:
                one = Stored(after, {}, frozenset())
                stored[after.name] = definitions[after.name] = one
                continue
            if statements.needs_copy(former[before.name], change):
                copies[number] = self._all_rows(before)
            # By another name first: names may be exchanged.
            step = after.name
            if physical(step) != physical(before.name):
                step = f"backendkit_step_{number}"
                self._waiting.append(statements.rename(before.name, step))
            altered.append((change, step))
        for number, (change, step) in enumerate(altered):
            assert change.before is not None
            assert change.after is not None
            at = changes.index(change)
            kept = former[change.before.name]
            if at in copies:
                self._copy(change, step, copies[at], number)
                continue
            if step != change.after.name:
                self._waiting.append(statements.rename(step, change.after.name))
            mark = f"{self._schema.version}_{number}"
            made, more, later = statements.alter(kept, change, mark)
            self._waiting += more
            self._later += later
            stored[change.after.name] = definitions[change.after.name] = made
        for change in changes:
            if change.before is None and change.after is not None:
                made, more = statements.create(change.after)
                made = dataclasses.replace(
                    made,
                    origin=self._origin(change.after),
                    is_copy=change.after.name in former,
                )
                self._waiting += more
                stored[change.after.name] = definitions[change.after.name] = made
        self._note_times(changes)
        self._note()

    def _origin(self, table: Table) -> str:
        # There is one change of the schema with this version, and one table of this
        # name after it.
        return f"{self._schema.version + 1} {table.name}"

    def _all_rows(self, table: Table) -> list[Row]:
        names = ", ".join(quoted(column.name) for column in table.columns)
        rows = self._connection.query(f"SELECT {names} FROM {quoted(table.name)}").rows
        decode = decoder(table.columns)
        return rows if decode is None else decode(rows)

    def _copy(
        self, change: TableChange, step: str, rows: list[Row], number: int
    ) -> None:
        """Make a table anew, with the rows that aren't changed."""
        after = change.after
        assert after is not None
        assert change.before is not None
        if step == after.name:
            step = f"backendkit_copied_{number}"
            self._waiting.append(statements.rename(after.name, step))
        made, more = statements.create(after)
        made = dataclasses.replace(made, origin=self._origin(after), is_copy=True)
        self._waiting += more
        self._waiting.append((f"DROP TABLE {quoted(step)}", ()))
        changed = {row.key for row in change.rows}
        kept = [
            change.convert(row)
            for row in rows
            if change.before.key_of(row) not in changed
        ]
        checked = check_rows(after, kept, made.lengths)
        self._waiting += statements.insert(after, checked)
        self._stored[after.name] = made
        self._definitions[after.name] = made
        self._copied.add(after.name)

    def _brings_far_times(self, change: TableChange) -> bool:
        """Whether rows bring the first times that an index has in the wrong place."""
        if change.before is None or change.before != change.after:
            return False  # its definition is written in any case
        stored = self._schema.stored[change.before.name]
        return stored.far_times != far_times(stored, change)

    def _note_times(self, changes: Sequence[TableChange]) -> None:
        """Note the columns that have had such times, in the definitions."""
        for change in changes:
            after = change.after
            if after is None or not after.columns:
                continue
            former = None
            if change.before is not None:
                former = self._schema.stored[change.before.name]
            stored = self._stored[after.name]
            found = far_times(former, change)
            if stored.ours and (stored.far_times != found):
                stored = dataclasses.replace(stored, far_times=found)
                self._stored[after.name] = self._definitions[after.name] = stored

    def _note(self) -> None:
        """Write the catalog of our own."""
        for name, made in self._definitions.items():
            if made is None:
                if not self._schema.version:
                    continue  # made in this transaction: immudb can't delete in it yet
                self._waiting.append((f"DELETE FROM {TABLES} WHERE name = ?", (name,)))
            else:
                sql = f"UPSERT INTO {TABLES} (name, definition) VALUES (?, ?)"
                self._waiting.append((sql, (name, made.to_json())))
        self._waiting.append(
            (
                f"UPSERT INTO {META} (id, version) VALUES (1, ?)",
                (self._schema.version + 1,),
            )
        )

    def _number(self, changes: Sequence[TableChange]) -> None:
        """Write where the numbering of tables goes on."""
        existing: dict[str, int] = {}
        wanted = [change for change in changes if self._renumbers(change)]
        if not wanted:
            return
        if self._schema.version:
            for change in wanted:
                if change.before is not None:
                    asked = f"SELECT given FROM {NUMBERS} WHERE name = ?"
                    name = change.before.name
                    for (last,) in self._connection.query(asked, (name,)).rows:
                        existing[name] = last
        found = dict.fromkeys(existing, 0)
        for change in wanted:
            if change.after is not None:
                last = (
                    0 if change.before is None else existing.get(change.before.name, 0)
                )
                if change.number is not None:
                    last = change.number if change.reset else max(last, change.number)
                found[change.after.name] = last
        for name, last in found.items():
            if last:
                sql = f"UPSERT INTO {NUMBERS} (name, given) VALUES (?, ?)"
                self._waiting.append((sql, (name, last)))
            elif name in existing:
                self._waiting.append((f"DELETE FROM {NUMBERS} WHERE name = ?", (name,)))

    def _renumbers(self, change: TableChange) -> bool:
        before, after = change.before, change.after
        if after is not None and not self._stored[after.name].ours:
            return False  # its numbers aren't noted
        if before is None or after is None or before.name != after.name:
            return True
        if change.number is None:
            return False
        return change.reset or not self._shared.numbered(after.name, change.number)

    def _send(self, waiting: Iterable[Statement]) -> None:
        """Send statements, as many at a time as a request takes."""
        texts: list[str] = []
        bound: list[Any] = []
        size = 0
        for sql, parameters in waiting:
            more = len(sql) + statements.size(parameters)
            if texts and (size + more > _REQUEST or len(texts) >= _STATEMENTS):
                self._connection.send("; ".join(texts), bound)
                texts, bound, size = [], [], 0
            texts.append(sql)
            bound += parameters
            size += more
        if texts:
            self._connection.run("; ".join(texts), bound)

    def done(self, changes: Sequence[TableChange]) -> None:
        """Tell the other sessions of the process what is committed now."""
        for sql, parameters in self._later:
            with contextlib.suppress(Error):
                self._connection.run(sql, parameters)
        shared = self._shared
        for change in changes:
            before, after = change.before, change.after
            if before is not None and (
                after is None or before.name != after.name or change.reset
            ):
                shared.forget_table(before.name)
            if after is None:
                continue
            if change.number is not None and not shared.numbered(
                after.name, change.number
            ):
                shared.forget_numbers(after.name)
            more = sum((row.old is None) - (row.new is None) for row in change.rows)
            shared.resize(after.name, more, new=before is None)
        if self._changed:
            foreign = frozenset(
                physical(name) for name, one in self._stored.items() if not one.ours
            )
            version = self._schema.version + 1
            tables = {name: one.table for name, one in self._stored.items()}
            catalog = Catalog((version, foreign), tables)
            shared.set_schema(Schema(catalog, version, self._stored))
