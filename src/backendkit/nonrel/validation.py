"""System checks of a store's backend."""

from __future__ import annotations

from typing import Any

from django.core import checks
from django.db.backends.base.validation import BaseDatabaseValidation

#: The option by which a project accepts that nothing is ever rolled back.
ALLOW_NO_TRANSACTIONS = "allow_no_transactions"


class NonrelDatabaseValidation(BaseDatabaseValidation):
    """Checks what a store can't do, before anybody relies on it."""

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Return an error where ``atomic()`` would be a silent no-op."""
        errors: list[checks.CheckMessage] = super().check(**kwargs)
        connection = self.connection
        allowed = connection.settings_dict["OPTIONS"].get(ALLOW_NO_TRANSACTIONS)
        if connection.store_class.capabilities.transactions or allowed:
            return errors
        return [
            *errors,
            checks.Error(
                f"The database {connection.alias!r} ({connection.display_name}) has"
                " no transactions: atomic() would not undo anything.",
                hint=(
                    "Use another store, or accept that with"
                    f" OPTIONS[{ALLOW_NO_TRANSACTIONS!r}] = True."
                ),
                id="backendkit.E001",
            ),
        ]
