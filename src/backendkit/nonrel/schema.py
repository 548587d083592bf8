"""Schema changes: Django's for SQLite, without rewriting a table needlessly."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.sqlite3.schema import DatabaseSchemaEditor


class NonrelDatabaseSchemaEditor(DatabaseSchemaEditor):
    """
    Writes SQLite's DDL, which the engine carries out on the store.

    Changes that SQLite can only make by remaking the table are made so; each is
    one transaction, and fails as a whole.
    """

    def __enter__(self) -> NonrelDatabaseSchemaEditor:
        """Stop enforcing foreign keys while tables are being remade."""
        self._enforced = self.connection.disable_constraint_checking()
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
