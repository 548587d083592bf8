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
from django.db.models import Avg, Count, Max, Min, Sum, Value, lookups
from django.db.models.expressions import Col, OrderBy, Ref, Star
from django.db.models.fields import related_lookups
from django.db.models.sql import Query
from django.db.models.sql.constants import LOUTER
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.where import AND, WhereNode

from backendkit.engine.grouping import Grouping, Total
from backendkit.engine.joining import Step
from backendkit.engine.native import Prepared, Read, prepare
from backendkit.engine.parameters import LIKE, InexactError
from backendkit.engine.running import Filter
from backendkit.engine.values import adapt
from backendkit.stores import Column, Error, FilterShape

from .converters import Convert, row_converter

if TYPE_CHECKING:
    from .base import NonrelDatabaseWrapper
    from .compiler import SQLCompiler

#: Only Django's own classes: a subclass may mean something else.
_LOOKUPS: dict[type, str] = {
    lookups.Contains: "contains",
    lookups.EndsWith: "endswith",
    lookups.Exact: "exact",
    lookups.GreaterThan: "gt",
    lookups.GreaterThanOrEqual: "gte",
    lookups.IContains: "icontains",
    lookups.IEndsWith: "iendswith",
    lookups.IExact: "iexact",
    lookups.In: "in",
    lookups.IsNull: "isnull",
    lookups.IStartsWith: "istartswith",
    lookups.IntegerFieldExact: "exact",
    lookups.IntegerGreaterThan: "gt",
    lookups.IntegerGreaterThanOrEqual: "gte",
    lookups.IntegerLessThan: "lt",
    lookups.IntegerLessThanOrEqual: "lte",
    lookups.LessThan: "lt",
    lookups.LessThanOrEqual: "lte",
    lookups.StartsWith: "startswith",
    related_lookups.RelatedExact: "exact",
    related_lookups.RelatedGreaterThan: "gt",
    related_lookups.RelatedGreaterThanOrEqual: "gte",
    related_lookups.RelatedIn: "in",
    related_lookups.RelatedIsNull: "isnull",
    related_lookups.RelatedLessThan: "lt",
    related_lookups.RelatedLessThanOrEqual: "lte",
}
_AGGREGATES = {Max: "max", Min: "min", Sum: "sum"}
#: In queries with groups.
_TOTALS = {Avg: "avg", Count: "count", **_AGGREGATES}
_NEGATABLE = frozenset({"exact", "in", "isnull"})
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


#: Lookups, with whether they are negated.
Found = list[tuple[Any, bool]]


