"""Filters that only the compiler knows: what is handed to the store beside SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import lookups
from django.db.models.expressions import Col
from django.db.models.fields import CharField, TextField
from django.db.models.sql.where import AND

from backendkit.engine.running import Filter, Handed
from backendkit.engine.tokens import unquote
from backendkit.stores import Precision, ValueType

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql import Query

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
    return {alias: Handed(filters) for alias, filters in found.items()}


def _is_text(field: Any) -> bool:
    """Whether a field's values are stored as the text that they are."""
    return (
        isinstance(field, (CharField, TextField))
        and field.get_internal_type() in ("CharField", "TextField", "SlugField")
        and not field.db_collation
    )
