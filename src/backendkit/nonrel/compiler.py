"""Compilers: Django's, with INSERT handed to the engine as more than text."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from django.db import DataError
from django.db.models import IntegerField
from django.db.models.constants import OnConflict
from django.db.models.sql import compiler
from django.db.models.sql.constants import GET_ITERATOR_CHUNK_SIZE, MULTI
from django.db.models.sql.datastructures import BaseTable, Join

from backendkit.engine.compiled import (
    Insert,
    NativeRead,
    NativeWrite,
    Outcome,
    Pushed,
    Select,
    Statement,
)
from backendkit.engine.native import Prepared, StaleError
from backendkit.engine.parameters import InexactError
from backendkit.engine.running import Filter
from backendkit.stores import shown

from .analyzing import analyzed
from .native import Plan
from .observers import is_observed
from .pushdown import HANDLE, handed_filters, pushed

#: Rows that are fetched at once where all are.
_ALL = 2000
S = TypeVar("S", bound=Statement)

_ON_CONFLICT = {OnConflict.IGNORE: "ignore", OnConflict.UPDATE: "update"}


@functools.lru_cache(maxsize=1000)
def _writes_sql(kind: type) -> bool:
    """Whether fields of a class say how their value is written into a statement."""
    return hasattr(kind, "get_placeholder") or hasattr(kind, "get_placeholder_sql")


class SQLCompiler(compiler.SQLCompiler):
    """
    SELECT.

    Its results are converted by Django, not by the cursor. Filters that SQLite
    doesn't offer to virtual tables are handed over beside it: the table is
    written as a table-valued function, ``"book"(?)``, and the parameter brings
    them. The statement checks them too.
    """

    #: How this query was answered without SQL, if it was: see ``results_iter()``.
    _native: tuple[Plan, Outcome] | None = None
    #: Whether the statement is about to be executed, not a part of another one.
    _executing = False

    #: Whether the statement reads, and has no other one to wait for.
    _reads = True
    #: Whether only the existence of rows is asked for.
    asks_existence = False

    def has_results(self) -> bool:
        """Return whether there is a row."""
        self.asks_existence = True
        return bool(super().has_results())

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        """Run the query: natively if that is known to be the same."""
        connection = self.connection
        # UPDATE reads primary keys while it is put together: that is no part of it.
        compiling, connection.compiling = connection.compiling, 0
        try:
            return self._execute_alone(*args, **kwargs)
        finally:
            connection.compiling = compiling

    def _execute_alone(self, *args: Any, **kwargs: Any) -> Any:
        if not self.connection.native:
            return super().execute_sql(*args, **kwargs)
        # Django reads all rows before it makes the first object, unless it is told to read
        # in chunks. Objects are made while a remote store sends the rest.
        if (
            "chunked_fetch" in kwargs
            and self.connection.store_class.capabilities.remote
        ):
            kwargs["chunked_fetch"] = True
        elif not (kwargs.get("chunked_fetch") or args):
            # They are all read now: in a few turns, not in hundreds.
            kwargs["chunk_size"] = _ALL
        if not self._reads or self.connection.execute_wrappers:
            return self._execute_sql(*args, **kwargs)
        # One turn for all that it takes: a statement is short more often than not.
        with self.connection.turns:
            return self._execute_sql(*args, **kwargs)

    def _execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        self._executing = True
        try:
            return super().execute_sql(*args, **kwargs)
        except StaleError:
            # Another connection has altered the table: once more, with SQL.
            self.connection.planner.forget()
            self._executing, self._native = False, None
            return super().execute_sql(*args, **kwargs)
        except InexactError:
            self._executing, self._native = False, None
            return super().execute_sql(*args, **kwargs)
        finally:
            self._executing = False

    def as_sql(self, *args: Any, **kwargs: Any) -> tuple[str, Sequence[Any]]:
        """Return the statement and its parameters."""
        # Somebody may ask again before it is executed, and gets the same.
        if self._executing and not args and not kwargs:
            found = self.connection.planner.plan(self)
            if found is not None:
                return self._as_native(*found)
        return self._as_select(*args, **kwargs)

    def _as_select(self, *args: Any, **kwargs: Any) -> tuple[str, Sequence[Any]]:
        return pushed(
            Select, self.connection, functools.partial(super().as_sql, *args, **kwargs)
        )

    def _as_native(
        self, plan: Plan, filters: list[Filter]
    ) -> tuple[str, Sequence[Any]]:
        assert plan.prepared is not None
        statement = self._without_sql(NativeRead, self._as_select)
        # What pre_sql_setup() would have found out.
        self.select = plan.select
        self.klass_info = plan.klass_info
        self.annotation_col_map = plan.annotation_col_map
        self.col_count = len(plan.select)
        self.has_extra_select = False
        statement.prepared = plan.prepared
        statement.filters = filters
        statement.low, statement.high = self.query.low_mark, self.query.high_mark
        statement.outcome = Outcome()
        self._native = plan, statement.outcome
        return statement, statement.parameters

    def _as_native_write(
        self,
        found: tuple[Prepared, list[Filter]],
        changes: dict[str, Any] | None,
        write: Callable[[], tuple[str, Sequence[Any]]],
    ) -> tuple[str, Sequence[Any]]:
        statement = self._without_sql(NativeWrite, write)
        statement.prepared, statement.filters = found
        statement.changes = changes
        return statement, statement.parameters

    def _without_sql(
        self, kind: type[S], write: Callable[[], tuple[str, Sequence[Any]]]
    ) -> S:
        """
        Return a statement that is run without SQL.

        :param write: returns the SQL, which is written only where somebody looks.
        """
        if not is_observed(self.connection):
            return kind("SQL wasn't needed", write)
        text, params = write()
        statement = kind(text)
        statement.parameters = params
        return statement

    def explain_query(self) -> Iterator[str]:
        """Say how the query is answered."""
        # It checks format and options, and is a statement to log.
        lines = list(super().explain_query())
        if self.connection.native:
            lines = self.connection.planner.explain(self) or lines
        yield from lines
        if self.query.explain_info.options.get("analyze"):
            yield from analyzed(self)

    def results_iter(
        self,
        results: Any = None,
        tuple_expected: bool = False,
        chunked_fetch: bool = False,
        chunk_size: int = GET_ITERATOR_CHUNK_SIZE,
    ) -> Iterator[Any]:
        """Return the rows, converted."""
        if results is None:
            results = self.execute_sql(
                MULTI, chunked_fetch=chunked_fetch, chunk_size=chunk_size
            )
        native = self._native
        if native is None or native[0].grouped or not native[1].ran:
            rows: Iterator[Any] = super().results_iter(
                results, tuple_expected, chunked_fetch, chunk_size
            )
            return rows
        rows = itertools.chain.from_iterable(results)
        convert = native[0].convert
        return rows if convert is None else map(convert, rows)

    def get_from_clause(self) -> tuple[list[str], list[Any]]:
        """Return the tables, with the filters that are handed over."""
        self._handed = handed_filters(self.query, self.connection)
        return super().get_from_clause()

    def compile(self, node: Any) -> tuple[str, Any]:
        """Compile a node; tables in FROM take their filters."""
        sql, params = super().compile(node)
        if isinstance(node, (BaseTable, Join)):
            handed = self._handed.get(node.table_alias)
            if handed is not None and self.connection.compiling:
                name = self.connection.ops.quote_name(node.table_name)
                sql = sql.replace(name, name + HANDLE, 1)
                params = (handed, *params)
        return sql, params


class SQLInsertCompiler(compiler.SQLInsertCompiler, SQLCompiler):
    """INSERT with RETURNING and ON CONFLICT, which virtual tables lack."""

    #: What pre_save() gave, by field and object: it is called once.
    _saved: dict[tuple[Any, int], Any] | None = None

    def assemble_as_sql(
        self, fields: Sequence[Any], value_rows: Sequence[Any]
    ) -> tuple[Any, Any]:
        """Note what the placeholders are."""
        placeholders, params = super().assemble_as_sql(fields, value_rows)
        self._fields = fields
        self._placeholders = placeholders
        return placeholders, params

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        """Insert the objects: without SQL if nobody looks at it."""
        connection = self.connection
        self._executing = connection.native and not is_observed(connection)
        try:
            return compiler.SQLInsertCompiler.execute_sql(self, *args, **kwargs)
        finally:
            self._executing = False

    def pre_save_val(self, field: Any, obj: Any) -> Any:
        """Return what an object has for a field."""
        if self._saved is not None and (field, id(obj)) in self._saved:
            return self._saved[field, id(obj)]
        return super().pre_save_val(field, obj)

    def as_sql(self) -> list[tuple[Insert, Any]]:  # type: ignore[override]  # as Django's does
        """Return the statements, each an :class:`Insert`, and their parameters."""
        if self._executing:
            params = self._plain()
            if params is not None:
                self.returning_params = ()
                insert = Insert("INSERT without SQL", self._one_sql)
                insert.rows = ()
                return [(self._described(insert, self.query.fields), params)]
        return self._as_inserts()

    def _one_sql(self) -> tuple[str, Sequence[Any]]:
        """Return the only statement as text, of what pre_save() gave."""
        fields, objs = self.query.fields, self.query.objs
        self._saved = {
            (field, id(obj)): value
            for field, values in zip(fields, self._given, strict=True)
            for obj, value in zip(objs, values, strict=True)
        }
        ((sql, params),) = self._as_inserts()
        return sql, params

    def _as_inserts(self) -> list[tuple[Insert, Any]]:
        # The default connector, not SQLCompiler's: a list comes from there.
        statements = compiler.SQLInsertCompiler.as_sql(self)
        key = self.query.get_meta().pk
        alone = len(statements) == 1
        result = []
        for number, (sql, params) in enumerate(statements):
            insert = Insert(sql)
            rows = self._placeholders
            insert.rows = rows if alone else rows[number : number + 1]
            fields = (key if field is None else field for field in self._fields)
            result.append((self._described(insert, fields), params))
        return result

    def _described(self, insert: Insert, fields: Iterable[Any]) -> Insert:
        insert.table = self.connection.ops.bare_name(self.query.get_meta().db_table)
        insert.columns = self._columns(fields)
        insert.on_conflict = _ON_CONFLICT.get(self.query.on_conflict)
        insert.update_columns = self._columns(self.query.update_fields)
        insert.unique_columns = self._columns(self.query.unique_fields)
        insert.returning = self._columns(self.returning_fields or ())
        return insert

    def _plain(self) -> list[Any] | None:
        """Return the values, row by row; None if one has to be made by SQL."""
        fields, objs = self.query.fields, self.query.objs
        if not fields or any(
            field.has_db_default() or _writes_sql(field.__class__) for field in fields
        ):
            return None
        columns = [[self.pre_save_val(field, obj) for obj in objs] for field in fields]
        prepared = []
        for field, values in zip(fields, columns, strict=True):
            prepare = field.get_db_prep_save
            done = []
            for value in values:
                if not hasattr(value, "resolve_expression"):
                    one = prepare(value, connection=self.connection)
                    if not hasattr(one, "as_sql"):
                        done.append(one)
                        continue
                self._saved = {
                    (field, id(obj)): value
                    for field, values in zip(fields, columns, strict=True)
                    for obj, value in zip(objs, values, strict=True)
                }
                return None
            prepared.append(done)
        self._given = columns
        return list(itertools.chain.from_iterable(zip(*prepared, strict=True)))

    def _columns(self, fields: Iterable[Any]) -> tuple[str, ...]:
        bare_name = self.connection.ops.bare_name
        return tuple([bare_name(field.column) for field in fields])


class SQLDeleteCompiler(compiler.SQLDeleteCompiler, SQLCompiler):
    """DELETE."""

    _reads = False

    def as_sql(self) -> tuple[str, Sequence[Any]]:
        """Return the statement and its parameters."""
        if self._executing:
            found = self.connection.planner.keys(self)
            if found is not None:
                return self._as_native_write(found, None, self._as_delete)
        return self._as_delete()

    def _as_delete(self) -> tuple[str, Sequence[Any]]:
        return pushed(
            Pushed,
            self.connection,
            functools.partial(compiler.SQLDeleteCompiler.as_sql, self),
        )


class SQLUpdateCompiler(compiler.SQLUpdateCompiler, SQLCompiler):
    """UPDATE."""

    _reads = False

    def as_sql(self) -> tuple[str, Sequence[Any]]:
        """
        Return the statement and its parameters.

        :raises DataError: a number has more than 64 bits. SQLite would only
            tell which parameter it is.
        """
        if self._executing:
            changes = self._changes()
            found = None if changes is None else self.connection.planner.keys(self)
            if found is not None:
                return self._as_native_write(found, changes, self._as_update)
        return self._as_update()

    def _as_update(self) -> tuple[str, Sequence[Any]]:
        sql, params = pushed(
            Pushed,
            self.connection,
            functools.partial(compiler.SQLUpdateCompiler.as_sql, self),
        )
        for field, _, value in self.query.values:
            if (
                value.__class__ is int
                and not -(2**63) <= value < 2**63
                and isinstance(getattr(field, "target_field", field), IntegerField)
            ):
                table = self.query.get_meta().db_table
                raise DataError(
                    f"The value {shown(value)} doesn't fit into column"
                    f" {table}.{field.column}: it is out of the range of 64 bits."
                )
        return sql, params

    def _changes(self) -> dict[str, Any] | None:
        """Return plain values by column; None if there are other ones, or none."""
        query = self.query
        if query.related_updates or getattr(query, "returning_fields", None):
            return None
        changes = {}
        for field, _, value in query.values:
            if (
                hasattr(value, "resolve_expression")
                or hasattr(value, "prepare_database_save")
                or _writes_sql(field.__class__)
            ):
                return None
            prepared = field.get_db_prep_save(value, connection=self.connection)
            if hasattr(prepared, "as_sql"):
                return None
            changes[self.connection.ops.bare_name(field.column)] = prepared
        return changes or None


class SQLAggregateCompiler(compiler.SQLAggregateCompiler, SQLCompiler):
    """SELECT of aggregates over a subquery."""

    def as_sql(self) -> tuple[str, Sequence[Any]]:
        """Return the statement and its parameters."""
        return pushed(
            Pushed,
            self.connection,
            functools.partial(compiler.SQLAggregateCompiler.as_sql, self),
        )
