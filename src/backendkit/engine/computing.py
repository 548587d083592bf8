"""
What SQLite computes of a row: which of it a change touches, for many rows at once.

CHECK constraints, generated columns and the hidden columns of indexes are SQL. Only
those that mention a changed column have to be evaluated, as in SQLite, and one
statement does it for many rows: over a scratch table of the columns that they mention.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from backendkit.stores import Table

from .ddl_text import TableExpressions, names_in, table_expressions
from .definitions import ROWIDS
from .tokens import quote
from .values import BINDING_ERRORS

#: Of a scratch table.
_SCRATCH = "temp.backendkit_scratch"
#: How SQLite calls a row's number; in a scratch table it is another one.
_ROWID = frozenset(ROWIDS)


@dataclass(frozen=True)
class Expression:
    """
    An expression over a row's columns.

    :param sql: the expression.
    :param column: number of the column that it is the value of; None for a CHECK.
    :param inputs: numbers of the columns that it is computed of, neither generated
        nor hidden.
    """

    sql: str
    column: int | None
    inputs: frozenset[int]


class Computation:
    """
    The expressions of one table.

    :param database: returns the one with its mirror table, and with the functions.
    :param generated: names of the table's generated columns.
    """

    def __init__(
        self,
        database: Callable[[], apsw.Connection],
        table: Table,
        generated: Collection[str],
    ) -> None:
        self._database = database
        self._table = table
        self._by_name = {
            column.name.lower(): number
            for number, column in enumerate(table.columns)
            if not column.hidden
        }
        found = table_expressions(table.sql)
        texts = {name.lower(): sql for name, sql in found.generated.items()}
        self._texts = {
            self._by_name[name]: sql
            for name, sql in texts.items()
            if name in self._by_name
        }
        #: None if not all of them are known: then every change touches them.
        self._expressions: list[Expression] | None = None
        if {table.columns[number].name for number in self._texts} == {*generated}:
            self._expressions = self._known(found)
        self._batches: dict[tuple[int, ...], Batch | None] = {}
        # All of them, whether they are understood or not.
        self._names = set[str]().union(
            *map(names_in, found.checks),
            *map(names_in, found.generated.values()),
            *(names_in(one.declared) for one in table.columns if one.hidden),
        )

    def mentions(self, number: int) -> bool:
        """Whether a table's row number is in an expression: by this column's name, too."""
        name = self._table.columns[number].name.lower()
        return not self._names.isdisjoint(_ROWID | {name})

    def _known(self, found: TableExpressions) -> list[Expression] | None:
        """Return all expressions; None if there is one that isn't understood."""
        columns = self._table.columns
        texts: list[tuple[str, int | None]] = [(sql, None) for sql in found.checks]
        texts += [(sql, number) for number, sql in self._texts.items()]
        texts += [
            (column.declared, number)
            for number, column in enumerate(columns)
            if column.hidden and column.declared
        ]
        expressions = []
        for sql, number in texts:
            inputs = self._inputs(sql, frozenset())
            if inputs is None:
                return None
            expressions.append(Expression(sql, number, inputs))
        # A STRICT table checks types, too.
        return None if found.strict else expressions

    def _inputs(self, sql: str, within: frozenset[int]) -> frozenset[int] | None:
        names = names_in(sql)
        if names & _ROWID:
            return None
        inputs: set[int] = set()
        for number in {self._by_name[name] for name in names & self._by_name.keys()}:
            if number not in self._texts:
                inputs.add(number)
            elif number not in within:
                others = self._inputs(self._texts[number], within | {number})
                if others is None:
                    return None
                inputs |= others
        return frozenset(inputs)

    def touched(self, numbers: Iterable[int]) -> bool:
        """Whether a change of these columns touches one of the expressions."""
        if self._expressions is None:
            return True
        changed = {*numbers}
        return any(one.inputs & changed for one in self._expressions)

    def batch(self, numbers: Sequence[int] | None = None) -> Batch | None:
        """
        Return how what a change touches is evaluated for many rows.

        :param numbers: of the changed columns; None for those of a new row.
        :returns: None if it can't be.
        """
        if self._expressions is None:
            return None
        key = tuple(sorted(self._by_name.values() if numbers is None else numbers))
        if key not in self._batches:
            # A handful of an application's statements: not one for each of its values.
            if len(self._batches) > _BATCHES:
                self._batches.clear()
            self._batches[key] = self._made(key)
        return self._batches[key]

    def _made(self, numbers: Collection[int]) -> Batch | None:
        assert self._expressions is not None
        # One without columns is a constant: it is part of each new row only.
        changed = {*numbers}
        everything = changed >= {*self._by_name.values()}
        touched = [
            one for one in self._expressions if everything or one.inputs & changed
        ]
        table = self._table
        inputs = sorted(set[int]().union(*(one.inputs for one in touched)))
        if table.auto_increment in inputs:
            return None  # a new row has no number yet
        outputs = [one for one in touched if one.column is not None]
        generated = [
            number
            for number, sql in self._texts.items()
            if (self._inputs(sql, frozenset()) or frozenset()) <= {*inputs}
        ]
        definitions = [self._definition(number) for number in inputs]
        if not inputs:
            definitions = [_FILLER]  # a table has a column at least
        definitions += [
            f"{self._definition(number)} GENERATED ALWAYS AS ({self._texts[number]})"
            for number in generated
        ]
        checks = [
            f"coalesce(NOT ({one.sql}), 0)" for one in touched if one.column is None
        ]
        results = [" OR ".join(checks) or "0"]
        for one in outputs:
            column = table.columns[one.column or 0]
            results.append(one.sql if column.hidden else quote(column.name))
        return Batch(
            self._database,
            tuple(inputs),
            tuple(one.column for one in outputs if one.column is not None),
            bool(checks),
            f"CREATE TEMP TABLE backendkit_scratch ({', '.join(definitions)})",
            f"INSERT INTO {_SCRATCH} VALUES ({', '.join('?' * max(len(inputs), 1))})",
            f"SELECT {', '.join(results)} FROM {_SCRATCH} AS {quote(table.name)}"
            " ORDER BY rowid",
        )

    def _definition(self, number: int) -> str:
        """Return a column's definition: what its affinity and collation come from."""
        column = self._table.columns[number]
        declared, collation, *_ = self._database().column_metadata(
            None, self._table.name, column.name
        )
        return f"{quote(column.name)} {declared or ''} COLLATE {quote(collation)}"


#: How many kinds of changes a table remembers.
_BATCHES = 100
#: The column of a scratch table for constants only.
_FILLER = "backendkit_nothing"


@dataclass(frozen=True)
class Batch:
    """
    How expressions are evaluated for many rows.

    :param inputs: numbers of the columns to give.
    :param outputs: numbers of the columns that are computed.
    :param checks: whether there are CHECK constraints among the expressions.
    """

    database: Callable[[], apsw.Connection]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    checks: bool
    create: str
    insert: str
    select: str

    def run(self, rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]] | None:
        """
        Compute the outputs of rows.

        :param rows: the inputs, in SQLite's terms.
        :returns: theirs, in SQLite's terms; None if a CHECK fails or an expression
            does, in one of them.
        """
        database = self.database()
        given = rows if self.inputs else [(None,)] * len(rows)
        try:
            database.execute(self.create)
            try:
                database.executemany(self.insert, given)
                found = database.execute(self.select).fetchall()
            finally:
                database.execute(f"DROP TABLE {_SCRATCH}")
        except (apsw.Error, *BINDING_ERRORS):
            return None
        if any(failed for failed, *_ in found):
            return None
        return [row[1:] for row in found]
