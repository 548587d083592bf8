"""
Shapes of queries: what tells those apart that are answered in different ways.

A shape has all that a plan depends on, but for the values of filters. Where it isn't
known whether something matters, the query has no shape.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Avg, Count, Max, Min, Sum, Value, lookups
from django.db.models.expressions import Col, Ref, Star
from django.db.models.fields import Field, related_lookups
from django.db.models.sql import Query
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.where import AND, WhereNode

#: Only Django's own classes: a subclass may mean something else.
LOOKUPS: dict[type, str] = {
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
AGGREGATES = {Max: "max", Min: "min", Sum: "sum"}
#: In queries with groups.
TOTALS = {Avg: "avg", Count: "count", **AGGREGATES}
_NEGATABLE = frozenset({"exact", "in", "isnull"})


#: Lookups, with whether they are negated.
Found = list[tuple[Any, bool]]


class Unknown(Exception):  # not an error
    """SQLite has to be asked."""


def shape_of_rows(
    query: Query, timezone: Any, *, existence: bool = False
) -> tuple[Any, Found]:
    """
    Return what tells queries apart that are answered in different ways.

    And its lookups, with whether they are negated, in the order of the shape.

    :param existence: whether it is only asked if there are rows: what is selected then
        doesn't matter. A query doesn't say so itself: that of ``exists()`` selects a
        constant, as others may.
    :raises Unknown: SQLite has to be asked.
    """
    table = base_alias(query, joined=True)
    plain(query)
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
        timezone,
    ]
    # Most have nothing of these, and each step counts.
    if len(query.alias_map) > 1:
        shape += _join_shapes(query, table)
    if query.select:
        shape += map(_column_shape, query.select)
    if query.order_by or query.default_ordering:
        shape += _order_shapes(query)
    if query.annotations:
        if len(query.annotations) != len(annotations):
            raise Unknown
        base_alias(query)
        if len(annotations) > 1:
            shape += _ends_shapes(annotations.values(), table)
        annotation, *_ = annotations.values()
        if existence and annotation.__class__ is Value:
            shape.append("exists")
        else:
            shape.append(_aggregate_shape(annotation, table))
    if query.selected:
        shape.append(tuple(query.selected.items()))
    found: Found = []
    where_shape(query.where, table, shape, found)
    return tuple(shape), found


def shape_of_groups(query: Query) -> tuple[Any, Found]:
    """Return what tells apart SELECTs with groups; as :func:`shape_of_rows`."""
    table = base_alias(query, joined=True)
    plain(query)
    group_by = query.group_by
    if query.distinct:
        # Of a slice in any order SQLite reads no more than it needs.
        if (
            group_by is not None
            or query.distinct_fields
            or (query.is_sliced and not query.order_by)
        ):
            raise Unknown
        group_by = ()
    if (
        group_by.__class__ is not tuple
        or query.default_cols
        or query.select_related
        or len(query.annotations) != len(query.annotation_select)
    ):
        raise Unknown
    shape: list[Any] = ["groups", id(query.model), query.distinct]
    shape += (query.default_ordering, query.standard_ordering)
    shape += _join_shapes(query, table)
    shape += map(_column_shape, (*group_by, *query.select))
    for name, annotation in query.annotation_select.items():
        shape += (name, _annotation_shape(annotation))
    shape += _order_shapes(query)
    if query.selected:
        shape.append(tuple(query.selected.items()))
    found: Found = []
    where_shape(query.where, table, shape, found)
    return tuple(shape), found


def shape_of_keys(query: Query) -> tuple[Any, Found]:
    """Return what tells UPDATEs and DELETEs apart; as :func:`shape_of_rows`."""
    found: Found = []
    shape: list[Any] = [id(query.model), query.__class__]
    where_shape(query.where, base_alias(query), shape, found)
    return tuple(shape), found


def named_by_id(query: Query, found: Found) -> list[Any]:
    """
    Return the objects whose ids are in a query's shape.

    Who keeps the shape has to keep them alive: another object could get their ids.

    :param found: the lookups of the shape.
    """
    return [
        query.model,
        query.model._meta.ordering,
        query.select,
        query.group_by,
        list(query.alias_map.values()),
        # With the columns that they are of, and their fields.
        list(query.annotations.values()),
        [lookup.lhs.target for lookup, _ in found],
    ]


def used_aliases(query: Query) -> set[str]:
    """Return the aliases of the tables in FROM."""
    return {alias for alias, count in query.alias_refcount.items() if count}


def plain(query: Query) -> None:
    """Raise :exc:`Unknown` if a SELECT has what is always SQLite's."""
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
        raise Unknown


