"""Filters that only the compiler knows: what is handed to the store beside SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import lookups
from django.db.models.expressions import Col
from django.db.models.fields import CharField, TextField
from django.db.models.sql.where import AND

from backendkit.engine.compiled import Pushed
from backendkit.engine.item_search import ALL, ANY
from backendkit.engine.running import Filter, Handed
from backendkit.engine.tokens import unquote
from backendkit.stores import Precision, ValueType

from .dates import DATES, date_filters

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql import Query

    from .base import NonrelDatabaseWrapper

# SQLite doesn't offer LIKE … ESCAPE to virtual tables, which is what these are.
# Only Django's own classes: a subclass may mean something else.
_PATTERNS = {
    lookups.Contains,
    lookups.EndsWith,
    lookups.IContains,
    lookups.IEndsWith,
    lookups.IExact,
    lookups.IStartsWith,
    lookups.StartsWith,
}

#: What of an item index answers a lookup, by the attribute ``items`` of its class: those
#: of ``backendkit.fields`` have one.
_ITEMS = {"all": ALL, "any": ANY}

#: Stands behind a table that takes filters while a statement is put together: no text
#: of SQL has it.
HANDLE = "\0"

P = TypeVar("P", bound=Pushed)


def pushed(
    kind: type[P],
    connection: NonrelDatabaseWrapper,
    write: Callable[[], tuple[str, Sequence[Any]]],
) -> tuple[str, Sequence[Any]]:
    """
    Write a statement, with the filters that are handed over beside it.

    So its text and parameters are those that SQLite could run, whoever looks.

    :param write: returns text and parameters, with a handle for each filter. A part of
        another statement keeps them.
    """
    connection.compiling += 1
    try:
        text, params = write()
    finally:
        connection.compiling -= 1
    if connection.compiling:
        return text, params
    statement = kind(text.replace(HANDLE, ""))
    if HANDLE in text:
        statement.handles = text.replace(HANDLE, "(%s)")
        statement.filters = [
            (place, one) for place, one in enumerate(params) if isinstance(one, Handed)
        ]
        params = tuple(one for one in params if not isinstance(one, Handed))
        statement.bound = len(params)
    return statement, params


def handed_filters(query: Query, connection: BaseDatabaseWrapper) -> dict[str, Handed]:
    """
    Return the filters to hand over, by alias.

    Only conjuncts of the whole WHERE, each on one column, that reject NULL: so
    a row that fails one of them can't be in the result, whatever else is.
    """
    if query.where.connector != AND or query.where.negated:
        return {}
    found: dict[str, list[Filter]] = {}
    capabilities = connection.store_class.capabilities
    for child in query.where.children:
        if type(child) in DATES:
            alias, filters = date_filters(child, connection)
            if filters:
                found.setdefault(alias, []).extend(filters)
            continue
        # As for patterns: nobody knows what a subclass means.
        items = _ITEMS.get(vars(type(child)).get("items"))
        if items is not None:
            one = _of_items(child, items, connection)
            if one is not None:
                found.setdefault(child.lhs.alias, []).append(one)
            continue
        if type(child) not in _PATTERNS:
            continue
        column, value = child.lhs, child.rhs
        if (
            not isinstance(column, Col)
            or child.bilateral_transforms
            or not isinstance(value, str)
            # To SQLite's LIKE, NUL ends a text.
            or "\0" in value
            or not _is_text(column.target)
        ):
            continue
        name = child.lookup_name
        if capabilities.precision(ValueType.STRING, name) is Precision.NONE:
            continue
        own = unquote(connection.ops.quote_name(column.target.column))
        found.setdefault(column.alias, []).append(
            Filter(own, name, False, ValueType.STRING, str.__str__(value))
        )
    return {
        alias: Handed(
            filters,
            unquote(connection.ops.quote_name(query.alias_map[alias].table_name)),
        )
        for alias, filters in found.items()
        if alias in query.alias_map
    }


def _of_items(child: Any, items: str, connection: BaseDatabaseWrapper) -> Filter | None:
    """Return a lookup on the items of a column as a filter; None if it isn't one."""
    column, value = child.lhs, child.rhs
    if (
        not isinstance(column, Col)
        or child.bilateral_transforms
        or value is None
        or hasattr(value, "resolve_expression")
        or hasattr(value, "as_sql")
    ):
        return None
    _, (document,) = child.get_db_prep_lookup(value, connection)
    own = unquote(connection.ops.quote_name(column.target.column))
    return Filter(own, items, False, ValueType.JSON, document)


def _is_text(field: Any) -> bool:
    """Whether a field's values are stored as the text that they are."""
    return (
        isinstance(field, (CharField, TextField))
        and field.get_internal_type() in ("CharField", "TextField", "SlugField")
        and not field.db_collation
    )
