"""
Paths into JSON: each ends in a value of the inner field's own SQL type.

So all that works on a column of that field works on a path: lookups, transforms, order,
aggregates, indexes and unique constraints. PostgreSQL indexes immutable expressions
alone, and its casts from text to dates and times aren't: these are made of their parts.
"""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.db import NotSupportedError, models
from django.db.models.fields.json import (
    KeyTransform,
    KeyTransformExact,
    KeyTransformIn,
)

from ._values import _bytes_of, _text_of, target_of

Compiled = tuple[str, tuple[Any, ...]]

_INTEGERS = {
    "AutoField",
    "BigAutoField",
    "BigIntegerField",
    "IntegerField",
    "PositiveBigIntegerField",
    "PositiveIntegerField",
    "PositiveSmallIntegerField",
    "SmallAutoField",
    "SmallIntegerField",
}
_TEXTS = {"CharField", "FileField", "FilePathField", "SlugField", "TextField"}
_DATE = "substr({0}, 1, 4)::int, substr({0}, 6, 2)::int, substr({0}, 9, 2)::int"
_TIME = (
    "substr({0}, {1}, 2)::int, substr({0}, {2}, 2)::int, substr({0}, {3}, 9)::float8"
)
_TIMESTAMP = f"make_timestamp({_DATE}, {_TIME.format('{0}', 12, 15, 18)})"

#: By vendor and internal type, what makes the type's value of the JSON's text ``{0}``.
_CASTS: dict[str, dict[str, str]] = {
    "sqlite": {
        "DateTimeField": "REPLACE(REPLACE(SUBSTR({0}, 1, 26), 'T', ' '), '.000000', '')",
        "DecimalField": "CAST({0} AS NUMERIC)",
        "TimeField": "REPLACE({0}, '.000000', '')",
        "UUIDField": "REPLACE({0}, '-', '')",
    },
    "postgresql": {
        **dict.fromkeys(_INTEGERS, "({0})::bigint"),
        "BooleanField": "({0})::boolean",
        "DateField": f"make_date({_DATE})",
        "DateTimeField": _TIMESTAMP,
        "DecimalField": "({0})::numeric",
        "DurationField": (
            # In two steps: PostgreSQL multiplies as floating point does.
            "((({0})::bigint / 1000000) * interval '1 second'"
            " + mod(({0})::bigint, 1000000) * interval '1 microsecond')"
        ),
        "FloatField": "({0})::double precision",
        "GenericIPAddressField": "({0})::inet",
        "TimeField": f"make_time({_TIME.format('{0}', 1, 4, 7)})",
        "UUIDField": "({0})::uuid",
    },
    "mysql": {
        **dict.fromkeys([*_INTEGERS, "DurationField"], "CAST({0} AS SIGNED)"),
        # JSON's text is compared by its code points, a column's by its collation.
        **dict.fromkeys(_TEXTS, "CAST({0} AS CHAR)"),
        "BooleanField": "({0} = 'true')",
        "DateField": "CAST({0} AS DATE)",
        "DateTimeField": "CAST(REPLACE(SUBSTR({0}, 1, 26), 'T', ' ') AS DATETIME(6))",
        "DecimalField": "CAST({0} AS DECIMAL(65, 30))",
        "FloatField": "CAST({0} AS DOUBLE)",
        "TimeField": "CAST({0} AS TIME(6))",
        "UUIDField": "REPLACE({0}, '-', '')",
    },
}


class _Base64Field(models.TextField):
    """Bytes within JSON."""

    def get_prep_value(self, value: Any) -> Any:
        if value is None or hasattr(value, "as_sql"):
            return value
        return _text_of(_bytes_of(value))

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else _bytes_of(value)


def is_container(field: Any) -> bool:
    """Return whether a field is one of this package's that hold JSON."""
    return hasattr(field, "to_json")


def step(key: str | int, field: Any) -> Any:
    """
    Return a function that makes, of an expression, the one for a key of its JSON.

    :param key: an integer for an item of an array.
    :param field: of what is there.
    """
    if not is_container(field) and isinstance(target_of(field), models.JSONField):
        return lambda lhs: KeyTransform(str(key), lhs)
    if not is_container(field):
        field = target_of(field)
        if isinstance(field, models.BinaryField):
            field = _Base64Field()
    return lambda lhs: Path(key, field, lhs)


