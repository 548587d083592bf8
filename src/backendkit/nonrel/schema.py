"""Schema changes: Django's for SQLite, without rewriting a table needlessly."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.sqlite3.schema import DatabaseSchemaEditor
from django.db.backends.utils import strip_quotes
from django.db.models import CompositePrimaryKey, Field, Model
from django.db.models.expressions import Value

#: Arguments of fields of which the database knows nothing.
_NOT_STORED = frozenset(
    {
        "blank",
        "choices",
        "editable",
        "error_messages",
        "help_text",
        "validators",
        "verbose_name",
    }
)


class NonrelDatabaseSchemaEditor(DatabaseSchemaEditor):
    """
    Writes SQLite's DDL, which the engine carries out on the store.

    Where SQLite would remake a table and the store needn't, it is altered in
    place: to add a column, whatever its default, to let it be NULL or not, and to
    give it an index. Other changes copy to a new table that takes the old one's place. Each is a part of
    one transaction, and fails as a whole.
    """

    def __enter__(self) -> NonrelDatabaseSchemaEditor:
        """Stop enforcing foreign keys while tables are being remade."""
        self._enforced = self.connection.disable_constraint_checking()
        # What was written before is checked elsewhere, or by nobody.
        self.connection.connection.foreign_keys.take_unchecked()
        BaseDatabaseSchemaEditor.__enter__(self)
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        """Check the foreign keys of what was changed, and enforce them again."""
        try:
            if exc_type is None:
                self.connection.check_constraints(
                    self.connection.connection.take_changed_tables()
                )
        except BaseException as error:
            BaseDatabaseSchemaEditor.__exit__(
                self, type(error), error, error.__traceback__
            )
            raise
        else:
            BaseDatabaseSchemaEditor.__exit__(self, exc_type, exc_value, traceback)
        finally:
            self.connection.connection.take_changed_tables()
            if self._enforced:
                self.connection.enable_constraint_checking()

    # Adding a column: rows that exist get its default when they are read.

    _filling = False

    def skip_default(self, field: Field) -> bool:
        """Leave a one-off default out of the SQL of a column that is added."""
        return self._filling or super().skip_default(field)

    def skip_default_on_alter(self, field: Field) -> bool:
        """Leave out the statement that would drop it again."""
        return self._filling or super().skip_default_on_alter(field)

    def add_field(self, model: type[Model], field: Field) -> None:
        """Add a field, in place where the column is a plain one."""
        if (
            field.many_to_many
            or isinstance(field, CompositePrimaryKey)
            or field.primary_key
            or field.unique
            or field.generated
            or (field.has_db_default() and not isinstance(field.db_default, Value))
        ):
            super().add_field(model, field)
            return
        fill = {}
        if not field.has_db_default():
            fill[field.column] = self.effective_default(field)
        self._filling = True
        try:
            if self.collect_sql:
                BaseDatabaseSchemaEditor.add_field(self, model, field)
            else:
                self.connection.ensure_connection()
                with self.connection.connection.filling(fill):
                    BaseDatabaseSchemaEditor.add_field(self, model, field)
        finally:
            self._filling = False

    def _alter_field(
        self,
        model: type[Model],
        old_field: Field,
        new_field: Field,
        old_type: str,
        new_type: str,
        old_db_params: dict[str, Any],
        new_db_params: dict[str, Any],
        strict: bool = False,
    ) -> None:
        """Alter a column: in place, if nothing but its NULLs or its index changes."""
        table = self.quote_name(model._meta.db_table)
        column = self.quote_name(new_field.column)
        changed = _changed_arguments(old_field, new_field)
        if changed == {"null"} and new_field.null:
            self.execute(f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL")
            return
        if "null" in changed <= {"null", "default"} and not new_field.null:
            default = self.effective_default(new_field)
            if default is not None:
                sql = f"UPDATE {table} SET {column} = %s WHERE {column} IS NULL"
                self.execute(sql, [default])
            self.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL")
            return
        if changed == {"db_index"} and self._field_should_be_indexed(model, new_field):
            self.execute(self._create_index_sql(model, fields=[new_field]))
            return
        super()._alter_field(
            model,
            old_field,
            new_field,
            old_type,
            new_type,
            old_db_params,
            new_db_params,
            strict,
        )

    def _remake_table(self, model: type[Model], *args: Any, **kwargs: Any) -> None:
        """Copy to a new table; errors name the one that people know."""
        try:
            super()._remake_table(model, *args, **kwargs)
        except DatabaseError as error:
            table = strip_quotes(model._meta.db_table)
            message = str(error)
            if f"new__{table}" not in message:
                raise
            raise type(error)(message.replace(f"new__{table}", table)) from error


def _changed_arguments(old_field: Field, new_field: Field) -> set[str]:
    """
    Return the arguments in which two definitions of a column differ.

    Empty if something else differs, or the column has more to it than a plain one.
    """
    if any(
        field.primary_key or field.generated or field.has_db_default()
        for field in (old_field, new_field)
    ):
        return set()
    old, new = old_field.deconstruct(), new_field.deconstruct()
    if old_field.column != new_field.column or old[1:3] != new[1:3]:
        return set()
    missing = object()
    return {
        name
        for name in (old[3].keys() | new[3].keys()) - _NOT_STORED
        if old[3].get(name, missing) != new[3].get(name, missing)
    }
