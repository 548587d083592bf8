"""What a store's backend can do, in Django's terms."""

from __future__ import annotations

from django.db.backends.sqlite3.features import DatabaseFeatures
from django.utils.functional import cached_property


class NonrelDatabaseFeatures(DatabaseFeatures):
    """SQLite's features, but for what isn't a matter of SQL."""

    # A store is shared by all connections that name it.
    test_db_allows_multiple_connections = True
    # The engine comes with an SQLite of its own: apsw's, at least 3.53.
    supports_aggregate_order_by_clause = True
    # Virtual tables have no UPDATE … RETURNING
    # (https://www.sqlite.org/lang_returning.html#limitations_and_caveats).
    can_return_rows_from_update = False
    # Always: where a store has no locks, using it is a clear error.
    has_select_for_update = True
    # All writers wait for the one that holds the lock, so there is nothing to
    # skip, and no part of a row to lock.
    has_select_for_update_skip_locked = False
    has_select_for_update_nowait = False
    has_select_for_update_of = False
    has_select_for_no_key_update = False
    supports_select_for_update_with_limit = True

    @property
    def max_query_params(self) -> int:
        """
        Return how many parameters batches may have: half of what can be bound.

        bulk_update() writes more than it counts: for each object its key once
        for each field, and once more.
        """
        return int(super().max_query_params) // 2

    @cached_property
    def supports_transactions(self) -> bool:
        """Whether the store has them; see the system check."""
        return bool(self.connection.store_class.capabilities.transactions)

    @cached_property
    def introspected_field_types(self) -> dict[str, str]:
        """Our declared types tell more than SQLite's."""
        types: dict[str, str] = {
            **super().introspected_field_types,
            "DurationField": "DurationField",
        }
        return types
