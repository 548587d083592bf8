"""Copying the rows of all tables, batch by batch, so that it can go on after a crash."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.apps import apps
from django.core.management.color import no_style
from django.db import connections, reset_queries, transaction

from backendkit.move.errors import ROW_ERRORS, MoveError
from backendkit.move.planning import Group, Plan, order
from backendkit.move.rows import Key, Row, Table
from backendkit.move.state import State

#: Called after each batch with the table's label and the number of rows.
OnRows = Callable[[str, int], None]


class Copier:
    """
    Copies the rows of a plan.

    :param source: alias that is read.
    :param target: alias that is written.
    :param size: rows of a batch, which is one transaction.
    """

    def __init__(
        self, source: str, target: str, plan: Plan, state: State, size: int
    ) -> None:
        self._source = source
        self._target = target
        self._plan = plan
        self._state = state
        self._size = size

    def check(self) -> None:
        """
        Check that each database has the tables, with the models' columns.

        :raises MoveError: names the tables that aren't there or don't fit.
        """
        for alias in (self._source, self._target):
            connections[alias].ensure_connection()
            unfit = []
            for model in self._plan.models:
                try:
                    Table(model).probe(alias)
                except ROW_ERRORS as error:
                    unfit.append(f"{model._meta.db_table} ({error})")
            if unfit:
                raise MoveError(
                    f"Tables of {alias!r} are missing or don't match the models:"
                    f" {', '.join(unfit)}. Nothing was written. Run `manage.py"
                    f" migrate --database {alias}` first."
                )

    def check_empty(self) -> None:
        """
        Check that nothing is in the target but what ``migrate`` puts there.

        :raises MoveError: names the tables that have rows.
        """
        full = [
            model
            for model in self._plan.models
            if model._meta.label_lower not in self._plan.replaced
            and Table(model).probe(self._target)
        ]
        if full:
            names = ", ".join(model._meta.db_table for model in full)
            labels = " ".join(f"--replace {model._meta.label}" for model in full)
            raise MoveError(
                f"Tables of {self._target!r} already have rows: {names}. Nothing was"
                " written. Empty the tables, leave them out with --exclude, or"
                f" replace their rows by those of {self._source!r} with {labels}."
            )

    def begin(self, description: dict[str, Any]) -> None:
        """
        Delete the rows that are replaced, and note that the move begins: all or nothing.

        :raises MoveError: rows that aren't moved refer to those.
        """
        replaced = [
            model
            for model in reversed(self._plan.models)
            if model._meta.label_lower in self._plan.replaced
        ]
        try:
            with (
                self._unchecked([], check=False),
                transaction.atomic(using=self._target),
            ):
                for model in replaced:
                    Table(model).query(self._target)._raw_delete(self._target)
                self._state.begin(description)
                if replaced:
                    connections[self._target].check_constraints()
        except ROW_ERRORS as error:
            labels = ", ".join(model._meta.label for model in replaced)
            raise MoveError(
                f"The rows of {labels} in {self._target!r} can't be replaced:"
                f" {error}. Perhaps rows that aren't moved refer to them. Nothing was"
                " written."
            ) from error

    def discard(self, description: dict[str, Any]) -> None:
        """Delete the rows that an interrupted move has written."""
        labels = description["models"]
        self._state.begin({**description, "discarded": True})
        for group in reversed(order(map(apps.get_model, labels))):
            with self._scope(group):
                for model in reversed(group.models):
                    table = Table(model)
                    while found := table.batch(self._target, None, self._size):
                        with transaction.atomic(using=self._target):
                            self._state.beat()
                            table.delete(self._target, [key for key, _ in found])

    def copy(self, on_rows: OnRows) -> None:
        """
        Copy all rows that haven't been copied yet; let new rows get new numbers.

        :raises MoveError: a row can't be read or written; names it.
        """
        for group in self._plan.groups:
            try:
                with self._scope(group):
                    for model in group.models:
                        self._copy_table(Table(model), on_rows)
            except ROW_ERRORS as error:
                labels = ", ".join(model._meta.label for model in group.models)
                raise MoveError(
                    f"The rows of {labels} can't be committed to {self._target!r}:"
                    f" {error}"
                ) from error
        connection = connections[self._target]
        statements = connection.ops.sequence_reset_sql(no_style(), self._plan.models)
        if statements:
            with transaction.atomic(using=self._target), connection.cursor() as cursor:
                for sql in statements:
                    cursor.execute(sql)

    @contextlib.contextmanager
    def _scope(self, group: Group) -> Iterator[None]:
        """
        Let rows refer to rows that come later, where the group has a cycle.

        Foreign keys aren't checked until all of the group is there. Where checks can't
        be switched off but wait for a commit, the group is one transaction.
        """
        connection = connections[self._target]
        if not group.cyclic or not connection.features.supports_foreign_keys:
            yield
            return
        with self._unchecked([m._meta.db_table for m in group.models]) as unchecked:
            if unchecked:
                yield
            elif connection.features.can_defer_constraint_checks:
                with transaction.atomic(using=self._target):
                    yield
            else:
                labels = ", ".join(model._meta.label for model in group.models)
                raise MoveError(
                    f"The foreign keys of {labels} form a cycle, and {self._target!r}"
                    " can neither switch off nor defer its foreign key checks."
                )

    @contextlib.contextmanager
    def _unchecked(
        self, tables: Sequence[str], *, check: bool = True
    ) -> Iterator[bool]:
        """Switch foreign key checks off if possible; check tables afterwards."""
        connection = connections[self._target]
        # It has no effect within a transaction.
        if not connection.disable_constraint_checking():
            yield False
            return
        try:
            yield True
            if check:
                connection.check_constraints(table_names=tables)
        finally:
            connection.enable_constraint_checking()

    def _copy_table(self, table: Table, on_rows: OnRows) -> None:
        text, rows = self._state.reached(table.label)
        after = None if text is None else table.key_of(text)
        on_rows(table.label, rows)
        maybe_there = True
        while found := self._read(table, after):
            after = found[-1][0]
            self._write(table, found, rows + len(found), maybe_there=maybe_there)
            rows += len(found)
            maybe_there = False
            on_rows(table.label, len(found))
            # Where DEBUG is on, Django keeps the statements of thousands of queries.
            reset_queries()

    def _read(self, table: Table, after: Key | None) -> list[tuple[Key, Row]]:
        try:
            return table.batch(self._source, after, self._size)
        except ROW_ERRORS as error:
            where = "at the beginning" if after is None else f"after {shown(after)}"
            raise MoveError(
                f"Rows of {table.label} can't be read from {self._source!r}, {where}:"
                f" {error}"
            ) from error

    def _write(
        self,
        table: Table,
        found: list[tuple[Key, Row]],
        total: int,
        *,
        maybe_there: bool,
    ) -> None:
        if maybe_there and not connections[self._target].features.supports_transactions:
            # The batch that was interrupted may be there, without what it had reached.
            table.delete(self._target, [key for key, _ in found])
        try:
            with transaction.atomic(using=self._target):
                self._state.beat()
                table.write(self._target, [row for _, row in found])
                self._state.reach(table.label, table.key_text(found[-1][0]), total)
        except ROW_ERRORS as error:
            bad = self._first_refused(table, found)
            if bad is None:
                where = f"from {shown(found[0][0])} to {shown(found[-1][0])}"
                raise MoveError(
                    f"Rows of {table.label} can't be written to {self._target!r},"
                    f" {where}: {error}"
                ) from error
            key, cause = bad
            raise MoveError(
                f"{table.label} {shown(key)} can't be written to {self._target!r}:"
                f" {cause}"
            ) from error

    def _first_refused(
        self, table: Table, rows: list[tuple[Key, Row]]
    ) -> tuple[Key, Exception] | None:
        """Try a batch's rows one by one, write none of them, and return the first."""
        if not connections[self._target].features.uses_savepoints:
            return None
        with transaction.atomic(using=self._target):
            refused = None
            for key, row in rows:
                try:
                    with transaction.atomic(using=self._target):
                        table.write(self._target, [row])
                except ROW_ERRORS as error:
                    refused = key, error
                    break
            transaction.set_rollback(True, using=self._target)
        return refused


def shown(key: Key) -> str:
    """Return a primary key as a message shows it."""
    return repr(key[0] if len(key) == 1 else key)
