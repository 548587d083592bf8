"""Compilers: Django's, with INSERT handed to the engine as more than text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import DataError
from django.db.models import IntegerField
from django.db.models.constants import OnConflict
from django.db.models.sql import compiler
from django.db.models.sql.datastructures import BaseTable, Join

from backendkit.engine.statements import Insert, Select, unquote

from .pushdown import handed_filters

_ON_CONFLICT = {OnConflict.IGNORE: "ignore", OnConflict.UPDATE: "update"}


class SQLCompiler(compiler.SQLCompiler):
    """
    SELECT.

    Its results are converted by Django, not by the cursor. Filters that SQLite
    doesn't offer to virtual tables are handed over beside it: the table is
    written as a table-valued function, ``"book"(?)``, and the parameter brings
    them. The statement checks them too.
    """

    def as_sql(self, *args: Any, **kwargs: Any) -> tuple[str, tuple[Any, ...]]:
        """Return the statement and its parameters."""
        sql, params = super().as_sql(*args, **kwargs)
        return Select(sql), params

    def get_from_clause(self) -> tuple[list[str], list[Any]]:
        """Return the tables, with the filters that are handed over."""
        self._handed = handed_filters(self.query, self.connection)
        return super().get_from_clause()

    def compile(self, node: Any) -> tuple[str, Any]:
        """Compile a node; tables in FROM take their filters."""
        sql, params = super().compile(node)
        if isinstance(node, (BaseTable, Join)):
            handed = self._handed.get(node.table_alias)
            if handed is not None:
                name = self.connection.ops.quote_name(node.table_name)
                sql = sql.replace(name, f"{name}(%s)", 1)
                params = (handed, *params)
        return sql, params


class SQLInsertCompiler(compiler.SQLInsertCompiler, SQLCompiler):
    """INSERT with RETURNING and ON CONFLICT, which virtual tables lack."""

    def assemble_as_sql(
        self, fields: Sequence[Any], value_rows: Sequence[Any]
    ) -> tuple[Any, Any]:
        """Note what the placeholders are."""
        placeholders, params = super().assemble_as_sql(fields, value_rows)
        self._fields = fields
        self._placeholders = placeholders
        return placeholders, params

    def as_sql(self) -> list[tuple[Insert, Any]]:  # type: ignore[override]  # as Django's does
        """Return the statements, each an :class:`Insert`, and their parameters."""
        # The default connector, not SQLCompiler's: a list comes from there.
        statements = compiler.SQLInsertCompiler.as_sql(self)
        key = self.query.get_meta().pk
        alone = len(statements) == 1
        result = []
        for number, (sql, params) in enumerate(statements):
            insert = Insert(sql)
            insert.table = self._bare(self.query.get_meta().db_table)
            insert.columns = self._columns(
                key if field is None else field for field in self._fields
            )
            rows = self._placeholders
            insert.rows = rows if alone else rows[number : number + 1]
            insert.on_conflict = _ON_CONFLICT.get(self.query.on_conflict)
            insert.update_columns = self._columns(self.query.update_fields)
            insert.unique_columns = self._columns(self.query.unique_fields)
            insert.returning = self._columns(self.returning_fields or ())
            result.append((insert, params))
        return result

    def _columns(self, fields: Iterable[Any]) -> tuple[str, ...]:
        return tuple(self._bare(field.column) for field in fields)

    def _bare(self, name: str) -> str:
        """Return a name as the database knows it: some are quoted in the model."""
        return unquote(self.connection.ops.quote_name(name))


class SQLDeleteCompiler(compiler.SQLDeleteCompiler, SQLCompiler):
    """DELETE."""

    def as_sql(self) -> tuple[str, tuple[Any, ...]]:
        """Return the statement and its parameters."""
        sql, params = compiler.SQLDeleteCompiler.as_sql(self)
        return str(sql), params


class SQLUpdateCompiler(compiler.SQLUpdateCompiler, SQLCompiler):
    """UPDATE."""

    def as_sql(self) -> tuple[str, tuple[Any, ...]]:
        """
        Return the statement and its parameters.

        :raises DataError: a number has more than 64 bits. SQLite would only
            tell which parameter it is.
        """
        sql, params = compiler.SQLUpdateCompiler.as_sql(self)
        for field, _, value in self.query.values:
            if (
                value.__class__ is int
                and not -(2**63) <= value < 2**63
                and isinstance(getattr(field, "target_field", field), IntegerField)
            ):
                table = self.query.get_meta().db_table
                raise DataError(
                    f"The value {value} doesn't fit into column"
                    f" {table}.{field.column}: it is out of the range of 64 bits."
                )
        return str(sql), params


class SQLAggregateCompiler(compiler.SQLAggregateCompiler, SQLCompiler):
    """SELECT of aggregates over a subquery."""