class _Unknown(Exception):  # not an error: SQLite is asked
    pass


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
            return self._planned(self._shape_of_groups, self._make_groups, compiler)
        return self._planned(self._shape, self._make, compiler)

    def keys(self, compiler: SQLCompiler) -> tuple[Prepared, list[Filter]] | None:
        """Return how to find the rows of an UPDATE or DELETE; None: by SQLite."""
        found = self._planned(self._shape_of_keys, self._make_keys, compiler)
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
        if connection is None:
            return None
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
        except (_Unknown, InexactError, Error):
            # What is wrong with the connection, the statement itself will say.
            return None

    # Shapes

    def _shape(self, query: Query) -> tuple[Any, Found]:
        """
        Return what tells queries apart that are answered in different ways.

        And its lookups, with whether they are negated, in the order of the shape.

        :raises _Unknown: SQLite has to be asked.
        """
        table = _base(query, joined=True)
        _plain(query)
        annotations = query.annotation_select
        shape: list[Any] = [
            id(query.model),
            query.default_cols,
            frozenset(query.deferred_loading[0]),
            query.deferred_loading[1],
            query.default_ordering,
            query.standard_ordering,
            _frozen(query.select_related),
            query.max_depth,
            self._wrapper.timezone,
        ]
        shape += _join_shapes(query, table)
        shape += map(_column_shape, query.select)
        shape += _order_shapes(query)
        if query.annotations:
            if len(annotations) != 1 or len(query.annotations) != 1:
                raise _Unknown
            _base(query)
            shape.append(_annotation_shape(next(iter(annotations.values())), table))
        if query.selected:
            shape.append(tuple(query.selected.items()))
        found: Found = []
        _look_at(query.where, table, shape, found)
        return tuple(shape), found

    def _shape_of_groups(self, query: Query) -> tuple[Any, Found]:
        """Return what tells apart SELECTs with groups; as :meth:`_shape`."""
        table = _base(query, joined=True)
        _plain(query)
        group_by = query.group_by
        if query.distinct:
            # Of a slice in any order SQLite reads no more than it needs.
            if (
                group_by is not None
                or query.distinct_fields
                or (query.is_sliced and not query.order_by)
            ):
                raise _Unknown
            group_by = ()
        if (
            group_by.__class__ is not tuple
            or query.default_cols
            or query.select_related
            or len(query.annotations) != len(query.annotation_select)
        ):
            raise _Unknown
        shape: list[Any] = ["groups", id(query.model), query.distinct]
        shape += (query.default_ordering, query.standard_ordering)
        shape += _join_shapes(query, table)
        shape += map(_column_shape, (*group_by, *query.select))
        for name, annotation in query.annotation_select.items():
            shape += (name, _annotation_shape(annotation, None))
        shape += _order_shapes(query)
        if query.selected:
            shape.append(tuple(query.selected.items()))
        found: Found = []
        _look_at(query.where, table, shape, found)
        return tuple(shape), found

    def _shape_of_keys(self, query: Query) -> tuple[Any, Found]:
        """Return what tells UPDATEs and DELETEs apart; as :meth:`_shape`."""
        found: Found = []
        shape: list[Any] = [id(query.model), query.__class__]
        _look_at(query.where, _base(query), shape, found)
        return tuple(shape), found

    def _filters(self, plan: Plan, found: Found) -> list[Filter]:
        assert plan.prepared is not None
        values: list[Any] = []
        for lookup, _ in found:
            rhs = lookup.rhs
            kind = lookup.__class__
            name = _LOOKUPS[kind]
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
        alive = [query.model, [lookup.lhs.target for lookup, _ in found]]
        alive += [query.select, list(query.alias_map.values())]
        alive.append(query.model._meta.ordering)
        refcounts = query.alias_refcount.copy()
        try:
            # Django's own compiler says what the columns and the order are.
            compiler.setup_query()
            order_by = compiler.get_order_by()
            used = _used(query)
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
        except (_Unknown, InexactError):
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
        table = _base(query, joined=True)
        shapes = self._filter_shapes(found)
        pairs = []
        for by, *_ in order_by:
            if by.__class__ is not OrderBy or by.nulls_first or by.nulls_last:
                raise _Unknown
            pairs.append((self._place(by.expression), bool(by.descending)))
        what, columns = "rows", []
        if query.annotations:
            (annotation,) = query.annotation_select.values()
            if annotation.__class__ is Value:
                what = "exists"
            else:
                source = annotation.get_source_expressions()[0]
                what = _AGGREGATES.get(annotation.__class__, "count")
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
                raise _Unknown
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

    def _make_groups(self, compiler: SQLCompiler, found: Found) -> Plan:
        query = compiler.query
        annotations = query.annotation_select
        alive = [query.model, [lookup.lhs.target for lookup, _ in found]]
        alive += [query.group_by, query.select, list(annotations.values())]
        alive += [list(query.alias_map.values()), query.model._meta.ordering]
        refcounts = query.alias_refcount.copy()
        try:
            compiler.setup_query()
            order_by = compiler.get_order_by()
            if compiler._meta_ordering and not query.distinct:
                order_by = []  # Django drops it from grouped queries
            plan = Plan(
                None,
                compiler.select,
                compiler.klass_info,
                compiler.annotation_col_map,
                alive=alive,
                grouped=True,
            )
            read = self._groups(query, compiler, order_by, found)
            plan.prepared = prepare(self._connection, read)
        except (FieldError, _Unknown, InexactError):
            return Plan(alive=alive)
        finally:
            query.reset_refcounts(refcounts)
        return plan

    def _groups(
        self, query: Query, compiler: SQLCompiler, order_by: Any, found: Found
    ) -> Read:
        table = _base(query, joined=True)
        # Keys and totals are columns of joined tables; None counts rows.
        keys: dict[tuple[str, str], None] = {}
        totals: list[tuple[str, tuple[str, str] | None]] = []
        for column in query.group_by or ():
            keys[self._place(column)] = None
        picked: list[tuple[str, str] | int] = []
        for expression, *_ in compiler.select:
            kind = _TOTALS.get(expression.__class__)
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
                raise _Unknown
            expression = by.expression
            if isinstance(expression, Ref) and expression.refs in aliases:
                one = picked[aliases.index(expression.refs)]
            else:
                one = key = self._place(expression)
                if query.distinct and key not in keys:
                    raise _Unknown  # Django selects it, too
                keys[key] = None
            ordering.append((one, bool(by.descending)))
        if not keys or (query.distinct and totals):
            raise _Unknown
        wanted = [*keys, *(one for _, one in totals if one is not None)]
        columns, steps, places = self._completed(query, wanted, table)
        if _used(query) != {table, *(alias for alias, _ in places)}:
            raise _Unknown  # a join that only leaves out rows, or makes more
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

    def _place(self, expression: Any) -> tuple[str, str]:
        """Return a column as alias and name. :raises _Unknown: it is something else."""
        while isinstance(expression, Ref):
            expression = expression.source
        if expression.__class__ is not Col:
            raise _Unknown
        return expression.alias, self._bare(expression.target.column)

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
            raise _Unknown  # a join that only leaves out rows, or makes more
        pick = tuple(places[one] for one in picked)
        if not steps:
            if pick != tuple(range(len(columns))):
                raise _Unknown  # a column twice
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
                raise _Unknown
            fields = join.join_field.get_joining_fields()
            if len(fields) != 1:
                raise _Unknown
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
        alive = [query.model, [lookup.lhs.target for lookup, _ in found]]
        name = self._bare(query.model._meta.db_table)
        shapes = tuple(self._filter_shapes(found))
        table = self._connection.catalog().tables.get(name)
        if table is None:
            return Plan(alive=alive)
        try:
            read = Read(name, table.primary_key, shapes)
            return Plan(prepare(self._connection, read), alive=alive)
        except (_Unknown, InexactError):
            return Plan(alive=alive)

    def _filter_shapes(self, found: Found) -> list[FilterShape]:
        shapes = []
        for lookup, negated in found:
            name = _LOOKUPS[lookup.__class__]
            if name == "isnull":
                negated ^= not lookup.rhs  # noqa: PLW2901  # IS NOT NULL
            shapes.append(
                FilterShape(self._bare(lookup.lhs.target.column), name, negated)
            )
        return shapes

    def _column(self, expression: Any, table: str) -> str:
        if expression.__class__ is not Col or expression.alias != table:
            raise _Unknown
        return self._bare(expression.target.column)

    def _bare(self, name: str) -> str:
        return self._wrapper.ops.bare_name(name)


