"""
The native path: queries on one table that the store answers without SQL.

What is looked at here is only whether SQLite has to be asked; that is the case
unless everything in a query is known. How the table is read is the engine's to
choose (``backendkit.engine.native``).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import FieldError
from django.db.models import Value
from django.db.models.expressions import Col, OrderBy, Ref, Star
from django.db.models.sql import Query
from django.db.models.sql.constants import LOUTER
from django.db.models.sql.datastructures import Join

from backendkit.engine.grouping import Grouping, Total
from backendkit.engine.joining import Step
from backendkit.engine.native import Prepared, Read, prepare
from backendkit.engine.parameters import LIKE, InexactError
from backendkit.engine.periods import Periods
from backendkit.engine.running import Filter
from backendkit.engine.values import adapt
from backendkit.stores import Column, Error, FilterShape, OperationalError

from .converters import Convert, row_converter
from .periods import period_functions, shape_of_periods, stored_type, truncation
from .shapes import (
    AGGREGATES,
    LOOKUPS,
    TOTALS,
    Found,
    Unknown,
    base_alias,
    named_by_id,
    plain_column,
    shape_of_groups,
    shape_of_keys,
    shape_of_rows,
    used_aliases,
)

if TYPE_CHECKING:
    from .base import NonrelDatabaseWrapper
    from .compiler import SQLCompiler

#: Query shapes that a connection remembers.
_MOST_SHAPES = 1000


@dataclass
class Plan:
    """How queries of one shape are answered; ``prepared`` is None: by SQLite."""

    prepared: Prepared | None = None
    select: Any = ()
    klass_info: Any = None
    annotation_col_map: Any = None
    convert: Convert | None = None
    #: Whether rows are groups: they are in SQLite's terms.
    grouped: bool = False
    #: How many filters that something is not NULL come behind the query's own.
    not_null: int = 0
    #: Keeps objects alive whose ids are in the shape.
    alive: Any = None


class Planner:
    """
    Finds out which queries of a connection need no SQL.

    :param wrapper: the connection.
    """

    def __init__(self, wrapper: NonrelDatabaseWrapper) -> None:
        # A wrapper that nobody uses any more is gone at once, as Django's are.
        self._wrapper = cast("NonrelDatabaseWrapper", weakref.proxy(wrapper))
        self._plans: dict[Any, Plan] = {}
        self._connection: Any = None

    def forget(self) -> None:
        """Look at all shapes anew: a table has changed."""
        self._plans.clear()

    def plan(self, compiler: SQLCompiler) -> tuple[Plan, list[Filter]] | None:
        """
        Return how to answer a SELECT and its filters; None if SQLite has to.

        The query is changed in no other way than by Django's compiler.
        """
        if compiler.query.group_by is not None or compiler.query.distinct:
            if truncation(compiler.query) is not None:
                return self._planned(shape_of_periods, self._make_periods, compiler)
            return self._planned(shape_of_groups, self._make_groups, compiler)
        if compiler.asks_existence:
            return self._planned(self._existence_shape, self._make, compiler)
        return self._planned(self._shape, self._make, compiler)

    def keys(self, compiler: SQLCompiler) -> tuple[Prepared, list[Filter]] | None:
        """Return how to find the rows of an UPDATE or DELETE; None: by SQLite."""
        found = self._planned(shape_of_keys, self._make_keys, compiler)
        if found is None:
            return None
        plan, filters = found
        assert plan.prepared is not None
        return plan.prepared, filters

    def explain(self, compiler: SQLCompiler) -> list[str] | None:
        """Return how a SELECT is answered, for people; None if SQLite knows."""
        query = compiler.query
        explained, query.explain_info = query.explain_info, None
        try:
            found = self.plan(compiler)
        finally:
            query.explain_info = explained
        if found is None:
            return None
        plan, _ = found
        assert plan.prepared is not None
        lines: list[str] = self._connection.explain(
            plan.prepared, few=query.high_mark is not None
        )
        return lines

    def _planned(
        self,
        look: Callable[[Query], tuple[Any, Found]],
        make: Callable[[SQLCompiler, Found], Plan],
        compiler: SQLCompiler,
    ) -> tuple[Plan, list[Filter]] | None:
        connection = self._wrapper.connection
        if connection is None or self._wrapper.needs_rollback:
            return None  # Django says what is wrong with the block
        if connection is not self._connection:
            # The engine's tables are another connection's.
            self._connection = connection
            self._plans.clear()
        try:
            key, found = look(compiler.query)
            plan = self._plans.get(key)
            if plan is None:
                if len(self._plans) >= _MOST_SHAPES:
                    self._plans.clear()
                plan = self._plans[key] = make(compiler, found)
            if plan.prepared is None:
                return None
            return plan, self._filters(plan, found)
        except OperationalError:
            # The statement would meet it, too, and wait for as long once more.
            with self._wrapper.wrap_database_errors:
                raise
        except (Unknown, InexactError, Error):
            # What is wrong with the transaction, the statement itself will say.
            return None

    def _shape(self, query: Query) -> tuple[Any, Found]:
        return shape_of_rows(query, self._wrapper.timezone)

    def _existence_shape(self, query: Query) -> tuple[Any, Found]:
        return shape_of_rows(query, self._wrapper.timezone, existence=True)

    # Values

    def _filters(self, plan: Plan, found: Found) -> list[Filter]:
        assert plan.prepared is not None
        values: list[Any] = []
        for lookup, _ in found:
            rhs = lookup.rhs
            kind = lookup.__class__
            name = LOOKUPS[kind]
            if name == "isnull":
                values.append(True)
            elif name == "in":
                values.append(self._list(lookup))
            elif name in LIKE:
                values.append(rhs)
            else:
                _, params = lookup.get_db_prep_lookup(rhs, self._wrapper)
                values.append(adapt(params[0]))
        values += [True] * plan.not_null
        return plan.prepared.filters(values)

    def _list(self, lookup: Any) -> list[Any]:
        rhs = lookup.rhs
        try:
            wanted = list(dict.fromkeys(rhs))
        except TypeError:
            wanted = list(rhs)
        wanted = [value for value in wanted if value is not None]
        if not wanted:
            raise InexactError  # Django knows what becomes of it
        for value in wanted:
            if hasattr(value, "as_sql") or hasattr(value, "resolve_expression"):
                raise InexactError
        _, params = lookup.get_db_prep_lookup(wanted, self._wrapper)
        return [adapt(value) for value in params]

    # Plans

    def _make(self, compiler: SQLCompiler, found: Found) -> Plan:
        query = compiler.query
        alive = named_by_id(query, found)
        refcounts = query.alias_refcount.copy()
        try:
            # Django's own compiler says what the columns and the order are.
            compiler.setup_query()
            order_by = compiler.get_order_by()
            used = used_aliases(query)
        except FieldError:
            return Plan(alive=alive)
        finally:
            query.reset_refcounts(refcounts)
        plan = Plan(
            None,
            compiler.select,
            compiler.klass_info,
            compiler.annotation_col_map,
            alive=alive,
        )
        try:
            columns = self._prepare(plan, query, compiler, order_by, used, found)
        except (Unknown, InexactError):
            return Plan(alive=alive)
        if columns is not None:
            plan.convert = row_converter(columns, plan.select, self._wrapper)
        return plan

    def _prepare(
        self,
        plan: Plan,
        query: Query,
        compiler: SQLCompiler,
        order_by: Any,
        used: set[str],
        found: Found,
    ) -> list[Column] | None:
        table = base_alias(query, joined=True)
        shapes = self._filter_shapes(found)
        pairs = []
        for by, *_ in order_by:
            if by.__class__ is not OrderBy or by.nulls_first or by.nulls_last:
                raise Unknown
            pairs.append((self._place(by.expression), bool(by.descending)))
        what, columns = "rows", []
        if len(query.annotation_select) > 1:
            plan.prepared = self._ends(query, table, tuple(shapes))
            return None
        if query.annotations:
            (annotation,) = query.annotation_select.values()
            if annotation.__class__ is Value:
                what = "exists"
            else:
                source = annotation.get_source_expressions()[0]
                what = AGGREGATES.get(annotation.__class__, "count")
                if source.__class__ is not Star:
                    name = self._column(source, table)
                    if what == "count":
                        shapes.append(FilterShape(name, "isnull", negated=True))
                        plan.not_null = 1
                    else:
                        columns = [name]
            if (
                query.select
                or query.default_cols
                or (query.is_sliced and what != "exists")
            ):
                raise Unknown
            pairs = []
        name = self._bare(query.model._meta.db_table)
        read = Read(name, tuple(columns), tuple(shapes), what=what)
        if what == "rows":
            picked = [self._place(expression) for expression, *_ in compiler.select]
            read = self._rows(query, table, used, read, picked, pairs)
        plan.prepared = prepare(self._connection, read)
        if what != "rows":
            return None
        return plan.prepared.picked()

    def _ends(
        self, query: Query, alias: str, shapes: tuple[FilterShape, ...]
    ) -> Prepared:
        """Return a read of least and greatest values, each by an index."""
        if query.select or query.default_cols or query.is_sliced:
            raise Unknown
        name = self._bare(query.model._meta.db_table)
        table = self._connection.catalog().tables.get(name)
        if table is None:
            raise Unknown
        first = {table.primary_key[0], *(index.columns[0] for index in table.indexes)}
        parts = []
        for annotation in query.annotation_select.values():
            column = self._column(annotation.get_source_expressions()[0], alias)
            if column not in first:
                raise Unknown  # SQLite finds all of them in one scan
            what = AGGREGATES[annotation.__class__]
            parts.append(Read(name, (column,), shapes, what=what))
        read = Read(name, (), shapes, what="several", parts=tuple(parts))
        return prepare(self._connection, read)

    def _make_grouped(
        self,
        compiler: SQLCompiler,
        found: Found,
        read_of: Callable[[SQLCompiler, Found], Read],
    ) -> Plan:
        """
        Plan a query that returns groups.

        :param read_of: returns what is to be read; called once Django's compiler is set
            up. Raises :exc:`Unknown` if SQLite has to.
        """
        query = compiler.query
        alive = named_by_id(query, found)
        refcounts = query.alias_refcount.copy()
        try:
            compiler.setup_query()
            plan = Plan(
                None,
                compiler.select,
                compiler.klass_info,
                compiler.annotation_col_map,
                alive=alive,
                grouped=True,
            )
            plan.prepared = prepare(self._connection, read_of(compiler, found))
        except (FieldError, Unknown, InexactError):
            return Plan(alive=alive)
        finally:
            query.reset_refcounts(refcounts)
        return plan

    def _make_groups(self, compiler: SQLCompiler, found: Found) -> Plan:
        return self._make_grouped(compiler, found, self._groups)

    def _groups(self, compiler: SQLCompiler, found: Found) -> Read:
        query = compiler.query
        order_by = compiler.get_order_by()
        if compiler._meta_ordering and not query.distinct:
            order_by = []  # Django drops it from grouped queries
        table = base_alias(query, joined=True)
        # Keys and totals are columns of joined tables; None counts rows.
        keys: dict[tuple[str, str], None] = {}
        totals: list[tuple[str, tuple[str, str] | None]] = []
        for column in query.group_by or ():
            keys[self._place(column)] = None
        picked: list[tuple[str, str] | int] = []
        for expression, *_ in compiler.select:
            kind = TOTALS.get(expression.__class__)
            if kind is None:
                key = self._place(expression)
                keys[key] = None
                picked.append(key)
                continue
            source = expression.get_source_expressions()[0]
            picked.append(len(totals))
            totals.append(
                (kind, None if source.__class__ is Star else self._place(source))
            )
        ordering: list[tuple[tuple[str, str] | int, bool]] = []
        aliases = [alias for _, _, alias in compiler.select]
        for by, *_ in order_by:
            if by.__class__ is not OrderBy or by.nulls_first or by.nulls_last:
                raise Unknown
            expression = by.expression
            if isinstance(expression, Ref) and expression.refs in aliases:
                one = picked[aliases.index(expression.refs)]
            else:
                one = key = self._place(expression)
                if query.distinct and key not in keys:
                    raise Unknown  # Django selects it, too
                keys[key] = None
            ordering.append((one, bool(by.descending)))
        if not keys or (query.distinct and totals):
            raise Unknown
        wanted = [*keys, *(one for _, one in totals if one is not None)]
        columns, steps, places = self._completed(query, wanted, table)
        if used_aliases(query) != {table, *(alias for alias, _ in places)}:
            raise Unknown  # a join that only leaves out rows, or makes more
        at = {one: number for number, one in enumerate(keys)}

        def number(one: tuple[str, str] | int) -> int:
            return len(keys) + one if isinstance(one, int) else at[one]

        return Read(
            self._bare(query.model._meta.db_table),
            tuple(columns),
            tuple(self._filter_shapes(found)),
            what="groups",
            steps=tuple(steps),
            grouping=Grouping(
                tuple(places[one] for one in keys),
                tuple(
                    Total(kind, None if one is None else places[one])
                    for kind, one in totals
                ),
                tuple(map(number, picked)),
                tuple((number(one), descending) for one, descending in ordering),
            ),
        )

    def _make_periods(self, compiler: SQLCompiler, found: Found) -> Plan:
        return self._make_grouped(compiler, found, self._periods)

    def _periods(self, compiler: SQLCompiler, found: Found) -> Read:
        query = compiler.query
        truncated = truncation(query)
        name = self._column(truncated.lhs, base_alias(query))
        table_name = self._bare(query.model._meta.db_table)
        table = self._connection.catalog().tables.get(table_name)
        if table is None or name not in table.positions:
            raise Unknown
        column = table.column(name)
        shapes = tuple(self._filter_shapes(found))
        if column.type is not stored_type(truncated) or (
            column.nullable and FilterShape(name, "isnull", True) not in shapes
        ):
            raise Unknown  # NULL is a period, too
        if FilterShape(name, "isnull") in shapes:
            raise Unknown  # there is none
        kept = tuple(
            one for one in shapes if (one.column, one.lookup) != (name, "isnull")
        )
        every = Read(table_name, (name,), shapes)
        last = replace(every, shapes=kept, ordering=((name, True),))
        former = replace(last, shapes=(*shapes, FilterShape(name, "lt")))
        shown, first = period_functions(truncated, self._wrapper)
        descending = query.order_by[0].startswith("-")
        return replace(
            every,
            what="periods",
            periods=Periods(shown, first, descending),
            parts=(every, last, former),
        )

    def _place(self, expression: Any) -> tuple[str, str]:
        """Return a column as alias and name. :raises Unknown: it is something else."""
        column = plain_column(expression)
        return column.alias, self._bare(column.target.column)

    def _rows(
        self,
        query: Query,
        table: str,
        used: set[str],
        read: Read,
        picked: list[tuple[str, str]],
        ordering: list[tuple[tuple[str, str], bool]],
    ) -> Read:
        """Return a read of columns, and those of joined tables, in an order."""
        by_base = all(alias == table for (alias, _), _ in ordering)
        wanted = picked if by_base else [*picked, *(one for one, _ in ordering)]
        columns, steps, places = self._completed(query, wanted, table)
        if not used <= {table, *(alias for alias, _ in places)}:
            raise Unknown  # a join that only leaves out rows, or makes more
        pick = tuple(places[one] for one in picked)
        if not steps:
            if pick != tuple(range(len(columns))):
                raise Unknown  # a column twice
            pick = ()
        read = replace(read, columns=tuple(columns), steps=tuple(steps), pick=pick)
        if by_base:
            pairs = tuple((name, descending) for (_, name), descending in ordering)
            return replace(read, ordering=pairs)
        return replace(
            read,
            joined_ordering=tuple(
                (places[one], descending) for one, descending in ordering
            ),
        )

    def _completed(
        self, query: Query, picked: Iterable[tuple[str, str]], table: str
    ) -> tuple[list[str], list[Step], dict[tuple[str, str], int]]:
        """
        Return the base table's columns, the joined tables, and where all columns are.

        :param picked: alias and name of what is wanted.
        """
        wanted: dict[str, dict[str, None]] = {}
        for alias, name in picked:
            wanted.setdefault(alias, {})[name] = None
        joins = self._joins(query, wanted, table)
        places = {
            (table, name): place for place, name in enumerate(wanted.get(table, ()))
        }
        width = len(places)
        steps = []
        for join, by, column in joins:
            names = tuple(wanted.get(join.table_alias, ()))
            steps.append(
                Step(
                    places[join.parent_alias, by],
                    self._bare(join.table_name),
                    column,
                    names,
                    outer=join.join_type == LOUTER,
                )
            )
            for name in names:
                places[join.table_alias, name] = width
                width += 1
        return list(wanted.get(table, ())), steps, places

    def _joins(
        self, query: Query, wanted: dict[str, dict[str, None]], table: str
    ) -> list[tuple[Any, str, str]]:
        """
        Return the joins that columns are wanted of: join, and columns compared.

        In the order in which they are made. What they look up is wanted too.
        """
        found: dict[str, tuple[Any, str, str]] = {}
        waiting = [alias for alias in wanted if alias != table]
        while waiting:
            alias = waiting.pop()
            join = query.alias_map[alias]
            if (
                join.__class__ is not Join
                or join.filtered_relation is not None
                or join.join_field.get_extra_restriction(alias, join.parent_alias)
            ):
                raise Unknown
            fields = join.join_field.get_joining_fields()
            if len(fields) != 1:
                raise Unknown
            ((ours, theirs),) = fields
            by, column = self._bare(ours.column), self._bare(theirs.column)
            found[alias] = join, by, column
            wanted.setdefault(join.parent_alias, {})[by] = None
            wanted.setdefault(alias, {})
            if join.parent_alias != table and join.parent_alias not in found:
                waiting.append(join.parent_alias)
        # A table comes behind the one that it is joined to: as Django numbers them.
        return [found[alias] for alias in query.alias_map if alias in found]

    def _make_keys(self, compiler: SQLCompiler, found: Found) -> Plan:
        query = compiler.query
        alive = named_by_id(query, found)
        name = self._bare(query.model._meta.db_table)
        shapes = tuple(self._filter_shapes(found))
        table = self._connection.catalog().tables.get(name)
        if table is None:
            return Plan(alive=alive)
        try:
            read = Read(name, table.primary_key, shapes)
            return Plan(prepare(self._connection, read), alive=alive)
        except (Unknown, InexactError):
            return Plan(alive=alive)

    def _filter_shapes(self, found: Found) -> list[FilterShape]:
        shapes = []
        for lookup, negated in found:
            name = LOOKUPS[lookup.__class__]
            if name == "isnull":
                negated ^= not lookup.rhs  # noqa: PLW2901  # IS NOT NULL
            shapes.append(
                FilterShape(self._bare(lookup.lhs.target.column), name, negated)
            )
        return shapes

    def _column(self, expression: Any, table: str) -> str:
        if expression.__class__ is not Col or expression.alias != table:
            raise Unknown
        return self._bare(expression.target.column)

    def _bare(self, name: str) -> str:
        return self._wrapper.ops.bare_name(name)
