"""What a store's backend can do, in Django's terms."""

from __future__ import annotations

import apsw
from django.db.backends.sqlite3.features import DatabaseFeatures
from django.utils.functional import cached_property


class NonrelDatabaseFeatures(DatabaseFeatures):
    """
    SQLite's features, but for what isn't a matter of SQL.

    ``tests/nonrel/features.toml`` says of every flag of Django's why it is set
    here or inherited.
    """

    # The SQLite that runs our SQL is apsw's. Django looks at the version of
    # Python's sqlite3, which may be an older one, for the flags of this group.
    minimum_database_version = (3, 53)
    can_alter_table_drop_column = True
    can_return_columns_from_insert = True
    can_return_rows_from_bulk_insert = True
    supports_aggregate_order_by_clause = True
    # Django 5.2 supports SQLite 3.31, which has no (a, b) IN ((1, 2), …).
    supports_tuple_lookups = True

    # Virtual tables have no UPDATE … RETURNING
    # (https://www.sqlite.org/lang_returning.html#limitations_and_caveats).
    can_return_rows_from_update = False
    # Django remakes SQLite's table; ours gets the column with its constraint.
    can_create_inline_fk = True
    # SQL takes columns that follow from a grouped key. Grouped by that alone, rows
    # come in its order and needn't be sorted, and a slice ends early.
    allows_group_by_selected_pks = True
    # A store is shared by all connections that name it.
    test_db_allows_multiple_connections = True

    # All writers wait for the one that holds the lock, so there is nothing to
    # skip, and no part of a row to lock.
    has_select_for_update_skip_locked = False
    has_select_for_update_nowait = False
    has_select_for_update_of = False
    has_select_for_no_key_update = False

    # Tests of Django's that fail on any store, because Django's SQL and schema
    # editor for SQLite are what runs. SQLite's backend marks most of them too.

    @cached_property
    def django_test_expected_failures(self) -> set[str]:
        """What the backend's ``expectations.toml`` lists as xfail; not SQLite's list."""
        from backendkit.conformance import marks  # noqa: PLC0415  # in Django's suite only

        return marks.expected_failures(self.connection)

    @cached_property
    def django_test_skips(self) -> dict[str, set[str]]:
        """What the backend's ``expectations.toml`` lists as skip, by reason."""
        from backendkit.conformance import marks  # noqa: PLC0415  # as above

        return marks.skips(self.connection)

    @property
    def max_query_params(self) -> int:
        """Return how many parameters a statement takes, as this engine is built."""
        self.connection.ensure_connection()
        return int(
            self.connection.connection.getlimit(apsw.SQLITE_LIMIT_VARIABLE_NUMBER)
        )

    @cached_property
    def supports_transactions(self) -> bool:
        """Whether the store has them; see the system check."""
        return bool(self.connection.store_class.capabilities.transactions)

    @cached_property
    def has_select_for_update(self) -> bool:
        """
        Whether ``select_for_update()`` does something.

        Where it can't, Django leaves it out, as for SQLite: ``update_or_create()``
        needs it to work. A buffered session compares each row that it writes with what
        it has read, so no update is lost.
        """
        return bool(self.connection.store_class.capabilities.for_update)

    @cached_property
    def uses_savepoints(self) -> bool:
        """Whether a part of a transaction can be undone: where all of it can."""
        return self.supports_transactions

    @cached_property
    def can_release_savepoints(self) -> bool:
        """Whether savepoints end before their transaction: where there are any."""
        return self.supports_transactions

    @cached_property
    def can_rollback_ddl(self) -> bool:
        """Whether DDL is undone with the transaction: the catalog is in the store."""
        return self.supports_transactions

    @cached_property
    def introspected_field_types(self) -> dict[str, str]:
        """Our declared types tell more than SQLite's."""
        types: dict[str, str] = {
            **super().introspected_field_types,
            "DurationField": "DurationField",
        }
        return types
