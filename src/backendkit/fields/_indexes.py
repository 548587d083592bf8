"""Indexes and unique constraints on the items of lists and sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.exceptions import FieldError, ValidationError
from django.db import DEFAULT_DB_ALIAS, connections, models, router

from ._values import encode, public

#: The engine of this package's backends makes an index of the items of this statement.
_CREATE = "CREATE {}INDEX %(name)s ON %(table)s (backendkit_items(%(columns)s))"
#: Django runs what ``Index`` returns, whether the database has such an index or not.
_NOTHING = "SELECT 1 /* This database has no index on the items of a column. */"


def _only(fields: Any, kind: str) -> list[str]:
    if isinstance(fields, str) or len(fields) != 1 or str(fields[0]).startswith("-"):
        raise ValueError(f"{kind} is on one field: fields=['tags'], not {fields!r}.")
    return list(fields)


def _field(model: Any, one: ItemIndex | ItemUniqueConstraint) -> Any:
    (name,) = one.fields
    field = model._meta.get_field(name)
    if not getattr(field, "has_items", False):
        raise FieldError(
            f"{one.name}: {model._meta.label}.{name} is no list and no set whose items"
            " have an index."
        )
    return field


def _has_item_indexes(connection: Any) -> bool:
    return getattr(connection, "has_item_indexes", False)


class ItemIndex(models.Index):
    """
    An index on the items of a ``ListField``, ``SetField`` or ``EmbeddedModelListField``.

    ``contains`` and ``overlap`` use it, on the databases of this package. PostgreSQL
    gets a GIN index, and no other database has one: a system check says so.

    :param fields: the field's name, in a list.
    """

    suffix = "itm"

    def __init__(
        self,
        *,
        fields: Any = (),
        name: str | None = None,
        db_tablespace: str | None = None,
    ) -> None:
        super().__init__(
            fields=_only(fields, type(self).__name__),
            name=name,
            db_tablespace=db_tablespace,
        )

    def deconstruct(self) -> tuple[str, Any, dict[str, Any]]:
        """Name this package, and none of its modules."""
        path, args, kwargs = super().deconstruct()
        return public(path), args, kwargs

    def create_sql(
        self, model: Any, schema_editor: Any, using: str = "", **kwargs: Any
    ) -> Any:
        """
        Return the statement that makes the index, or one that does nothing.

        :raises FieldError: the field has no items.
        """
        field = _field(model, self)
        connection = schema_editor.connection
        if _has_item_indexes(connection):
            return schema_editor._create_index_sql(
                model, fields=[field], name=self.name, sql=_CREATE.format("")
            )
        if connection.vendor == "postgresql":
            return super().create_sql(model, schema_editor, " USING gin", **kwargs)
        return _NOTHING

    def remove_sql(self, model: Any, schema_editor: Any, **kwargs: Any) -> Any:
        """Return the statement that drops the index, or one that does nothing."""
        connection = schema_editor.connection
        if _has_item_indexes(connection) or connection.vendor == "postgresql":
            return super().remove_sql(model, schema_editor, **kwargs)
        return _NOTHING


class ItemUniqueConstraint(models.UniqueConstraint):
    """
    No two rows have an item of a list or a set in common.

    A list may have an item twice, and null is no item. The databases of this package
    enforce it, and have an index by it, as of :class:`ItemIndex`. On others, only
    ``full_clean()`` and forms check it: a system check says so.

    :param fields: the field's name, in a list or a tuple.
    """

    def __init__(
        self,
        *,
        fields: Any = (),
        name: str,
        violation_error_code: str | None = None,
        violation_error_message: Any = None,
    ) -> None:
        super().__init__(
            fields=_only(fields, type(self).__name__),
            name=name,
            violation_error_code=violation_error_code,
            violation_error_message=violation_error_message,
        )

    @property
    def contains_expressions(self) -> bool:
        """Return True: to Django, it doesn't make the whole value unique."""
        return True

    def __eq__(self, other: object) -> bool:
        """Return whether it is the same constraint."""
        return type(self) is type(other) and super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]  # as Django's

    def deconstruct(self) -> tuple[str, Any, dict[str, Any]]:
        """Name this package, and none of its modules."""
        path, args, kwargs = super().deconstruct()
        return public(path), args, kwargs

    def constraint_sql(self, model: Any, schema_editor: Any) -> None:
        """Make the index once the table is there."""
        sql = self.create_sql(model, schema_editor)
        if sql is not None:
            schema_editor.deferred_sql.append(sql)

    def create_sql(self, model: Any, schema_editor: Any) -> Any:
        """
        Return the statement that makes the index; None if there is no such index.

        :raises FieldError: the field has no items.
        """
        field = _field(model, self)
        if not _has_item_indexes(schema_editor.connection):
            return None
        return schema_editor._create_index_sql(
            model, fields=[field], name=self.name, sql=_CREATE.format("UNIQUE ")
        )

    def remove_sql(self, model: Any, schema_editor: Any) -> Any:
        """Return the statement that drops the index; None if there is none."""
        if not _has_item_indexes(schema_editor.connection):
            return None
        return schema_editor._delete_index_sql(model, self.name)

    def validate(
        self,
        model: Any,
        instance: Any,
        exclude: Any = None,
        using: str = DEFAULT_DB_ALIAS,
    ) -> None:
        """
        Check that no other row has an item of the instance's.

        :raises ValidationError: one has.
        """
        (name,) = self.fields
        field = model._meta.get_field(name)
        value = getattr(instance, field.attname)
        if (
            (exclude and name in exclude)
            or value is None
            or hasattr(value, "resolve_expression")
        ):
            return
        items = [each for each in value if encode(field.item_field, each) is not None]
        rows = model._default_manager.using(using).filter(**{f"{name}__overlap": items})
        key = instance._get_pk_val(model._meta)
        if not instance._state.adding and key is not None:
            rows = rows.exclude(pk=key)
        if items and rows.exists():
            raise ValidationError(
                self.get_violation_error_message(), code=self.violation_error_code
            )


def check_indexes(field: Any, databases: Any) -> Iterator[checks.CheckMessage]:
    """
    Check the indexes and constraints on the items of a field.

    :param databases: aliases of those where the model may have a table, or None.
    """
    meta = field.model._meta
    for one in (*meta.indexes, *meta.constraints):
        is_index = isinstance(one, ItemIndex)
        if not (is_index or isinstance(one, ItemUniqueConstraint)):
            continue
        if field.name not in one.fields:
            continue
        if not field.has_items:
            yield checks.Error(
                f"{one.name}: only lists and sets have an index on their items.",
                obj=field,
                id="backendkit.fields.E008",
            )
            continue
        for alias in databases or ():
            connection = connections[alias]
            if _has_item_indexes(connection) or not router.allow_migrate_model(
                alias, field.model
            ):
                continue
            name = f"{connection.display_name} (database “{alias}”)"
            if not is_index:
                yield checks.Warning(
                    f"{name} doesn't enforce {one.name}: it has no unique constraint on"
                    " the items of a column. Only full_clean() and forms check it.",
                    obj=field,
                    id="backendkit.fields.W003",
                )
            elif connection.vendor != "postgresql":
                yield checks.Warning(
                    f"{name} has no index on the items of a column: {one.name} isn't"
                    " created, and lookups of items read all rows.",
                    obj=field,
                    id="backendkit.fields.W002",
                )
