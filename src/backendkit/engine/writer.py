"""The write path: what a row has to pass before the store gets it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import apsw

from backendkit.stores import (
    Column,
    DataError,
    IntegrityError,
    Key,
    NonrelQuery,
    OperationalError,
    Row,
    Session,
    Table,
    UniqueViolation,
    ValueType,
)

from .computing import Batch
from .declarations import Declarations
from .deleting import Deleter
from .errors import reraise
from .foreign_keys import (
    ForeignKeys,
    rows_where,
)
from .items import ItemWriter
from .values import CONVERSION_ERRORS, TO_SQLITE, all_to_store, to_store

#: Fewer rows are completed one by one.
_FEW = 4


class TableWriter:
    """
    Inserts, changes and deletes rows of one table, with its constraints.

    :param writers: returns the writer of another table, for cascades.
    """

    #: In a transaction with the right to write.
    session: Session
    #: The number of the last row inserted, where the table numbers its rows.
    last_rowid: int | None = None
    #: What keeps the table's item indexes; None if it has none.
    items: ItemWriter | None = None

    def __init__(
        self,
        table: Table,
        declarations: Declarations,
        foreign_keys: ForeignKeys,
        writers: Callable[[Session, Table], TableWriter],
    ) -> None:
        self.table = table
        self._declarations = declarations
        self._foreign_keys = foreign_keys
        self.deleter = Deleter(self, foreign_keys, writers)
        self._expressions = declarations.expressions(table)
        #: Whether rows pass through SQLite.
        self.computes = self._expressions.needed or bool(self._expressions.defaults)
        self._computation = declarations.computation(table)
        generated = self._expressions.generated
        #: Whether what is computed of a new row depends on the number that it gets.
        self._numbers_first = (
            table.auto_increment is not None
            and self._expressions.needed
            and self._computation.mentions(table.auto_increment)
        )
        self._visible = [
            number for number, column in enumerate(table.columns) if not column.hidden
        ]
        self._stored = [
            number
            for number in self._visible
            if table.columns[number].name not in generated
        ]
        #: Columns whose values a change of others leaves as they are.
        self._kept = [
            number
            for number in range(len(table.columns))
            if number in self._stored or number == table.auto_increment
        ]
        self._required = [
            number
            for number, column in enumerate(table.columns)
            if not column.nullable and number != table.auto_increment
        ]
        #: Columns of the primary key and of foreign keys: there is more to do.
        self._apart = {
            table.positions[name]
            for names in (
                table.primary_key,
                *(key.columns for key in table.foreign_keys),
            )
            for name in names
        }
        if table.auto_increment is not None:
            self._apart.add(table.auto_increment)
        key = table.key_positions
        self._rowid = (
            key[0]
            if len(key) == 1 and table.columns[key[0]].type is ValueType.INTEGER
            else None
        )
        self._by_name = {
            table.columns[number].name.lower(): number for number in self._visible
        }

    # Completing rows

    def _complete(self, given: dict[int, Any]) -> list[Any]:
        """
        Return a complete row from given values, defaults and expressions.

        :param given: values in SQLite's terms or Python's, by column number.
        """
        table = self.table
        expressions = self._expressions
        columns = table.columns
        row: list[Any] = [None] * len(columns)
        if self._numbers_first and given.get(table.auto_increment or 0) is None:
            return self._unnumbered(given)
        if expressions.needed or (
            expressions.defaults and len(given) < len(self._stored)
        ):
            numbers = [
                n
                for n in (self._kept if self._numbers_first else self._stored)
                if n in given and not (n == table.auto_increment and given[n] is None)
            ]
            names = tuple(columns[n].name for n in numbers)
            values = [_plain(columns[n], table.name, given[n]) for n in numbers]
            try:
                computed = self._declarations.compute(table, names, values)
            except apsw.Error as error:
                reraise(error)
            for number, value in enumerate(computed):
                row[number] = to_store(table.name, columns[number], value)
            if table.auto_increment is not None:
                row[table.auto_increment] = None
            stored = numbers
        else:
            stored = [n for n in self._stored if n in given]
        for number in stored:
            row[number] = to_store(table.name, columns[number], given[number])
        for number in self._required:
            self._not_null(number, row[number])
        return row

    def _unnumbered(self, given: Mapping[int, Any]) -> list[Any]:
        """
        Return a row without what depends on its number; :meth:`_numbered` adds that.

        :param given: as in :meth:`_complete`.
        """
        table = self.table
        row: list[Any] = [None] * len(table.columns)
        defaults: dict[str, str] = {}
        if self._expressions.defaults:
            defaults = self._declarations.defaults(table.name)
        for number in self._stored:
            if number == table.auto_increment:
                continue
            column = table.columns[number]
            value = given.get(number)
            if number not in given and column.name in defaults:
                value = self._declarations.evaluate(defaults[column.name])
            row[number] = to_store(table.name, column, value)
            if number in self._required:
                self._not_null(number, row[number])
        return row

    def _numbered(self, keys: Sequence[Key], rows: Sequence[Row]) -> list[Row]:
        """
        Complete rows that the store has numbered, and store them again.

        :param rows: as inserted, with their numbers.
        """
        table = self.table
        completed = []
        for key, row in zip(keys, rows, strict=True):
            new = self._complete({n: self._in_sql(n, row[n]) for n in self._kept})
            for number in self._kept:
                new[number] = row[number]
            completed.append(tuple(new))
            if completed[-1] != row:
                self.session.update(table, key, completed[-1])
        return completed

    def _not_null(self, number: int, value: Any) -> None:
        column = self.table.columns[number]
        if value is None and not column.nullable:
            msg = f"NOT NULL constraint failed: {self.table.name}.{column.name}"
            raise IntegrityError(msg)

    # Inserting

    def insert(
        self, numbers: Sequence[int], rows: Iterable[Sequence[Any]]
    ) -> list[Row]:
        """
        Insert rows; return them complete.

        :param numbers: the columns given.
        :param rows: their values, in SQLite's terms or Python's.
        """
        rows = list(rows)
        complete = self._complete_all(numbers, rows)
        if complete is None:
            # One is wrong maybe; which, and why, is found out row by row.
            complete = [
                tuple(self._complete(dict(zip(numbers, values, strict=True))))
                for values in rows
            ]
        return self._insert(complete)

    def _complete_all(
        self, numbers: Sequence[int], rows: Sequence[Sequence[Any]]
    ) -> list[Row] | None:
        """Complete rows as :meth:`_complete` does; None if that can't be done."""
        table = self.table
        expressions = self._expressions
        if len(rows) < _FEW:
            return None
        given = {table.columns[number].name for number in numbers}
        if not given.issuperset(expressions.defaults):
            return None
        batch = self._computation.batch() if expressions.needed else None
        if expressions.needed and batch is None:
            return None
        if set(map(len, rows)) != {len(numbers)} or len(set(numbers)) < len(numbers):
            return None
        columns: list[Sequence[Any]] = [[None] * len(rows)] * len(table.columns)
        for number, values in zip(numbers, zip(*rows, strict=True), strict=True):
            if number not in self._stored:
                continue
            try:
                columns[number] = all_to_store(table.columns[number], values)
            except CONVERSION_ERRORS:
                return None
        if batch is not None:
            inputs = [
                _all_plain(table.columns[number], columns[number])
                for number in batch.inputs
            ]
            computed = batch.run(
                list(zip(*inputs, strict=True)) if inputs else [()] * len(rows)
            )
            if computed is None:
                return None
            for place, number in enumerate(batch.outputs):
                column = table.columns[number]
                columns[number] = [
                    to_store(table.name, column, values[place]) for values in computed
                ]
        if any(None in columns[number] for number in self._required):
            return None
        return list(zip(*columns, strict=True))

    def _insert(self, complete: list[Row]) -> list[Row]:
        table = self.table
        number = table.auto_increment
        try:
            keys = self.session.insert(table, complete)
            result = complete
            if number is not None:
                place = table.primary_key.index(table.columns[number].name)
                result = [
                    (*row[:number], key[place], *row[number + 1 :])
                    for row, key in zip(complete, keys, strict=True)
                ]
            if self._numbers_first and any(
                row[number or 0] is None for row in complete
            ):
                result = self._numbered(keys, result)
        except UniqueViolation as error:
            raise self._named(error) from error
        if self.items is not None:
            self.items.insert(self.session, result)
        if result and self._rowid is not None:
            self.last_rowid = result[-1][self._rowid]
        if table.foreign_keys:
            self._foreign_keys.note_children(table, result)
        return result

    def insert_one(
        self,
        numbers: Sequence[int],
        values: Sequence[Any],
        *,
        on_conflict: str | None = None,
        update: Sequence[int] = (),
        target: Sequence[int] = (),
    ) -> Row | None:
        """
        Insert a row with ON CONFLICT.

        :param on_conflict: ``ignore``: leave the row out that violates UNIQUE,
            NOT NULL or CHECK; ``update``: change the row that is there already;
            ``replace``: delete what is in the way.
        :param update: numbers of the columns to update.
        :param target: numbers of the columns whose conflict is meant.
        :returns: the row as it is then; None if it was left out.
        """
        given = dict(zip(numbers, values, strict=True))
        if on_conflict == "ignore":
            mark = self.session.savepoint()
            try:
                (row,) = self._insert([tuple(self._complete(given))])
            except IntegrityError:
                self.session.rollback_to(mark)
                return None
            finally:
                self.session.release(mark)
            return row
        if on_conflict == "replace":
            given = {n: v for n, v in given.items() if not self._defaults_to(n, v)}
        complete = self._complete(given)
        if on_conflict == "replace":
            for key in self._in_the_way(complete):
                self.delete(key)
        elif on_conflict == "update":
            old = self._existing(complete, target)
            if old is not None:
                # What isn't given is the default here too, as ``excluded`` in SQL.
                changes = {
                    number: given[number]
                    if number in given
                    else self._in_sql(number, complete[number])
                    for number in update
                }
                return self.change(self.table.key_of(old), changes)
        (row,) = self._insert([tuple(complete)])
        return row

    def _defaults_to(self, number: int, value: Any) -> bool:
        """Whether OR REPLACE puts the default in the place of a NULL."""
        column = self.table.columns[number]
        defaults = self._expressions.defaults
        return value is None and not column.nullable and column.name in defaults

    def find_target(self, target: Sequence[int]) -> list[int]:
        """
        Return the columns of the constraint that is the target of ON CONFLICT.

        With a collation, they are computed of those that the statement names.

        :raises OperationalError: there is no such constraint.
        """
        wanted = {self.table.columns[number].name for number in target}
        unique = [index.columns for index in self.table.indexes if index.unique]
        unique.append(self.table.primary_key)
        for names in unique:
            if wanted == {self._visible_name(name) for name in names}:
                return [self.table.positions[name] for name in names]
        msg = "ON CONFLICT clause does not match any PRIMARY KEY or UNIQUE constraint"
        raise OperationalError(msg)

    def insert_fields(
        self,
        fields: Sequence[Any],
        names: Sequence[str] | None,
        conflict: str,
        key: dict[int, int],
    ) -> Row | None:
        """
        Insert a row for raw SQL.

        :param fields: values of all visible columns.
        :param names: the columns that were given, in lower case; None for all.
        :param conflict: the statement's OR clause, or "".
        :param key: values by column number that go before these.
        """
        given = {
            number: value
            for number, value in zip(self._visible, fields, strict=True)
            if names is None or self.table.columns[number].name.lower() in names
        }
        given.update(key)
        if names is not None:
            self.refuse_generated(given, "INSERT into")
        on_conflict = {"IGNORE": "ignore", "REPLACE": "replace"}.get(conflict)
        return self.insert_one(
            list(given), list(given.values()), on_conflict=on_conflict
        )

    def refuse_generated(self, numbers: Iterable[int], verb: str) -> None:
        """Raise what SQLite raises when a statement sets a generated column."""
        for number in numbers:
            name = self.table.columns[number].name
            if name in self._expressions.generated:
                raise OperationalError(f'cannot {verb} generated column "{name}"')

    def _existing(self, row: Sequence[Any], target: Sequence[int]) -> Row | None:
        """Return the row that has the same values in some columns."""
        names = [self.table.columns[number].name for number in target]
        values = [row[number] for number in target]
        if None in values:
            return None
        return next(rows_where(self.session, self.table, names, values), None)

    def _in_the_way(self, row: Sequence[Any]) -> list[Key]:
        """Return the keys of the rows that a row would violate uniqueness with."""
        table = self.table
        keys: dict[Key, None] = {}
        for names in table.unique.values():
            old = self._existing(row, [table.positions[name] for name in names])
            if old is not None:
                keys[table.key_of(old)] = None
        if self.items is not None:
            keys |= dict.fromkeys(self.items.owners(self.session, tuple(row)))
        return list(keys)

    # Changing and deleting

    def change(self, key: Key, changes: dict[int, Any]) -> Row | None:
        """
        Change columns of a row; return it as it is then, None if it is gone.

        :param changes: values in SQLite's terms or Python's, by column number.
        """
        table = self.table
        old = self.session.get(table, key)
        if old is None:
            return None
        columns = table.columns
        new: list[Any]
        if self._expressions.needed and self._computation.touched(changes):
            # A row's number is among what it is computed of.
            given = {n: self._in_sql(n, old[n]) for n in self._kept}
            given.update(changes)
            new = self._complete(given)
            for number in self._kept:
                if number not in changes:
                    new[number] = old[number]
        else:
            new = list(old)
            for number, value in changes.items():
                new[number] = to_store(table.name, columns[number], value)
        for number in changes:
            self._not_null(number, new[number])
        row = tuple(new)
        try:
            self.session.update(table, key, row)
        except UniqueViolation as error:
            raise self._named(error) from error
        if self.items is not None:
            self.items.change(self.session, old, row)
        if table.foreign_keys:
            self._foreign_keys.note_child(table, row, old)
        if self._foreign_keys.referring(table):
            self._foreign_keys.note_parent(table, old, row)
        return row

    def _in_sql(self, number: int, value: Any) -> Any:
        """Return a value of a row as a statement would give it."""
        if value is None or self.table.columns[number].type is not ValueType.ANY:
            return value
        return TO_SQLITE[ValueType.ANY](value)

    def together(self, numbers: Collection[int]) -> bool:
        """Whether rows can be changed together by :meth:`change_together`."""
        batch = self._touched(numbers)
        changed = {*numbers, *(batch.outputs if batch is not None else ())}
        if batch is None and self._expressions.needed:
            return False
        if self.items is not None and self.items.touched(changed):
            return False  # it takes the row as it was
        return not self._apart & changed and not self._foreign_keys.refers_to(
            self.table, changed
        )

    def _touched(self, numbers: Collection[int]) -> Batch | None:
        """Return what SQLite has to compute if columns change; None if it can't."""
        if not self._expressions.needed:
            return None
        return self._computation.batch(tuple(numbers))

    def stored(self, number: int, value: Any) -> Any:
        """
        Return a value as a column stores it.

        :param value: in SQLite's terms or Python's.
        """
        stored = to_store(self.table.name, self.table.columns[number], value)
        self._not_null(number, stored)
        return stored

    def change_together(
        self, numbers: Sequence[int], rows: Mapping[Key, Sequence[Any]]
    ) -> None:
        """
        Change columns of rows, where :meth:`together` says that it can be done.

        :param numbers: of the columns.
        :param rows: their values as :meth:`stored` returns them, by primary key.
        :raises IntegrityError, DataError: as :meth:`change`.
        """
        columns = self.table.columns
        batch = self._touched(numbers)
        if batch is not None and (batch.outputs or batch.checks):
            computed = self._compute(batch, numbers, rows)
            if computed is None:
                # One is wrong; which, and why, is found out row by row.
                for key, values in rows.items():
                    given = zip(numbers, values, strict=True)
                    self.change(key, {n: self._in_sql(n, v) for n, v in given})
                return
            numbers, rows = (*numbers, *batch.outputs), computed
        try:
            names = [columns[number].name for number in numbers]
            self.session.set_columns(self.table, names, rows)
        except UniqueViolation as error:
            raise self._named(error) from error

    def _compute(
        self, batch: Batch, numbers: Sequence[int], rows: Mapping[Key, Sequence[Any]]
    ) -> dict[Key, Sequence[Any]] | None:
        """Return changed columns with what is computed; None if a row is wrong."""
        table = self.table
        places = {number: place for place, number in enumerate(numbers)}
        keys, given = [*rows], [*rows.values()]
        if not places.keys() >= {*batch.inputs}:
            get = self.session.get
            found = [(key, get(table, key)) for key in keys]
            keys = [key for key, old in found if old is not None]
            given = [rows[key] for key in keys]
            olds = [old for _, old in found if old is not None]
        inputs = [
            _all_plain(
                table.columns[number],
                [values[places[number]] for values in given]
                if number in places
                else [old[number] for old in olds],
            )
            for number in batch.inputs
        ]
        computed = batch.run(
            list(zip(*inputs, strict=True)) if inputs else [()] * len(keys)
        )
        if computed is None:
            return None
        outputs = [table.columns[number] for number in batch.outputs]
        result: dict[Key, Sequence[Any]] = {}
        for key, values, more in zip(keys, given, computed, strict=True):
            stored = [
                to_store(table.name, column, value)
                for column, value in zip(outputs, more, strict=True)
            ]
            if any(
                value is None and not column.nullable
                for column, value in zip(outputs, stored, strict=True)
            ):
                return None
            result[key] = (*values, *stored)
        return result

    def plain_changes(self, changes: Mapping[int, Any]) -> dict[str, Any] | None:
        """
        Return values to set by column name, if that is all that a change comes to.

        :param changes: values in SQLite's terms or Python's, by column number.
        :returns: None if each row has to be changed by itself.
        """
        if not self.together(changes):
            return None
        columns = self.table.columns
        try:
            values = {number: self.stored(number, v) for number, v in changes.items()}
        except (DataError, IntegrityError):
            return None  # an error, if there is a row
        batch = self._touched(changes)
        if batch is not None and (batch.outputs or batch.checks):
            if not values.keys() >= {*batch.inputs}:
                return None  # it differs from row to row
            computed = self._compute(batch, [*values], {(): [*values.values()]})
            if computed is None:
                return None
            values = dict(zip([*values, *batch.outputs], computed[()], strict=True))
        return {columns[number].name: value for number, value in values.items()}

    def change_all(self, query: NonrelQuery, values: Mapping[str, Any]) -> int:
        """
        Change columns of all rows of a query; return how many there are.

        :param values: as :meth:`plain_changes` returns them.
        """
        try:
            return query.update(values)
        except UniqueViolation as error:
            raise self._named(error) from error

    def delete_all(self, keys: Sequence[Key]) -> int:
        """Delete rows, and do what foreign keys say; return how many there were."""
        return self.deleter.delete_all(keys)

    def delete(self, key: Key) -> bool:
        """Delete a row, and do what foreign keys say; return whether it was there."""
        return self.deleter.delete(key)

    def set_defaults(self, key: Key, numbers: Sequence[int]) -> None:
        """Set columns of a row to their declared defaults."""
        defaults = self._declarations.defaults(self.table.name)
        changes = {}
        for number in numbers:
            sql = defaults.get(self.table.columns[number].name, "NULL")
            changes[number] = self._declarations.evaluate(sql)
        self.change(key, changes)

    # Errors

    def _named(self, error: UniqueViolation) -> IntegrityError:
        """Say in SQLite's words which constraint it was, hidden columns aside."""
        for index in self.table.indexes:
            if index.columns != error.columns or not index.sql:
                continue
            if any(self._is_expression(name) for name in index.columns):
                return IntegrityError(f"UNIQUE constraint failed: index '{index.name}'")
        names = tuple(
            self._visible_name(name)
            for name in error.columns
            if not name.endswith(":where")
        )
        return UniqueViolation(self.table.name, names)

    def _is_expression(self, name: str) -> bool:
        _, _, suffix = name.rpartition(":")
        return self.table.column(name).hidden and suffix.isdigit()

    def _visible_name(self, name: str) -> str:
        if self.table.column(name).hidden and ":" in name:
            return name.rpartition(":")[0]
        return name

    def number(self, name: str) -> int:
        """Return a column's number by its name in any case."""
        return self._by_name[name.lower()]


def _all_plain(column: Column, values: Sequence[Any]) -> Sequence[Any]:
    """Return stored values in SQLite's terms."""
    convert = TO_SQLITE.get(column.type)
    if convert is None:
        return values
    return [None if value is None else convert(value) for value in values]


def _plain(column: Any, table: str, value: Any) -> Any:
    """Return a value in SQLite's terms, as the column's affinity would store it."""
    stored = to_store(table, column, value)
    convert = TO_SQLITE.get(column.type)
    return stored if stored is None or convert is None else convert(stored)
