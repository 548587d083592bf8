"""System checks of a store's backend."""

from __future__ import annotations

from django.db.backends.base.validation import BaseDatabaseValidation


class NonrelDatabaseValidation(BaseDatabaseValidation):
    """Django's checks; what a store can't do, it says when it is opened."""