def _used(query: Query) -> set[str]:
    """Return the aliases of the tables in FROM."""
    return {alias for alias, count in query.alias_refcount.items() if count}


def _plain(query: Query) -> None:
    """Raise :exc:`_Unknown` if a SELECT has what is always SQLite's."""
    if (
        query.__class__ is not Query
        or query.combinator
        or query.extra
        or query.extra_tables
        or query.extra_order_by
        or query.select_for_update
        or query.explain_info
        or query._filtered_relations
    ):
        raise _Unknown


def _base(query: Query, *, joined: bool = False) -> str:
    """
    Return the alias of the only table.

    :param joined: whether there may be others, joined to it.
    :raises _Unknown: there are others.
    """
    if query.model is None:
        raise _Unknown
    alias: str = query.get_initial_alias()
    table = query.alias_map[alias]
    if (
        table.__class__ is not BaseTable
        or alias != query.model._meta.db_table
        or table.table_name != alias
        or (
            not joined
            and len(query.alias_map) > 1
            and any(n for other, n in query.alias_refcount.items() if other != alias)
        )
    ):
        raise _Unknown
    return alias


def _look_at(where: WhereNode, table: str, shape: list[Any], found: Found) -> None:
    """Take a conjunction apart. :raises _Unknown: it is something else."""
    if where.__class__ is not WhereNode:
        raise _Unknown
    children = where.children
    if where.connector != AND and len(children) > 1:
        raise _Unknown
    negated = where.negated
    if negated and len(children) != 1:
        raise _Unknown
    for child in children:
        name = _LOOKUPS.get(child.__class__)
        if name is None:
            if negated or child.__class__ is not WhereNode:
                raise _Unknown
            _look_at(child, table, shape, found)
            continue
        column = child.lhs
        if (
            column.__class__ is not Col
            or column.alias != table
            or child.bilateral_transforms
            or hasattr(child.rhs, "as_sql")
            or (negated and name not in _NEGATABLE)
        ):
            raise _Unknown
        if name == "isnull":
            if child.rhs.__class__ is not bool:
                raise _Unknown
            shape.append(child.rhs)
        elif child.rhs is None:
            raise _Unknown
        shape += (name, negated, id(column.target))
        found.append((child, negated))