class Path(KeyTransform):
    """
    What is at a key of a JSON value, with the type of the field that it belongs to.

    :param key: an integer for an item of an array.
    :param field: the field.
    :param lhs: the expression for the JSON value.
    """

    def __init__(self, key: str | int, field: Any, lhs: Any, **extra: Any) -> None:
        extra.pop("output_field", None)
        super().__init__(key, lhs, output_field=field, **extra)
        self.key = key

    def get_lookup(self, lookup_name: str) -> Any:
        """Return a lookup of the field; those of JSON's keys are for no typed value."""
        if is_container(self.output_field):
            if lookup_name == "exact":
                return KeyTransformExact
            if lookup_name == "in":
                return KeyTransformIn
        return self.output_field.get_lookup(lookup_name)

    def get_transform(self, lookup_name: str) -> Any:
        """Return a transform of the field."""
        return self.output_field.get_transform(lookup_name)

    def get_db_converters(self, connection: Any) -> list[Any]:
        """Give a decimal the digits that its column would give it."""
        converters = list(super().get_db_converters(connection))
        field = self.output_field
        if (
            isinstance(field, models.DecimalField)
            and (places := field.decimal_places) is not None
        ):
            converters.append(
                lambda value, *_: None if value is None else round(value, places)
            )
        return converters

    def _column(self, compiler: Any) -> tuple[str, tuple[Any, ...], list[str | int]]:
        keys: list[str | int] = []
        node: Any = self
        while isinstance(node, Path):
            keys.insert(0, node.key)
            node = node.lhs
        sql, params = compiler.compile(node)
        return sql, tuple(params), keys

    def _cast(self, vendor: str, sql: str, params: tuple[Any, ...]) -> Compiled:
        field = self.output_field
        if isinstance(field, _Base64Field):
            return sql, params
        cast = _CASTS[vendor].get(field.get_internal_type(), "{0}")
        return cast.format(sql), params * cast.count("{0}")

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Compiled:
        """
        Refuse a database for which there is no SQL.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError(
            f"{connection.display_name} doesn't support typed paths into JSON. Use"
            " django.db.models.fields.json.KT instead."
        )

    def as_oracle(self, compiler: Any, connection: Any) -> Compiled:
        return self.as_sql(compiler, connection)

    def as_sqlite(self, compiler: Any, connection: Any) -> Compiled:
        sql, params, keys = self._column(compiler)
        return self._cast(
            "sqlite", f"JSON_EXTRACT({sql}, %s)", (*params, _json_path(keys))
        )

    def as_postgresql(self, compiler: Any, connection: Any) -> Compiled:
        sql, params, keys = self._column(compiler)
        params = (*params, [str(key) for key in keys])
        if is_container(self.output_field):
            return f"NULLIF(({sql} #> %s), 'null')", params
        sql, params = self._cast("postgresql", f"({sql} #>> %s)", params)
        if settings.USE_TZ and sql.startswith("make_timestamp("):
            sql = f"timezone('UTC', {sql})"
        return sql, params

    def as_mysql(self, compiler: Any, connection: Any) -> Compiled:
        sql, params, keys = self._column(compiler)
        sql = f"JSON_EXTRACT({sql}, %s)"
        kept = sql if is_container(self.output_field) else f"JSON_UNQUOTE({sql})"
        sql = f"(CASE WHEN JSON_TYPE({sql}) = 'NULL' THEN NULL ELSE {kept} END)"
        params = (*params, _json_path(keys)) * 2
        internal_type = self.output_field.get_internal_type()
        if internal_type == "UUIDField" and connection.features.has_native_uuid_field:
            return sql, params
        return self._cast("mysql", sql, params)


def _json_path(keys: list[str | int]) -> str:
    return "$" + "".join(
        f"[{key}]" if isinstance(key, int) else f".{json.dumps(key)}" for key in keys
    )