def base_alias(query: Query, *, joined: bool = False) -> str:
    """
    Return the alias of the only table.

    :param joined: whether there may be others, joined to it.
    :raises Unknown: there are others.
    """
    if query.model is None:
        raise Unknown
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
        raise Unknown
    return alias


def where_shape(where: WhereNode, table: str, shape: list[Any], found: Found) -> None:
    """Take a conjunction apart. :raises Unknown: it is something else."""
    if where.__class__ is not WhereNode:
        raise Unknown
    children = where.children
    if where.connector != AND and len(children) > 1:
        raise Unknown
    negated = where.negated
    if negated and len(children) != 1:
        raise Unknown
    for child in children:
        name = LOOKUPS.get(child.__class__)
        if name is None:
            if negated or child.__class__ is not WhereNode:
                raise Unknown
            where_shape(child, table, shape, found)
            continue
        column = child.lhs
        if (
            column.__class__ is not Col
            or column.alias != table
            or child.bilateral_transforms
            or hasattr(child.rhs, "as_sql")
            or (negated and name not in _NEGATABLE)
        ):
            raise Unknown
        if name == "isnull":
            if child.rhs.__class__ is not bool:
                raise Unknown
            shape.append(child.rhs)
        elif child.rhs is None:
            raise Unknown
        shape += (name, negated, id(column.target))
        found.append((child, negated))


def _frozen(related: Any) -> Any:
    """Return what select_related() was given, as a key."""
    if related.__class__ is not dict:
        return related
    return tuple((name, _frozen(inner)) for name, inner in related.items())


def _order_shapes(query: Query) -> list[Any]:
    """Return what tells orders apart. :raises Unknown: it is an expression."""
    if any(name.__class__ is not str for name in query.order_by):
        raise Unknown
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
                raise Unknown
            shapes += (
                alias,
                join.parent_alias,
                join.join_type,
                id(join.join_field),
                query.alias_refcount[alias] > 0,
            )
    return shapes


def plain_column(expression: Any) -> Any:
    """
    Return a column without the names that refer to it.

    :raises Unknown: it is something else, or its field has SQL of its own for it.
    """
    while isinstance(expression, Ref):
        expression = expression.source
    if expression.__class__ is not Col:
        raise Unknown
    # Of a relation it is the relation, which selects nothing in its own way.
    kind = expression.output_field.__class__
    if issubclass(kind, Field) and kind.select_format is not Field.select_format:
        raise Unknown
    return expression


def _column_shape(expression: Any) -> Any:
    column = plain_column(expression)
    # Its output_field, which isn't always the target, converts its values.
    return column.alias, id(column.target), id(column.output_field)


def _annotation_shape(annotation: Any) -> Any:
    """Return what tells annotations of a query with groups apart."""
    if annotation.__class__ in TOTALS:
        return _aggregate_shape(annotation, None)
    return _column_shape(annotation)


def _ends_shapes(annotations: Iterable[Any], table: str) -> list[Any]:
    """Return what tells apart several of the least and greatest values."""
    if any(annotation.__class__ not in (Max, Min) for annotation in annotations):
        raise Unknown
    return [_aggregate_shape(annotation, table) for annotation in annotations]


def _aggregate_shape(annotation: Any, table: str | None) -> Any:
    """
    Return what tells aggregates apart.

    :param table: the only one that is known; None in a query with groups.
    """
    kind = annotation.__class__
    if kind not in (AGGREGATES if table is not None and kind is not Count else TOTALS):
        raise Unknown
    source, *others = annotation.get_source_expressions()
    if (
        annotation.distinct
        or annotation.default is not None
        or annotation.extra
        or any(other is not None for other in others)
    ):
        raise Unknown
    output = annotation.output_field
    if kind is Count:
        # Any other one was asked for, and SQLite may have to cast to it.
        if output is not Count.output_field:
            raise Unknown
        if source.__class__ is Star:
            return kind
    if source.__class__ is not Col or table not in (None, source.alias):
        raise Unknown
    if kind is Avg:
        if output.__class__ is not annotation._resolve_output_field().__class__:
            raise Unknown
        output = output.__class__
    elif kind is not Count and output is not source.output_field:
        raise Unknown
    return kind, source.alias, id(source.target), id(output)