def _frozen(related: Any) -> Any:
    """Return what select_related() was given, as a key."""
    if related.__class__ is not dict:
        return related
    return tuple((name, _frozen(inner)) for name, inner in related.items())


def _order_shapes(query: Query) -> list[Any]:
    """Return what tells orders apart. :raises _Unknown: it is an expression."""
    if any(name.__class__ is not str for name in query.order_by):
        raise _Unknown
    if query.order_by or not query.default_ordering:
        return list(query.order_by)
    return [
        name if name.__class__ is str else id(name)
        for name in query.model._meta.ordering or ()
    ]


def _join_shapes(query: Query, table: str) -> list[Any]:
    """Return what tells joins apart: of those not used as well, Django may use them."""
    shapes: list[Any] = []
    for alias, join in query.alias_map.items():
        if alias != table:
            if join.__class__ is not Join:
                raise _Unknown
            shapes += (
                alias,
                join.parent_alias,
                join.join_type,
                id(join.join_field),
                query.alias_refcount[alias] > 0,
            )
    return shapes


def _column_shape(expression: Any) -> Any:
    while isinstance(expression, Ref):
        expression = expression.source
    if expression.__class__ is not Col:
        raise _Unknown
    return expression.alias, id(expression.target)


def _annotation_shape(annotation: Any, table: str | None) -> Any:
    """
    Return what tells annotations apart.

    :param table: the only one that is known; None in a query with groups.
    """
    kind = annotation.__class__
    if table is None and kind not in _TOTALS:
        return _column_shape(annotation)
    if kind is Value:
        if annotation.value != 1:
            raise _Unknown
        return "exists"
    if table is not None and kind is not Count and kind not in _AGGREGATES:
        raise _Unknown
    source, *others = annotation.get_source_expressions()
    if (
        annotation.distinct
        or annotation.default is not None
        or annotation.extra
        or any(other is not None for other in others)
    ):
        raise _Unknown
    if source.__class__ is Star:
        return kind
    if source.__class__ is not Col or table not in (None, source.alias):
        raise _Unknown
    return kind, source.alias, id(source.target)
