"""What immudb can do, for Django."""

from __future__ import annotations

from backendkit.nonrel.features import NonrelDatabaseFeatures


class DatabaseFeatures(NonrelDatabaseFeatures):
    """As all stores; what differs has its reason beside it."""

    # Nobody waits for anybody: a row that was read, and that another transaction has
    # changed since, makes the commit fail with an error that says it may be repeated.
    # So select_for_update() has nothing to do, as on SQLite, and no update is lost.
    has_select_for_update = False
