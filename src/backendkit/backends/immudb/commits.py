"""One commit: what has changed becomes statements, and a new catalog."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from backendkit.stores import (
    Catalog,
    Error,
    Key,
    Row,
    Table,
    TableChange,
)

from . import changes as statements
from . import journal
from .catalog import CREATE_OWN, META, NUMBERS, TABLES, Schema, Stored
from .changes import Statement
from .gate import require_open
from .journal import Action
from .names import physical, quoted
from .sending import commit_all, send_all
from .times import far_times
from .types import check_rows

if TYPE_CHECKING:
    from .driver import Connection
    from .driver._results import Committed
    from .gate import Gate
    from .session import ImmudbSession


class Commit:
    """
    One commit: the statements, and what the catalog is then.

    :param session: in the transaction.
    :param schema: the tables as they are committed.
    :param large: whether it has more entries than a transaction of immudb's.
    """

    def __init__(
        self,
        session: ImmudbSession,
        schema: Schema,
        changes: Sequence[TableChange],
        *,
        large: bool,
    ) -> None:
        self._session = session
        self._shared = session.store.shared
        self._connection = session.lent
        self._schema = schema
        self._changes = changes
        self._large = large
        self._stored = dict(schema.stored)
        self._waiting: list[Statement] = []
        self._changed = False
        #: Tables that are made anew, with all their rows.
        self._copied: set[str] = set()
        #: Rows that such tables had and keep.
        self._kept: list[Iterable[Action]] = []
        self._definitions: dict[str, Stored | None] = {}
        #: What is done after the commit. If it isn't, nobody misses it.
        self._later: list[Statement] = []
        self._begin(changes)

    @property
    def redefines(self) -> bool:
        """Whether definitions of tables change."""
        return self._changed

    def run(self, gate: Gate | None = None) -> None:
        """
        Send all statements but the commit.

        :param gate: what the gate is then, if it isn't as it was.
        """
        actions = list(self._actions())
        rows = (statements.of_action(*action) for action in actions)
        last = [] if gate is None else [journal.set_gate(gate)]
        send_all(self._connection, itertools.chain(self._waiting, *rows, last))

    def run_at_once(self) -> Committed | None:
        """
        Send all statements and the commit, on condition that nothing is in their way.

        The transaction need not have begun. Definitions don't change.

        :raises DataError: see :func:`.gate.require_open`.
        :return: what was committed, if immudb tells.
        """
        actions = list(self._actions())
        rows = (statements.of_action(*action) for action in actions)
        first = [require_open(self._schema.version)]
        return commit_all(
            self._connection, itertools.chain(first, self._waiting, *rows)
        )

    def write_journal(self, beside: Connection) -> Gate:
        """
        Write what happens to rows to a journal.

        :param beside: a connection in no transaction.
        :return: the gate that names it.
        """
        return journal.write(beside, self._actions())

    def run_definitions(self, gate: Gate) -> None:
        """Send what isn't in the journal, and the gate."""
        send_all(self._connection, [*self._waiting, journal.set_gate(gate)])

    def _begin(self, changes: Sequence[TableChange]) -> None:
        """Find out what has to be sent."""
        self._changed = any(
            change.before != change.after or self._brings_far_times(change)
            for change in changes
        )
        if self._changed:
            self._define(changes)
        self._number(changes)

    def _actions(self) -> Iterator[Action]:
        """Return what happens to rows."""
        for kept in self._kept:
            yield from kept
        for change in self._changes:
            after = change.after
            if after is None or not change.rows:
                continue
            stored = self._stored[after.name]
            if after.name in self._copied:
                rows = [row.new for row in change.rows if row.new is not None]
                yield Action(after, "insert", rows)
                continue
            same = change.before == after
            for verb, some in statements.row_actions(stored, change.rows, same=same):
                yield Action(after, verb, some)

    def _define(self, changes: Sequence[TableChange]) -> None:
        if not self._schema.version:
            self._waiting += [(sql, ()) for sql in CREATE_OWN]
        stored, former = self._stored, self._schema.stored
        definitions = self._definitions
        altered: list[tuple[TableChange, str]] = []
        copies: dict[int, Iterable[list[Row]]] = {}
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
            if statements.needs_copy(former[before.name], change) or (
                self._large and change.filled
            ):
                copies[number] = self._session.all_rows(before)
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

    def _copy(
        self, change: TableChange, step: str, rows: Iterable[list[Row]], number: int
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
        self._kept.append(self._rewritten(change, made, rows, changed))
        self._stored[after.name] = made
        self._definitions[after.name] = made
        self._copied.add(after.name)

    @staticmethod
    def _rewritten(
        change: TableChange,
        made: Stored,
        rows: Iterable[list[Row]],
        changed: Container[Key],
    ) -> Iterator[Action]:
        """Return the rows of a copied table that aren't changed, as they will be."""
        before, after = change.before, change.after
        assert before is not None
        assert after is not None
        for some in rows:
            kept = [change.convert(r) for r in some if before.key_of(r) not in changed]
            yield Action(after, "insert", check_rows(after, kept, made.lengths))

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
                    for (last,) in self._session.connection.query(asked, (name,)).rows:
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

    def done(self) -> None:
        """Tell the other sessions of the process what is committed now."""
        for sql, parameters in self._later:
            with contextlib.suppress(Error):
                self._connection.run(sql, parameters)
        shared = self._shared
        for change in self._changes:
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
