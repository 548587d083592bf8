"""Lookups of lists, sets and dictionaries, with the same meaning on every database."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import NotSupportedError, models
from django.db.models.lookups import FieldGetDbPrepValueMixin, Lookup, Transform

from ._paths import Compiled

# Numbers are equal whatever their form, true and 1 aren't, nor are text and what it
# looks like.
_SAME = (
    "a.value IS b.value"
    " AND REPLACE(a.type, 'integer', 'real') = REPLACE(b.type, 'integer', 'real')"
)


class _OfItems(FieldGetDbPrepValueMixin, Lookup):
    """A lookup that compares the items of two collections."""

    #: What of the given items a row has, where an item index may answer: "all" or "any".
    items: ClassVar[str | None] = None

    def _sides(self, compiler: Any, connection: Any) -> tuple[Compiled, Compiled]:
        lhs, lhs_params = self.process_lhs(compiler, connection)
        rhs, rhs_params = self.process_rhs(compiler, connection)
        return (lhs, tuple(lhs_params)), (rhs, tuple(rhs_params))

    @property
    def _keyed(self) -> bool:
        return getattr(self.lhs.output_field, "keyed", False)

    def _takes_apart(self, connection: Any) -> bool:
        """
        Return whether the database is a MariaDB that makes rows of items.

        It has JSON_TABLE() since 10.6 and JSON_EQUALS() since 10.7.
        """
        return bool(connection.mysql_is_mariadb and connection.mysql_version >= (10, 7))

    def as_sql(self, compiler: Any, connection: Any) -> Compiled:
        raise NotSupportedError(
            f"{connection.display_name} doesn't support the lookup {self.lookup_name}"
            " on collections."
        )


def _all_in_sqlite(part: Compiled, whole: Compiled, keyed: bool) -> Compiled:
    same = f"{_SAME} AND a.key = b.key" if keyed else _SAME
    sql = (
        f"({whole[0]} IS NOT NULL AND {part[0]} IS NOT NULL AND NOT EXISTS"
        f"(SELECT 1 FROM JSON_EACH({part[0]}) b WHERE NOT EXISTS"
        f"(SELECT 1 FROM JSON_EACH({whole[0]}) a WHERE {same})))"
    )
    return sql, whole[1] + part[1] * 2 + whole[1]


def _each(side: Compiled, name: str, keyed: bool) -> str:
    if keyed:
        return f"jsonb_each({side[0]}) {name}(key, value)"
    return f"jsonb_array_elements({side[0]}) {name}(value)"


def _same(keyed: bool) -> str:
    return "a.value = b.value" + (" AND a.key = b.key" if keyed else "")


def _all_in_postgresql(part: Compiled, whole: Compiled, keyed: bool) -> Compiled:
    sql = (
        f"({whole[0]} IS NOT NULL AND {part[0]} IS NOT NULL AND NOT EXISTS"
        f"(SELECT 1 FROM {_each(part, 'b', keyed)} WHERE NOT EXISTS"
        f"(SELECT 1 FROM {_each(whole, 'a', keyed)} WHERE {_same(keyed)})))"
    )
    return sql, whole[1] + part[1] * 2 + whole[1]


def _each_in_mariadb(side: Compiled, name: str, keyed: bool) -> Compiled:
    what = f"JSON_KEYS({side[0]})" if keyed else side[0]
    return f"JSON_TABLE({what}, '$[*]' COLUMNS(item JSON PATH '$')) {name}", side[1]


def _same_in_mariadb(a: Compiled, b: Compiled, keyed: bool) -> Compiled:
    # JSON_EQUALS() doesn't know all numbers: 5e-09 isn't itself. Without BINARY, what
    # JSON_EXTRACT() returns is compared without regard to case.
    equal = "(BINARY {0} = BINARY {1} OR JSON_EQUALS({0}, {1}))"
    if not keyed:
        return equal.format("a.item", "b.item"), ()
    left = f"JSON_EXTRACT({a[0]}, CONCAT('$.', a.item))"
    right = f"JSON_EXTRACT({b[0]}, CONCAT('$.', b.item))"
    return f"(a.item = b.item AND {equal.format(left, right)})", (a[1] + b[1]) * 2


def _all_in_mariadb(part: Compiled, whole: Compiled, keyed: bool) -> Compiled:
    # JSON_CONTAINS() looks into arrays and objects within, so that [1] is in [[1, 2]],
    # and takes two large integers for the same number.
    inner, inner_params = _each_in_mariadb(whole, "a", keyed)
    outer, outer_params = _each_in_mariadb(part, "b", keyed)
    same, same_params = _same_in_mariadb(whole, part, keyed)
    sql = (
        f"({whole[0]} IS NOT NULL AND {part[0]} IS NOT NULL AND NOT EXISTS"
        f"(SELECT 1 FROM {outer} WHERE NOT EXISTS"
        f"(SELECT 1 FROM {inner} WHERE {same})))"
    )
    return sql, whole[1] + part[1] + outer_params + inner_params + same_params


class Contains(_OfItems):
    """All of the given items are there."""

    lookup_name = "contains"
    items = "all"

    def as_sqlite(self, compiler: Any, connection: Any) -> Compiled:
        lhs, rhs = self._sides(compiler, connection)
        return _all_in_sqlite(rhs, lhs, self._keyed)

    def as_postgresql(self, compiler: Any, connection: Any) -> Compiled:
        lhs, rhs = self._sides(compiler, connection)
        if self.lhs.output_field.has_plain_items:
            # A GIN index answers it.
            return f"{lhs[0]} @> {rhs[0]}", lhs[1] + rhs[1]
        return _all_in_postgresql(rhs, lhs, self._keyed)

    def as_mysql(self, compiler: Any, connection: Any) -> Compiled:
        lhs, rhs = self._sides(compiler, connection)
        if self._takes_apart(connection):
            return _all_in_mariadb(rhs, lhs, self._keyed)
        return f"JSON_CONTAINS({lhs[0]}, {rhs[0]})", lhs[1] + rhs[1]


class ContainedBy(_OfItems):
    """Nothing is there but some of the given items."""

    lookup_name = "contained_by"

    def as_sqlite(self, compiler: Any, connection: Any) -> Compiled:
        lhs, rhs = self._sides(compiler, connection)
        return _all_in_sqlite(lhs, rhs, self._keyed)

    def as_postgresql(self, compiler: Any, connection: Any) -> Compiled:
        lhs, rhs = self._sides(compiler, connection)
        if self.lhs.output_field.has_plain_items:
            return f"{lhs[0]} <@ {rhs[0]}", lhs[1] + rhs[1]
        return _all_in_postgresql(lhs, rhs, self._keyed)

    def as_mysql(self, compiler: Any, connection: Any) -> Compiled:
        lhs, rhs = self._sides(compiler, connection)
        if self._takes_apart(connection):
            return _all_in_mariadb(lhs, rhs, self._keyed)
        return f"JSON_CONTAINS({rhs[0]}, {lhs[0]})", rhs[1] + lhs[1]


class Overlap(_OfItems):
    """At least one of the given items is there."""

    lookup_name = "overlap"
    items = "any"

    def as_sqlite(self, compiler: Any, connection: Any) -> Compiled:
        lhs, rhs = self._sides(compiler, connection)
        same = f"{_SAME} AND a.key = b.key" if self._keyed else _SAME
        return (
            f"EXISTS(SELECT 1 FROM JSON_EACH({lhs[0]}) a, JSON_EACH({rhs[0]}) b"
            f" WHERE {same})"
        ), lhs[1] + rhs[1]

    def as_postgresql(self, compiler: Any, connection: Any) -> Compiled:
        lhs, rhs = self._sides(compiler, connection)
        return (
            f"EXISTS(SELECT 1 FROM {_each(lhs, 'a', self._keyed)}"
            f" JOIN {_each(rhs, 'b', self._keyed)} ON {_same(self._keyed)})"
        ), lhs[1] + rhs[1]

    def as_mysql(self, compiler: Any, connection: Any) -> Compiled:
        lhs, rhs = self._sides(compiler, connection)
        if self._takes_apart(connection):
            left, left_params = _each_in_mariadb(lhs, "a", self._keyed)
            right, right_params = _each_in_mariadb(rhs, "b", self._keyed)
            same, params = _same_in_mariadb(lhs, rhs, self._keyed)
            return (
                f"EXISTS(SELECT 1 FROM {left}, {right} WHERE {same})"
            ), left_params + right_params + params
        return f"JSON_OVERLAPS({lhs[0]}, {rhs[0]})", lhs[1] + rhs[1]


class Length(Transform):
    """How many items are there."""

    lookup_name = "len"
    output_field = models.IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, function="JSON_ARRAY_LENGTH", **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, function="jsonb_array_length", **extra)

    def as_mysql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, function="JSON_LENGTH", **extra)
